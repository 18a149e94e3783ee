"""Which entity EEVDF chooses, by arithmetic on paper."""

import pytest

from schedtel.oracle.pick.eevdf import Entity, Lag, Queue, choose


def queue(*entities, buddy=None):
    return Queue({entity.number: entity for entity in entities}, buddy)


def entity(number, vruntime, deadline, weight=1024, **fields):
    return Entity(number, tid=number, vruntime=vruntime, deadline=deadline, weight=weight, **fields)


def chosen(*entities, current=None, buddy=None, barred=()):
    found = choose(queue(*entities, buddy=buddy), current, set(barred))
    return found.number if found else None


def test_who_has_had_more_than_the_mean_is_not_eligible():
    """The mean of 0, 10 and 50 is 20: the earliest deadline is of one that has had 50, and does not count."""
    assert chosen(entity(1, 0, 300), entity(2, 10, 200), entity(3, 50, 100)) == 2


def test_the_mean_is_weighted():
    """(0 * 3072 + 40 * 1024) / 4096 = 10; with equal weights it would be 20. Of 9, 10 and 11 one is above."""
    three = (entity(1, 0, 900, weight=3072), entity(2, 40, 800))
    lag = Lag(queue(*three))
    assert [lag.is_eligible(entity(9, vruntime, 0)) for vruntime in (9, 10, 11)] == [True, True, False]


def test_one_who_is_at_the_mean_is_eligible():
    assert chosen(entity(1, 20, 100), entity(2, 20, 90)) == 2


def test_times_before_zero_are_times():
    """The kernel's virtual time begins at -1,048,576."""
    assert chosen(entity(1, -1_048_576, 10), entity(2, -1_048_000, 5)) == 1


def test_of_two_with_the_same_deadline_the_first_that_came_is_chosen():
    assert chosen(entity(1, 0, 100), entity(2, 0, 100)) == 1
    assert chosen(entity(2, 0, 100), entity(1, 0, 100)) == 2


def test_of_two_with_the_same_deadline_the_current_one_gives_way():
    current = entity(1, 0, 100)
    assert chosen(current, entity(2, 0, 100), current=current) == 2
    earlier = entity(1, 0, 99)
    assert chosen(earlier, entity(2, 0, 100), current=earlier) == 1


def test_a_current_one_goes_on_while_it_is_protected_and_eligible():
    protected, other = entity(1, 0, 500, is_protected=True), entity(2, 10, 100)
    assert chosen(protected, other, current=protected) == 1
    spent = entity(1, 20, 500, is_protected=True)
    assert chosen(spent, other, current=spent) == 2


def test_a_buddy_is_chosen_before_a_protected_one_if_it_is_eligible():
    """The mean is 4: the one at 9 is not."""
    protected = entity(1, 3, 100, is_protected=True)
    assert chosen(protected, entity(2, 0, 300), entity(3, 9, 200), current=protected, buddy=2) == 2
    assert chosen(protected, entity(2, 0, 300), entity(3, 9, 200), current=protected, buddy=3) == 1


def test_one_alone_is_chosen_whatever_it_has_had():
    assert chosen(entity(1, 1 << 60, 1 << 61)) == 1
    assert chosen() is None


@pytest.mark.parametrize("buddy", [None, 1])
def test_one_who_is_barred_counts_in_the_mean_and_is_not_chosen(buddy):
    """The mean of 0, 30 and 60 is 30. Without the barred one it would be 45."""
    first = entity(1, 0, 10)
    assert chosen(first, entity(2, 30, 200), entity(3, 60, 100), barred={1}, buddy=buddy, current=first) == 2


def test_where_only_a_barred_one_is_eligible_the_next_in_virtual_time_is_chosen():
    assert chosen(entity(1, 0, 10), entity(2, 40, 200), entity(3, 30, 300), barred={1}) == 3
