"""The records of ``bpf/records.h`` as numpy dtypes: pages and ring records of the kernel side in; arrays of fields out.

:mod:`schedtel.kernel.btf` checks them against the core object's BTF. For bcc, the compiler checks them, with assertions
that :mod:`schedtel.kernel.bcc.compiler` adds to the text.
"""

import numpy as np

FINE_BUCKETS = 448
TASK_BUCKET_SHIFT = 3
TASK_BUCKETS = FINE_BUCKETS >> TASK_BUCKET_SHIFT
RUNNING, WAKEUP_WAIT, PREEMPT_WAIT, BLOCKED, IOWAIT, NOT_ALIVE = range(1, 7)
SAMPLE_KINDS = ("wakeup_wait", "preempt_wait", "burst_tat")
CPU_UNKNOWN, CPU_BUSY, CPU_IDLE, CPU_UNTRACKED, CPU_TEARDOWN, CPU_OFFLINE = range(6)

#: What is accounted to a task, or to several together: ``BANK_FIELDS``.
_BANK_FIELDS: list[tuple[str, str] | tuple[str, str, tuple[int]]] = [
    ("time_ns", "<u8", (8,)),
    ("burst_tat_sum_ns", "<u8"),
    ("max_wait_ns", "<u8"),
    ("voluntary_switches", "<u4"),
    ("involuntary_switches", "<u4"),
    ("wakeups", "<u4"),
    ("migrations", "<u4"),
    ("bursts", "<u4"),
    ("waits_unfinished", "<u4"),
    ("bursts_unfinished", "<u4"),
]

#: A task's histograms, in the order in which a spill numbers their buckets.
TASK_HISTOGRAMS = ("wait_histogram", "burst_tat_histogram")
SPILL = np.dtype([("bucket", "<u2"), ("times", "<u2")])

BANK = np.dtype(
    [
        *_BANK_FIELDS,
        ("spilled", "<u4"),
        ("wait_histogram", "<u2", (TASK_BUCKETS,)),
        ("burst_tat_histogram", "<u2", (TASK_BUCKETS,)),
        ("spills", SPILL, (12,)),
    ]
)

WIDE_BANK = np.dtype(
    [
        *_BANK_FIELDS,
        ("reserved", "<u4"),
        ("wait_histogram", "<u4", (TASK_BUCKETS,)),
        ("burst_tat_histogram", "<u4", (TASK_BUCKETS,)),
    ]
)

#: ``open_wait_ns`` of a wait that began before tracing.
OPEN_WAIT_UNKNOWN = np.uint64(2**64 - 1)

TASK_RECORD = np.dtype(
    [
        ("window", "<u4"),
        ("tid", "<u4"),
        ("tgid", "<u4"),
        ("previous_tid", "<u4"),
        ("start_boottime_ns", "<u8"),
        ("fork_ns", "<u8"),
        ("arrival_ns", "<u8"),
        ("first_cpu_ns", "<u8"),
        ("completion_ns", "<u8"),
        ("alive_ns", "<u8"),
        ("total_cpu_ns", "<u8"),
        ("open_wait_ns", "<u8"),
        ("cgroup_id", "<u8"),
        ("uid", "<u4"),
        ("weight", "<u4"),
        ("exit_code", "<i4"),
        ("policy", "u1"),
        ("nice", "i1"),
        ("kernel_thread", "u1"),
        ("left_censored", "u1"),
        ("comm", "S16"),
        ("bank", BANK),
    ]
)

FOLDED = np.dtype([("alive_ns", "<u8"), ("tasks", "<u8"), ("open_wait_ns", "<u8"), ("bank", WIDE_BANK)])
SAMPLES = np.dtype([("sum_ns", "<u8"), ("max_ns", "<u8"), ("kept_ns", "<u8"), ("histogram", "<u4", (FINE_BUCKETS,))])

#: From this value on a tgid is not known, as events of a text do not tell it: TGID_UNKNOWN of bpf/replay/replay.c.
TGID_UNKNOWN = 1 << 31
#: How a CPU is told that is not known, and the tid of a task that is not.
WAIT_CPU_UNKNOWN, WAIT_TID_UNKNOWN = 0xFFFF, 2**32 - 1
WAIT = np.dtype(
    [
        ("since_ns", "<u8"),
        ("wait_ns", "<u8"),
        ("start_boottime_ns", "<u8"),
        ("tid", "<u4"),
        ("tgid", "<u4"),
        ("behind_tid", "<u4"),
        ("cpu", "<u2"),
        ("goes_on", "u1"),
        ("padding", "u1"),
        ("comm", "S16"),
        ("behind_comm", "S16"),
    ]
)
#: So many waits are kept of each kind; the kinds are the first of ``SAMPLE_KINDS``.
LONGEST_WAITS, WAIT_KINDS = 8, 2
LONGEST = np.dtype([("kept", WAIT, (LONGEST_WAITS,)), ("shortest", "<u4"), ("padding", "<u4")])

CPU_BANK = np.dtype(
    [
        ("time_ns", "<u8", (8,)),
        ("switches", "<u8"),
        ("samples", SAMPLES, (2, len(SAMPLE_KINDS))),
        ("other", FOLDED),
        ("waits", LONGEST, (WAIT_KINDS,)),
        ("padding", "<u8", (2,)),
    ]
)

SEQCOUNT = np.dtype([("seq", "<u4"), ("phase", "u1"), ("flags", "u1"), ("cpu", "<u2")])

QUEUE_CLOCK = np.dtype(
    [
        ("measured_at", "<u8"),
        ("distance_ns", "<i8"),
        ("least_ns", "<i8"),
        ("least_before_ns", "<i8"),
        ("measurements", "<u2"),
        ("rounds", "u1"),
        ("agreed", "u1"),
        ("padding", "<u4"),
    ]
)

OCCUPANT = np.dtype([("window", "<u4"), ("tid", "<u4"), ("comm", "S16"), ("padding", "<u8", (5,))])

CPU_STATE = np.dtype(
    [
        ("seqcount", SEQCOUNT),
        ("window", "<u4"),
        ("flushed", "<u4"),
        ("since_ns", "<u8"),
        ("clock", QUEUE_CLOCK),
        ("bank", CPU_BANK, (2,)),
        ("occupant", OCCUPANT),
    ]
)

PREEMPTION_PAIRS = 256
GROUP_NAMED, GROUP_OTHER, GROUP_IDLE = range(3)
GROUP = np.dtype([("words", "<u8", (2,))])
PREEMPTION = np.dtype(
    [
        ("victim", GROUP),
        ("preemptor", GROUP),
        ("wait_ns", "<u8"),
        ("max_wait_ns", "<u8"),
        ("count", "<u4"),
        ("window", "<u4"),
    ]
)
PREEMPTIONS = np.dtype(
    [
        ("pairs", PREEMPTION, (2, PREEMPTION_PAIRS)),
        ("folded", PREEMPTION, (2,)),
        ("latest", "<u4"),
        ("padding", "<u4", (15,)),
    ]
)

GRID = np.dtype([("epoch", "<u8"), ("edge_ns", "<u8", (4,)), ("cache_shift", "<u8"), ("reserved", "<u8", (2,))])
#: Counters of losses, each by window & 1.
LOSSES = np.dtype(
    [(name, "<u8", (2,)) for name in ("ring_dropped", "state_failed", "samples_discarded", "events_missed")]
)

CONTROL = np.dtype(
    [
        ("grid", GRID),
        ("losses", LOSSES),
        ("fence", "<u8"),
        ("is_eevdf", "<u8"),
        ("reserved", "<u8"),
        ("rows", "<u8"),
        ("tasks_busy", "<u8"),
        ("tasks_unknown", "<u8"),
        ("other", FOLDED),
        ("open_waits", LONGEST, (WAIT_KINDS,)),
    ]
)

#: The most perf events at a time.
COUNTERS = 8
READING = np.dtype([("count", "<u8"), ("enabled_ns", "<u8"), ("running_ns", "<u8")])
COUNTED_TASK = np.dtype([("start_boottime_ns", "<u8"), ("tid", "<u4"), ("padding", "<u4")])
COUNTED = np.dtype([("events", READING, (COUNTERS,))])
COUNTING_CPU = np.dtype(
    [("since_ns", "<u8"), ("last", COUNTED), ("growth", COUNTED), ("other", COUNTED, (2,)), ("padding", "<u8", (7,))]
)

#: The most values of one condition of the filter.
FILTER_VALUES = 8
SETTINGS = np.dtype(
    [
        ("cgroup_id", "<u8", (FILTER_VALUES,)),
        ("comm_value", "<u8", (FILTER_VALUES, 2)),
        ("comm_mask", "<u8", (FILTER_VALUES, 2)),
        ("min_activity_ns", "<u8"),
        ("wakeup_bytes", "<u8"),
        ("page_rows", "<u8"),
        ("cgroup_level", "<u4", (FILTER_VALUES,)),
        ("tgid", "<u4", (FILTER_VALUES,)),
        ("tid", "<u4", (FILTER_VALUES,)),
        ("uid", "<u4", (FILTER_VALUES,)),
        ("by_cgroup", "u1"),
        ("by_process", "u1"),
        ("by_tid", "u1"),
        ("by_uid", "u1"),
        ("by_comm", "u1"),
        ("kernel_threads", "u1"),
        ("disable_preemption", "u1"),
        ("preemptions", "u1"),
    ]
)

#: C struct name → the dtype that must match it.
CONTRACT = {
    "spill": SPILL,
    "bank": BANK,
    "wide_bank": WIDE_BANK,
    "task_record": TASK_RECORD,
    "folded": FOLDED,
    "samples": SAMPLES,
    "wait": WAIT,
    "longest_waits": LONGEST,
    "cpu_bank": CPU_BANK,
    "queue_clock": QUEUE_CLOCK,
    "occupant": OCCUPANT,
    "cpu_state": CPU_STATE,
    "group": GROUP,
    "preemption": PREEMPTION,
    "preemptions": PREEMPTIONS,
    "grid": GRID,
    "losses": LOSSES,
    "control": CONTROL,
    "settings": SETTINGS,
}

#: The same for the object that counts perf events.
COUNTER_CONTRACT = {
    "reading": READING,
    "counted_task": COUNTED_TASK,
    "counted": COUNTED,
    "counting_cpu": COUNTING_CPU,
}
