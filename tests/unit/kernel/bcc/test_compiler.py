"""How the bcc backend makes its source, finds bcc, and tells what bcc refused."""

import re
import sys
from pathlib import Path

import pytest

from schedtel.errors import CapabilityError
from schedtel.kernel.bcc import compiler, slots, sources, tracepoints
from schedtel.kernel.bcc.backend import settings_record
from schedtel.kernel.filters import Filter

BPF = Path(__file__).parents[4] / "bpf"


# ---- the source ----


def test_the_programs_look_into_no_struct_of_the_kernel():
    """They read only tracepoint fields: that is why headers of any version will do."""
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
    attached = {*tracepoints.TRACEPOINTS.values(), *tracepoints.HOTPLUG.values()}
    assert {name.removeprefix("tracepoint__").replace("__", ":") for name in arguments} == attached


def test_what_bcc_needs_ships_with_the_package():
    shipped, here = (sources.one_text(path) for path in (sources.source_path("bcc/bcc.c"), BPF / "bcc" / "bcc.c"))
    assert shipped == here, "make build"


def test_the_settings_become_constants():
    settings = settings_record(Filter(uid=[65534, 7], comm="sh").settings())
    text = compiler.source_text(settings, {"SLOTS": 65})
    assert "#define SLOTS 65ULL" in text
    assert ".by_uid = 2ULL, .by_comm = 1ULL" in text
    assert ".uid = { 65534ULL, 7ULL, 0ULL, 0ULL, 0ULL, 0ULL, 0ULL, 0ULL }" in text
    assert f".comm_value = {{ {int.from_bytes(b'sh', sys.byteorder)}ULL, 0ULL, 0ULL, " in text
    assert text.count("_Static_assert") > len(slots.CONTRACT)
    assert f"sizeof(struct slot) == {slots.SLOT.itemsize}" in text


# ---- bcc itself ----


def test_the_package_about_lattices_is_named(tmp_path, monkeypatch):
    (tmp_path / "bcc").mkdir()
    (tmp_path / "bcc" / "__init__.py").write_text("raise ImportError('nobody imports this')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(compiler, "_MODULE_DIRECTORIES", ())
    with pytest.raises(CapabilityError, match=f"{tmp_path}/bcc is another, about lattices.*python3-bpfcc"):
        compiler.module_directory()


def test_bcc_is_found_in_the_systems_python(tmp_path, monkeypatch):
    directory = tmp_path / "python3.11" / "site-packages"
    (directory / "bcc").mkdir(parents=True)
    (directory / "bcc" / "libbcc.py").touch()
    monkeypatch.setattr(compiler, "_MODULE_DIRECTORIES", (f"{tmp_path}/python3.*/site-packages",))
    assert compiler.module_directory() == directory


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
    message = str(compiler.failure(answer, complaints))
    assert "\n" not in message
    assert message.startswith("cannot ")
    assert message.endswith(")")
    for word in words:
        assert word in message
