"""What the bcc backend finds and makes before it asks the kernel for anything: headers, formats, the source."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from schedtel.errors import CapabilityError, UsageError
from schedtel.kernel import privileges as refusals
from schedtel.kernel import selection as backends
from schedtel.kernel.bcc import compiler as bcc_compiler
from schedtel.kernel.bcc import headers, slots, sources, tracepoints
from schedtel.kernel.bcc.backend import settings_record
from schedtel.kernel.filters import Filter
from schedtel.records import layout

BPF = Path(__file__).parents[2] / "bpf"
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


# ---- the source ----


def test_the_programs_look_into_no_struct_of_the_kernel():
    """Only tracepoint fields: that is why headers of any version will do."""
    source = sources.one_text(BPF / "bcc" / "bcc.c")
    code = re.sub(r"/\*.*?\*/|//[^\n]*", "", source, flags=re.DOTALL)
    clears = "bpf_probe_read_kernel(memory, size, 0)"  # it reads nothing, and leaves zeros
    assert clears in code
    code = code.replace(clears, "")
    for word in ("task_struct", "bpf_probe_read", "bpf_get_current_task", "container_of", "#include <linux/sched"):
        assert word not in code
    ours = {"slot", "tid_entry", "slot_cpu", "task_state", "moment", *slots.CONTRACT}
    arguments = {name for name in re.findall(r"struct (\w+)", code) if name.startswith("tracepoint__")}
    assert set(re.findall(r"struct (\w+)", code)) <= ours | arguments
    assert {name.removeprefix("tracepoint__").replace("__", ":") for name in arguments} == set(
        tracepoints.TRACEPOINTS.values()
    )


def test_what_bcc_needs_ships_with_the_package():
    for name in ("bcc/bcc.c", "replay/replay.c"):
        shipped, here = sources.with_includes(sources.source_path(name)), sources.with_includes(BPF / name)
        assert [path.read_text() for path in shipped] == [path.read_text() for path in here], "make build"


def test_the_settings_become_constants():
    settings = settings_record(Filter(uid=65534, comm="sh").settings())
    text = bcc_compiler.source_text(settings, {"SLOTS": 65})
    assert "#define SLOTS 65ULL" in text
    assert ".uid = 65534ULL" in text
    assert f".comm_value = {{ {int.from_bytes(b'sh', sys.byteorder)}ULL, 0ULL }}" in text
    assert text.count("_Static_assert") > len(slots.CONTRACT)
    assert f"sizeof(struct slot) == {slots.SLOT.itemsize}" in text


# ---- tracepoint formats ----


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


# ---- headers ----


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """/usr/src, with nothing in it."""
    source = tmp_path / "src"
    source.mkdir()
    monkeypatch.setattr(headers, "_INSTALLED", source)
    monkeypatch.setattr(headers, "_KERNELS_OWN", tmp_path / "no-kheaders")
    monkeypatch.setattr(headers.os, "uname", lambda: type("Name", (), {"release": "0.0.0-none"}))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("BCC_KERNEL_SOURCE", raising=False)
    return source


def write(tree, *names):
    for name in names:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(f"{tree.name}/{name}")


WRITTEN, GENERATED = "include/linux/types.h", "include/generated/autoconf.h"


def test_no_headers_at_all(installed):
    with pytest.raises(CapabilityError, match="linux-headers-amd64"):
        headers.find_headers()


def test_a_whole_tree_of_another_version_is_taken_as_it_is(installed):
    write(installed / "linux-headers-5.15.0-1-generic", WRITTEN, GENERATED)
    found, tree = headers.find_headers()
    assert tree == installed / "linux-headers-5.15.0-1-generic"
    assert "any will do" in found


def test_a_split_tree_is_merged_into_the_cache_and_nowhere_else(installed, tmp_path):
    common, own = installed / "linux-headers-6.1-common", installed / "linux-headers-6.1-amd64"
    write(common, WRITTEN, "arch/x86/include/asm/a.h", "arch/x86/Makefile", "Makefile")
    write(own, GENERATED, "arch/x86/include/generated/b.h")
    (own / "Makefile").write_text(f"include {common}/Makefile\n")
    before = sorted(installed.rglob("*"))
    _, tree = headers.find_headers()
    assert tree == tmp_path / "cache" / "schedtel" / own.name
    for part, names in {common: (WRITTEN, "arch/x86/include/asm/a.h"), own: (GENERATED, "Makefile")}.items():
        for name in names:
            assert (tree / name).read_text() == (part / name).read_text()
    assert (tree / "arch/x86/include/generated/b.h").is_file()
    assert sorted(installed.rglob("*")) == before
    assert headers.find_headers()[1] == tree, "made once"
    assert [path.name for path in tree.parent.iterdir()] == [own.name], "and nothing half made is left"


def test_headers_asked_for_are_taken_or_refused(installed, tmp_path, monkeypatch):
    mine = tmp_path / "mine"
    monkeypatch.setenv("BCC_KERNEL_SOURCE", str(mine))
    with pytest.raises(CapabilityError, match="BCC_KERNEL_SOURCE"):
        headers.find_headers()
    write(mine, WRITTEN)
    assert headers.find_headers()[1] == mine


# ---- bcc itself ----


def test_the_package_about_lattices_is_named(tmp_path, monkeypatch):
    write(tmp_path / "bcc", "__init__.py")
    (tmp_path / "bcc" / "__init__.py").write_text("raise ImportError('nobody imports this')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(bcc_compiler, "_MODULE_DIRECTORIES", ())
    with pytest.raises(CapabilityError, match=f"{tmp_path}/bcc is another, about lattices.*python3-bpfcc"):
        bcc_compiler.module_directory()


def test_bcc_is_found_in_the_systems_python(tmp_path, monkeypatch):
    directory = tmp_path / "python3.11" / "site-packages"
    write(directory, "bcc/libbcc.py")
    monkeypatch.setattr(bcc_compiler, "_MODULE_DIRECTORIES", (f"{tmp_path}/python3.*/site-packages",))
    assert bcc_compiler.module_directory() == directory


@pytest.mark.parametrize(
    ("answer", "complaints", "words"),
    [
        ({"failed": "compile the BPF programs"}, "main.c:3:1: error: no such thing\nmore", ("error: no such thing",)),
        ({"failed": "load BPF program on_exit", "errno": 1}, "", ("Operation not permitted", "security module")),
        ({"failed": "load BPF program on_exit", "errno": 22}, "", ("Invalid argument", "lacks a program type")),
        ({"failed": "use bcc", "reason": "ImportError: no libbcc"}, "", ("no libbcc",)),
        ({}, "", ("cannot run bcc", "schedtel doctor")),
    ],
)
def test_a_failure_of_bcc_is_one_line(answer, complaints, words):
    message = str(bcc_compiler.failure(answer, complaints))
    assert "\n" not in message
    assert message.startswith("cannot ")
    assert message.endswith(")")
    for word in words:
        assert word in message


def test_lockdown_is_named(tmp_path, monkeypatch):
    lockdown = tmp_path / "lockdown"
    lockdown.write_text("none integrity [confidentiality]\n")
    monkeypatch.setattr(refusals, "_LOCKDOWN", lockdown)
    assert "locked down (confidentiality)" in refusals.advice(1)
    lockdown.write_text("[none] integrity confidentiality\n")
    assert "security module" in refusals.advice(1)


def test_an_unknown_backend_is_refused():
    with pytest.raises(UsageError, match="auto, core or bcc"):
        backends.open_backend("bpftrace", Filter())


# ---- what a tracepoint's priority says ----


@pytest.mark.parametrize(
    ("prio", "asked", "policy", "nice", "weight"),
    [
        (120, 0, 0, 0, 1024),
        (139, 0, 0, 19, 15),
        (100, 3, 3, -20, 88761),
        (120, 5, 5, 0, 3),
        (89, 2, 2, 0, 1024),
        (89, 0, 1, 0, 1024),
        (120, 1, 0, 0, 1024),
        (-1, 0, 6, 0, 1024),
    ],
)
def test_policy_nice_and_weight_from_the_priority(prio, asked, policy, nice, weight):
    slot = np.zeros(1, slots.SLOT)
    slot["prio"], slot["policy"] = prio, asked
    [row] = slots.records(slot, slots.Edges(1, 0, 1))
    assert (row["policy"], row["nice"], row["weight"]) == (policy, nice, weight)


def test_a_row_has_room_for_everything_a_record_has():
    assert set(slots.records(np.zeros(0, slots.SLOT), slots.Edges(1, 0, 1)).dtype.names) == set(
        layout.TASK_RECORD.names
    )
