"""The kernel's log: what the kernel wrote, and not what somebody else wrote there."""

import os
from pathlib import Path

import pytest

from schedtel.host.kernel_log import KMSG, KernelLog, own_lines


def test_lines_are_those_of_the_kernel():
    """Records as of Documentation/ABI/testing/dev-kmsg: 12 is facility 1, level 4; 3 is facility 0, level 3."""
    records = [
        b'3,1120,5000000,-;sched_ext: BPF scheduler "x" disabled (runnable task stall)\n SUBSYSTEM=none\n',
        b'12,1121,5000001,-;sched_ext: BPF scheduler "x" disabled (forged)\n',
        b"6,1122,5000002,c;a tab is \\x09, a byte is \xff\n",
        b"no record",
        b"",
    ]
    assert own_lines(records) == [
        'sched_ext: BPF scheduler "x" disabled (runnable task stall)',
        "a tab is \\x09, a byte is \\xff",
    ]


def test_a_line_that_a_program_wrote_is_left_out():
    try:
        writing = os.open(KMSG, os.O_WRONLY)
    except OSError as error:
        pytest.skip(f"this user may not write to the kernel's log: {error.strerror}")
    with KernelLog() as log:
        if log._descriptor < 0:
            pytest.skip("this user may not read the kernel's log")
        os.write(writing, b"<3>schedtel: a line of a test, that no kernel wrote\n")
        os.close(writing)
        records = os.read(log._descriptor, 8192)
        assert b"a line of a test" in records
        assert own_lines([records]) == []
        assert log.lines() == [line for line in log.lines() if "a line of a test" not in line]


def test_a_log_that_cannot_be_read_has_no_lines():
    with KernelLog(Path("/no/such/log")) as log:
        assert log.lines() == []
