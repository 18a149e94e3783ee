"""The entry point of the command ``schedtel``: runs it, after SIGINT has got its default effect.

This module is outside of the package because to import the package takes 0.1 s, in which Ctrl-C would be a traceback.
For the same reason it imports ``_signal``, which is part of the interpreter, and not ``signal``.
"""

import _signal

if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:  # else the caller ignores it
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)


def main() -> None:
    """Run the command; it raises :class:`SystemExit` with its status."""
    from schedtel.cli import main as run  # noqa: PLC0415  (see above)

    run()
