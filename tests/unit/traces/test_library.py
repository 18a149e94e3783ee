"""The replay library: compiled where it is needed, and kept where only its user can write."""

import pytest

import schedtel
from schedtel.errors import CapabilityError
from schedtel.traces import library

pytestmark = pytest.mark.usefixtures("compiler")


def test_without_a_compiler_it_says_what_to_install(trace, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    library.replay_library.cache_clear()
    try:
        with pytest.raises(CapabilityError, match="apt install"):
            list(schedtel.import_trace(trace))
    finally:
        library.replay_library.cache_clear()


@pytest.mark.parametrize("mode", [0o777, 0o700])
def test_a_cache_that_others_can_write_to_is_not_used(mode, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cache = tmp_path / "schedtel" / "compiled"
    cache.mkdir(parents=True)
    cache.chmod(mode)
    library.replay_library.cache_clear()
    try:
        library.replay_library()
    finally:
        library.replay_library.cache_clear()
    assert [path.suffix for path in cache.iterdir()] == ([] if mode == 0o777 else [".so"])
