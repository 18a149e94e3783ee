"""MigrateLive: actions in; observations and rewards of a process tree, whose threads are kept on CPUs, out.

It has the spaces of MigrateSim. What it changes are affinities, by the arms of :mod:`schedtel.schedulers`: each is in a
journal before it is made, and a guard puts it back if this process dies. The balancer is left as it is.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from schedtel.closing import Closing
from schedtel.durations import NS_PER_S, parse_duration
from schedtel.environments.migrate_space import (
    CPU_NUMBERS,
    GAIN,
    LARGE_NS,
    MANY,
    MOST,
    THREAD_NUMBERS,
    WARM_NS,
    layout_of,
)
from schedtel.environments.stepping import Buffers, need_between
from schedtel.environments.thread_readings import Reading, read
from schedtel.errors import UsageError
from schedtel.schedulers.selection import Changing, Tree
from schedtel.schedulers.switching import Schedulers
from schedtel.schedulers.threads import Look, Seen, Thread

if TYPE_CHECKING:
    from schedtel.environments.batched import Masks, Observations

_COST = 3  # the place of what a move costs
_SHORTEST_NS = 1_000_000


class MigrateLive(Closing):
    """A process with its descendants. Each step, one of its threads may be kept on a CPU, or let go.

    :meth:`close` puts every thread back, as leaving the context does, and as the guard does if this process dies.

    ``known``, shape (observation_size,), tells which numbers can be had here: what moving a thread costs only where it
    was said. ``cpu_rewards``, shape (1, cpus), has the parts of the last reward by CPU, unless an episode has ended.

    :param pid: of the process. Its oldest threads count; those that it may not move to a CPU are not moved there.
    :param threads: how many.
    :param step: from one action to the next.
    :param steps: of an episode.
    :param costs_ns: command name → what moving its threads costs while their caches are warm.
    :param journals: as of :class:`Schedulers`.

    Raises :class:`UsageError` for a process that does not exist, and for numbers out of range.
    """

    count = 1

    def __init__(
        self,
        pid: int,
        threads: int = 8,
        step: str = "20ms",
        steps: int = 250,
        costs_ns: Mapping[str, int] = MappingProxyType({}),
        journals: Path | None = None,
    ) -> None:
        need_between("threads", threads, 1, MOST)
        need_between("a step in ns of", parse_duration(step), _SHORTEST_NS, 60 * NS_PER_S)
        need_between("steps", steps, 1, 1 << 30)
        self._tree, self._step_ns, self._steps, self._costs_ns = Tree(pid), parse_duration(step), steps, costs_ns
        try:
            self._cpus = sorted(os.sched_getaffinity(pid))
        except ProcessLookupError:
            raise UsageError(f"cannot select process {pid}: it has ended (name another)") from None
        need_between("CPUs", len(self._cpus), 1, MOST)
        self.cpus, self.threads = len(self._cpus), threads
        self.layout = layout_of(self.cpus, threads)
        self.observation_size, self.action_count = self.layout.observation_size, self.layout.action_count
        self._buffers = Buffers(1, self.observation_size, self.action_count)
        self.cpu_rewards = np.zeros((1, self.cpus), np.float32)
        self.known = np.ones(self.observation_size, np.bool_)
        self._kept_on = np.full(threads, -1)
        self._of: list[Thread] = []
        classes = {f"cpu{cpu}": Changing(partial(self._kept, place)) for place, cpu in enumerate(self._cpus)}
        self._schedulers = Schedulers(classes=classes, journals=journals)
        self._schedulers.switch("policy:" + "+".join(f"cpu{cpu}:cpus={cpu}" for cpu in self._cpus))
        try:
            self.reset(0)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Put every thread back as it was. Safe to call twice."""
        self._schedulers.close()

    # ---- the protocol ----

    def reset(self, _seed: int) -> tuple[Observations, Masks]:
        """Let all threads go, and begin with those that the tree has now. What a machine does has no seed."""
        self._kept_on[:] = -1
        self._schedulers.rescan()
        self._of = sorted(self._found(), key=lambda thread: (thread.start, thread.tid))[: self.threads]
        self._may = np.zeros((self.threads, self.cpus), np.bool_)
        for k, thread in enumerate(self._of):
            own = affinity_of(thread.tid)
            self._may[k] = [cpu in own for cpu in self._cpus]
            self.known[self._at(k) + _COST] = self._cost_ns(k) is not None
        self._runnable, self._asleep_ns, self._taken = np.zeros(self.threads), np.full(self.threads, WARM_NS), 0
        self._readings = self._read()
        self._due_ns = time.monotonic_ns() + self._step_ns
        self._wait()
        return self._look()

    def step(self, actions: NDArray[np.int32]) -> tuple[Observations, NDArray[np.float32], NDArray[np.bool_], Masks]:
        """As :meth:`Batched.step`: it returns when the step is over.

        Raises :class:`UsageError` for an action that the mask excludes, and :class:`CollectorError` if the guard was
        ended, after all was put back.
        """
        action = int(self._buffers.checked(actions)[0])
        k, place = divmod(action, self.cpus + 1)
        if k < self.threads:
            self._kept_on[k] = place if place < self.cpus else -1
            self._schedulers.rescan()
        self._wait()
        self._taken += 1
        self._buffers.rewards[0] = self.cpu_rewards.sum()
        self._buffers.ended[0] = self._taken >= self._steps
        observations, masks = self.reset(0) if self._buffers.ended[0] else self._look()
        return observations, self._buffers.rewards, self._buffers.ended, masks

    # ---- the threads ----

    def _found(self) -> Iterator[Thread]:
        look = Look()
        for tgid in self._tree.members(self._schedulers.helpers | {os.getpid()}, look):
            if tgid != os.getpid():
                yield from look.threads_of(tgid)

    def _kept(self, place: int) -> Iterator[Seen]:
        """The threads that are to be kept on a CPU, by its place."""
        return (thread.as_seen() for k, thread in enumerate(self._of) if self._kept_on[k] == place)

    def _cost_ns(self, k: int) -> int | None:
        return self._costs_ns.get(self._of[k].comm.decode(errors="replace"))

    def _read(self) -> list[Reading | None]:
        return [read(thread) for thread in self._of]

    # ---- a step ----

    def _wait(self) -> None:
        """Wait for the end of the step, and see what it was. A step that is late is followed by a whole one."""
        left_ns = self._due_ns - time.monotonic_ns()
        time.sleep(max(0, left_ns) / NS_PER_S)
        now_ns = time.monotonic_ns()
        passed_ns = now_ns - (self._due_ns - self._step_ns)
        self._due_ns = max(self._due_ns, now_ns) + self._step_ns
        before, self._readings = self._readings, self._read()
        self._ran_ns = np.zeros(self.threads)
        self.cpu_rewards[:] = 0
        for k, (last, now) in enumerate(zip(before, self._readings, strict=True)):
            if last is None or now is None:
                continue
            self._ran_ns[k] = now.cpu_ns - last.cpu_ns
            self._runnable[k] += GAIN * (now.is_runnable - self._runnable[k])
            ran = now.is_runnable or self._ran_ns[k] > 0
            self._asleep_ns[k] = 0 if ran else min(WARM_NS, self._asleep_ns[k] + passed_ns)
            if now.cpu in self._cpus:
                lost = (now.waited_ns - last.waited_ns) / (passed_ns * max(1, len(self._of)))
                self.cpu_rewards[0, self._cpus.index(now.cpu)] -= lost

    def _running(self) -> NDArray[np.bool_]:
        """Of the runnable threads of each CPU, the one that ran longest in the step is taken for the one that runs."""
        found = np.zeros(self.threads, np.bool_)
        for cpu in self._cpus:
            those = [k for k, now in enumerate(self._readings) if now and now.is_runnable and now.cpu == cpu]
            if those:
                found[max(those, key=lambda k: self._ran_ns[k])] = True
        return found

    def _at(self, k: int) -> int:
        return self.layout.common + k * self.layout.numbers

    def _look(self) -> tuple[Observations, Masks]:
        out, mask, runs = self._buffers.seen[0], self._buffers.masks[0], self._running()
        out[:], mask[:] = 0, False
        mask[-1] = True
        for k, now in enumerate(self._readings):
            if now is None:
                continue
            kept = self._shown_on(k)
            self._look_at(k, now, kept, runs=bool(runs[k]))
            first = k * (self.cpus + 1)
            mask[first : first + self.cpus] = self._may[k] & (np.arange(self.cpus) != kept)
            mask[first + self.cpus] = kept >= 0
        return self._buffers.seen, self._buffers.masks

    def _shown_on(self, k: int) -> int:
        """The place of the CPU that a thread is kept on, as the kernel shows it; -1 for none."""
        kept = int(self._kept_on[k])
        return kept if kept >= 0 and affinity_of(self._of[k].tid) == {self._cpus[kept]} else -1

    def _look_at(self, k: int, now: Reading, kept: int, *, runs: bool) -> None:
        out, at = self._buffers.seen[0], self._at(k)
        place = kept if kept >= 0 else self._cpus.index(now.cpu) if now.cpu in self._cpus else -1
        numbers = (self._runnable[k], now.is_runnable, runs, (self._cost_ns(k) or 0) / LARGE_NS)
        out[at : at + THREAD_NUMBERS] = *numbers, 1 - self._asleep_ns[k] / WARM_NS, kept >= 0
        if place >= 0:
            out[at + THREAD_NUMBERS + place] = 1
            cpu = CPU_NUMBERS * place
            out[cpu] += (now.is_runnable and not runs) / MANY
            out[cpu + 1] = max(out[cpu + 1], runs)
            out[cpu + 2] += (kept >= 0) / MANY


def affinity_of(tid: int) -> set[int]:
    """The CPUs that a thread may use; none if it has ended."""
    try:
        return os.sched_getaffinity(tid)
    except ProcessLookupError:
        return set()
