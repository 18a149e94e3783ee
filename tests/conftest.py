"""Asserts in tests/support get the messages that pytest gives to asserts in tests."""

import pytest

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
