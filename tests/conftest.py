"""What holds for all tests: asserts in tests/support get pytest's messages, and signals have their default effect."""

import signal

import pytest

# Under nohup, SIGHUP is ignored, and commands that tests start would inherit that and rightly ignore it as well.
for _number in (signal.SIGHUP, signal.SIGTERM):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.SIG_DFL)

pytest.register_assert_rewrite(
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
