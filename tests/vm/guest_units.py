"""What runs inside a guest under systemd: it starts, queries, kills and stops the units of deploy/ as they are.

guest-units.service runs it. It asks systemd, the kernel's /proc, and the files that the services leave behind.
"""

import errno
import itertools
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pyarrow.parquet as pq
from guest import assert_holds, lost, run_checks, tell
from probe import TWO_CAPABILITIES, connect

import schedtel
from schedtel.windows import invariants as laws

SERVE, RECORD, AGENT = "schedtel-serve", "schedtel-record", "schedtel-agent"
URI, SOCKET, DATASET = "grpc+unix:///run/schedtel/socket", Path("/run/schedtel/socket"), Path("/var/lib/schedtel")
SUMMARIES = "summary/**/part-*.parquet"
#: systemd.exec(5), DynamicUser.
DYNAMIC_USERS = range(61184, 65520)
FILTERED = "2"  # proc(5), Seccomp
STATE = "ActiveState,SubState,Result,NRestarts,StatusText"
PATIENCE_S = 300


def systemctl(*words):
    done = subprocess.run(["systemctl", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"systemctl {' '.join(words)}: {done.stderr.strip()}: {journal(words[-1])}"
    return done.stdout


def shown(unit):
    """The properties of a service in systemd: name → value."""
    return dict(line.split("=", 1) for line in systemctl("show", unit).splitlines())


def journal(unit):
    """The unit's lines in the journal, each with its level."""
    subprocess.run(["journalctl", "--sync"], check=True)
    command = ["journalctl", "--no-pager", "-o", "json", "-u", unit]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return [(entry["MESSAGE"], entry["PRIORITY"]) for entry in map(json.loads, lines) if entry["_PID"] != "1"]


def wait_until(condition, unit):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"it did not come: {systemctl('show', unit, '-p', STATE)}: {journal(unit)}"
        time.sleep(0.1)


def check_tiling(windows):
    for before, window in zip([None, *windows], windows, strict=False):
        assert_holds(laws.check(window, before))


# ---- the checks ----


def check_serve(_):
    """The service gets ready and sends a subscriber its windows; a stop sends the open window before the end."""
    systemctl("start", SERVE)
    service = shown(SERVE)
    assert (service["Type"], service["ActiveState"]) == ("notify", "active")
    user = assert_confined(service)
    assert (SOCKET.stat().st_uid, SOCKET.stat().st_mode & 0o777) == (user, 0o600)
    assert SOCKET.parent.stat().st_mode & 0o777 == 0o700
    windows = []
    with schedtel.subscribe(URI) as source:
        for window in source:
            windows.append(window)
            if len(windows) == 2:
                asked_ns = time.monotonic_ns()
                subprocess.Popen(["systemctl", "stop", SERVE])
    assert_stopped(SERVE)
    check_tiling(windows)
    assert windows[-1].end_ns >= asked_ns, "the open window did not come"
    assert not SOCKET.parent.exists()
    return f"user {user}, {len(windows)} windows, {lost(windows)}"


def assert_confined(service):
    """Assert its user, capabilities and limits, as the kernel tells them; returns the user."""
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{service['MainPID']}/status").read_text().splitlines())
    sets = {name: int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
    assert set(sets.values()) == {TWO_CAPABILITIES}, sets
    users = set(map(int, status["Uid"].split()))
    assert len(users) == 1, users
    assert users <= set(DYNAMIC_USERS), users
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", FILTERED)
    limits = Path("/sys/fs/cgroup" + service["ControlGroup"])
    assert (limits / "memory.max").read_text() == f"{512 << 20}\n"
    assert (limits / "pids.max").read_text() == "256\n"
    return users.pop()


def assert_stopped(unit):
    wait_until(lambda: shown(unit)["ActiveState"] != "deactivating", unit)
    service = shown(unit)
    assert (service["ActiveState"], service["Result"]) == ("inactive", "success"), journal(unit)


def check_record(_):
    """A killed recorder is started again and adds a run; a stopped one has written all windows up to its end."""
    systemctl("start", RECORD)
    user = assert_confined(shown(RECORD))
    wait_until(lambda: windows_written() >= 2, RECORD)
    os.kill(int(shown(RECORD)["MainPID"]), signal.SIGKILL)
    wait_until(lambda: len(runs()) == 2, RECORD)
    service = shown(RECORD)
    assert (service["ActiveState"], service["NRestarts"]) == ("active", "1")
    assert assert_confined(service) == user
    asked_ns = time.monotonic_ns()
    systemctl("stop", RECORD)
    assert_stopped(RECORD)
    windows = list(schedtel.read(DATASET))
    starts = [number for number, window in enumerate(windows) if window.window_id == 1]
    assert len(starts) == 2, f"runs begin at {starts} of {len(windows)} windows"
    for first, end in itertools.pairwise([*starts, len(windows)]):
        check_tiling(windows[first:end])
    assert windows[-1].end_ns >= asked_ns, "the open window was not written"
    files = [DATASET.resolve(), *DATASET.resolve().rglob("*")]
    assert {(path.stat().st_uid, path.stat().st_mode & 0o077) for path in files} == {(user, 0)}
    return f"user {user}, 2 runs, {len(windows)} windows, {lost(windows)}"


def runs():
    return {path.parent.name for path in DATASET.glob(SUMMARIES)}


def windows_written():
    return sum(pq.read_metadata(path).num_rows for path in DATASET.glob(SUMMARIES))


INFO = "6"


def check_journal(_):
    """The journal has the lines of both services, without the prefixes that carry their levels."""
    served = journal(SERVE)
    assert (f"serving on {URI}", INFO) in served, served
    recorded = journal(RECORD)
    for lines, words in itertools.product((served, recorded), ("schedtel ", "stopping: SIGTERM")):
        assert any(text.startswith(words) and level == INFO for text, level in lines), lines
    assert any(" joined (1 present)" in text for text, _ in served), served
    assert sum(text.startswith("recorded ") for text, _ in recorded) == 1, recorded
    return f"{len(served)} and {len(recorded)} lines"


#: In place of the command, under the same unit. The address is this machine's, but not of those that are let through.
ADDRESS, PROBED = "192.0.2.1", Path("/run/probe.json")
PROBE = f"""[Service]
Type=oneshot
Restart=no
ExecStart=
ExecStart=/opt/schedtel/bin/python /guest/probe.py /sys/fs/cgroup /dev/ttyS0 {ADDRESS}
StandardOutput=truncate:{PROBED}
"""


def check_sandbox(_):
    """The unit refuses another program in place of the server what the server does not need."""
    subprocess.run(["/bin/busybox", "ip", "address", "add", f"{ADDRESS}/32", "dev", "lo"], check=True)
    connect(ADDRESS)
    drop_in = Path(f"/run/systemd/system/{SERVE}.service.d/probe.conf")
    drop_in.parent.mkdir(parents=True)
    drop_in.write_text(PROBE)
    systemctl("daemon-reload")
    systemctl("start", SERVE)
    found = json.loads(PROBED.read_text())
    assert found["who"].pop("user") in DYNAMIC_USERS
    assert found["who"] == {"capabilities": [TWO_CAPABILITIES] * 3, "no new privileges": "1"}
    assert {"devices", "addresses"} < found["refused"].keys()
    assert None not in found["refused"].values(), found["refused"]
    assert found["refused"]["addresses"] == os.strerror(errno.EPERM), (
        "the unit refuses the address: the machine has a network"
    )
    return f"refused: {', '.join(found['refused'])}"


#: CAP_IPC_LOCK, CAP_SYS_NICE, CAP_PERFMON and CAP_BPF (include/uapi/linux/capability.h).
FOUR_CAPABILITIES = 1 << 14 | 1 << 23 | 1 << 38 | 1 << 39
#: Every other turn has the arm.
SETTINGS = """
arms = ["policy:comm=busybox:batch"]
policy = "round-robin"
no-trial = true
window = "500ms"
"""
#: The unit starts again after 30 s, and what a journal tells is put back then too.
LONG_BEFORE_RESTART_S = 10


def check_agent(_):
    """The agent acts with the unit's privileges; killed, what it has changed is put back, and not by its next start."""
    settings = Path("/etc/schedtel/agent.toml")
    settings.parent.mkdir()
    settings.write_text(SETTINGS)
    with subprocess.Popen(["/bin/busybox", "sleep", "10000"]) as load:
        try:
            systemctl("start", AGENT)
            status = Path(f"/proc/{shown(AGENT)['MainPID']}/status").read_text()
            lines = dict(line.split(":\t", 1) for line in status.splitlines())
            assert {int(lines[name], 16) for name in ("CapPrm", "CapEff", "CapBnd")} == {FOUR_CAPABILITIES}, status
            assert (int(lines["CapAmb"], 16), lines["NoNewPrivs"], lines["Seccomp"]) == (0, "1", FILTERED)
            wait_until(lambda: os.sched_getscheduler(load.pid) == os.SCHED_BATCH, AGENT)
            os.kill(int(shown(AGENT)["MainPID"]), signal.SIGKILL)
            began = time.monotonic()
            wait_until(lambda: os.sched_getscheduler(load.pid) == os.SCHED_OTHER, AGENT)
            took_s = time.monotonic() - began
            assert took_s < LONG_BEFORE_RESTART_S, journal(AGENT)
        finally:
            systemctl("stop", AGENT)
            load.kill()
    return f"4 capabilities; killed, all was back after {1000 * took_s:.0f} ms"


CHECKS = {
    "agent": check_agent,
    "serve": check_serve,
    "record": check_record,
    "journal": check_journal,
    "sandbox": check_sandbox,
}


def main():
    tell(check="started", found=os.uname().release)
    run_checks("units", CHECKS, None)
    tell(check="finished")


if __name__ == "__main__":
    main()
