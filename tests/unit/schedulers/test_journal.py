"""Journals: private, written before the change, read by another, and put back when forgotten."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from schedtel.errors import CapabilityError
from schedtel.schedulers import journal as journals
from schedtel.schedulers.changes import Change, inherited, undo
from schedtel.schedulers.journal import Journal, owner_of, put_back_forgotten, read_journal, undo_forgotten
from schedtel.schedulers.threads import Look, read_thread

FIRST = Change("attributes", (1, 2, 3), (0, 0, 0, 0, 0), (3, 0, 0, 0, 0), 4)
SECOND = Change("file", ("/a b\n", 7), "100", "10", 5)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "journals"


@pytest.fixture
def sleeper():
    """A process of the test, and a change of its CPUs that was made."""
    with subprocess.Popen(["sleep", "60"]) as process:
        thread = read_thread(process.pid, process.pid)
        mask = tuple(sorted(os.sched_getaffinity(process.pid)))
        yield process.pid, Change("affinity", (process.pid, process.pid, thread.start), mask[:1], mask, thread.start)
        process.kill()


def test_what_is_written_is_read_and_the_last_of_one_thing_counts(folder):
    journal = Journal(folder)
    journal.append([FIRST, SECOND])
    amended = Change("attributes", (1, 2, 3), (0, 0, 0, 0, 0), (3, 0, 0, 9, 0), 4)
    journal.append([amended])
    assert read_journal(journal.descriptor) == [amended, SECOND]
    journal.clear()
    assert read_journal(journal.descriptor) == []
    journal.append([SECOND])
    assert read_journal(journal.descriptor) == [SECOND]
    journal.close()
    assert not folder.exists()


def test_a_line_that_was_cut_off_tells_nothing(folder):
    journal = Journal(folder)
    journal.append([FIRST, SECOND])
    os.ftruncate(journal.descriptor, os.fstat(journal.descriptor).st_size - 5)
    assert read_journal(journal.descriptor) == [FIRST]
    journal.close()


def test_what_cannot_be_written_is_said_before_anything_is_changed(folder):
    journal = Journal(folder)
    with open("/dev/full", "wb") as full:
        os.dup2(full.fileno(), journal.descriptor, inheritable=False)
    with pytest.raises(CapabilityError, match="No space left on device"):
        journal.append([FIRST])
    journal.close()


def test_only_its_user_can_read_it(folder):
    journal = Journal(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(journal.path.stat().st_mode) == 0o600
    journal.close()


@pytest.mark.parametrize("how", ["others may use it", "it is a link", "it is a file"])
def test_a_directory_that_others_may_have_made_is_refused(tmp_path, folder, how):
    if how == "others may use it":
        folder.mkdir()
        folder.chmod(0o755)
    elif how == "it is a link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "elsewhere")
    else:
        folder.touch()
    with pytest.raises(CapabilityError, match=r"cannot keep a journal in .*XDG_RUNTIME_DIR"):
        Journal(folder)
    assert put_back_forgotten(folder) == 0


def test_a_journal_that_is_held_is_not_forgotten(folder):
    journal = Journal(folder)
    journal.append([FIRST])
    assert put_back_forgotten(folder) == 0
    assert journal.path.exists()
    os.close(journal.descriptor)
    assert put_back_forgotten(folder) == 1
    assert not folder.exists()


def test_what_a_forgotten_journal_tells_is_put_back_once(folder, sleeper):
    pid, change = sleeper
    journal = Journal(folder)
    journal.append([change])
    os.close(journal.descriptor)
    assert put_back_forgotten(folder) == 1
    assert tuple(os.sched_getaffinity(pid)) == change.before
    os.sched_setaffinity(pid, change.after)
    assert put_back_forgotten(folder) == 0
    assert tuple(sorted(os.sched_getaffinity(pid))) == change.after


def test_a_journal_of_before_the_restart_of_the_machine_changes_nothing(folder, sleeper, monkeypatch):
    pid, change = sleeper
    with monkeypatch.context() as patched:
        patched.setattr(journals, "boot_id", lambda: "11111111-2222")
        journal = Journal(folder)
    journal.append([change])
    os.close(journal.descriptor)
    assert put_back_forgotten(folder) == 1
    assert tuple(sorted(os.sched_getaffinity(pid))) == change.after
    assert not folder.exists()


def test_a_thread_that_got_the_number_of_another_is_not_touched(sleeper):
    pid, change = sleeper
    other = Change(change.kind, (*change.target[:2], change.target[2] - 1), change.before, change.after, change.since)
    assert undo([other]) == []
    assert tuple(sorted(os.sched_getaffinity(pid))) == change.after


def test_what_another_has_changed_since_is_theirs(sleeper):
    pid, change = sleeper
    elsewhere = Change(change.kind, change.target, change.after, (max(change.after) + 1,), change.since)
    assert undo([elsewhere]) == []
    assert tuple(sorted(os.sched_getaffinity(pid))) == change.after


def test_a_file_that_was_made_anew_is_not_written(tmp_path):
    knob = tmp_path / "cpu.weight"
    knob.write_text("10\n")
    inode = knob.stat().st_ino
    assert undo([Change("file", (str(knob), inode + 1), "100", "10", 0)]) == []
    assert knob.read_text() == "10\n"
    assert undo([Change("file", (str(knob), inode), "100", "10", 0)]) == []
    assert knob.read_text() == "100"


def test_a_child_of_a_changed_thread_has_inherited_and_an_older_one_has_not():
    with subprocess.Popen(["sh", "-c", "sleep 60 & echo $!; wait"], stdout=subprocess.PIPE, text=True) as shell:
        try:
            pid = int(shell.stdout.readline())
            parent = read_thread(shell.pid, shell.pid)
            child = read_thread(pid, pid)
            mask = tuple(sorted(os.sched_getaffinity(shell.pid)))
            target = (parent.tgid, parent.tid, parent.start)
            changed = Change("affinity", target, (0,), mask, parent.start)
            assert inherited([changed], Look()) == [
                Change("affinity", (child.tgid, child.tid, child.start), (0,), mask, parent.start)
            ]
            assert inherited([Change("affinity", target, (0,), mask, child.start + 1)], Look()) == []
            assert inherited([Change("affinity", target, (0,), (*mask, 4000), parent.start)], Look()) == []
        finally:
            os.kill(pid, 9)
            shell.kill()


def test_it_is_written_anew_at_once_and_stays_locked(folder):
    journal = Journal(folder)
    journal.append([FIRST, SECOND])
    old = os.open(journal.path, os.O_RDONLY)
    journal.rewrite([SECOND])
    assert read_journal(old) == [FIRST, SECOND], "what a guard had opened is whole"
    os.close(old)
    with journal.path.open() as file:
        assert read_journal(file.fileno()) == read_journal(journal.descriptor) == [SECOND]
    assert stat.S_IMODE(journal.path.stat().st_mode) == 0o600
    assert put_back_forgotten(folder) == 0
    journal.append([FIRST])
    assert (read_journal(journal.descriptor), journal.lines) == ([SECOND, FIRST], 2)
    journal.close()
    assert not folder.exists()


def test_what_a_dying_process_has_left_half_written_goes_with_its_journal(folder):
    journal = Journal(folder)
    (folder / f"new-{journal.path.name}").write_text("[")
    os.close(journal.descriptor)
    assert put_back_forgotten(folder) == 1
    assert not folder.exists()


def test_its_name_says_which_process_wrote_it(folder):
    """By field 22 of proc(5), the start in clock ticks."""
    journal = Journal(folder)
    start = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    assert owner_of(journal.path) == (os.getpid(), start)
    journal.close()


NAMELESS = [
    "1-2-x",
    "journal-x",
    "journal-{}",
    "journal-{}-1-",
    "journal-{}-1-2-3-4",
    "journal-{}--1-2-x",
    "journal-1-1-2-x",
]


@pytest.mark.parametrize("name", [*NAMELESS, "journal-{}-\u0661-2-x", "journal-{}-" + "9" * 30 + "-2-x"])
def test_a_name_that_tells_nothing_names_no_process(folder, name):
    assert owner_of(folder / name.format(journals.boot_id())) is None


def test_what_was_put_back_and_what_failed_is_said(folder, sleeper):
    """The second one asks for a CPU that no machine has, which the kernel refuses."""
    pid, change = sleeper
    with subprocess.Popen(["sleep", "60"]) as other:
        start = read_thread(other.pid, other.pid).start
        refused = Change("affinity", (other.pid, other.pid, start), (8191,), change.after, start)
        journal = Journal(folder)
        journal.append([change, refused])
        os.close(journal.descriptor)
        (forgotten,) = undo_forgotten(folder)
        other.kill()
    assert (forgotten.changes, forgotten.failed) == ([change, refused], [refused])
    assert tuple(os.sched_getaffinity(pid)) == change.before
