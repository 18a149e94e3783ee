"""A machine on paper for an agent: windows whose figures follow from the arm in effect, and failures to order."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
from samples import replaced

from schedtel.agent.book import Book
from schedtel.agent.classes import Classes
from schedtel.agent.guard import Guard
from schedtel.agent.loop import Agent, Clocks
from schedtel.agent.quarantine import Quarantine
from schedtel.agent.reward import RewardSettings
from schedtel.agent.settings import AgentSettings, chosen_policy
from schedtel.errors import CollectorError

S = 1_000_000_000
ARMS = ("eevdf", "policy:slice=0.1ms", "policy:batch")
#: Time a burst takes, by load and arm: each arm but EEVDF is best in one load, and none in the third.
TIMES = {"calm": dict(zip(ARMS, (1.0, 0.5, 1.5), strict=True)), "busy": dict(zip(ARMS, (1.0, 2.0, 0.6), strict=True))}
TIMES["equal"] = dict.fromkeys(ARMS, 1.0)
#: Features by load, and so many bursts a second that one load is told from the other.
LOADS = {"calm": {"burst_tat_count": 100, "wakeups": 100}, "busy": {"burst_tat_count": 900, "wakeups": 900}}
LOADS["calm"] |= {"runqueue_length_avg": 0.5, "preempt_wait_mean_ns": 10_000}
LOADS["busy"] |= {"runqueue_length_avg": 9.0, "preempt_wait_mean_ns": 9_000_000}
LOADS["equal"] = LOADS["calm"]


def with_tasks(window, rows):
    """The window with these tasks, each a dictionary of columns; the others are those of its first task."""
    first = window.tasks.slice(0, 1)
    batch = pa.Table.from_batches([first] * len(rows)).combine_chunks().to_batches()[0]
    columns = {name for row in rows for name in row}
    values = {name: [row.get(name, first[name][0].as_py()) for row in rows] for name in columns}
    return replace(window, tasks=replaced(batch, **values))


class World:
    """What an agent acts on, and the windows that come of it. It has a clock of its own.

    :param window: what all windows are made of.
    :param scatter: standard deviation of the logarithm of a window's figure.
    """

    def __init__(self, window, load="calm", scatter=0.05, seed=0):
        self.made_of, self.load, self.arm = window, load, "eevdf"
        self.now_ns, self.wall_ns, self.number = 1000 * S, 1_700_000_000 * S, 0
        self.scatter, self.random = scatter, np.random.default_rng(seed)
        #: Arm → why it cannot be attached; why the arm in effect no longer is; who else has attached a scheduler.
        self.failing, self.ejected, self.foreign = {}, None, None
        self.refuses_to_restore = False
        self.summary = {}
        self.calls, self.ran, self.classes = [], [], {}

    # ---- the machine ----

    def switch(self, arm):
        self.calls.append(arm)
        if arm in self.failing:
            raise CollectorError(self.failing[arm])
        self.arm = arm
        self.now_ns += S // 100
        return 1

    def restore(self):
        self.calls.append("restore")
        if self.refuses_to_restore:
            raise CollectorError("cannot put back")
        self.arm, self.ejected = "eevdf", None

    def tell(self, classes):
        self.classes = classes

    def rescan(self):
        return 0

    def problem(self):
        return self.ejected

    def in_effect(self):
        if self.foreign:
            return self.foreign
        return self.arm.removeprefix("scx:") if self.arm.startswith("scx:") else "eevdf"

    # ---- its windows ----

    def window(self):
        """The next second."""
        self.number += 1
        start, self.now_ns = self.now_ns, self.now_ns + S
        self.wall_ns += S
        self.ran.append(self.arm)
        time = TIMES[self.load].get(self.arm, 1.0) * np.exp(self.random.normal(0, self.scatter))
        summary = LOADS[self.load] | {"window_id": self.number, "window_start_ns": start, "window_ns": S}
        summary |= {"scheduler": self.in_effect()} | self.summary
        made = with_tasks(self.made_of, [{"bursts": round(1000 / time), "tid": 77, "tgid": 77}])
        return replace(made, summary=replaced(made.summary, **{name: [value] for name, value in summary.items()}))

    def windows(self, count):
        for _ in range(count):
            yield self.window()

    def clocks(self):
        return Clocks(lambda: self.now_ns, lambda: self.wall_ns, lambda: self.now_ns // 100)


def asked(**changes):
    """Settings of an agent that is to have more bursts end."""
    reward = RewardSettings({"throughput": 1.0}, swap_cost=0.02)
    return AgentSettings(**{"arms": ARMS, "reward": reward} | changes)


class Acting:
    """An agent in a world, and what it has shown. ``machine`` is what it acts on, if not the world itself."""

    def __init__(self, world, *, machine=None, state=None, log=None, classes=None, **changes):
        self.world, self.seen, self.told = world, [], []
        self.settings = asked(**changes)
        self.policy = chosen_policy(self.settings)
        self.quarantine = Quarantine(state, lambda: world.now_ns)
        classes = classes or Classes()
        self.guard = Guard(self.settings.arms, self.settings.slos, self.quarantine, classes, lambda: world.now_ns)
        book = Book(log, self.told.append)
        parts = (self.guard, classes, book, self.seen.append, world.clocks())
        self.agent = Agent(self.settings, self.policy, machine or world, *parts)

    def live(self, windows):
        """Let so many windows pass; returns the views of the decisions among them."""
        before = len(self.seen)
        self.agent.run(self.world.windows(windows))
        return self.seen[before:]
