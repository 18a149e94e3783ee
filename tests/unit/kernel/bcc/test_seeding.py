"""Slots as the programs leave them in, slots with what /proc tells of their tasks out."""

import os
import subprocess
from collections.abc import Iterator

import numpy as np
import pytest

from schedtel.kernel.bcc import slots
from schedtel.kernel.bcc.backend import settings_record
from schedtel.kernel.bcc.pool import Pool
from schedtel.kernel.bcc.seeding import Seeder


@pytest.fixture
def child() -> Iterator[int]:
    process = subprocess.Popen(["sleep", "60"])
    yield process.pid
    process.kill()
    process.wait()


def taken(pool: Pool, tid: int, **said: int) -> np.void:
    """A slot as a program leaves it that has taken it for a task."""
    slot = pool.slots[pool.take()]
    slot["tid"] = slot["tgid"] = tid
    for name, value in said.items():
        (slot if name in slots.SLOT.names else slot["state"])[name] = value
    return slot


def seeder_and_pool(**settings: int) -> tuple[Seeder, Pool]:
    record = settings_record(settings)
    pool = Pool(np.zeros(2 * slots.FREE_SLOTS, slots.SLOT), np.zeros(1, slots.SLOT_CPU), [0], record)
    return Seeder(pool, np.zeros(1 << 22, slots.TID_ENTRY), record), pool


def test_what_an_older_task_forked_before_it_was_known_is_in_its_process_too(child):
    seeder, pool = seeder_and_pool(by_process=1, tgid=os.getpid())
    parent = taken(pool, os.getpid(), anonymous=1, left_censored=1)
    forked, stranger = taken(pool, child, fork_ns=1), taken(pool, os.getppid(), fork_ns=1)
    seeder.identify()
    assert [slot["state"]["in_process"] for slot in (parent, forked, stranger)] == [1, 1, 0]


def test_without_a_process_filter_nobody_is_in_a_process(child):
    seeder, pool = seeder_and_pool()
    parent, forked = taken(pool, os.getpid(), anonymous=1), taken(pool, child, fork_ns=1)
    seeder.identify()
    assert parent["comm"]
    assert not parent["anonymous"]
    assert [slot["state"]["in_process"] for slot in (parent, forked)] == [0, 0]
