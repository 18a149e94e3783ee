"""What holds for all tests: asserts in tests/support get pytest's messages, and signals have their default effect."""

import signal

import pytest

# Under nohup, SIGHUP is ignored, and SIGINT in what a shell runs in the background. Commands that tests start would
# inherit that, and rightly ignore them as well.
_DEFAULTS = {
    signal.SIGHUP: signal.SIG_DFL,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGINT: signal.default_int_handler,
}
for _number, _default in _DEFAULTS.items():
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _default)

pytest.register_assert_rewrite(
    "around",
    "browser",
    "exporting",
    "fleets",
    "machine",
    "observe",
    "player",
    "readings",
    "refusals",
    "serving",
    "waiting",
    "witness",
)
