"""What runs in a process of its own for an agent on a target: its calls in; arms in effect, and answers, out.

A call and an answer are a line of JSON each, on stdin and stdout, and the first answer says that all arms can be had.
The process ends with the target, with its input, or by SIGTERM. However it ends, what was changed is put back: by this
process, or by the guard of its journal.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from schedtel.agent.machine import ThisMachine, this_machine
from schedtel.errors import SchedtelError
from schedtel.host.parent import die_with
from schedtel.schedulers.names import parse_scope
from schedtel.schedulers.threads import Seen
from schedtel.target.lease import NICE

#: Exit status: it was ended, or an arm cannot be had.
_ENDED, _REFUSED = 1, 2


@dataclass(frozen=True)
class Job:
    """What the process is for.

    :param arms: those that may be switched to.
    :param classes: names of the classes that they may name.
    :param scope: the text of a selection; None: all of the machine.
    :param acts: whether anything will be switched.
    """

    arms: tuple[str, ...]
    classes: tuple[str, ...]
    scope: str | None
    acts: bool

    def text(self) -> str:
        """The text of the file from which it is read."""
        return json.dumps(asdict(self))


def main() -> int:
    """Answer calls until they end. Returns the exit status."""
    target = int(sys.argv[1])
    die_with(target)
    signal.signal(signal.SIGTERM, _leave)
    _prefer_this_process()
    job = Job(**json.loads(Path(sys.argv[2]).read_text(encoding="utf-8")))
    scope = None if job.scope is None else parse_scope(job.scope)
    with suppress(BrokenPipeError):  # nobody waits for the answer any more
        try:
            with this_machine(job.arms, job.classes, scope, acts=job.acts, spares=(target,)) as machine:
                _say({})
                for line in sys.stdin.buffer:
                    _say(_answer(machine, json.loads(line)))
        except SchedtelError as error:
            _say({"refused": str(error)})
            return _REFUSED
    return _ENDED


def _prefer_this_process() -> None:
    """Answer beside whatever keeps the CPUs busy, where this user may; what is started from here is as it would be."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, NICE)
        os.sched_setscheduler(0, os.SCHED_OTHER | os.SCHED_RESET_ON_FORK, os.sched_param(0))


def _leave(number: int, _frame: object) -> None:
    signal.signal(number, signal.SIG_IGN)  # a second one must not break off what puts things back
    raise SystemExit(_ENDED)


def _say(answer: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _answer(machine: ThisMachine, call: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        return _CALLS[call["do"]](machine, call)
    except SchedtelError as error:
        return {"refused": str(error)}


def _tell(machine: ThisMachine, call: Mapping[str, Any]) -> Mapping[str, Any]:
    machine.tell({name: [Seen(*one) for one in threads] for name, threads in call["classes"].items()})
    return {}


def _restore(machine: ThisMachine, _call: Mapping[str, Any]) -> Mapping[str, Any]:
    machine.restore()
    return {}


_CALLS: dict[str, Callable[[ThisMachine, Mapping[str, Any]], Mapping[str, Any]]] = {
    "tell": _tell,
    "restore": _restore,
    "switch": lambda machine, call: {"changed": int(machine.switch(call["arm"]))},
    "rescan": lambda machine, _: {"changed": machine.rescan()},
    "look": lambda machine, _: {"scheduler": machine.in_effect(), "problem": machine.problem()},
}

if __name__ == "__main__":
    sys.exit(main())
