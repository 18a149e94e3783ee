"""What goes into a guest's archive, as far as it can be seen without one."""

import sys

import pytest

from schedtel.errors import CapabilityError
from schedtel.lab.initramfs import compile_modules, shared_objects

ABSENT = "raise ModuleNotFoundError(\"No module named '{0}'\", name='{0}')\n"


@pytest.fixture
def without(tmp_path, monkeypatch):
    """Hides packages from processes that this one starts."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def hide(*names):
        for name in names:
            (tmp_path / f"{name}.py").write_text(ABSENT.format(name))

    return hide


def test_a_guest_needs_no_extra(without):
    without("opentelemetry", "safetensors", "ray", "numba", "torch", "ortools", "gymnasium")
    names = {path.name for path in shared_objects(())}
    assert any(name.startswith("libarrow.so") for name in names), names
    assert not any("safetensors" in name for name in names), names


def test_a_guest_neither_simulates_nor_learns():
    heavy = ("llvmlite", "numba", "torch", "ortools")
    assert not [path for path in shared_objects(()) if any(name in str(path) for name in heavy)]


def test_a_package_that_a_guest_needs_and_that_is_missing_is_named(without):
    without("rich")
    with pytest.raises(CapabilityError, match=r"cannot pack schedtel for the guest: .*No module named 'rich'"):
        shared_objects(())


def test_a_tree_is_compiled_to_the_same_bytes_whatever_this_process_has_interned(tmp_path):
    def compiled(tree):
        (tmp_path / tree / "packages").mkdir(parents=True)
        (tmp_path / tree / "packages" / "money.py").write_text('SIGN = "\u00a4"\n')
        compile_modules(tmp_path / tree)
        return [path.read_bytes() for path in (tmp_path / tree).rglob("*.pyc")]

    first = compiled("first")
    sys.intern("\u00a4")  # a string of one such character is one object in a process
    assert len(first) == 1
    assert compiled("second") == first
