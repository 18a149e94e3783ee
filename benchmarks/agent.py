"""What a decision of each policy costs and what learning does, with 9 arms and the usual features; what the loop costs.

Runs only on request: ``python -m benchmarks agent``. CPU time of this process, by the kernel, over 2,000 decisions that
follow 200 rewards; contexts differ from decision to decision. A file of a policy has what it learned. The loop is that
of ``schedtel agent run``, in a process of its own, with windows of 1 s. Once it decides by this machine's tasks and
does not act. Twice it acts on a tree of processes that the benchmark has started, with another arm every three windows.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.measures import Plan, Row, Target, row
from benchmarks.rounds import interleaved
from schedtel.agent.context import CHOSEN, Context
from schedtel.agent.policies.files import save_policy
from schedtel.agent.policies.policy import Policy
from schedtel.agent.policies.registry import POLICIES, policy_of
from schedtel.windows.features import FeatureVector

PART = "agent"
_ROUNDS, _DECISIONS, _REWARDS = 5, 2000, 200
_ARMS = ("eevdf", *(f"policy:class{number}:idle" for number in range(8)))
_DECIDE = Target(100)
_LOOP_ROUNDS, _CPU, _MEMORY = 3, Target(1), Target(120)
#: An agent, with the options of its argument; the first decisions, which import, are left out.
_LOOP = """
import json, os, sys
from benchmarks.process import resident_mb
from schedtel.agent.config import asked_of
from schedtel.agent.run import prepared
views = []
with prepared(asked_of(json.loads(sys.argv[1])), views.append, lambda _: None) as ready:
    ready.run()
late = [view.cpu_share for view in views[3:]]
print(json.dumps({"cpu": 100 * sum(late) / len(late), "memory": resident_mb(os.getpid())}))
"""
_USUAL = {"arms": "policy:hogs:idle,policy:short:nice=-5", "duration": "20s"}
_ACTING = {"policy": "round-robin", "no-trial": True}
_SHORT, _HOGS, _OTHERS = 10, 2, 186
#: A process with children that sleep, that wake ten times a second, and that compute; they end with its input.
_TREE = """
import os, select, sys
parent = os.getpid()
def forked(count, work):
    for _ in range(int(count)):
        if os.fork() == 0:
            work()
            os._exit(0)
def short():
    while not select.select([0], [], [], 0.1)[0]:
        sum(range(2000))
def hog():
    while os.getppid() == parent:
        pass
for count, work in zip(sys.argv[1:], (lambda: os.read(0, 1), short, hog)):
    forked(count, work)
print(flush=True)
os.read(0, 1)
"""


def measure(plan: Plan) -> tuple[list[Row], list[str]]:
    """The rows of this part, and notes on what could not be measured."""
    subjects = {name: partial(policy_of, name, _ARMS) for name in POLICIES}
    samples, notes = interleaved(subjects, plan.rounds(_ROUNDS), _sample)
    return [line for name, taken in samples.items() for line in _rows(name, taken)] + _loop(plan), notes


def _loop(plan: Plan) -> list[Row]:
    with _tree(_OTHERS, 0, 0), _tree(0, _SHORT, _HOGS) as few:
        found = _costs(plan, "dry-run", {"dry-run": True})
        found += _costs(plan, f"acting on {_SHORT + _HOGS} threads beside {_OTHERS} processes", _within(few))
    with _tree(_OTHERS, _SHORT, _HOGS) as many:
        return found + _costs(plan, f"acting within a tree of {_OTHERS + _SHORT + _HOGS} processes", _within(many))


@contextmanager
def _tree(*counts: int) -> Iterator[int]:
    """Processes that sleep, wake and compute, while the context is open; yields the pid of their parent."""
    words = [sys.executable, "-c", _TREE, *map(str, counts)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        yield process.pid


def _within(pid: int) -> dict[str, object]:
    return {**_ACTING, "for": f"pid={pid}"}


def _costs(plan: Plan, subject: str, said: dict[str, object]) -> list[Row]:
    words = [sys.executable, "-c", _LOOP, json.dumps({**_USUAL, **said})]
    done = [subprocess.run(words, check=True, capture_output=True) for _ in range(plan.rounds(_LOOP_ROUNDS))]
    taken = [json.loads(one.stdout) for one in done]
    return [
        row("CPU of the agent's loop, a window a second", subject, "%", [one["cpu"] for one in taken], _CPU),
        row("resident memory of the agent", subject, "MB", [one["memory"] for one in taken], _MEMORY),
    ]


def _sample(make: Callable[[], Policy]) -> dict[str, float]:
    policy, random = make(), np.random.default_rng(1)
    contexts = [_context(random) for _ in range(_REWARDS)]
    for context in contexts:
        decision = policy.decide(context)
        policy.learn(context, decision.arm, decision.propensity, float(random.normal()))
    decide = _cpu_us(policy.decide, contexts)
    learn = _cpu_us(lambda context: policy.learn(context, _ARMS[0], 0.5, 0.1), contexts)
    with tempfile.TemporaryDirectory() as folder:
        save_policy(policy, Path(folder) / "policy")
        size = (Path(folder) / "policy").stat().st_size
    return {"decide": decide, "learn": learn, "size": size / 1024}


def _context(random: np.random.Generator) -> Context:
    values, mask = random.lognormal(10, 2, len(CHOSEN)), random.random(len(CHOSEN)) < 0.1
    return Context(FeatureVector(CHOSEN, values, mask), _ARMS[int(random.integers(len(_ARMS)))])


def _cpu_us(call: Callable[[Context], object], contexts: list[Context]) -> float:
    began_ns = time.process_time_ns()
    for number in range(_DECISIONS):
        call(contexts[number % len(contexts)])
    return (time.process_time_ns() - began_ns) / _DECISIONS / 1000


def _rows(name: str, taken: list[dict[str, float]]) -> list[Row]:
    return [
        row("CPU time of a decision", name, "µs", [one["decide"] for one in taken], _DECIDE),
        row("CPU time of learning from a reward", name, "µs", [one["learn"] for one in taken]),
        row("file of the policy", name, "KiB", [one["size"] for one in taken]),
    ]
