"""Archives, as the program cpio reads them."""

import io
import os
import shutil
import subprocess

import pytest

from schedtel.lab import cpio

needs_cpio = pytest.mark.skipif(shutil.which("cpio") is None, reason="needs the program cpio")


def tree(root):
    (root / "bin").mkdir(parents=True)
    (root / "bin/tool").write_bytes(b"#!/bin/sh\n")
    (root / "bin/tool").chmod(0o755)
    (root / "empty").write_bytes(b"")
    (root / "link").symlink_to("bin/tool")
    return root


def packed(root):
    file = io.BytesIO()
    cpio.pack_tree(root, file)
    return file.getvalue()


def unpacked(content, directory):
    directory.mkdir()
    command = ["cpio", "--extract", "--quiet", "--no-absolute-filenames"]
    subprocess.run(command, input=content, cwd=directory, check=True)
    return directory


@needs_cpio
def test_a_tree_comes_back_as_it_was(tmp_path):
    found = unpacked(packed(tree(tmp_path / "tree")), tmp_path / "found")
    assert sorted(str(path.relative_to(found)) for path in found.rglob("*")) == ["bin", "bin/tool", "empty", "link"]
    assert (found / "bin/tool").read_bytes() == b"#!/bin/sh\n"
    assert os.access(found / "bin/tool", os.X_OK)
    assert os.readlink(found / "link") == "bin/tool"


def test_equal_trees_give_equal_bytes_whatever_their_times_and_owners(tmp_path):
    first, second = tree(tmp_path / "first"), tree(tmp_path / "second")
    os.utime(second / "empty", (0, 0))
    assert packed(first) == packed(second)


@needs_cpio
def test_files_bring_the_directories_that_they_need(tmp_path):
    file = io.BytesIO()
    cpio.pack_files({"/root/a/b.toml": b"x = 1\n", "/job.json": b"{}"}, file)
    found = unpacked(file.getvalue(), tmp_path / "found")
    assert (found / "root/a/b.toml").read_bytes() == b"x = 1\n"
    assert (found / "job.json").read_bytes() == b"{}"


def test_files_of_other_lengths_take_as_much_room(tmp_path):
    sizes = set()
    for length in (1, 1000, 100_000):
        file = io.BytesIO()
        cpio.pack_files({"/job.json": bytes(length)}, file, 1 << 20)
        sizes.add(len(file.getvalue()))
    assert sizes == {1 << 20}
