"""The cache, and what is refused before anything is fetched."""

import stat

import pytest

from schedtel.access import scratch
from schedtel.errors import CapabilityError, SchedtelError, UsageError
from schedtel.lab import apt, jobs, packages


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return packages.opened_cache()


def test_only_its_owner_can_read_the_cache(cache):
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700


def test_a_cache_that_others_can_write_is_refused(cache):
    cache.chmod(0o777)
    with pytest.raises(UsageError, match="other users can write"):
        packages.opened_cache()


def test_the_newest_of_several_is_used_and_nothing_is_fetched(cache, monkeypatch):
    monkeypatch.setattr(apt.subprocess, "run", None)
    for name in ("6.18.9+deb13-cloud-amd64_6.18.9-1", "6.18.15+deb13-cloud-amd64_6.18.15-1"):
        (cache / f"linux-image-{name}").mkdir()
    found = packages.fetched(packages.kernel_item("6.18"))
    assert found.name == "linux-image-6.18.15+deb13-cloud-amd64_6.18.15-1"
    assert packages.cached(packages.kernel_item("7.2")) is None


def test_two_that_fetch_at_once_share_what_the_first_one_has(cache, monkeypatch):
    def unpack(item, directory):
        (directory / "root").mkdir()
        (directory / "root" / "file").write_text("ours")
        theirs = cache / "busybox-static_1.0"  # another process, meanwhile
        theirs.mkdir()
        (theirs / "file").write_text("theirs")
        return "busybox-static", "1:1.0"

    monkeypatch.setattr(packages, "_unpack", unpack)
    place = packages.fetched(packages.BUSYBOX)
    assert (place / "file").read_text() == "theirs"
    assert [path.name for path in cache.iterdir()] == [place.name]


def test_scratch_is_gone_after_use_and_kept_while_in_use(cache):
    with packages.scratch() as first:
        with packages.scratch():
            assert first.exists()
        assert first.exists()
    assert list(cache.iterdir()) == []


def test_scratch_of_a_process_that_was_killed_is_removed(cache, monkeypatch):
    left = cache / "scratch-left"
    left.mkdir()
    monkeypatch.setattr(scratch, "_YOUNG_S", -1)
    with packages.scratch() as used:
        assert not left.exists()
        with packages.scratch():
            assert used.exists()


@pytest.mark.parametrize(("kernel", "cpus", "words"), [("5.4", 1, "choose 6.18"), ("6.18", 3, "--cpus 1 or 2")])
def test_what_the_lab_does_not_have_is_refused(cache, kernel, cpus, words):
    with pytest.raises(UsageError, match=words):
        jobs.machine(kernel, cpus)


def test_a_qemu_without_virtual_time_for_two_cpus_is_refused(cache):
    old = cache / "qemu-system-x86_7.2+dfsg-7"
    old.mkdir()
    with pytest.raises(CapabilityError, match=r"qemu 7\.2"):
        packages.qemu_in(old)


def test_without_apt_the_error_says_what_is_missing(cache, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SchedtelError, match="no program apt-get"):
        packages.fetched(packages.BUSYBOX)


def test_a_versions_epoch_is_no_part_of_it(cache):
    assert packages.Qemu(cache / "qemu-system-x86_10.0.2+ds-2+deb13u1~bpo12+1").version == "10.0.2"
