"""The contract of single events: the object's structs, and the places of fields that both sides write down."""

import re
from pathlib import Path

import numpy as np
import pytest
from event_words import lost, migrate, raw, switch, wakeup

from schedtel.errors import CapabilityError
from schedtel.kernel.btf import Member, ObjectTypes, check_contract
from schedtel.kernel.core.programs import object_image
from schedtel.kernel.libbpf import BpfObject
from schedtel.records import event_layout as layout

HEADER = (Path(__file__).parents[4] / "bpf" / "events" / "event_records.h").read_text()


@pytest.fixture(scope="module")
def structs():
    opened = BpfObject(object_image("events"))
    yield ObjectTypes(opened.raw_btf()).structs()
    opened.close()


def test_the_objects_structs_are_those_that_numpy_reads(structs):
    check_contract(structs, layout.EVENT_CONTRACT)


@pytest.mark.parametrize("name", layout.EVENT_CONTRACT)
def test_a_struct_that_differs_is_refused(structs, name):
    first, *others = structs[name]
    moved = {**structs, name: [Member(first.name, first.offset + 8, first.size), *others]}
    with pytest.raises(CapabilityError, match=f"struct {name} differs"):
        check_contract(moved, layout.EVENT_CONTRACT)


def test_an_event_has_16_bytes_and_what_two_sides_write_is_on_lines_of_its_own():
    assert layout.EVENT.itemsize == 16
    assert layout.EVENT_RING.itemsize == 128
    assert layout.EVENT_RING.fields["tail"][1] == 64


def test_shifts_are_those_of_the_header():
    shifts = {name: int(value) for name, value in re.findall(r"#define (\w+) (\d+)$", HEADER, re.MULTILINE)}
    assert shifts == {
        "EVENT_KIND_BITS": 4,
        "BODY_PRIO": 22,
        "BODY_PREV": 30,
        "BODY_STATE": 52,
        "BODY_FOLLOWED": 61,
        "BODY_UNSEEN": 62,
        "BODY_CPU": 30,
        "BODY_TO_CPU": 46,
    }


def test_every_field_comes_back_at_both_ends_of_its_range():
    most_tid = 4 * 1024 * 1024 - 1
    switches = raw(
        switch(2**60 - 1, most_tid, 0, prio=139, state=0x100), switch(0, 0, most_tid, prio=-1, followed=False)
    )
    assert layout.times(switches).tolist() == [2**60 - 1, 0]
    assert layout.tids(switches).tolist() == [most_tid, 0]
    assert layout.previous_tids(switches).tolist() == [0, most_tid]
    assert layout.prios(switches).tolist() == [139, -1]
    assert [layout.STATES[place] for place in layout.states(switches)] == ["R+", "R"]
    assert layout.followed(switches).tolist() == [True, False]
    others = raw(wakeup(1, most_tid, 65535), migrate(2, most_tid, 65535, 65534), lost(3, 9))
    assert layout.kinds(others).tolist() == [layout.WAKEUP, layout.MIGRATE, layout.LOST]
    assert layout.cpus(others[:2]).tolist() == [65535, 65535]
    assert layout.destinations(others[1:2]).tolist() == [65534]
    assert layout.tids(others[:2]).tolist() == [most_tid] * 2


def test_the_highest_bit_of_a_state_counts_as_in_the_kernel():
    """fs/proc/array.c: task_state_array; include/linux/sched.h: __task_state_index()."""
    letters = {0: "R", 1: "S", 2: "D", 4: "T", 8: "t", 0x10: "X", 0x20: "Z", 0x40: "P", 0x82: "I", 0x100: "R+", 3: "D"}
    switches = raw(*(switch(1, 1, 2, state=state) for state in letters))
    assert [layout.STATES[place] for place in layout.states(switches)] == list(letters.values())
    assert np.array_equal(layout.kinds(switches), [layout.SWITCH] * len(letters))
