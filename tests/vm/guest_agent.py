"""What runs inside a guest of the lab: agents whose arms of sched_ext go wrong in every way; JSON on stdout.

Each agent is `schedtel agent run`, in a fork of this process, which has imported what it needs. What became of the
machine is read from the kernel's files, by a thread that looks at them all the time.
"""

import ctypes
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

from guest_arms import LOOK_S, PATIENCE_S, SLEEPS, SYSFS, await_shown, observe, prefer, shown

import schedtel.cli
import schedtel.cli.commands.agent
import schedtel.kernel.core.backend
import schedtel.windows.build
from schedtel.agent.log import read_log
from schedtel.schedulers import attributes

OBJECTS = "/usr/lib/sched_ext"
#: Takes its arms one after the other.
USUAL = {"policy": "round-robin", "window": "250ms", "dwell": 1, "settle": 0, "floor": 0}
HOUR_S = 3600
#: CAP_IPC_LOCK, CAP_SYS_NICE, CAP_PERFMON and CAP_BPF (include/uapi/linux/capability.h).
OF_THE_UNIT = 1 << 14 | 1 << 23 | 1 << 38 | 1 << 39
#: include/uapi/linux/prctl.h and capability.h.
PR_CAPBSET_DROP, CAPABILITY_VERSION_3 = 24, 0x20080522
#: A turn after a swap is longer than the kernel lets a task wait, and any other is one window.
PATIENT = {"window": "500ms", "dwell": 16, "settle": 15}
#: From an arm's begin to a kill.
LONGEST_WAIT_S = 2.2
#: So long after a kill nothing may come back.
STILL_S = 0.5


def keep_only(capabilities):
    """Drop all other capabilities, for good, of this process and what it executes."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(int(Path("/proc/sys/kernel/cap_last_cap").read_text()) + 1):
        if not capabilities >> capability & 1:
            assert libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0, os.strerror(ctypes.get_errno())
    halves = [word for half in (0, 32) for word in (capabilities >> half & 0xFFFFFFFF,) * 2 + (0,)]
    header, sets = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0), (ctypes.c_uint32 * 6)(*halves)
    assert libc.capset(header, sets) == 0, os.strerror(ctypes.get_errno())


class Agent:
    """An agent, from its start to its end. What it writes is in a file.

    :param capabilities: those that it has; None: all.
    """

    def __init__(self, arms, capabilities=None, **options):
        words = [f"--{name}={value}" for name, value in {**USUAL, "arms": arms, **options}.items()]
        self.words = ["agent", "run", "--no-trial", *words]
        self.told, self.capabilities = Path(f"/tmp/agent-{time.monotonic_ns()}"), capabilities
        self.pid = os.fork()
        if self.pid == 0:
            self.act()

    def act(self):
        status = 1
        try:
            with open(self.told, "w") as file:
                for stream in (1, 2):
                    os.dup2(file.fileno(), stream)
            if self.capabilities is not None:
                keep_only(self.capabilities)
            sys.argv = ["schedtel", *self.words]
            schedtel.cli.main()
        except SystemExit as end:
            status = end.code or 0
        finally:
            sys.stdout.flush()
            os._exit(status)

    def lines(self):
        return self.told.read_text().splitlines() if self.told.exists() else []

    def await_line(self, text):
        """The number of lines once one of them has this text."""
        await_that(lambda: any(text in line for line in self.lines()), f"{text!r} in {self.words}", self)
        return len(self.lines())

    def await_windows(self, count):
        """Wait until it has decided so many times more."""
        least = len(self.lines()) + count
        await_that(lambda: len(self.lines()) >= least, f"{count} decisions", self)

    def ended(self, by=signal.SIGTERM):
        """End it; what it wrote, and its status."""
        os.kill(self.pid, by)
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        await_shown("eevdf")
        return {"lines": self.lines(), "status": status}


def await_that(holds, what, agent):
    """Wait until something holds, while an agent goes on."""
    end = time.monotonic() + PATIENCE_S
    while not holds():
        ended = os.waitid(os.P_PID, agent.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        assert ended is None, f"it ended before it came: {what}: {agent.lines()}"
        assert time.monotonic() < end, f"it did not come: {what}: {agent.lines()}"
        time.sleep(0.05)


@contextmanager
def running(*command, **options):
    with subprocess.Popen(command, text=True, **options) as process:
        try:
            yield process
        finally:
            process.kill()


class Sleeper:
    """A process that sleeps until that takes far too long (see ``SLEEPS``)."""

    def __init__(self, process, told):
        self.process, self.told = process, told

    def slept(self, agent):
        """Begin and end of the long sleep."""
        await_that(lambda: len(self.told.read_text().split()) == 2, "a long sleep", agent)
        return list(map(int, self.told.read_text().split()))


@contextmanager
def sleeping(name):
    """A sleeper of this name, which has begun."""
    told = Path(f"/tmp/{name}")
    with (
        open(told, "w") as file,
        running(sys.executable, "-c", SLEEPS.replace("stalled", name), stdout=file) as process,
    ):
        while told.read_text() != "\n":
            time.sleep(0.05)
        yield Sleeper(process, told)


def quarantine(log):
    return {arm: ban["why"] for arm, ban in json.loads(Path(log, "quarantine.json").read_text())["arms"].items()}


def missing():
    """An arm that is not there."""
    agent = Agent("scx:missing", duration="1s")
    status = os.waitstatus_to_exitcode(os.waitpid(agent.pid, 0)[1])
    return {"lines": agent.lines(), "status": status}


def failing(last):
    """Arms that fail as soon as they are tried, in five ways; a program is removed once it was found.

    :param last: the fifth of them: ``gone``, or ``never``, which takes longer.
    """
    arms = f"scx:crasher,scx:refuser,scx:exits,scx:liar,scx:{last}"
    agent = Agent(arms, log="/tmp/failing")
    agent.await_line("window 1")
    os.unlink("/usr/bin/scx_gone")
    agent.await_line("only observes")
    return agent.ended() | {"quarantine": quarantine("/tmp/failing")}


def stalling():
    """An arm that leaves a task waiting. Afterwards the disk is full under the log, and the wall clock steps."""
    os.mkdir("/disk")
    subprocess.run(["busybox", "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", "/disk"], check=True)
    with sleeping("stalled") as stalled:
        agent = Agent("scx:staller", log="/disk/log", **PATIENT)
        agent.await_line("has failed")
        slept = stalled.slept(agent)
    found = {"slept": slept, "pid": stalled.process.pid, "quarantine": quarantine("/disk/log")}
    fill("/disk/filler")
    agent.await_line("goes on without its log")
    for step_s in (HOUR_S, -2 * HOUR_S):
        time.clock_settime(time.CLOCK_REALTIME, time.time() + step_s)
        agent.await_windows(2)
    os.unlink("/disk/filler")
    agent.await_line("the log is written again")
    found |= agent.ended()
    entries = read_log("/disk/log")
    found["logged"] = [(entry.window_id, entry.time_ns, entry.wall_time_ns) for entry in entries]
    return found


def fill(path):
    with open(path, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


def replaced():
    """Somebody else's scheduler in the place of an arm's, while the agent looks away; then an arm that starves all."""
    agent = Agent("scx:fifo,scx:starver", log="/tmp/replaced", dwell=5, settle=4)
    with running(*loader("vtime"), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.read(1)
        agent.await_line("switches to scx:fifo")
        os.kill(agent.pid, signal.SIGSTOP)
        os.kill(loader_of("fifo"), signal.SIGKILL)
        await_that(lambda: (SYSFS / "state").read_text() == "disabled\n", "its end", agent)
        other.stdin.write("a")
        other.stdin.flush()
        await_shown("vtime")
        attached = enable_seq()
        os.kill(agent.pid, signal.SIGCONT)
        agent.await_line("has failed")
        agent.await_windows(4)
        found = {"meanwhile": [shown(), enable_seq() - attached]}
    await_shown("eevdf")
    found["until"] = len(agent.lines())
    return found | starved(agent) | agent.ended() | {"quarantine": quarantine("/tmp/replaced")}


def starved(agent):
    """Hogs that keep all CPUs under the arm that lets them; a third process tells how long it got none."""
    hogs = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(os.cpu_count())]
    with sleeping("starved") as starving:
        began = agent.await_line("switches to scx:starver")
        await_that(lambda: any("eevdf: " in line for line in agent.lines()[began:]), "its end", agent)
        slept = starving.slept(agent)
    for hog in hogs:
        hog.kill()
        hog.wait()
    return {"starved": slept}


def loader(name):
    """A loader that has loaded an object, and attaches it when it is told to."""
    return [sys.executable, "-P", "-m", "schedtel.schedulers.object_loader", "--wait", f"{OBJECTS}/{name}.bpf.o"]


def loader_of(name):
    """The process that has attached an object for the agent."""
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = place.read_bytes().split(b"\0")
        except OSError:
            continue
        if f"{OBJECTS}/{name}.bpf.o".encode() in words:
            return int(place.parent.name)
    raise AssertionError(f"no loader of {name}")


def enable_seq():
    return int((SYSFS / "enable_seq").read_text())


def killed(times):
    """SIGKILL at random moments of a turn; for each, what was in effect, and for how long anything stayed changed.

    Four of five agents have just attached a scheduler, which stays until the kill has come; the fifth has changed an
    attribute. They have the capabilities of the unit in deploy/, and no others.
    """
    found, chance = [], random.Random(int.from_bytes(os.urandom(4), "little"))
    # A turn after a swap has five windows, and any other has one.
    options = {"policy": "random", "window": "1s", "dwell": 5, "settle": 4}
    with running("sleep", "1000") as load:
        before = attributes.get(load.pid)
        kinds = {
            "scx:fifo,scx:vtime,scx:interactive": lambda: shown() != "eevdf",
            "policy:nice=5,policy:batch": lambda: attributes.get(load.pid) != before,
        }
        for number in range(times):
            arms = list(kinds)[number % 5 == 4]
            options |= {"seed": chance.randrange(1 << 30), "for": f"pid={load.pid}"}
            agent = Agent(arms, OF_THE_UNIT, **options)
            await_that(kinds[arms], "an arm", agent)
            time.sleep(chance.uniform(0, LONGEST_WAIT_S))
            was = [shown(), str(attributes.get(load.pid))]
            os.kill(agent.pid, signal.SIGKILL)
            began = last = time.monotonic_ns()
            while time.monotonic_ns() < began + STILL_S * 1e9:
                if any(is_changed() for is_changed in kinds.values()):
                    last = time.monotonic_ns()
                time.sleep(LOOK_S)
            os.waitpid(agent.pid, 0)
            found.append([*was, last - began, attributes.get(load.pid) == before])
    return found


def main(times, last):
    prefer()
    seen = []
    threading.Thread(target=observe, args=(seen, 0.01), daemon=True).start()
    found = {}
    for what, *words in ((missing,), (failing, last), (stalling,), (replaced,), (killed, times)):
        began = time.monotonic_ns()
        found[what.__name__] = what(*words)
        sys.stderr.write(f"{what.__name__}: {(time.monotonic_ns() - began) / 1e9:.1f} s\n")
    print(json.dumps(found | {"seen": seen}))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
