"""The formats of the tracepoints: which states mean preempted and dead, and what is missing."""

import pytest

from schedtel.errors import CapabilityError
from schedtel.kernel.bcc import tracepoints

#: The print formats of sched_switch as Linux 6.18, 5.10 and 4.13 have them; the last one prints no "+".
STATES = "0x00000000 | 0x00000001 | 0x00000002 | 0x00000004 | 0x00000008 | 0x00000010 | 0x00000020 | 0x00000040"
FLAGS = '{ 0x00000001, "S" }, { 0x00000002, "D" }, { 0x00000010, "X" }, { 0x00000020, "Z" }'
NEWER = (
    f'print fmt: "prev_state=%s%s", (REC->prev_state & (((({STATES}) + 1) << 1) - 1)) ? '
    f'__print_flags(REC->prev_state & (((({STATES}) + 1) << 1) - 1), "|", {FLAGS}) : "R", '
    f'REC->prev_state & ((({STATES}) + 1) << 1) ? "+" : "", REC->next_comm'
)
OLDER = NEWER.replace(STATES, "0x0000 | 0x0001 | 0x0002 | 0x0004 | 0x0008 | 0x0010 | 0x0020")
NO_PLUS = f'print fmt: "prev_state=%s", REC->prev_state ? __print_flags(REC->prev_state, "|", {FLAGS}) : "R"'


@pytest.mark.parametrize(("text", "runnable"), [(NEWER, 0x100), (OLDER, 0x80)])
def test_preempted_and_dead_are_read_from_the_format(text, runnable):
    assert tracepoints.runnable_states(text) == runnable
    assert tracepoints.dead_states(text) == 0x30


def test_a_format_that_does_not_tell_is_refused():
    with pytest.raises(CapabilityError, match="preempted"):
        tracepoints.runnable_states(NO_PLUS)
    with pytest.raises(CapabilityError, match="dead"):
        tracepoints.dead_states(NO_PLUS.replace('"X"', '"x1"').replace('"Z"', '"z1"'))


def test_a_format_is_not_run_as_a_program():
    with pytest.raises(CapabilityError):
        tracepoints.runnable_states('REC->prev_state & (__import__) ? "+" : ""')


def test_missing_tracepoints_are_named(tmp_path, monkeypatch):
    for name in list(tracepoints.TRACEPOINTS.values())[1:]:
        (tmp_path / "events" / name.replace(":", "/")).mkdir(parents=True)
        (tmp_path / "events" / name.replace(":", "/") / "format").write_text("fmt")
    monkeypatch.setattr(tracepoints, "_TRACEFS", (tmp_path,))
    with pytest.raises(CapabilityError, match="sched:sched_process_exit"):
        tracepoints.formats()


@pytest.fixture
def steps(tmp_path, monkeypatch):
    """Writes what sysfs tells of the steps of CPU hotplug, on a kernel with these tracepoints of theirs."""

    def write(text, there=("cpuhp:cpuhp_enter", "cpuhp:cpuhp_exit")):
        (tmp_path / "events").mkdir()
        for name in there:
            (tmp_path / "events" / name.replace(":", "/")).mkdir(parents=True)
        (tmp_path / "states").write_text(text)

    monkeypatch.setattr(tracepoints, "_TRACEFS", (tmp_path,))
    monkeypatch.setattr(tracepoints, "_STEPS", tmp_path / "states")
    return write


def test_the_steps_of_cpu_hotplug_are_those_of_the_running_kernel(steps):
    steps("  0: offline\n 82: cpu:kick_ap\n 83: cpu:bringup\n144: cpu:teardown\n236: online\n")
    assert tracepoints.hotplug_steps() == {"CPU_UP_STEP": 83, "CPU_DOWN_STEP": 144}


@pytest.mark.parametrize(
    ("text", "there"),
    [
        ("83: cpu:bringup\n", ("cpuhp:cpuhp_enter", "cpuhp:cpuhp_exit")),
        ("83: cpu:bringup\n144: cpu:teardown\n", ("cpuhp:cpuhp_enter",)),
    ],
)
def test_where_the_kernel_does_not_tell_of_steps_there_are_none(steps, text, there):
    steps(text, there)
    assert tracepoints.hotplug_steps() == {}


def test_without_cpu_hotplug_there_are_no_steps(steps, tmp_path):
    steps("")
    (tmp_path / "states").unlink()
    assert tracepoints.hotplug_steps() == {}
