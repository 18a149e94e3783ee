"""The units under the restrictions that they ask for, and the cgroups and processes that a container sees."""

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import probe
import pytest
import sandbox
from surroundings import made_cgroup
from waiting import PATIENCE_S, eventually

import schedtel
from schedtel.host.cgroups import cgroup_root, is_whole

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
UNITS = {name: str(DEPLOY / f"schedtel-{name}.service") for name in ("serve", "record")}
COMMAND = [sys.executable, "-m", "schedtel.cli"]


@pytest.fixture
def place():
    """A directory that other users may enter, unlike the directories of pytest."""
    with tempfile.TemporaryDirectory() as path:
        os.chmod(path, 0o711)
        yield Path(path)


def may_be_entered(directory):
    """Whether the service's user may enter a directory; the sandbox shows what it needs of the home directories."""
    in_home = any(directory.is_relative_to(home) for home in sandbox.HOMES)
    return in_home or all(path.stat().st_mode & 0o001 for path in (directory, *directory.parents))


@pytest.fixture
def service(place):
    """Start a unit's command, or another one, in its sandbox; whatever still runs at the end is killed, by its pid."""
    if os.geteuid() or not all(map(shutil.which, ("unshare", "setpriv", "systemd-analyze"))):
        pytest.skip("needs root, unshare, setpriv and systemd-analyze to restrict a process as a unit says")
    try:
        ctypes.CDLL("libseccomp.so.2")
    except OSError:
        pytest.skip("needs libseccomp to restrict system calls (apt install libseccomp2)")
    if not may_be_entered(Path(sandbox.__file__).parent):
        pytest.skip("needs a checkout that other users may enter, or one in a home")
    started, writable = [], place / "own"
    (place / "staging").mkdir()
    writable.mkdir(mode=0o700)
    os.chown(writable, sandbox.DYNAMIC_USER, sandbox.DYNAMIC_USER)

    def begin(name, *words, **popen):
        namespaces = [
            "unshare",
            "--mount",
            "--propagation=private",
            *["--net"] * sandbox.is_on(UNITS[name], "PrivateNetwork"),
        ]
        inside = [sys.executable, sandbox.__file__, UNITS[name], str(place / "staging"), str(writable), "--"]
        started.append(subprocess.Popen([*namespaces, *inside, *words], text=True, **popen))
        return started[-1]

    begin.directory = writable
    yield begin
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def systemd(place):
    """The socket on which systemd waits for READY=1."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as waiting:
        waiting.bind(str(place / "notify"))
        (place / "notify").chmod(0o777)
        waiting.settimeout(PATIENCE_S)
        yield waiting


def words_of(name, directory):
    """The words of ExecStart, with this environment's command, the test's directory, and short windows."""
    words = sandbox.command(UNITS[name])
    assert words[0].endswith("/schedtel")
    places = {"grpc+unix:///run/schedtel/socket": f"grpc+unix://{directory}/socket", "5s": "200ms"}
    places["file:///var/lib/schedtel"] = f"file://{directory}"
    assert len(places.keys() & set(words)) == 2
    return [*COMMAND, *(places.get(word, word) for word in words[1:])]


def environment(systemd):
    return {**os.environ, "NOTIFY_SOCKET": systemd.getsockname(), "PYTHONDONTWRITEBYTECODE": "1"}


@pytest.mark.parametrize("name", UNITS)
def test_the_sandbox_of_a_unit_refuses_what_it_says(service, name):
    process = service(name, sys.executable, probe.__file__, str(cgroup_root()), stdout=subprocess.PIPE)
    found = json.loads(process.communicate(timeout=PATIENCE_S)[0])
    assert found["who"] == {
        "capabilities": [probe.TWO_CAPABILITIES] * 3,
        "user": sandbox.DYNAMIC_USER,
        "no new privileges": "1",
    }
    assert len(found["refused"]) == 7
    assert {what for what, why in found["refused"].items() if why is None} == set()


def test_the_service_that_serves_needs_no_more_than_its_unit_allows(service, systemd):
    words = words_of("serve", service.directory)
    process = service("serve", *words, env=environment(systemd), stderr=subprocess.PIPE)
    assert systemd.recv(100) == b"READY=1", process.stderr.read()
    with schedtel.subscribe(f"grpc+unix://{service.directory}/socket") as source:
        stream = iter(source)
        windows = [next(stream) for _ in range(3)]
    assert "/" in {row["cgroup"] for row in windows[-1].tasks.to_pylist()}, "the service finds the names of cgroups"
    assert windows[-1].summary["collector_rss_bytes"][0].as_py() < 200 << 20
    assert os.stat(service.directory / "socket").st_mode & 0o777 == 0o600
    process.send_signal(signal.SIGTERM)
    assert systemd.recv(100) == b"STOPPING=1"
    assert process.wait(PATIENCE_S) == 0
    assert not (service.directory / "socket").exists()


def runs_in(directory):
    return {path.parent.name for path in directory.glob("summary/**/part-*.parquet")}


def test_the_service_that_records_adds_a_run_with_every_start(service, systemd):
    words = words_of("record", service.directory)
    for started, number in enumerate((signal.SIGTERM, signal.SIGKILL, signal.SIGTERM), 1):
        process = service("record", *words, env=environment(systemd), stderr=subprocess.PIPE)
        assert systemd.recv(100) == b"READY=1", process.stderr.read()
        eventually(lambda wanted=started: len(runs_in(service.directory)) == wanted)
        process.send_signal(number)
        assert process.wait(PATIENCE_S) == (0 if number == signal.SIGTERM else -number)
        if number == signal.SIGTERM:
            assert systemd.recv(100) == b"STOPPING=1"
    assert len(list(schedtel.read(service.directory))) >= 3
    assert {path.stat().st_mode & 0o077 for path in service.directory.rglob("*")} == {0}


# ---- containers ----

LIVE = [*COMMAND, "live", "-w", "200ms", "-n", "1"]


@pytest.fixture
def cgroup():
    """A cgroup with a cgroup below it, into which a process can be put."""
    root = cgroup_root()
    if not is_whole(root) or not os.access(root, os.W_OK):
        pytest.skip("needs a cgroup v2 hierarchy to make a cgroup in")
    with made_cgroup(root / f"schedtel-{os.getpid()}") as parent, made_cgroup(parent / ".hidden") as path:
        yield path


def inside(cgroup, namespaces, mounts, *command):
    """Run a command in a cgroup and in namespaces, as a container's runtime would."""
    script = f'echo $$ > {cgroup}/cgroup.procs && exec unshare --mount {namespaces} sh -c \'{mounts} "$@"\' sh "$@"'
    result = subprocess.run(
        ["sh", "-c", script, "sh", *command], capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )
    if "unshare" in result.stderr:
        pytest.skip(f"needs namespaces: {result.stderr.strip()}")
    return result


@pytest.mark.parametrize("namespaces", ["", "--cgroup"], ids=["the host's", "its own"])
def test_a_container_that_has_the_hosts_cgroups_mounted_names_every_one(cgroup, namespaces):
    result = inside(cgroup, namespaces, "exec", *LIVE, "--format", "ndjson", "--all-tasks")
    assert result.returncode == 0, result.stderr
    names = {row["cgroup"] for row in json.loads(result.stdout)["tasks"]}
    assert names >= {"/", f"/{cgroup.parent.name}/.hidden"}


#: The default of container runtimes: the container sees its own cgroup as the root.
OWN = f"umount -R {cgroup_root().parent if 'unified' in cgroup_root().name else cgroup_root()};"
OWN += " mkdir -p /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup; exec"


def test_with_its_own_cgroups_a_container_calls_them_by_their_ids(cgroup):
    result = inside(cgroup, "--cgroup", OWN, *LIVE, "--format", "ndjson", "--all-tasks")
    assert result.returncode == 0, result.stderr
    rows = json.loads(result.stdout)["tasks"]
    assert {row["cgroup"] for row in rows if row["tid"]} >= {"id:1", f"id:{cgroup.stat().st_ino}"}
    assert all(row["cgroup"] == f"id:{row['cgroup_id']}" for row in rows if row["tid"])
    refused = inside(cgroup, "--cgroup", OWN, *LIVE, "--cgroup", "/")
    assert refused.returncode == 2
    assert "--cgroupns=host" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


@pytest.mark.parametrize("words", [["--pid", "1"], ["--tid", "1"], ["--", "true"]])
def test_in_a_pid_namespace_no_process_is_mistaken_for_another(cgroup, words):
    result = inside(cgroup, "--pid --fork --mount-proc", "exec", *LIVE, *words)
    assert result.returncode == 2
    assert "--pid=host" in result.stderr
    assert len(result.stderr.splitlines()) == 1
