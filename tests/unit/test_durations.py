"""Durations as users write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedtel.durations import format_duration, parse_duration
from schedtel.errors import UsageError


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("250ms", 250_000_000),
        ("5s", 5_000_000_000),
        ("1m", 60_000_000_000),
        ("2h", 7_200_000_000_000),
        ("1.5m", 90_000_000_000),
        ("7ns", 7),
        ("3us", 3_000),
        ("3µs", 3_000),
        (" 5 s ", 5_000_000_000),
        ("0.1s", 100_000_000),
        ("1.000000001s", 1_000_000_001),  # a float would lose the last digit
    ],
)
def test_number_and_unit_are_nanoseconds(text, ns):
    assert parse_duration(text) == ns


@pytest.mark.parametrize(
    "text", ["", "5", "s", "5 seconds", "-1s", "+1s", "1e3s", ".5s", "5.s", "1s1s", "1,5s", "5S", "inf", "nans"]
)
def test_anything_else_is_refused_in_one_line(text):
    with pytest.raises(UsageError, match=r"^cannot read duration .*write 250ms, 5s or 1m") as caught:
        parse_duration(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["0s", "0.0ms", "0.9ns"])
def test_nothing_is_no_duration(text):
    with pytest.raises(UsageError, match="longer than 0"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["876001h", "1000000000000000000000h", f"{'9' * 5000}ns"])
def test_more_than_a_century_is_refused(text):
    with pytest.raises(UsageError, match="longer than 100 years"):
        parse_duration(text)


def test_digits_beyond_a_nanosecond_change_nothing():
    assert parse_duration(f"{'0' * 5000}1.5{'0' * 5000}s") == 1_500_000_000


@given(st.integers(1, 10**15))
def test_nanoseconds_are_read_back_exactly(ns):
    assert parse_duration(f"{ns}ns") == ns


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (None, "-"),
        (0, "0 ns"),
        (999, "999 ns"),
        (1_000, "1.00 µs"),
        (12_345, "12.3 µs"),
        (123_456_789, "123 ms"),
        (5_000_000_000, "5.00 s"),
        (90_000_000_000, "90.0 s"),
        (-1_500, "-1.50 µs"),
    ],
)
def test_people_read_three_figures_and_a_unit(ns, text):
    assert format_duration(ns) == text


@pytest.mark.parametrize(("ns", "text"), [(999_999, "1.00 ms"), (999_999_999, "1.00 s"), (9_999, "10.0 µs")])
def test_rounding_never_gives_four_figures(ns, text):
    assert format_duration(ns) == text
