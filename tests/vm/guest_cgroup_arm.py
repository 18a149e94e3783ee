"""What runs inside a guest of the lab: an arm of one cgroup brought into effect, and killed.

JSON on stdout: what schedtel says, and beside it what the kernel's own files show.
"""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from schedtel.errors import SchedtelError
from schedtel.host.sched_ext import SchedulerLabels
from schedtel.schedulers.switching import Schedulers
from schedtel.schedulers.watching import Watch

SYSFS = Path("/sys/kernel/sched_ext")
GROUP = Path("/sys/fs/cgroup/x")
HOGS, SHARED_S, PATIENCE_S = 2, 0.4, 30


def shown():
    """Name of each scheduler by where the kernel shows it."""
    found = {}
    for path in (SYSFS / "root" / "ops", *SYSFS.glob("root/sub/*/ops")):
        with suppress(OSError):  # none is attached, or it goes
            found[str(path.parent.relative_to(SYSFS))] = path.read_text().strip()
    return found


def until(condition):
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def ran_ns(hogs):
    return [int(Path(f"/proc/{hog.pid}/schedstat").read_text().split()[0]) for hog in hogs]


def shares(hogs):
    """How long each hog ran in a while, by the kernel's books. They rest otherwise, since they make all slow."""
    tell(hogs, signal.SIGCONT)
    before = ran_ns(hogs)
    time.sleep(SHARED_S)
    after = ran_ns(hogs)
    tell(hogs, signal.SIGSTOP)
    return [last - first for first, last in zip(before, after, strict=True)]


def tell(hogs, number):
    for hog in hogs:
        hog.send_signal(number)


def refused(schedulers, arm):
    try:
        schedulers.switch(arm)
    except SchedtelError as error:
        return str(error)
    return None


def held(schedulers, arm, hogs):
    """What schedtel and the kernel say of an arm that is in effect."""
    schedulers.switch(arm)
    now = schedulers.current()
    return {
        "shown": shown(),
        "current": [now.scheduler, dict(now.cgroups)],
        "ran_ns": shares(hogs),
        "problem": schedulers.problem(),
    }


def ended_by_sigkill(schedulers):
    """What is left when the process that holds both schedulers is killed."""
    os.kill(max(schedulers.helpers), signal.SIGKILL)  # its guard was started before it
    until(lambda: (SYSFS / "state").read_text().strip() == "disabled")
    return [shown(), schedulers.problem()]


def main(name):
    os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    GROUP.mkdir()
    hogs = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(2 * HOGS)]
    for hog in hogs[:HOGS]:
        (GROUP / "cgroup.procs").write_text(str(hog.pid))
    tell(hogs, signal.SIGSTOP)
    said = {"id": GROUP.stat().st_ino}
    with Watch() as watch, Schedulers() as schedulers:
        labels, seen = SchedulerLabels("eevdf"), list(watch.look())
        said["arms"] = {choice.arm: choice.usable for choice in schedulers.arms()}
        said["refused"] = [refused(schedulers, arm) for arm in (f"scx:{name}@/", f"scx:{name}@/none", "scx:vtme@/x")]
        said["held"] = held(schedulers, f"scx:{name}@/x", hogs)
        labels.see()
        seen += watch.look()
        said["killed"] = ended_by_sigkill(schedulers)
        seen += watch.look()
        said["label"] = labels.until(time.monotonic_ns())
        said["seen"] = [[one.scheduler, one.cgroups, one.enable_seq, one.reason] for one in seen]
    tell(hogs, signal.SIGKILL)
    print(json.dumps(said))


if __name__ == "__main__":
    main(sys.argv[1])
