"""What a setting makes of a thread's attributes, and whom it leaves alone."""

import platform

import pytest

from schedtel.errors import CapabilityError
from schedtel.schedulers import attributes
from schedtel.schedulers.attributes import BATCH, DEADLINE, FIFO, IDLE, OTHER, RR, Attributes, wanted
from schedtel.schedulers.settings import parse_setting

NICE_5 = Attributes(OTHER, 5, 0, 2_000_000)
MADE = {
    "batch": Attributes(BATCH, 5, 0, 2_000_000),
    "idle": Attributes(IDLE, 5, 0, 2_000_000),
    "other": NICE_5,
    "rr=7": Attributes(RR, 0, 7, 0),
    "nice=-3": Attributes(OTHER, -3, 0, 2_000_000),
    "slice=5ms": Attributes(OTHER, 5, 0, 5_000_000),
}


@pytest.mark.parametrize("text", MADE)
def test_a_setting_changes_what_it_names_and_nothing_else(text):
    assert wanted(parse_setting(text), NICE_5) == MADE[text]


@pytest.mark.parametrize("text", MADE)
@pytest.mark.parametrize("policy", [FIFO, RR, DEADLINE])
def test_threads_that_are_real_time_already_are_left_alone(policy, text):
    assert wanted(parse_setting(text), Attributes(policy, 0, 10)) is None


@pytest.mark.parametrize("text", ["nice=3", "slice=1ms"])
def test_an_idle_thread_has_neither_a_nice_value_nor_a_slice_to_set(text):
    assert wanted(parse_setting(text), Attributes(IDLE)) is None


def test_a_thread_whose_children_are_to_be_reset_stays_one():
    assert wanted(parse_setting("rr=1"), Attributes(reset_on_fork=True)).reset_on_fork


def test_attributes_read_as_a_sentence():
    assert str(Attributes(RR, 0, 7)) == "rr, priority 7"
    assert str(Attributes(BATCH, -3, 0, 100_000)) == "batch, nice -3, slice 0.1 ms"


def test_an_unknown_machine_is_refused_and_not_called_by_a_guessed_number(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "vax")
    with pytest.raises(CapabilityError, match="the system calls of vax"):
        attributes.get(0)


def test_a_thread_that_does_not_exist_is_none():
    assert attributes.get(4_999_999) is None
    assert attributes.put(4_999_999, Attributes()) is False
