"""Blocks that have not been run in; a run of each of their phases in the store out.

The method of a block is in effect from before its first phase until after its last one. An agent runs in this process
as `schedtel agent run` does in its own, for the workload's tasks; it starts knowing what its settings say, and keeps
what it has learned from phase to phase. What it decided is in ``DIR/decisions``.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from threading import Event
from types import MappingProxyType

from schedtel.agent.classes import CLASSES
from schedtel.agent.config import Asked
from schedtel.agent.run import Ready, prepared
from schedtel.agent.settings import chosen_policy, priority_of
from schedtel.agent.status import Status
from schedtel.agent.survival import Preferred
from schedtel.experiments.at_birth import is_whole, treated
from schedtel.experiments.beside import beside, in_effect, recorded
from schedtel.experiments.design import Cell
from schedtel.experiments.provenance import Fact
from schedtel.experiments.running import described, members_of, refuse_overloads
from schedtel.experiments.spec import PLACEBO
from schedtel.experiments.store import Store
from schedtel.recordings.recording import Recording
from schedtel.schedulers.names import parse_arm
from schedtel.schedulers.switching import Schedulers
from schedtel.trials.design import Block, blocks, place_of
from schedtel.trials.spec import AGENT, TrialSpec
from schedtel.windows.window import Window
from schedtel.workloads import generator
from schedtel.workloads.outcome import Outcome
from schedtel.workloads.plan import Plan, make_plan
from schedtel.workloads.run import Runner
from schedtel.workloads.spec import load_workload

#: Length of the windows that figures of tasks are made of.
_WINDOW = "250ms"


@dataclass(frozen=True)
class Progress:
    """How far a trial is: the block that is about to begin, its number, all blocks, and seconds left (or None)."""

    block: Block
    number: int
    total: int
    left_s: float | None


class Trial:
    """A trial on this machine.

    :param spec: what to run.
    :param root: the directory for its runs; what is there already is not run again.
    :param loops_per_us: loops of work in a microsecond; by default that of the runs that are there, or else measured.
    :param facts: what is told of each run beside what is seen of it.
    :param tell: is given a line for what a person should know of an agent.

    Raises :class:`UsageError` or :class:`CapabilityError` for workloads and methods that cannot be used here, before
    anything runs.
    """

    def __init__(
        self,
        spec: TrialSpec,
        root: str | os.PathLike[str],
        loops_per_us: float | None = None,
        facts: Mapping[str, Fact] = MappingProxyType({}),
        tell: Callable[[str], object] = lambda _: None,
    ) -> None:
        self.spec, self._facts, self._tell = spec, facts, tell
        self._workloads = {name: load_workload(name) for name in spec.workloads}
        self._classes = members_of(self._workloads.values(), spec.classes)
        arms = [self._arm(method) for method in spec.schedulers if not method.startswith(AGENT)]
        of_agents = self._arms_of_agents()
        _refuse_arms(arms, self._classes)
        _refuse_arms(of_agents, CLASSES)
        #: The highest real-time priority that a method gives to others.
        self._priority = max(map(priority_of, (*arms, *of_agents)))
        self.store = Store(root, spec)
        self._loops_per_us = loops_per_us
        self._runner: Runner | None = None
        self._stopped = False

    def _arms_of_agents(self) -> list[str]:
        """What agents choose among. Raises :class:`UsageError` for a policy that cannot be used."""
        found: list[str] = []
        for method in self.spec.schedulers:
            if method.startswith(AGENT):
                settings = self.spec.asked(method, 1).settings
                chosen_policy(settings)
                found += settings.arms
        return found

    def _arm(self, method: str) -> str:
        return self.spec.baseline if method == PLACEBO else method

    def remaining(self) -> list[Block]:
        """The blocks of which a phase is missing, in their order."""
        return [block for block in blocks(self.spec) if not all(map(self.store.has, block.phases))]

    def stop(self) -> None:
        """End after the block in progress has been given up. Safe in a signal handler and from another thread."""
        self._stopped = True
        runner = self._runner
        if runner is not None:
            runner.stop()

    def run(self, tell: Callable[[Progress], object] = lambda _: None) -> int:
        """Make all blocks that are still to be made; returns how many were made.

        This thread must live until it returns, since the workload ends with it.

        :param tell: called before each block.

        Raises :class:`UsageError` before the first of them if the CPUs cannot keep the plan of a phase.
        """
        todo, total = self.remaining(), len(blocks(self.spec))
        refuse_overloads((cell for block in todo for cell in block.phases), self._plan, os.sched_getaffinity(0))
        self._loops_per_us = self._loops_per_us or self.store.loops_per_us() or generator.calibrate()
        began = time.monotonic()
        for made, block in enumerate(todo):
            left_s = (time.monotonic() - began) / made * (len(todo) - made) if made else None
            if self._stopped:
                return made
            tell(Progress(block, total - len(todo) + made + 1, total, left_s))
            if not self._one(block):
                return made
        return len(todo)

    def _plan(self, cell: Cell) -> Plan:
        workload = self._workloads[place_of(cell.workload)[1]]
        return make_plan(workload.with_options(seed=cell.seed, duration_ns=self.spec.duration_ns))

    def _one(self, block: Block) -> bool:
        """Make a block; returns whether it is whole. Its recording is with the first phase."""
        arm = "" if block.scheduler.startswith(AGENT) else self._arm(block.scheduler)
        plans = [self._plan(cell) for cell in block.phases]
        under = [self._treated(plan, arm) if arm else plan for plan in plans]
        folders = [self.store.begin(cell) for cell in block.phases]
        # Under an agent this process is in real time. So it is under every other method, and is late under none.
        with recorded(folders[0], _WINDOW), Preferred(self._priority), self._method(block, arm, under) as said:
            outcomes = [outcome for plan in under if (outcome := self._phase(plan))]
        if len(outcomes) < len(plans):
            return False
        windows = list(Recording(folders[0]))
        for place, (cell, plan, outcome) in enumerate(zip(block.phases, plans, outcomes, strict=True), 1):
            facts = {**self._facts, **said, "plan_sha256": plan.sha256, "place": place}
            self.store.finish(described(cell, outcome, _during(outcome, windows), self.spec.settle_ns, facts))
        return True

    def _treated(self, plan: Plan, arm: str) -> Plan:
        return replace(plan, workload=treated(plan.workload, parse_arm(arm), self._classes))

    def _phase(self, plan: Plan) -> Outcome | None:
        """Run a phase; None once it was stopped."""
        if self._stopped:
            return None
        self._runner = Runner(plan, self._loops_per_us)
        if self._stopped:
            self._runner.stop()
        outcome = self._runner.run()
        return None if self._stopped or outcome.interrupted else outcome

    def _method(self, block: Block, arm: str, plans: Sequence[Plan]) -> AbstractContextManager[Mapping[str, Fact]]:
        if arm:
            return in_effect(arm, self._classes, all(is_whole(plan.workload, parse_arm(arm)) for plan in plans))
        log = self.store.root / "decisions" / f"{block.scheduler.removeprefix(AGENT)}-{block.repeat}"
        return _agent(self.spec.asked(block.scheduler, block.repeat, str(log)), self._tell)


def _refuse_arms(arms: Iterable[str], classes: Iterable[str]) -> None:
    """Check arms whose rules may name some classes, as far as that is possible without running them."""
    with Schedulers(f"pid={os.getpid()}", classes=dict.fromkeys(classes, ())) as schedulers:
        for arm in arms:
            schedulers.check(parse_arm(arm))


def _during(outcome: Outcome, windows: Sequence[Window]) -> list[Window]:
    """The windows that lie in a phase whole."""
    begin, end = outcome.facts["started_ns"], outcome.facts["ended_ns"]
    return [window for window in windows if begin <= window.start_ns and window.end_ns <= end]


@contextmanager
def _agent(asked: Asked, tell: Callable[[str], object]) -> Iterator[dict[str, Fact]]:
    """An agent at work until the context ends. Yields what it did, complete afterwards.

    All of it is in one thread: what it starts, such as a scheduler's program, ends with the thread that started it.
    """
    ready: list[Ready] = []
    begun = Event()
    counts = {"decisions": 0, "swaps": 0}

    def count(status: Status) -> None:
        counts["decisions"] += 1
        counts["swaps"] += status.gap_ns is not None

    def work(_ended: Event) -> None:
        try:
            with prepared(asked, count, tell) as agent:
                ready.append(agent)
                begun.set()
                agent.run()
        finally:
            begun.set()

    said: dict[str, Fact] = {"arm": "agent"}
    with beside(work, "agent"):
        begun.wait()
        if ready:  # else its error is raised by what is beside
            try:
                yield said
            finally:
                ready[0].windows.stop()
    said.update(counts)
