"""Older versions of libbpf: functions under another name, functions that are missing, BTF that they cannot read."""

import ctypes
import subprocess

import pytest

from schedtel.errors import CapabilityError
from schedtel.kernel import libbpf

_SETTINGS = ("libbpf_set_print", "libbpf_set_strict_mode")


@pytest.fixture
def an_old_one(tmp_path, monkeypatch):
    """Makes a library in which every function returns 0; ``renamed`` gives some of them other names."""

    def make(**renamed):
        names = [renamed.get(name, name) for name in (*libbpf._SIGNATURES, *_SETTINGS)]
        source, built = tmp_path / "old.c", tmp_path / "libold.so"
        source.write_text("".join(f"long {name}(void) {{ return 0; }}\n" for name in names))
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", built, source], check=True)
        monkeypatch.setattr(libbpf, "_open_library", lambda: (ctypes.CDLL(str(built)), "libbpf.so.0"))
        monkeypatch.setattr(libbpf, "_loaded", [])

    return make


def test_a_function_that_had_another_name_is_found(an_old_one):
    an_old_one(btf__raw_data="btf__get_raw_data")
    assert libbpf.libbpf().btf__raw_data.restype is ctypes.c_void_p


def test_a_function_without_a_signature_is_not_called(an_old_one):
    """Without one, ctypes would take its pointers for integers of 32 bits."""
    an_old_one()
    with pytest.raises(AttributeError, match="libbpf_set_print"):
        _ = libbpf.libbpf().libbpf_set_print


def test_a_library_that_lacks_a_function_is_refused_and_the_function_named(an_old_one):
    an_old_one(bpf_map__set_initial_value="something_else")
    with pytest.raises(CapabilityError, match=r"libbpf\.so\.0: it has no bpf_map__set_initial_value\(\)"):
        libbpf.libbpf()


def test_a_library_too_old_for_the_kernels_btf_is_told_from_a_kernel_without(an_old_one, monkeypatch, tmp_path):
    an_old_one()
    monkeypatch.setattr(libbpf, "_KERNEL_BTF", __file__)
    with pytest.raises(CapabilityError, match=r"libbpf\.so\.0 is older"), libbpf.KernelTypes():
        pass
    monkeypatch.setattr(libbpf, "_KERNEL_BTF", str(tmp_path / "vmlinux"))
    with pytest.raises(CapabilityError, match="CONFIG_DEBUG_INFO_BTF"), libbpf.KernelTypes():
        pass
