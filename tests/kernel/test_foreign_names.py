"""Threads and cgroups of the running kernel with names that are markup, escapes or no text: recorded, and shown."""

import json
import os
import subprocess
import sys
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path

import exporting
import foreign
import pytest
from foreign import ACTING, SEQUENCE
from surroundings import announced, made_cgroup
from texts import TEXTS
from waiting import eventually

import schedtel
from schedtel.errors import CapabilityError
from schedtel.foreign_text import Printable, text_of
from schedtel.host.cgroups import cgroup_root, is_whole

SCHEDTEL = [sys.executable, "-m", "schedtel.cli"]
#: Threads that each have one of the names given, and work and sleep until stdin is closed.
NAMED = """
import ctypes, os, sys, threading, time
libc = ctypes.CDLL(None)
def work(name):
    libc.prctl(15, bytes.fromhex(name), 0, 0, 0)
    while True:
        sum(range(1000))
        time.sleep(0.005)
for name in sys.argv[1:]:
    threading.Thread(target=work, args=(name,), daemon=True).start()
os.close(1)
sys.stdin.read()
"""
COMMS = [raw for raw in TEXTS.values() if raw and len(raw) < 16]
#: What a cgroup may be called: the kernel allows no newline (cgroup_mkdir(), kernel/cgroup/cgroup.c).
CGROUPS = [raw for raw in TEXTS.values() if raw and not set(b"\n/") & set(raw) and len(raw) < 256]


@contextmanager
def named_threads(*names):
    """A process with a thread of each name; the names are there when the context begins."""
    command = [sys.executable, "-c", NAMED, *(name.hex() for name in names)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.read()
        yield process
        process.stdin.close()


@contextmanager
def hierarchy():
    """A cgroup of the machine's hierarchy to work in."""
    try:
        root = cgroup_root()
    except CapabilityError as error:
        pytest.skip(str(error))
    if not is_whole(root):
        pytest.skip("needs all of the machine's cgroups")
    with made_cgroup(root / f"schedtel-names-{os.getpid()}") as path:
        yield path


def run(*arguments):
    done = subprocess.run([*SCHEDTEL, *map(str, arguments)], check=False, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    assert not ACTING.search(done.stderr.decode())
    return done.stdout.decode()


def exported_cgroups(url):
    """The cgroups that have series, as the official client's parser reads them."""
    with urllib.request.urlopen(url) as answer:
        return {dict(labels).get("cgroup") for _, labels in exporting.samples(answer.read().decode())}


def test_threads_with_hostile_names_are_recorded_and_shown(tmp_path):
    with named_threads(*COMMS) as process:
        run("record", "-o", tmp_path / "rec", "-w", "500ms", "-n", 2, "--pid", process.pid, "--preemptions", "comm")
        live = run("live", "-w", "500ms", "-n", 1, "--pid", process.pid, "--top", 100)
        lines = run("live", "-w", "500ms", "-n", 1, "--pid", process.pid, "--format", "ndjson")
    names = {text_of(raw) for raw in COMMS}
    (*_, window) = schedtel.read(tmp_path / "rec")
    assert names <= set(window.tasks["comm"].to_pylist())
    assert names <= {task["comm"] for task in json.loads(lines)["tasks"]}
    shown = run("show", tmp_path / "rec", "--top", 100)
    run("report", tmp_path / "rec", "-o", tmp_path / "page.html")
    for page in (live, shown):
        assert not ACTING.search(page)
        for name in names:
            assert any(Printable(name).strip() in row for row in page.split("\n")), name


def test_no_name_of_a_thread_acts_on_the_terminal_of_live():
    with named_threads(*COMMS) as process:
        status, written = foreign.on_terminal(["live", "-w", "500ms", "-n", "2", "--pid", str(process.pid)])
    with named_threads(*[b"harmless"] * len(COMMS)) as process:
        _, harmless = foreign.on_terminal(["live", "-w", "500ms", "-n", "2", "--pid", str(process.pid)])
    assert status == 0, written
    assert not ACTING.search(SEQUENCE.sub("", written).replace("\r", ""))
    assert "\\x1b" in written
    assert set(SEQUENCE.findall(written)) <= set(SEQUENCE.findall(harmless)) | {"\x1b[35m", "\x1b[1;33m", "\x1b[1;31m"}


def test_a_name_that_looks_like_a_line_of_proc_does_not_hide_its_process(tmp_path):
    r"""The kernel escapes a newline in /proc/PID/status, and no ``\r``, which Python takes for the end of a line."""
    command = [
        sys.executable,
        "-c",
        "import ctypes, time\nctypes.CDLL(None).prctl(15, b'\\rTgid:\\t1')\ntime.sleep(60)",
    ]
    process = subprocess.Popen(command)
    try:
        eventually(lambda: b"Tgid" in Path(f"/proc/{process.pid}/comm").read_bytes())
        run("record", "-o", tmp_path / "rec", "-w", "100ms", "-n", 1, "--pid", process.pid, "--all-tasks")
    finally:
        process.kill()
        process.wait()


def test_cgroups_with_hostile_names_are_recorded_shown_and_exported(tmp_path):
    pytest.importorskip("prometheus_client", reason="needs prometheus-client (pip install)")
    with hierarchy() as root, ExitStack() as stack:
        paths = {f"/{root.name}/{text_of(raw)}" for raw in CGROUPS}
        for raw in CGROUPS:
            cgroup = stack.enter_context(made_cgroup(root / os.fsdecode(raw)))
            process = stack.enter_context(named_threads(b"worker"))
            (cgroup / "cgroup.procs").write_text(str(process.pid))
        options = ("-w", "500ms", "--cgroup", root)
        run("record", "-o", tmp_path / "rec", "-n", 2, *options)
        live = run("live", "-n", 1, *options, "--by", "cgroup", "--top", 100)
        with announced("exporting on ") as begin:
            _, url = begin([*SCHEDTEL, "export", "prometheus", "--listen", "127.0.0.1:0", *map(str, options)])
            eventually(lambda: paths <= exported_cgroups(url))
    (*_, window) = schedtel.read(tmp_path / "rec")
    assert paths <= set(window.tasks["cgroup"].to_pylist())
    assert not ACTING.search(live)
    shown = run("show", tmp_path / "rec", "--by", "cgroup", "--top", 100)
    assert not ACTING.search(shown)
    assert f"/{root.name}/\\xff\\xfe\\x80" in shown


@contextmanager
def nested(root, depth):
    """Cgroups below each other, of which only the first ones have a path; yields the descriptor of the deepest."""
    here, made = os.open(root, os.O_RDONLY), 0
    try:
        for made in range(1, depth + 1):  # noqa: B007  (how many there are to remove)
            os.mkdir("deep\udcff", dir_fd=here)
            here = _step(here, "deep\udcff")
        yield here
    finally:
        for _ in range(made):
            here = _step(here, "..")
            eventually(lambda at=here: _removed(at))
        os.close(here)


def _step(here, name):
    there = os.open(name, os.O_RDONLY, dir_fd=here)
    os.close(here)
    return there


def _removed(directory):
    try:
        os.rmdir("deep\udcff", dir_fd=directory)
    except OSError:  # the process in it is still about to end
        return False
    return True


def test_a_cgroup_that_is_nested_too_deep_for_a_path_is_named_by_its_id(tmp_path):
    with hierarchy() as root, nested(root, 1_100) as deepest, named_threads(b"worker") as process:
        identity = os.fstat(deepest).st_ino
        procs = os.open("cgroup.procs", os.O_WRONLY, dir_fd=deepest)
        os.write(procs, str(process.pid).encode())
        os.close(procs)
        lines = run("live", "-w", "500ms", "-n", 2, "--pid", process.pid, "--format", "ndjson").splitlines()
        run("record", "-o", tmp_path / "rec", "-w", "500ms", "-n", 1)
        process.kill()
        process.wait()
    tasks = [task for line in lines for task in json.loads(line)["tasks"] if task["tgid"] == process.pid]
    assert {(task["cgroup"], task["cgroup_id"]) for task in tasks} == {(f"id:{identity}", identity)}
    assert f"id:{identity}" in run("show", tmp_path / "rec", "--by", "cgroup", "--top", 100)
