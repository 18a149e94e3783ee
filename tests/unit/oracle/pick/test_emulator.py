"""The emulator on books that are written by hand: groups, sleepers that stay, groups that are favoured."""

from schedtel.oracle.pick.emulator import Emulator
from schedtel.oracle.pick.steps import Book

CPU, TOP, A, B = 0, 100, 200, 300
#: The entities of two groups.
GROUP_A, GROUP_B = 20, 30


def thread(tid, vruntime, deadline, *, queue=TOP, parent=None, on_rq=True, delayed=False, protected=False, weight=1024):
    return Book(tid, 2, 0, tid, parent, queue, vruntime, deadline, weight, protected, on_rq, delayed, False)


def group(number, tid, vruntime, deadline, *, on_rq=True, delayed=False, buddy=False, weight=1024):
    return Book(tid, 2, 1, number, None, TOP, vruntime, deadline, weight, False, on_rq, delayed, buddy)


def in_a(tid, vruntime, deadline, of_group, **fields):
    return [thread(tid, vruntime, deadline, queue=A, parent=GROUP_A, **fields), group(GROUP_A, tid, *of_group)]


def in_b(tid, vruntime, deadline, of_group, **fields):
    return [thread(tid, vruntime, deadline, queue=B, parent=GROUP_B, **fields), group(GROUP_B, tid, *of_group)]


def told(*chains):
    emulator = Emulator()
    for chain in chains:
        emulator.tell(chain, CPU)
    return emulator


def picked(emulator, **options):
    found = emulator.pick(CPU, **options)
    return found.tid if found else None


def test_nobody_waits_on_a_cpu_of_which_nothing_was_told():
    assert picked(told()) is None
    emulator = told([thread(1, 0, 10)])
    assert emulator.pick(1) is None


def test_a_group_is_chosen_first_and_then_one_of_its_threads():
    """Among all threads, 4 has the earliest deadline; but its group has the later one."""
    emulator = told(
        in_a(1, 0, 900, (0, 50)), in_a(2, 0, 800, (0, 50)), in_b(3, 0, 20, (0, 60)), in_b(4, 0, 10, (0, 60))
    )
    assert picked(emulator) == 2


def test_a_thread_beside_a_group_is_chosen_by_the_same_arithmetic():
    emulator = told(in_a(1, 0, 10, (0, 50)), [thread(5, 0, 40)])
    assert picked(emulator) == 5


def test_a_sleeper_that_stays_is_taken_off_when_it_is_chosen():
    emulator = told([thread(1, 0, 10, delayed=True)], [thread(2, 0, 20)])
    assert picked(emulator) == 2
    emulator.tell([thread(1, 0, 30)], CPU)  # woken again
    assert picked(emulator) == 2


def test_a_sleeper_counts_in_the_mean_until_it_goes():
    """The mean of 0, 30 and 60 is 30, so 2 with 30 is eligible, and goes before 3 with its earlier deadline of 60."""
    emulator = told([thread(1, 0, 500, delayed=True)], [thread(2, 30, 90)], [thread(3, 60, 80)])
    assert picked(emulator) == 2


def test_a_group_is_favoured_when_a_sleeper_of_it_goes():
    """Its sleeper is chosen, and goes. Then A is chosen again although B has the earlier deadline by now."""
    emulator = told(in_a(1, 0, 10, (0, 30), delayed=True), in_a(2, 0, 20, (0, 30)), in_b(3, 0, 10, (0, 40)))
    assert picked(emulator) == 2
    emulator.tell(in_a(2, 0, 20, (0, 50)), CPU)
    assert picked(emulator) == 2
    emulator.tell_buddies([group(GROUP_A, 2, 0, 50)])
    assert picked(emulator) == 3


def test_a_group_that_has_only_a_sleeper_goes_with_it():
    emulator = told(in_a(1, 0, 10, (0, 30), delayed=True), in_b(3, 0, 10, (0, 40)))
    assert picked(emulator) == 3
    assert picked(emulator) == 3


def test_when_a_thread_falls_asleep_the_group_with_others_is_favoured_if_it_is_eligible():
    """The group B has the earlier deadline."""
    emulator, leaves = left_by_a_sleeper(group_vruntime=10)
    assert picked(emulator) == 3
    emulator.fell_asleep(leaves)
    assert picked(emulator) == 2
    emulator.tell(in_a(2, 0, 20, (80, 90)), CPU)  # it has had more than its share
    assert picked(emulator) == 3


def test_a_group_whose_time_is_up_is_not_favoured_any_more():
    emulator, leaves = left_by_a_sleeper(group_vruntime=10)
    emulator.fell_asleep(leaves)
    assert picked(emulator, running=[1, GROUP_A]) == 3
    emulator, leaves = left_by_a_sleeper(group_vruntime=10, protected=True)
    emulator.fell_asleep(leaves)
    assert picked(emulator, running=[1, GROUP_A]) == 2


def left_by_a_sleeper(group_vruntime, *, protected=False):
    """1 of the group A falls asleep, 2 of it waits, and so does 3 of B. And the books of 1."""
    leaves = [thread(1, 50, 60, queue=A, parent=GROUP_A, on_rq=False)]
    leaves.append(group(GROUP_A, 1, group_vruntime, 90)._replace(is_protected=protected))
    return told(in_a(2, 0, 20, (group_vruntime, 90)), in_b(3, 0, 10, (10, 40)), leaves), leaves


def test_no_group_is_favoured_by_a_sleeper_that_stays():
    leaves = in_a(1, 50, 60, (10, 90), delayed=True)
    emulator = told(in_a(2, 0, 20, (10, 90)), in_b(3, 0, 10, (10, 40)), leaves)
    emulator.fell_asleep(leaves)
    assert picked(emulator, running=[1, GROUP_A]) == 3


def test_a_buddy_that_the_books_tell_of_is_one_until_they_do_not():
    emulator = told([thread(9, 0, 5)], in_a(1, 0, 10, (0, 50)))
    emulator.tell_buddies([group(GROUP_A, 1, 0, 50, buddy=True)])
    assert picked(emulator) == 1
    emulator.tell_buddies([group(GROUP_A, 1, 0, 50)])
    assert picked(emulator) == 9


def test_protection_is_of_what_runs_at_each_level():
    emulator = told([thread(1, 0, 90, protected=True)], [thread(2, 0, 10)])
    assert picked(emulator, running=[1]) == 1
    assert picked(emulator) == 2


def test_a_barred_thread_bars_the_group_in_which_it_is_alone():
    emulator = told(in_a(1, 0, 10, (0, 30)), in_b(3, 0, 10, (0, 40)))
    assert picked(emulator, barred=1) == 3
    emulator.tell(in_a(2, 5, 99, (0, 30)), CPU)
    assert picked(emulator, barred=1) == 2


def test_one_who_is_put_back_comes_behind_its_equals():
    emulator = told([thread(1, 0, 10)], [thread(2, 0, 10)])
    assert picked(emulator) == 1
    emulator.put_back([thread(1, 0, 10)])
    assert picked(emulator) == 2


def test_a_thread_that_moves_is_on_one_queue_only():
    emulator = told(in_a(1, 0, 10, (0, 30)), in_b(3, 0, 10, (0, 40)))
    emulator.tell([thread(1, 0, 10, queue=B, parent=GROUP_B), group(GROUP_B, 1, 0, 40)], CPU)
    assert picked(emulator, barred=1) == 3
    emulator.tell([thread(3, 0, 10, queue=B, parent=GROUP_B, on_rq=False), group(GROUP_B, 3, 0, 40)], CPU)
    assert picked(emulator) == 1


def test_one_who_is_forgotten_is_gone_with_its_empty_group():
    emulator = told(in_a(1, 0, 10, (0, 30)), in_b(3, 0, 10, (0, 40)))
    emulator.forget(1)
    assert picked(emulator) == 3
    emulator.forget(4711)


def test_what_was_told_before_the_first_switch_of_a_cpu_does_not_count():
    emulator = told(in_a(1, 0, 10, (0, 30)))
    emulator.tell([thread(7, 0, 10, queue=500)], 1)
    emulator.begin(CPU)
    assert picked(emulator) is None
    assert emulator.pick(1).tid == 7


def test_groups_that_contain_each_other_do_no_harm():
    """A damaged file may say so."""
    emulator = told(
        [
            thread(1, 0, 10, queue=A, parent=GROUP_A),
            Book(1, 2, 1, GROUP_A, GROUP_A, A, 0, 5, 2, False, True, False, False),
        ]
    )
    emulator.tell([Book(1, 2, 0, GROUP_A, None, A, 0, 5, 2, False, True, True, False)], CPU)
    emulator.pick(CPU)
    emulator.begin(CPU)
