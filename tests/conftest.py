"""What helps the tests lies in tests/support; where it asserts, pytest says as much of it as of a test."""

import pytest

pytest.register_assert_rewrite(
    "browser", "exporting", "fleets", "machine", "observe", "player", "readings", "refusals", "serving", "waiting"
)
