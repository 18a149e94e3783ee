"""The columns of the table ``machine``: what psutil tells, each as average, total delta and percent change."""

import pyarrow as pa

from schedtel.windows.column import Column, count, nanoseconds

#: Quantities of the machine that psutil tells. Times of the CPUs, as psutil tells them apart.
MACHINE_TIMES = {
    "cpu": "in which a CPU was neither idle nor waiting for I/O",
    "iowait": "in which a CPU was idle while a task waited for I/O",
    "irq": "in interrupts",
    "softirq": "in soft interrupts",
}
#: What is there at a moment.
MACHINE_LEVELS = {
    "memory_used": "memory in use, as psutil counts it",
    "memory_available": "memory that programs can have without swapping",
    "memory_cached": "memory of cached files",
    "memory_buffers": "memory of buffers of block devices",
    "swap_used": "swap space in use",
}
#: What goes by.
MACHINE_FLOWS = {
    "swap_in": "bytes read from swap",
    "swap_out": "bytes written to swap",
    "io_read": "bytes read from disks",
    "io_written": "bytes written to disks",
}


def _machine(name: str, unit: str, meaning: str, kind: pa.DataType | None = None) -> Column:
    return Column(name, kind or pa.float64(), unit, meaning, "host")


def _change(name: str, average: str) -> Column:
    return _machine(
        f"{name}_percent_change",
        "percent",
        f"change of {average} against the window before, in percent of that; null in the first window, and from 0",
    )


def _of_time(name: str, what: str) -> list[Column]:
    average = f"{name}_percent_avg"
    return [
        _machine(average, "percent", f"time {what}, in percent of the time of all CPUs"),
        _machine(f"{name}_total_delta_ns", "ns", f"time {what}, summed over the CPUs", pa.int64()),
        _change(name, average),
    ]


def _of_level(name: str, what: str) -> list[Column]:
    average = f"{name}_avg_bytes"
    return [
        _machine(average, "bytes", f"{what}: mean of the samples"),
        _machine(f"{name}_total_delta_bytes", "bytes", f"{what}: at the window's end minus at its start", pa.int64()),
        _change(name, average),
    ]


def _of_flow(name: str, what: str) -> list[Column]:
    average = f"{name}_avg_bytes_per_s"
    return [
        _machine(average, "bytes/s", f"{what}, a second"),
        _machine(f"{name}_total_delta_bytes", "bytes", what, pa.int64()),
        _change(name, average),
    ]


#: One row a window, where the machine was sampled beside the scheduler.
MACHINE = [
    count("window_id", "number of the window in this run"),
    nanoseconds("machine_ns", "time between the readings at the window's start and end, which the deltas span"),
    count("machine_samples", "samples of memory and swap in the window, the one at its end included"),
    *(column for name, what in MACHINE_TIMES.items() for column in _of_time(name, what)),
    *(column for name, what in MACHINE_LEVELS.items() for column in _of_level(name, what)),
    *(column for name, what in MACHINE_FLOWS.items() for column in _of_flow(name, what)),
]
