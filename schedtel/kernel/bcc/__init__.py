"""The bcc backend: C source and this machine's tracepoints in; a :class:`~schedtel.kernel.backend.Backend` out."""
