"""Schedulers for a guest: which are there, and what is refused before anything is fetched."""

import subprocess

import pytest

from schedtel.errors import UsageError
from schedtel.lab import schedulers


def test_each_of_our_schedulers_says_when_it_works_well_and_when_it_fails():
    assert schedulers.own_names() == ["fifo", "interactive", "vtime"]
    sources = [schedulers.SOURCES / f"{name}.bpf.c" for name in schedulers.own_names()]
    for source in (*sources, schedulers.SOURCES / "lender.sub.c"):
        head = source.read_text().partition("*/")[0]
        assert "Works well" in head
        assert "Fails" in head


def test_an_unknown_scheduler_is_refused_with_the_ones_that_are_there():
    with pytest.raises(UsageError, match="fifo, interactive, vtime"):
        schedulers.guest_files(["bpfland"])
    with pytest.raises(UsageError, match="fifo, interactive, vtime"):
        schedulers.guest_files(["lender@/x"])


def test_a_program_comes_with_its_shared_objects_under_its_name(tmp_path):
    source = tmp_path / "main.c"
    source.write_text("int main(void) { return 0; }\n")
    program = tmp_path / "scx_mine"
    subprocess.run(["clang", str(source), "-o", str(program)], check=True)
    files = schedulers.guest_files(["mine"], [program])
    assert files["/usr/bin/scx_mine"] == program.read_bytes()
    assert "/usr/lib/x86_64-linux-gnu/libc.so.6" in files


@pytest.mark.parametrize("name", ["scheduler", "scx_absent"])
def test_what_is_no_program_of_a_scheduler_is_refused(tmp_path, name):
    if name == "scheduler":
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(UsageError, match="scx_NAME"):
        schedulers.guest_files([], [tmp_path / name])
