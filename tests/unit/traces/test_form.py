"""Forms of the text that cannot be read whole: refused with what they lack."""

import re

import pytest
from small_traces import IDLE, A, switch, woken

from schedtel.traces.form import complaint
from schedtel.traces.text import detect

LINES = [line for n in range(10) for line in (woken(2 * n, 0, A), switch(2 * n + 1, 0, IDLE, A, "R"))]


def verdict(lines: list[str]) -> str | None:
    text = "".join(f"{line}\n" for line in lines).encode()
    return complaint(text, detect(text))


def changed(pattern: str, by: str, lines: list[str] = LINES) -> list[str]:
    made = [re.sub(pattern, by, line, count=1) for line in lines]
    assert made != lines
    return made


def test_what_can_be_read_has_no_complaint():
    assert verdict(LINES) is None
    assert verdict(["# a header", "nonsense", *LINES, "sched_switch: damaged"]) is None


@pytest.mark.parametrize(
    ("pattern", "by", "reason"),
    [
        (r" +\d+ \[", " [", "no task id"),
        (r"\[\d+\] ", "", "no CPU"),
        (r"\d\.\d+: ", "", "no time"),
        (r"(\d)\.\d+: ", r"\1: ", "no time"),
        (r"(\[\d+\] )", r"\1 2026-11-29 13:53:52.615901125 ", "date"),
        (r"sched:\w+: ", "", "no names of events"),
        (r"target_cpu=", "cpu=", "fields are not understood"),
        (r"1\.\d+: ", "0.000000100: ", None),
    ],
)
def test_a_form_that_lacks_something_is_refused_by_it(pattern, by, reason):
    found = verdict(changed(pattern, by))
    assert found is reason or reason in found


def test_differences_for_times_are_refused():
    lines = [re.sub(r"1\.\d+: ", f"0.00000{n % 3}100: ", line) for n, line in enumerate(LINES)]
    assert "not in order" in verdict(lines)


def test_a_few_damaged_lines_are_no_form_of_their_own():
    assert verdict([*LINES, *changed("target_cpu=", "cpu=")[:8]]) is None
