"""The core backend: compiled CO-RE objects in; a :class:`~schedtel.kernel.backend.Backend` out."""
