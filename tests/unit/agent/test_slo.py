"""Bounds on windows: how they are written, and which windows break them."""

import pytest
from samples import changed

from schedtel.agent.slo import parse_slo
from schedtel.errors import UsageError


@pytest.mark.parametrize(
    ("text", "kept", "broken"),
    [
        ("rt_p99_ns < 20ms", 19_999_999, 20_000_000),
        ("rt_p99_ns<=20ms", 20_000_000, 20_000_001),
        (" rt_p99_ns > 20ms ", 20_000_001, 20_000_000),
        ("rt_p99_ns >= 500", 500, 499),
    ],
)
def test_a_bound_on_a_column_holds_or_not(windows, text, kept, broken):
    slo = parse_slo(text)
    assert slo.breach(changed(windows[0], rt_p99_ns=kept)) == ""
    assert slo.breach(changed(windows[0], rt_p99_ns=broken)).startswith("rt_p99_ns is ")


def test_a_bound_may_be_on_a_feature_that_is_no_column(windows):
    share = windows[0].features()["idle_share"]
    assert parse_slo(f"idle_share > {share - 0.01:.4f}").breach(windows[0]) == ""
    assert parse_slo(f"idle_share > {share + 0.01:.4f}").breach(windows[0])


def test_what_is_not_known_breaks_nothing(windows):
    assert parse_slo("rt_p99_ns < 1ns").breach(changed(windows[0], rt_p99_ns=None)) == ""


@pytest.mark.parametrize(
    "text",
    [
        *("", "rt_p99_ns", "rt_p99_ns < ", "rt_p99_ns = 20ms", "rt_p99 < 20ms", "host < 1", "rt_p99_ns < nan"),
        *("tasks_active < x", "rt_p99_ns < 20 parsecs", "rt_p99_ns < -1ms", "rt_p99_ns < \x1b[31m", "__class__ < 1"),
        "a" * 5000 + " < 1",
    ],
)
def test_other_texts_are_refused_in_one_line(text):
    with pytest.raises(UsageError) as error:
        parse_slo(text)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


def test_a_near_name_is_suggested():
    with pytest.raises(UsageError, match="did you mean 'rt_p99_ns'"):
        parse_slo("rt_p9_ns < 20ms")
