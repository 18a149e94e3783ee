"""Filters: a user's words become the programs' constants, or are refused in one line."""

import os
import threading

import numpy as np
import pytest

from schedtel.errors import CapabilityError, UsageError
from schedtel.host.cgroups import cgroup_root
from schedtel.kernel.filters import Filter
from schedtel.records import layout

HERE = threading.get_native_id()
NO_SUCH_PID = 2**22 + 1  # above the kernel's PID_MAX_LIMIT


def test_no_filter_selects_every_task_that_did_anything():
    assert Filter().settings() == {"min_activity_ns": 1, "kernel_threads": 0}
    assert Filter().describe() == ""


def test_settings_are_fields_of_the_contract():
    tid = threading.get_native_id()
    chosen = Filter(pid=os.getpid(), tid=tid, uid=0, comm="a", kernel_threads="only", all_tasks=True)
    values = np.zeros(1, layout.SETTINGS)
    for name, value in chosen.settings().items():
        values[name] = value
    found = values[0]
    assert (found["by_process"], found["tgid"][0], found["by_tid"]) == (1, os.getpid(), 1)
    assert (found["by_uid"], found["uid"][0], found["kernel_threads"], found["min_activity_ns"]) == (1, 0, 2, 0)


@pytest.mark.parametrize("asked", [{"comm": "a"}, {"uid": 0}, {"tid": HERE}, {"kernel_threads": "only"}])
def test_an_exec_may_change_whether_a_task_is_meant(asked):
    assert Filter(**asked).follows_exec


@pytest.mark.parametrize("asked", [{}, {"pid": os.getpid()}, {"cgroup": "/"}, {"min_activity": "1ms"}])
def test_an_exec_changes_nothing_that_these_ask_for(asked):
    assert not Filter(**asked).follows_exec


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"pid": 0}, "no such process"),
        ({"pid": -1}, "no such process"),
        ({"pid": NO_SUCH_PID}, f"cannot filter by process {NO_SUCH_PID}"),
        ({"tid": 0}, "no such thread"),
        ({"tid": -5}, "no such thread"),
        ({"tid": NO_SUCH_PID}, f"cannot filter by thread {NO_SUCH_PID}"),
        ({"uid": -1}, "must be from 0 to"),
        ({"uid": 2**32 - 1}, "must be from 0 to"),
        ({"comm": ""}, "1 to 15 bytes"),
        ({"comm": "x" * 16}, "1 to 15 bytes"),
        ({"comm": "ä" * 8}, "1 to 15 bytes"),  # 8 letters, 16 bytes
        ({"kernel_threads": ""}, "include, exclude or only"),
        ({"kernel_threads": "ONLY"}, "include, exclude or only"),
        ({"min_activity": "1"}, "cannot read duration"),
        ({"min_activity": "0ms"}, "longer than 0"),
        ({"min_activity": "1ms", "all_tasks": True}, "drop one"),
        ({"cgroup": "/no/such/cgroup"}, "no such cgroup"),
    ],
)
def test_a_wrong_value_is_refused_in_one_line(wrong, says):
    if "cgroup" in wrong:
        mounted_cgroups()
    with pytest.raises(UsageError, match=says) as caught:
        Filter(**wrong).settings()
    message = str(caught.value)
    assert message.startswith("cannot ")
    assert "\n" not in message


def test_a_thread_is_no_process():
    """A tid has a directory in /proc too, which a listing does not show."""
    tids, done = [], threading.Event()
    thread = threading.Thread(target=lambda: (tids.append(threading.get_native_id()), done.wait()))
    thread.start()
    try:
        while not tids:
            pass
        assert Filter(tid=tids[0]).settings()["tid"][0] == tids[0]
        with pytest.raises(UsageError, match="no such process"):
            Filter(pid=tids[0]).settings()
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("prefix", ["a", "kworker/", "exactly15bytes!", "ä"])
@pytest.mark.parametrize("name", ["a", "ab", "kworker/0:1", "kworker", "exactly15bytes!", "b", "", "ärger"])
def test_the_comm_mask_matches_what_begins_with_the_prefix(prefix, name):
    chosen = Filter(comm=prefix).settings()
    words = np.frombuffer(name.encode()[:15].ljust(16, b"\0"), np.uint64)
    mask, value = chosen["comm_mask"][0], chosen["comm_value"][0]
    matches = all((int(w) & m) == v for w, m, v in zip(words, mask, value, strict=True))
    assert matches == name.startswith(prefix)


def mounted_cgroups():
    try:
        return cgroup_root()
    except CapabilityError as error:
        pytest.skip(str(error))


def test_the_root_cgroup_is_level_0_and_its_inode():
    root = mounted_cgroups()
    chosen = Filter(cgroup="/").settings()
    assert (chosen["cgroup_level"][0], chosen["cgroup_id"][0]) == (0, root.stat().st_ino)


def test_a_cgroup_is_named_by_its_path_inside_or_by_its_directory():
    root = mounted_cgroups()
    children = [path for path in root.iterdir() if (path / "cgroup.procs").is_file()]
    if not children:
        pytest.skip("no cgroup below the root")
    for name in (children[0].name, f"/{children[0].name}/", str(children[0])):
        chosen = Filter(cgroup=name).settings()
        assert (chosen["cgroup_level"][0], chosen["cgroup_id"][0]) == (1, children[0].stat().st_ino)


@pytest.mark.parametrize("outside", ["..", "../..", "/../../etc"])
def test_a_cgroup_outside_the_hierarchy_is_refused(outside):
    mounted_cgroups()
    with pytest.raises(UsageError, match="no such cgroup"):
        Filter(cgroup=outside).settings()


def test_the_description_names_what_was_asked_for():
    assert Filter(comm="web", uid=0).describe() == "uid=0 comm=web"
