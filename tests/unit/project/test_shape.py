"""The shape of the tree, as CONTRIBUTING.md asks for it: how long files and functions may be."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
MOST_LINES = 400
MOST_LINES_OF_A_FUNCTION = 60
#: A program for many loads, one function each, and the simulated machine: longer than a file should be.
LONGER = {"benchmarks/load/load.c": 480, "tests/support/host_machine.c": 500}


def tracked(*patterns):
    listing = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", *patterns], capture_output=True, text=True, check=False
    )
    if listing.returncode:
        pytest.skip(f"git cannot list files: {listing.stderr.strip()}")
    return [name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_is_too_long():
    lengths = {name: len((ROOT / name).read_text().splitlines()) for name in tracked("*.py", "*.c", "*.h", "*.js")}
    assert len(lengths) > 200
    assert {name: n for name, n in lengths.items() if n > LONGER.get(name, MOST_LINES)} == {}


def test_no_function_of_the_kernel_side_and_of_the_generator_is_too_long():
    lengths = {}
    for name in tracked("bpf/*.c", "bpf/*.h", "schedtel/workloads/generator/*.c"):
        for body in re.finditer(
            r"^\S[^\n;]*\n?[^\n;]*\)\n\{\n(.*?)^\}$", (ROOT / name).read_text(), re.MULTILINE | re.DOTALL
        ):
            lengths[name, body[0].partition("\n")[0]] = body[1].count("\n")
    assert len(lengths) > 100
    assert {where: n for where, n in lengths.items() if n > MOST_LINES_OF_A_FUNCTION} == {}


def test_the_kernel_side_has_no_jumps():
    ours = tracked("bpf/*.c", "bpf/*.h", "schedtel/workloads/generator/*.c")
    jumps = [name for name in ours if re.search(r"\bgoto\b", (ROOT / name).read_text())]
    assert jumps == []
