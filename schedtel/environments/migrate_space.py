"""CPUs and threads in; how observations and actions of MigrateSim and MigrateLive are made of them, out.

A policy that was trained on the one acts on the other, so both have these numbers from here.
"""

from schedtel.environments.layout import Layout

#: Numbers of an observation for each CPU, and for each thread beside one for each CPU.
CPU_NUMBERS, THREAD_NUMBERS = 3, 6
#: What counts are divided by, and what a migration costs.
MANY, LARGE_NS = 4.0, 2_000_000.0
#: Weight of a step in the mean share of time for which a thread is runnable.
GAIN = 0.1
#: How long a working set stays in a cache that others use, too.
WARM_NS = 20_000_000
#: CPUs, and threads.
MOST = 64


def layout_of(cpus: int, threads: int) -> Layout:
    """Numbers of all CPUs, then of each thread. Actions keep a thread on a CPU or let it go; one does nothing."""
    return Layout(CPU_NUMBERS * cpus, threads, THREAD_NUMBERS + cpus, cpus + 1, 1)
