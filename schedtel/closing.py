"""What is closed in the end, as a context manager."""

from types import TracebackType
from typing import Self


class Closing:
    """A context that closes its object: for classes with a ``close()`` that may be called twice."""

    def close(self) -> None:
        """End it, and give back what it holds."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
