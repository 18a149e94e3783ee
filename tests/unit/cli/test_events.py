"""Options of `schedtel events` and of what tells of events that make no sense together: a line, and nothing made."""

import pytest


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--trigger", "tasks_active > 1"], "cannot use --trigger with a recording of all events"),
        (["--ring-memory", "5"], "cannot use --ring-memory with a recording of all events"),
        (["-w", "1s"], "cannot use --window with a recording of all events"),
        (["--ring", "5s", "-w", "1s"], "cannot use --window with no trigger"),
        (["--ring", "5s", "--trigger", "tasks_active"], "cannot use the trigger 'tasks_active'"),
        (["--ring", "1s", "-w", "5s", "--trigger", "tasks_active > 1"], "cannot keep 1s for windows of 5s"),
        (["--ring", "0s"], "cannot use duration '0s'"),
    ],
)
def test_options_of_the_ring_are_refused_where_they_do_nothing(run, tmp_path, options, words):
    status, _, said = run("events", "record", "-o", tmp_path / "rec", *options)
    assert status == 2
    (line,) = said.splitlines()
    assert line.startswith(f"schedtel: {words}")
    assert not (tmp_path / "rec").exists()
