"""Where recordings are written: no planted link is followed, and what is removed meanwhile is told."""

import os
import shutil
import stat
import subprocess
import sys
import time

import pytest
from samples import changed

from schedtel import Recorder, RecordingError, UsageError, read
from schedtel.recordings.dataset import Dataset
from schedtel.windows.schema import ARROW

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")


@pytest.fixture
def others(tmp_path):
    """A directory in which other users may plant files, and a file that must not change."""
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    shared = tmp_path / "shared"
    shared.mkdir()
    return shared, victim


def assert_untouched(victim):
    assert victim.read_text() == "untouched"
    assert not victim.is_symlink()


# ---- planted links ----


def test_a_link_in_the_place_of_a_table_is_not_followed(windows, tmp_path, others):
    """In a directory where everybody may make files, and only their owner may replace them."""
    shared, victim = others
    shared.chmod(0o1777)
    recorder = Recorder(shared)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (shared / "summary").symlink_to(elsewhere)
    with pytest.raises(RecordingError, match=r"^cannot write .*summary/part-000001.parquet: Not a directory"):
        recorder.write(windows[0])
    assert list(elsewhere.iterdir()) == []
    assert_untouched(victim)


@pytest.mark.parametrize("kind", [os.symlink, os.link])
def test_a_link_with_the_name_of_a_part_or_of_its_beginning_is_replaced(windows, others, kind):
    shared, victim = others
    recorder = Recorder(shared)
    recorder.write(windows[0])
    for name in ("tasks/part-000001.parquet", ".summary-part-000001.parquet.unfinished"):
        (shared / name).unlink(missing_ok=True)
        kind(victim, shared / name)
    recorder.write(windows[1])
    assert_untouched(victim)
    assert [window.window_id for window in read(shared)] == [1, 2]
    assert not [path for path in shared.rglob("*") if path.is_symlink() or "unfinished" in path.name]


@as_root
def test_a_table_that_another_user_made_is_refused(windows, others):
    shared, _ = others
    shared.chmod(0o1777)
    recorder = Recorder(shared)
    (shared / "tasks").mkdir()
    os.chown(shared / "tasks", NOBODY, NOBODY)
    with pytest.raises(UsageError, match=f"user {NOBODY} owns it, and could replace what is written"):
        recorder.write(windows[0])


@as_root
@pytest.mark.parametrize("kind", [Recorder, Dataset])
def test_a_directory_of_another_user_is_refused_and_a_new_one_below_it_is_not(windows, others, kind):
    shared, _ = others
    os.chown(shared, NOBODY, NOBODY)
    with pytest.raises(UsageError, match=r"could replace what is written \(name a new directory"):
        kind(shared)
    kind(shared / "new" / "one").write(windows[0])
    assert [window.window_id for window in read(shared / "new" / "one")] == [1]
    assert stat.S_IMODE((shared / "new").stat().st_mode) == 0o700


@pytest.mark.parametrize(("mode", "group"), [(0o777, None), (0o770, NOBODY)])
def test_a_directory_in_which_others_can_replace_files_is_refused(others, mode, group):
    shared, _ = others
    if group is not None:
        if os.geteuid() != 0:
            pytest.skip("only root can give files to another group")
        os.chown(shared, -1, group)
    shared.chmod(mode)
    with pytest.raises(UsageError, match=r"other users can write there.*chmod go-w"):
        Recorder(shared)


@as_root
def test_a_link_that_another_user_made_leads_nowhere(windows, tmp_path, others):
    shared, _ = others
    own = tmp_path / "own"
    own.mkdir()
    (shared / "link").symlink_to(own)
    os.chown(shared / "link", NOBODY, NOBODY, follow_symlinks=False)
    for place in (shared / "link", shared / "link" / "below"):
        with pytest.raises(UsageError, match=f"it is a link that user {NOBODY} made"):
            Recorder(place)
    assert list(own.iterdir()) == []


def test_links_of_this_user_are_followed(windows, tmp_path, monkeypatch):
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "absolute").symlink_to(tmp_path / "relative")
    (tmp_path / "relative").symlink_to("far/../far")
    monkeypatch.chdir(tmp_path)
    recorder = Recorder("./absolute/away/new")
    recorder.write(windows[0])
    assert [window.window_id for window in read(tmp_path / "far/away/new")] == [1]


def test_links_in_a_circle_are_one_line(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(RecordingError, match="Too many levels of symbolic links"):
        Recorder(tmp_path / "a" / "rec")


# ---- what happens to the directory meanwhile ----


def remove(directory):
    shutil.rmtree(directory)


def remove_a_table(directory):
    shutil.rmtree(directory / "cpus")


def make_anew(directory):
    shutil.rmtree(directory)
    directory.mkdir()


def move(directory):
    directory.rename(directory.with_name("moved"))


@pytest.mark.parametrize("happens", [remove, remove_a_table, make_anew, move])
@pytest.mark.parametrize("kind", [Recorder, Dataset])
def test_a_directory_that_is_removed_or_moved_is_told(windows, tmp_path, kind, happens):
    recorder = kind(tmp_path / "recording")
    recorder.write(windows[0])
    recorder.write(windows[1])
    happens(tmp_path / "recording")
    with pytest.raises(RecordingError, match="removed") as caught:
        recorder.write(windows[2])
    assert "\n" not in str(caught.value)
    assert recorder.windows_written == 2


def test_a_folder_without_new_files_may_be_cleaned_away(windows, tmp_path):
    """Preemptions are rare: the files of a month ago may be all there are."""
    recorder = Recorder(tmp_path, rotate_bytes=1)
    recorder.write(windows[0])
    shutil.rmtree(tmp_path / "preemptions")
    recorder.write(windows[1])
    assert len(list((tmp_path / "preemptions").iterdir())) == 1


def test_the_directory_of_a_new_day_is_made(windows, tmp_path):
    dataset = Dataset(tmp_path)
    for number, window in enumerate(windows):
        dataset.write(changed(window, wall_start=1_700_000_000_000_000 + number * 86_400_000_000))
    assert dataset.windows_written == 3


# ---- files that a writer that was killed left ----


def unfinished(directory, name, age_s):
    path = directory / name
    path.write_bytes(b"half a fi")
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def test_unfinished_files_are_removed_when_a_writer_starts(windows, tmp_path):
    old = unfinished(tmp_path, ".tasks-part-000001.parquet.unfinished", 3600)
    Recorder(tmp_path).write(windows[0])
    assert not old.exists()


def test_unfinished_files_of_a_writer_at_work_stay(windows, tmp_path):
    Dataset(tmp_path).write(windows[0])
    new = unfinished(tmp_path, ".tasks-part-abc-000001.parquet.unfinished", 1)
    other = unfinished(tmp_path, "notes.unfinished", 3600)
    Dataset(tmp_path).write(windows[0])
    assert new.exists()
    assert other.exists()


def test_readers_do_not_see_unfinished_files(windows, tmp_path):
    Recorder(tmp_path).write(windows[0])
    unfinished(tmp_path, ".summary-part-000002.parquet.unfinished", 0)
    source = read(tmp_path)
    assert [window.window_id for window in source] == [1]
    assert source.damaged == []


# ---- durability ----


def test_a_file_is_on_the_disk_before_it_has_its_name(windows, tmp_path, monkeypatch):
    """fsync(2) of the file, the new name, fsync(2) of its folder: in this order for every table."""
    happened, fsync, rename = [], os.fsync, os.rename

    def synced(descriptor):
        happened.append(("sync", os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    def renamed(old, new, **where):
        happened.append(("rename", os.readlink(f"/proc/self/fd/{where['dst_dir_fd']}")))
        rename(old, new, **where)

    recorder = Recorder(tmp_path)
    recorder.write(windows[0])
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", renamed)
    recorder.write(windows[1])
    assert len(happened) == 3 * len(ARROW)
    for number in range(0, len(happened), 3):
        (_, file), (_, folder), (_, synced_folder) = happened[number : number + 3]
        assert [what for what, _ in happened[number : number + 3]] == ["sync", "rename", "sync"]
        assert file.endswith(".unfinished")
        assert folder == synced_folder
    assert happened[-1][1] == str(tmp_path / "summary")


def test_a_filesystem_that_cannot_sync_a_folder_is_written_to(windows, tmp_path, monkeypatch):
    def refused(_descriptor):
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "fsync", refused)
    Recorder(tmp_path).write(windows[0])
    assert len(list(read(tmp_path))) == 1


def test_descriptors_are_closed(windows, tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    for number in range(5):
        recorder = Recorder(tmp_path / str(number), rotate_bytes=1)
        for window in windows:
            recorder.write(window)
        with pytest.raises(RecordingError):
            Recorder(tmp_path / str(number))
        del recorder
    assert len(os.listdir("/proc/self/fd")) <= before + 1


ON_A_FULL_DISK = """\
set -e
mount -t tmpfs -o size=160k tmpfs "$1"
"$2" -c '
import sys
import schedtel
recorder = schedtel.Recorder(sys.argv[2] + "/rec", rotate_bytes=1)
source = list(schedtel.read(sys.argv[1]))
sys.path[:0] = sys.argv[3:]
from samples import moved
try:
    for number in range(1, 1000):
        recorder.write(moved(source[0], number, number * 10**9))
except schedtel.RecordingError as error:
    print(number, error)
found = schedtel.read(sys.argv[2] + "/rec")
print([w.window_id for w in found] == list(range(1, number)), found.damaged)
' "$3" "$1" $4
"""


@as_root
def test_what_was_recorded_before_the_disk_is_full_stays(windows, tmp_path):
    recorder = Recorder(tmp_path / "source")
    recorder.write(windows[0])
    (tmp_path / "tiny").mkdir()
    paths = " ".join(filter(os.path.isdir, sys.path[1:]))
    words = ["unshare", "-m", "sh", "-c", ON_A_FULL_DISK, "sh", tmp_path / "tiny", sys.executable]
    done = subprocess.run([*words, tmp_path / "source", paths], capture_output=True, text=True, check=False)
    if "unshare failed" in done.stderr or "permission denied" in done.stderr:
        pytest.skip("no mounts here")
    assert done.stderr == ""
    told, read_back = done.stdout.splitlines()
    number, _, message = told.partition(" ")
    assert int(number) > 1
    assert message.startswith(f"cannot write {tmp_path}/tiny/rec/")
    assert message.endswith(": No space left on device (free some space)")
    assert read_back == "True []"
    assert list((tmp_path / "tiny").iterdir()) == [], "the mount is gone"


@as_root
def test_a_directory_that_is_another_users_as_soon_as_it_is_made_is_removed_again(tmp_path, monkeypatch):
    """As on a FAT file system with the option uid=, or one of the network that maps root to another user."""
    make = os.mkdir

    def mkdir(name, mode=0o777, *, dir_fd=None):
        make(name, mode, dir_fd=dir_fd)
        os.chown(name, NOBODY, NOBODY, dir_fd=dir_fd)

    monkeypatch.setattr(os, "mkdir", mkdir)
    with pytest.raises(UsageError, match=f"user {NOBODY} owns it"):
        Recorder(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_no_program_could_open_is_refused_and_nothing_of_it_is_made(tmp_path):
    with pytest.raises(RecordingError, match="File name too long"):
        Recorder(tmp_path / "/".join(["x"] * 2048))
    assert list(tmp_path.iterdir()) == []
