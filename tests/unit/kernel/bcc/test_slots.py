"""Slots in, task records out."""

import numpy as np
import pytest

from schedtel.kernel.bcc import slots
from schedtel.records import layout


@pytest.mark.parametrize(
    ("prio", "asked", "policy", "nice", "weight"),
    [
        (120, 0, 0, 0, 1024),
        (139, 0, 0, 19, 15),
        (100, 3, 3, -20, 88761),
        (120, 5, 5, 0, 3),
        (89, 2, 2, 0, 1024),
        (89, 0, 1, 0, 1024),
        (120, 1, 0, 0, 1024),
        (-1, 0, 6, 0, 1024),
    ],
)
def test_policy_nice_and_weight_from_the_priority(prio, asked, policy, nice, weight):
    slot = np.zeros(1, slots.SLOT)
    slot["prio"], slot["policy"] = prio, asked
    [row] = slots.records(slot, slots.Edges(1, 0, 1))
    assert (row["policy"], row["nice"], row["weight"]) == (policy, nice, weight)


def test_a_row_has_room_for_everything_a_record_has():
    assert set(slots.records(np.zeros(0, slots.SLOT), slots.Edges(1, 0, 1)).dtype.names) == set(
        layout.TASK_RECORD.names
    )
