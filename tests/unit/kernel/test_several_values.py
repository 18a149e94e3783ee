"""Filters with lists: one value is that value, and none is refused in one line."""

import os

import pytest

from schedtel.errors import UsageError
from schedtel.kernel.filters import Filter

ME = os.getpid()


@pytest.mark.parametrize(
    ("condition", "value"),
    [("pid", ME), ("tid", ME), ("uid", 0), ("comm", "sh"), ("cgroup", "/")],
    ids=["pid", "tid", "uid", "comm", "cgroup"],
)
@pytest.mark.parametrize("kind", [list, tuple])
def test_one_value_in_a_list_is_that_value(condition, value, kind):
    assert Filter(**{condition: kind([value])}) == Filter(**{condition: value})
    assert Filter(**{condition: kind([value, value])}) == Filter(**{condition: value})


@pytest.mark.parametrize("condition", ["pid", "tid", "uid", "comm", "cgroup"])
def test_an_empty_list_does_not_mean_all_tasks(condition):
    with pytest.raises(UsageError, match="an empty list"):
        Filter(**{condition: []}).settings()


def test_the_description_has_all_values():
    assert Filter(pid=[1, 2], comm=("a", "b")).describe() == "pid=1,2 comm=a,b"


@pytest.mark.parametrize("wrong", [{"pid": "self"}, {"tid": "self"}, {"tid": 1.5}, {"uid": "0"}, {"cgroup": ""}])
def test_a_value_of_another_type_is_refused(wrong):
    with pytest.raises(UsageError):
        Filter(**wrong).settings()
