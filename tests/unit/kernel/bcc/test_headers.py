"""Where the bcc backend finds the kernel's headers."""

import stat

import pytest

from schedtel.errors import CapabilityError
from schedtel.kernel.bcc import headers


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """An empty /usr/src, on a kernel without headers of its own."""
    source = tmp_path / "src"
    source.mkdir()
    monkeypatch.setattr(headers, "_INSTALLED", source)
    monkeypatch.setattr(headers, "_KERNELS_OWN", tmp_path / "no-kheaders")
    monkeypatch.setattr(headers.os, "uname", lambda: type("Name", (), {"release": "0.0.0-none"}))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("BCC_KERNEL_SOURCE", raising=False)
    return source


WRITTEN, GENERATED = "include/linux/types.h", "include/generated/autoconf.h"


def write(tree, *names):
    for name in names:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(f"{tree.name}/{name}")


def test_no_headers_at_all(installed):
    with pytest.raises(CapabilityError, match="linux-headers-amd64"):
        headers.find_headers()


def test_a_whole_tree_of_another_version_is_taken_as_it_is(installed):
    write(installed / "linux-headers-5.15.0-1-generic", WRITTEN, GENERATED)
    found = headers.find_headers()
    assert "any will do" in found.description
    with found.whole() as tree:
        assert tree == installed / "linux-headers-5.15.0-1-generic"
    assert tree.is_dir()


def test_a_split_tree_is_merged_while_it_is_needed_and_nowhere_else(installed):
    common, own = installed / "linux-headers-6.1-common", installed / "linux-headers-6.1-amd64"
    write(common, WRITTEN, "arch/x86/include/asm/a.h", "arch/x86/Makefile", "Makefile")
    write(own, GENERATED, "arch/x86/include/generated/b.h")
    (own / "Makefile").write_text(f"include {common}/Makefile\n")
    before = sorted(installed.rglob("*"))
    with headers.find_headers().whole() as tree:
        assert stat.S_IMODE(tree.stat().st_mode) == 0o700, "only this user can put headers there"
        for part, names in {common: (WRITTEN, "arch/x86/include/asm/a.h"), own: (GENERATED, "Makefile")}.items():
            for name in names:
                assert (tree / name).read_text() == (part / name).read_text()
        assert (tree / "arch/x86/include/generated/b.h").is_file()
    assert sorted(installed.rglob("*")) == before
    assert not tree.exists(), "nothing is left"


def test_a_tree_that_another_user_has_put_into_the_cache_is_not_taken(installed, tmp_path):
    common, own = installed / "linux-headers-6.1-common", installed / "linux-headers-6.1-amd64"
    write(common, WRITTEN)
    write(own, GENERATED)
    (own / "Makefile").write_text(f"include {common}/Makefile\n")
    write(tmp_path / "cache" / "schedtel" / own.name, WRITTEN, GENERATED)
    with headers.find_headers().whole() as tree:
        assert (tree / WRITTEN).read_text() == (common / WRITTEN).read_text()


def test_headers_asked_for_are_taken_or_refused(installed, tmp_path, monkeypatch):
    mine = tmp_path / "mine"
    monkeypatch.setenv("BCC_KERNEL_SOURCE", str(mine))
    with pytest.raises(CapabilityError, match="BCC_KERNEL_SOURCE"):
        headers.find_headers()
    write(mine, WRITTEN)
    assert headers.find_headers().tree == mine
