"""What runs inside a guest of the lab: arms of sched_ext brought into effect, ejected and put back; JSON on stdout.

Beside it, a thread reads the kernel's files all the time, and notes what they show and when: that is what the test goes
by.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from schedtel.schedulers.switching import Schedulers

SYSFS = Path("/sys/kernel/sched_ext")
LOOK_S = 0.002
PATIENCE_S = 60
SCHEDTEL = ["/usr/bin/schedtel", "scheduler"]
#: Under the name that the staller leaves waiting: sleeps for 10 ms again and again, until that once takes far longer.
#: Writes the begin and the end of that sleep.
SLEEPS = """
import time
with open("/proc/self/comm", "w") as file:
    file.write("stalled")
print(flush=True)
began = ended = 0
while ended - began < 500_000_000:
    began = time.monotonic_ns()
    time.sleep(0.01)
    ended = time.monotonic_ns()
print(began, ended, flush=True)
"""


def prefer():
    """Make the calling thread real-time, and nothing that it starts: the kernel's fair class stays what is swapped."""
    os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))


def shown():
    try:
        state = (SYSFS / "state").read_text().strip()
        return (SYSFS / "root" / "ops").read_text().strip() if state == "enabled" else "eevdf"
    except FileNotFoundError:  # it goes
        return "eevdf"


def observe(seen, every_s=LOOK_S):
    """Note each change of what the kernel's files show."""
    prefer()
    while True:
        now = shown()
        if not seen or seen[-1][0] != now:
            seen.append((now, time.monotonic_ns()))
        time.sleep(every_s)


def await_shown(name):
    end = time.monotonic() + PATIENCE_S
    while shown() != name:
        assert time.monotonic() < end, f"{name} is not shown"
        time.sleep(LOOK_S)


def switched(schedulers, arm):
    """What a switch says, and when it began and ended."""
    began = time.monotonic_ns()
    found = schedulers.switch(arm)
    return {
        "arm": arm,
        "began": began,
        "ended": time.monotonic_ns(),
        "detach": found.detach_ns,
        "attach": found.attach_ns,
        "scheduler": schedulers.current().scheduler,
    }


def stall(schedulers):
    """Bring the staller into effect; returns how long the task that it leaves waiting did not run, and what is told."""
    with subprocess.Popen([sys.executable, "-c", SLEEPS], stdout=subprocess.PIPE, text=True) as stalled:
        stalled.stdout.readline()
        swap = switched(schedulers, "scx:staller")
        slept = list(map(int, stalled.stdout.readline().split()))
    problem = schedulers.problem()
    schedulers.restore()
    return {"pid": stalled.pid, "swap": swap, "slept": slept, "problem": problem}


def held():
    """`scheduler switch`, ended by `scheduler restore` and by SIGKILL."""
    found = {}
    with subprocess.Popen([*SCHEDTEL, "switch", "scx:fifo"], stdout=subprocess.PIPE, text=True) as holder:
        found["said"] = holder.stdout.readline()
        found["held"] = shown()
        restored = subprocess.run([*SCHEDTEL, "restore"], capture_output=True, text=True, check=False)
        found |= {"restored": [restored.returncode, restored.stdout, restored.stderr], "after": shown()}
    found |= {"holder": holder.returncode, "pid": holder.pid}
    with subprocess.Popen([*SCHEDTEL, "switch", "scx:vtime"], stdout=subprocess.PIPE, text=True) as holder:
        holder.stdout.readline()
        found["killed"] = shown()
        holder.kill()
        await_shown("eevdf")
    return found


def main(timeout_ms):
    prefer()
    seen = []
    threading.Thread(target=observe, args=(seen,), daemon=True).start()
    watch = subprocess.Popen([*SCHEDTEL, "watch", "--format", "ndjson"], stdout=subprocess.PIPE, text=True)
    changes = [watch.stdout.readline()]
    with Schedulers(stall_timeout_ms=timeout_ms) as schedulers:
        swaps = [switched(schedulers, arm) for arm in ("scx:fifo", "scx:vtime", "eevdf")]
        stalled = stall(schedulers)
    found = held()
    watch.send_signal(signal.SIGTERM)
    changes += watch.communicate()[0].splitlines()
    print(
        json.dumps(
            {
                "swaps": swaps,
                "stalled": stalled,
                "held": found,
                "seen": seen,
                "watched": [json.loads(line) for line in changes],
                "watch": watch.returncode,
            }
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
