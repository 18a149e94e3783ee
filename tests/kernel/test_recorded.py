"""`schedtel record` while its recording is read, removed, or out of room; and what the kernel tells, checked."""

import os
import shutil
import subprocess
import sys

import pytest
from waiting import PATIENCE_S, eventually

import schedtel
from schedtel.windows.invariants import check
from schedtel.windows.validation import Order, flaw_of

RECORD = [sys.executable, "-m", "schedtel.cli", "record"]
#: Records what a command does to a small disk of its own, and copies what is there to another directory.
ON_A_SMALL_DISK = """
mount -t tmpfs -o size=300k tmpfs "$1" || exit 77
"$3" -m schedtel.cli record -w 20ms --all-tasks -o "$1/rec" -- sleep 6
status=$?
cp -r "$1/rec" "$2"
exit $status
"""


@pytest.mark.parametrize("backend", ["core", "bcc"])
def test_live_windows_pass_the_check_for_windows_of_others(start, backend):
    start("storm", 200)
    order = Order()
    try:
        source = schedtel.live("50ms", count=6, backend=backend)
    except schedtel.CapabilityError as error:
        pytest.skip(str(error))
    with source:
        for window in source:
            assert flaw_of(window) == ""
            assert order.flaw_of(window) == ""


def test_a_recording_is_whole_whenever_it_is_read(tmp_path, start):
    start("storm", 2000)
    words = [*RECORD, "-q", "-o", str(tmp_path / "rec"), "-w", "20ms", "-d", "6s", "--rotate-every", "500ms"]
    reads = last = 0
    with subprocess.Popen(words) as recorder:
        eventually(lambda: list(tmp_path.glob("rec/summary/part-*.parquet")))
        while recorder.poll() is None:
            source = schedtel.read(tmp_path / "rec")
            windows = list(source)
            assert source.damaged == []
            assert [w.window_id for w in windows] == list(range(1, len(windows) + 1))
            assert len(windows) >= last
            for window in windows[-30:]:
                # A window with losses says itself that it is not exact.
                broken = [finding for finding in check(window) if not finding.holds]
                assert not broken or any(window.losses.values()), broken
                assert window.tasks.num_rows
            reads, last = reads + 1, len(windows)
    assert recorder.returncode == 0
    assert reads > 3


@pytest.mark.parametrize("what", ["", "summary"])
def test_a_recorder_whose_directory_is_removed_says_so(tmp_path, what):
    words = [*RECORD, "-o", str(tmp_path / "rec"), "-w", "50ms", "-d", "30s"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as recorder:
        eventually(lambda: list(tmp_path.glob("rec/summary/part-*.parquet")))
        eventually(lambda: _removed(tmp_path / "rec" / what))
        told = recorder.communicate(timeout=PATIENCE_S)[1]
    assert recorder.returncode == 2
    (line,) = told.splitlines()
    assert line.startswith("schedtel: cannot write")
    assert "removed" in line
    if not what:
        assert not (tmp_path / "rec").exists()


def _removed(directory):
    """Whether the directory is gone; the recorder may write to it at the same time."""
    shutil.rmtree(directory, ignore_errors=True)
    return not directory.exists()


def test_a_full_disk_ends_the_recording_of_a_command_and_keeps_what_there_is(tmp_path):
    (tmp_path / "disk").mkdir()
    words = ["unshare", "-m", "sh", "-c", ON_A_SMALL_DISK, "sh", tmp_path / "disk", tmp_path / "kept", sys.executable]
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("needs to mount a tmpfs (CAP_SYS_ADMIN)")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"schedtel: cannot write {tmp_path}/disk/rec/")
    assert line.endswith("No space left on device (free some space)")
    source = schedtel.read(tmp_path / "kept")
    numbers = [window.window_id for window in source]
    assert numbers == list(range(1, len(numbers) + 1))
    assert numbers
    assert source.damaged == []


def test_root_does_not_record_through_a_link_of_another_user(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root can give files to another user")
    shared, private = tmp_path / "shared", tmp_path / "private"
    shared.mkdir()
    private.mkdir()
    shared.chmod(0o1777)
    (shared / "rec").symlink_to(private)
    os.chown(shared / "rec", 65534, 65534, follow_symlinks=False)
    words = [*RECORD, "-o", shared / "rec", "-w", "50ms", "-n", "1"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 2
    assert done.stderr == (
        f"schedtel: cannot use {shared}/rec: it is a link that user 65534 made (name the directory that it leads to)\n"
    )
    assert list(private.iterdir()) == []
