"""Tracing ends with its source, however the source ends: judged by the descriptors that the kernel says are BPF's."""

import contextlib
import gc
import os
import subprocess
import sys
import weakref

import pytest

import schedtel

RUNNING = ("link_type:", "prog_type:")
#: A map stays while an array of its memory does, which costs nothing but that memory.
ANY = (*RUNNING, "map_type:")


def bpf_descriptors(kinds=RUNNING):
    """How many links and programs this process holds, by /proc/self/fdinfo."""
    count = 0
    for number in os.listdir("/proc/self/fdinfo"):
        with contextlib.suppress(OSError), open(f"/proc/self/fdinfo/{number}", encoding="ascii") as file:
            count += any(line.startswith(kinds) for line in file)
    return count


@pytest.fixture(autouse=True)
def nothing_before():
    gc.collect()
    assert bpf_descriptors(ANY) == 0
    yield
    gc.collect()
    assert bpf_descriptors(ANY) == 0


def source_of(**options):
    source = schedtel.live("50ms", **options)
    assert bpf_descriptors() > 0
    return source


@pytest.mark.parametrize("end", [{"count": 1}, {"duration": "120ms"}], ids=str)
def test_a_source_closes_when_its_iteration_ends(end):
    source = source_of(**end)
    windows = list(source)
    assert windows
    assert source.closed
    assert bpf_descriptors() == 0
    assert windows[0].tasks.num_rows  # what was taken stays


def test_a_source_closes_when_it_was_stopped_and_iterated_to_its_end():
    source = source_of()
    for _ in source:
        source.stop()
    assert bpf_descriptors() == 0


def test_a_source_that_is_forgotten_closes():
    source = source_of()
    next(iter(source))
    known = weakref.ref(source)
    del source
    gc.collect()
    assert known() is None
    assert bpf_descriptors(ANY) == 0


def test_a_loop_that_was_left_early_can_be_taken_up_again():
    with source_of() as source:
        first = next(iter(source))
        assert not source.closed
        assert next(iter(source)).window_id == first.window_id + 1


@pytest.mark.parametrize("use", [lambda s: next(iter(s)), lambda s: s.drain()], ids=["iterate", "drain"])
def test_a_closed_source_says_so(use):
    with source_of() as source:
        pass
    with pytest.raises(schedtel.UsageError, match="this source is closed"):
        use(source)


def test_stopping_and_closing_again_do_nothing():
    source = source_of(count=1)
    list(source)
    source.stop()
    source.close()
    assert source.program_runs()  # those at its close
    assert 0 <= source.elapsed <= 1


def test_a_process_that_ends_without_a_word_leaves_nothing_attached():
    """At exit, and not only because the kernel closes its descriptors: a finalizer that fails would say so."""
    program = "import schedtel; source = schedtel.live('50ms'); next(iter(source)); print('seen')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("seen\n", "")
