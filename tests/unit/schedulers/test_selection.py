"""Which threads a selection chooses, of processes that the test has started."""

import os
import subprocess
import sys

import pytest
from waiting import eventually

from schedtel.errors import UsageError
from schedtel.schedulers import threads
from schedtel.schedulers.names import parse_selector
from schedtel.schedulers.selection import Selection, Tree
from schedtel.schedulers.threads import Look

#: Two threads, of which the second has a name of its own.
TWO_THREADS = """
import ctypes, threading
def second():
    ctypes.CDLL(None).prctl(15, b"second-thread", 0, 0, 0)
    print(threading.get_native_id(), flush=True)
    input()
threading.Thread(target=second).start()
"""


@pytest.fixture
def family():
    """A shell and its child; the child is ended when its standard input is."""
    script = "exec 3<&0; cat <&3 & echo $!; wait"  # a shell gives what is in the background no standard input
    with subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as shell:
        yield shell.pid, int(shell.stdout.readline())
        shell.kill()
        shell.stdin.close()


@pytest.fixture
def two_threads():
    command = [sys.executable, "-c", TWO_THREADS]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process.pid, int(process.stdout.readline())
        process.stdin.close()


def tids(selection, text=None):
    return {thread.tid for thread in selection.threads(parse_selector(text) if text else None, Look())}


def test_a_process_is_selected_with_its_threads(two_threads):
    pid, tid = two_threads
    assert tids(Selection(parse_selector(f"pid={pid}"))) == {pid, tid}


def test_a_name_selects_threads_inside_of_the_scope(two_threads, family):
    pid, tid = two_threads
    inside = Selection(parse_selector(f"pid={pid}"))
    eventually(lambda: tids(inside, "comm=second-thread") == {tid})
    assert tids(Selection(parse_selector(f"pid={family[0]}")), "comm=second-thread") == set()
    assert tid in tids(Selection(), "comm=second-thread")


def test_a_descendant_is_of_the_tree_also_when_its_parent_has_ended(family):
    shell, child = family
    selection = Selection(parse_selector(f"pid={shell}"))
    assert tids(selection) == {shell, child}
    os.kill(shell, 9)
    eventually(lambda: threads.read_thread(child, child).parent != shell)
    assert tids(selection) == {child}


def test_a_class_is_tids_or_a_function_or_a_selection(two_threads):
    pid, tid = two_threads
    scope = parse_selector(f"pid={pid}")
    for members in ([tid, tid, 4_999_999, os.getpid()], lambda: iter([tid]), "comm=second-thread"):
        selection = Selection(scope, {"hogs": members})
        eventually(lambda chosen=selection: tids(chosen, "hogs") == {tid})


def test_this_process_and_its_helpers_are_never_selected(family):
    shell, child = family
    selection = Selection(parse_selector(f"pid={os.getpid()}"))
    assert {shell, child} <= tids(selection)
    assert os.getpid() not in tids(selection)
    selection.own.add(child)
    assert child not in tids(selection)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("pid=4999999", "no such process"),
        ("cgroup=/no/such/cgroup", "no such cgroup"),
        ("cgroup=../../etc", "no such cgroup"),
        ("unit=no-such-unit-anywhere", "no cgroup has this name"),
        ("hgs", "did you mean 'hogs'?"),
    ],
)
def test_what_names_nothing_is_refused(text, says):
    selection = Selection(None, {"hogs": []})
    with pytest.raises(UsageError, match=says):
        selection.check(parse_selector(text))


def test_a_rule_without_a_selection_needs_a_scope():
    with pytest.raises(UsageError, match="all of the machine"):
        Selection().check(None)


def test_kernel_threads_are_never_selected():
    if threads.read_thread(2, 2) is None or not threads.read_thread(2, 2).is_kernel_thread:
        pytest.skip("needs to see the kernel's threads")
    with pytest.raises(UsageError, match="no such process"):
        Tree(2)
    assert tids(Selection(None, {"all": [2]}), "all") == set()
