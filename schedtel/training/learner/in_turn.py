"""What a crew asks of Ray, done in this process: each call when it is made, one after another.

So a run with workers needs no Ray, and is the same each time. A call takes no time here, as it seems to a crew: it is
done when it is waited for, those first that were made first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


class RayError(Exception):
    """As Ray's errors: each is one of these."""


class RayActorError(RayError):
    """An actor has ended."""


class WorkerCrashedError(RayError):
    """A process has; here there is none."""


class GetTimeoutError(RayError):
    """An answer took too long; here none does."""


class _Errors:
    """In the place of the module ``ray.exceptions``."""

    RayError, RayActorError = RayError, RayActorError
    WorkerCrashedError, GetTimeoutError = WorkerCrashedError, GetTimeoutError


class Result:
    """What a call has returned, or why it did not."""

    def __init__(self, value: object = None, error: RayError | None = None) -> None:
        self._value, self._error = value, error

    def get(self) -> Any:
        if self._error:
            raise self._error
        return self._value


class _Method:
    def __init__(self, call: Callable[..., Any], returned: int = 1) -> None:
        self._call, self._returned = call, returned

    def options(self, *, num_returns: int) -> _Method:
        return _Method(self._call, num_returns)

    def remote(self, *given: object) -> Any:
        """Its result, or as many as it returns."""
        try:
            value = self._call(*(each.get() if isinstance(each, Result) else each for each in given))
        except RayError as error:
            results = [Result(error=error) for _ in range(self._returned)]
        else:
            results = [Result(each) for each in (value if self._returned > 1 else [value])]
        return results if self._returned > 1 else results[0]


class Actor:
    """An object whose methods answer until it has ended."""

    def __init__(self, made: object) -> None:
        self.made, self.has_ended = made, False

    def __getattr__(self, name: str) -> _Method:
        def call(*given: object) -> Any:
            if self.has_ended:
                raise RayActorError(f"{type(self.made).__name__} has ended")
            return getattr(self.made, name)(*given)

        return _Method(call)


class _Kind:
    def __init__(self, kind: type) -> None:
        self._kind = kind

    def remote(self, *given: object) -> Actor:
        return Actor(self._kind(*given))


class InTurn:
    """In the place of the module ``ray``."""

    exceptions = _Errors

    def remote(self, **_: object) -> Callable[[type], _Kind]:
        return _Kind

    def put(self, value: object) -> Result:
        return Result(value)

    def get(self, result: Result, timeout: float) -> Any:  # noqa: ARG002  (no call takes any time)
        return result.get()

    def wait(self, results: Sequence[Result], *, num_returns: int, timeout: float) -> tuple[list[Result], list[Result]]:
        """The first of them are done; none is, if there is no time for it."""
        done = num_returns if timeout else 0
        return list(results[:done]), list(results[done:])

    def kill(self, actor: Actor) -> None:
        actor.has_ended = True
