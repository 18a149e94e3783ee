"""The replay library ships compiled: no compiler, no cache, and no library of another version."""

import subprocess
import sys

import pytest

from schedtel.errors import CapabilityError
from schedtel.records import native

IMPORT = "import sys, schedtel; print(len(list(schedtel.import_trace(sys.argv[1]))))"


def test_an_import_needs_no_compiler_and_leaves_nothing_in_the_home_directory(trace, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    environment = {"PATH": str(tmp_path), "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", IMPORT, trace], env=environment, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) >= 1
    assert list(home.iterdir()) == []


def test_a_library_that_is_missing_is_one_error(monkeypatch, tmp_path):
    monkeypatch.setattr(native, "_DIRECTORY", tmp_path)
    with pytest.raises(CapabilityError, match="make build"):
        native.load_library("replay", {})


def test_a_library_of_another_version_is_refused():
    with pytest.raises(CapabilityError, match=r"replay_size\(\) is \d+ and not 1 bytes"):
        native.load_library("replay", {"replay_size": 1})
