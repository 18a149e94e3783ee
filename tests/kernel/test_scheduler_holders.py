"""`schedtel scheduler switch` and `restore` on the running kernel: who is ended, who is not, and what is put back."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from scheduled import BATCH, OTHER, is_running, policy_of
from waiting import eventually

#: The command, with root's journals at a place of the test: what root holds elsewhere is not the test's to end.
COMMAND = """
import os
from pathlib import Path
from schedtel.schedulers import journal
if os.geteuid() == 0:
    journal.default_directory = lambda: Path(os.environ["ROOTS_JOURNALS"])
"""
CLI = COMMAND + "from schedtel.cli import main; main()"
SCHEDTEL = [sys.executable, "-c", CLI, "scheduler"]
NOBODY = 65534
#: Before anything of it, as a user without privileges, who may not read where this Python is: all is imported by then.
AS_NOBODY = f"""
import encodings.ascii, os, schedtel.cli.commands.scheduler
os.setgroups([]); os.setresgid({NOBODY}, {NOBODY}, {NOBODY}); os.setresuid({NOBODY}, {NOBODY}, {NOBODY})
"""
#: A program of that user which holds an arm, as far as a journal tells: it removes it at its end.
HOLDS = (
    AS_NOBODY
    + """
import signal, sys
from pathlib import Path
from schedtel.schedulers.journal import Journal
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
journal = Journal(Path(sys.argv[1]))
print("holding", flush=True)
try:
    signal.pause()
finally:
    journal.close()
"""
)
#: Takes the place of the file of a process that has died: writes a journal and leaves it, as SIGKILL of all does.
LEAVES = (
    COMMAND
    + """
import sys
from schedtel.schedulers.switching import Schedulers
schedulers = Schedulers(f"pid={sys.argv[1]}")
schedulers.switch("policy:batch")
(guard,) = schedulers.helpers
os.kill(guard, 9)
os.kill(os.getpid(), 9)
"""
)


@pytest.fixture(autouse=True)
def _roots_journals(tmp_path, monkeypatch):
    monkeypatch.setenv("ROOTS_JOURNALS", str(tmp_path / "journals"))


@pytest.fixture
def theirs(monkeypatch):
    """Where the journals of a user without privileges are, who has no runtime directory."""
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        monkeypatch.setenv("TMPDIR", place)
        monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
        folder = Path(place, f"schedtel-{NOBODY}")
        folder.mkdir(mode=0o700)
        os.chown(folder, NOBODY, NOBODY)
        yield folder


@pytest.fixture
def held():
    """Hold an arm by the command; whatever still runs at the end of the test is killed, by its pid."""
    processes = []

    def hold(*words, **options):
        process = subprocess.Popen(
            [*SCHEDTEL, "switch", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
        )
        processes.append(process)
        process.said = process.stdout.readline()
        assert process.said, process.stderr.read()
        return process

    yield hold
    for process in processes:
        process.kill()
        process.communicate()


def restore(*words):
    return subprocess.run([*SCHEDTEL, "restore", *words], capture_output=True, text=True, check=False, timeout=120)


def test_an_arm_is_held_until_its_program_is_stopped(held, sleeper):
    for number in (signal.SIGINT, signal.SIGTERM):
        holder = held("policy:batch", "--for", f"pid={sleeper}")
        assert holder.said.startswith("policy:batch: 1 change in ")
        assert policy_of(sleeper) == BATCH
        holder.send_signal(number)
        assert holder.wait(60) == 0
        assert policy_of(sleeper) == OTHER


def test_what_is_born_later_is_held_as_well(held):
    """The shell's child gets its name by an exec, long after the switch."""
    with subprocess.Popen(["sh", "-c", "read line; exec cat"], stdin=subprocess.PIPE, text=True) as shell:
        held("policy:comm=cat:batch", "--for", f"pid={shell.pid}")
        assert policy_of(shell.pid) == OTHER
        shell.stdin.write("\n")
        shell.stdin.flush()
        eventually(lambda: policy_of(shell.pid) == BATCH)
        shell.stdin.close()


def test_restore_ends_the_holder_and_says_what_it_held(held, sleeper):
    holder = held("policy:hogs:batch+hogs:cpus=0", "--for", f"pid={sleeper}", "--class", "hogs=comm=sleep")
    done = restore()
    assert (
        f"ended process {holder.pid} (python" in done.stdout or f"ended process {holder.pid} (schedtel" in done.stdout
    )
    assert done.stdout.endswith("put back CPUs of 1 thread, attributes of 1 thread\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert holder.wait(60) == 0
    assert policy_of(sleeper) == OTHER
    assert restore().stdout == "nothing is held, and nothing was left\n"


def test_restore_puts_back_what_the_dead_have_left(sleeper):
    subprocess.run([sys.executable, "-c", LEAVES, str(sleeper)], check=False)
    assert policy_of(sleeper) == BATCH
    done = restore("--format", "ndjson")
    assert (done.returncode, done.stderr) == (0, "")
    (said,) = map(json.loads, done.stdout.splitlines())
    assert (said["is_complete"], said["pid"], said["changes"]) == (True, None, {"attributes": 1})
    assert said["text"] == "put back what an ended program had left: attributes of 1 thread"
    assert policy_of(sleeper) == OTHER


def test_root_ends_the_holders_of_others(theirs):
    command = [sys.executable, "-c", HOLDS, str(theirs)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout.readline() == "holding\n"
            done = restore()
            assert done.stdout.startswith(f"ended process {holder.pid} (")
            assert (done.returncode, done.stderr) == (0, "")
            assert holder.wait(60) == 7
        finally:
            holder.kill()


def test_a_journal_that_somebody_made_up_has_nobody_ended(theirs, sleeper, tmp_path):
    """One names a process of another user, one a process that started at another time.

    Neither is what they tell put back: root would do it with root's power.
    """
    file = tmp_path / "file"
    file.write_text("10")
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    forged = [theirs / f"journal-{boot}-{sleeper}-{start}-abcdefgh" for start in (1, start_of(sleeper))]
    for path in forged:
        path.write_text(f'["file", ["{file}", {file.stat().st_ino}], "forged", "10", 0]\n')
        os.chown(path, NOBODY, NOBODY)
    done = restore()
    assert is_running(sleeper)
    assert (file.read_text(), [path.exists() for path in forged]) == ("10", [True, True])
    assert (done.returncode, done.stdout) == (1, "")
    why = "another user's program has ended (that user can run schedtel scheduler restore)"
    assert done.stderr == "".join(f"schedtel: left alone: {path}: {why}\n" for path in sorted(forged))


def test_a_user_ends_no_holder_of_others(held, theirs, sleeper):
    holder = held("policy:batch", "--for", f"pid={sleeper}")
    command = [sys.executable, "-c", AS_NOBODY + CLI, "scheduler", "restore"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "nothing is held, and nothing was left\n"), done.stderr
    assert is_running(holder.pid)
    assert policy_of(sleeper) == BATCH


def test_without_its_guard_nothing_is_held(held, sleeper):
    holder = held("policy:batch", "--for", f"pid={sleeper}")
    (guard,) = map(int, Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text().split())
    os.kill(guard, signal.SIGKILL)
    assert holder.wait(60) == 2
    assert "cannot hold policy:batch: " in holder.stderr.read()
    assert policy_of(sleeper) == OTHER


def test_watch_is_refused_where_there_is_nothing_to_watch():
    if Path("/sys/kernel/sched_ext").exists():
        done = subprocess.run([*SCHEDTEL, "watch", "-d", "1ms"], capture_output=True, text=True, check=True)
        assert "sched_ext: " in done.stdout
    else:
        done = subprocess.run([*SCHEDTEL, "watch"], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert "CONFIG_SCHED_CLASS_EXT" in done.stderr


def start_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
