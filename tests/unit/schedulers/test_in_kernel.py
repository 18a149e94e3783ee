"""Why the kernel disabled a scheduler, by the lines that it logs (scx_disable_workfn() of kernel/sched/ext.c)."""

import pytest

from schedtel.schedulers.in_kernel import exit_reasons, is_shown_as

LINES = [
    'sched_ext: BPF scheduler "simple" enabled',
    'sched_ext: BPF scheduler "simple" disabled (unregistered from user space)',
    "eth0: link is up",
    'sched_ext: BPF scheduler "rusty_1.0.9" disabled (runnable task stall)',
    "sched_ext: rusty_1.0.9: kworker/0:1[42] failed to run for 30.720s",
    "   scx_watchdog_workfn+0x13a/0x1c0",
    "sched_ext: simple: a line that belongs to another scheduler",
    'sched_ext: BPF scheduler "a ")(" b" disabled (runtime error)',
]


def test_the_reason_is_the_kind_and_what_the_kernel_says_besides():
    assert exit_reasons(LINES) == [
        ("simple", "unregistered from user space"),
        ("rusty_1.0.9", "runnable task stall: kworker/0:1[42] failed to run for 30.720s"),
        ('a ")(" b', "runtime error"),
    ]


@pytest.mark.parametrize(
    ("shown", "is_it"),
    [("bpfland", True), ("bpfland_1.1.2", True), ("bpflander", False), ("bpf", False), ("", False), (None, False)],
)
def test_a_name_may_go_on_behind_an_underscore(shown, is_it):
    assert is_shown_as("bpfland", shown) is is_it
