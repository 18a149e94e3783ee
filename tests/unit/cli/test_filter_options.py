"""The filter options of the command: what a user repeats in, the filter out."""

import click
import pytest
from click.testing import CliRunner

from schedtel.cli.options import filter_options, make_filter
from schedtel.kernel.filters import Filter


def filter_of(*arguments):
    """The filter that a command makes of its arguments."""
    made = []

    @click.command()
    @filter_options
    def command(**options):
        made.append(make_filter(options))

    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    return made[0]


@pytest.mark.parametrize(
    ("arguments", "expected", "text"),
    [
        ((), Filter(), ""),
        (("-p", "1"), Filter(pid=1), "pid=1"),
        (("-p", "1", "-p", "2"), Filter(pid=(1, 2)), "pid=1,2"),
        (("-t", "3", "--tid", "4"), Filter(tid=[3, 4]), "tid=3,4"),
        (("-u", "0"), Filter(uid=0), "uid=0"),
        (("-u", "0", "-u", "0"), Filter(uid=0), "uid=0"),
        (("--comm", "a", "--comm", "b"), Filter(comm=["a", "b"]), "comm=a,b"),
        (("-c", "/one", "--cgroup", "/two"), Filter(cgroup=["/one", "/two"]), "cgroup=/one,/two"),
        (("-p", "1", "--comm", "a", "-p", "2"), Filter(pid=[1, 2], comm="a"), "pid=1,2 comm=a"),
    ],
)
def test_repeated_options_are_one_condition_of_several_values(arguments, expected, text):
    made = filter_of(*arguments)
    assert made == expected
    assert made.describe() == text
