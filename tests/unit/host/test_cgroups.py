"""A walk through directories of any depth and of any name. Directories of tmpfs count their links as cgroupfs does."""

import os

import pytest

from schedtel.foreign_text import text_of
from schedtel.host import cgroups
from schedtel.host.cgroups import CgroupPaths, directories

DEEP = 1_200


@pytest.fixture
def hierarchy(tmp_path):
    """A tree with a chain of 1,200 directories, names that are no UTF-8, and a directory beside the chain."""
    (tmp_path / "beside" / "below").mkdir(parents=True)
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(DEEP):
        os.mkdir("d\udcff\n", dir_fd=here)
        there = os.open("d\udcff\n", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = there
    yield tmp_path, os.fstat(here).st_ino
    for _ in range(DEEP):
        there = os.open("..", os.O_RDONLY, dir_fd=here)
        os.rmdir("d\udcff\n", dir_fd=there)
        os.close(here)
        here = there
    os.close(here)


def test_every_directory_is_found_with_its_id_and_with_a_path_if_it_has_one(hierarchy):
    root, deepest = hierarchy
    open_before = set(os.listdir("/proc/self/fd"))
    found = list(directories(str(root)))
    assert len(found) == DEEP + 3
    assert len({directory.identity for directory in found}) == len(found)
    assert (None, deepest) in found
    paths = [directory for directory in found if directory.path is not None]
    assert all(os.stat(path).st_ino == identity for path, identity in paths)
    assert {str(root), f"{root}/beside", f"{root}/beside/below"} <= {path for path, _ in paths}
    assert max(len(os.fsencode(path)) for path, _ in paths) > 4_090
    assert set(os.listdir("/proc/self/fd")) <= open_before  # servers of earlier tests may have closed theirs


def test_a_walk_that_is_not_finished_leaves_nothing_open(hierarchy):
    open_before = set(os.listdir("/proc/self/fd"))
    walk = directories(str(hierarchy[0]))
    for _ in range(100):
        next(walk)
    walk.close()
    assert set(os.listdir("/proc/self/fd")) <= open_before  # servers of earlier tests may have closed theirs


def test_what_is_removed_during_the_walk_ends_nothing(tmp_path):
    for name in ("a/b/c", "d/e"):
        (tmp_path / name).mkdir(parents=True)
    seen = set()
    for path, _ in directories(str(tmp_path)):
        seen.add(os.path.relpath(path, tmp_path))
        if path.endswith(("a", "d")):
            for below in ("b/c", "b", "e"):
                if os.path.isdir(f"{path}/{below}"):
                    os.rmdir(f"{path}/{below}")
    assert seen == {".", "a", "d"}


def test_a_cgroup_has_a_path_of_text_or_its_id(hierarchy, monkeypatch):
    root, deepest = hierarchy
    monkeypatch.setattr(cgroups, "cgroup_root", lambda: root)
    monkeypatch.setattr(cgroups, "is_whole", lambda _: True)
    paths = CgroupPaths()
    assert paths.path_of(os.stat(root / "d\udcff\n").st_ino) == "/" + text_of(b"d\xff\n")
    assert paths.path_of(os.stat(root).st_ino) == "/"
    assert paths.path_of(deepest) == f"id:{deepest}"
