"""`schedtel scheduler switch`: what cannot be held is told in one line, and nothing is changed."""

import pytest


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["eevdf"], "cannot hold eevdf: "),
        (["policy:batch"], "cannot use a rule without a selection"),
        (["policy:batch", "--for", "pid=4999999"], "no such process"),
        (["policy:batch", "--class", "hogs=comm=x", "--for", "comm=x"], "no rule of policy:batch names it"),
        (["scx:fifo", "--for", "pid=1"], "cannot use --for with scx:fifo"),
        (["loader:fifo", "--for", "pid=1"], "cannot use --for with loader:fifo"),
        (["loader:fifo:fast"], "'fast' is no mode"),
    ],
)
def test_what_cannot_be_held_is_one_line(run, words, says):
    status, out, err = run("scheduler", "switch", *words)
    assert (status, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1
