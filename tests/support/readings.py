"""Raw windows in the words of the model: their rows, sums and CPUs, and assertions that they equal the model's."""

import model
import numpy as np
from model import FIRST_TID

from schedtel.records import layout
from schedtel.records.raw_window import RawWindow

BANK_TIMES = {
    "running": layout.RUNNING,
    "wakeup_wait": layout.WAKEUP_WAIT,
    "preempt_wait": layout.PREEMPT_WAIT,
    "blocked": layout.BLOCKED,
    "iowait": layout.IOWAIT,
}
CPU_TIMES = {
    "busy_ns": layout.CPU_BUSY,
    "idle_ns": layout.CPU_IDLE,
    "teardown_ns": layout.CPU_TEARDOWN,
    "untracked_ns": layout.CPU_UNTRACKED,
}
HISTOGRAMS = ("wait_histogram", "burst_tat_histogram")


def numbers_of(record) -> dict[str, object]:
    """A task record in the words of the model."""
    bank = record["bank"]
    whole = ("alive_ns", "fork_ns", "arrival_ns", "first_cpu_ns", "completion_ns", "open_wait_ns")
    counted = (*model.COUNTERS, "bursts", "burst_tat_sum_ns", "max_wait_ns", "waits_unfinished", "bursts_unfinished")
    return {
        **{name: int(record[name]) for name in whole},
        **{name: int(bank["time_ns"][phase]) for name, phase in BANK_TIMES.items()},
        **{name: int(bank[name]) for name in counted},
        **{name: bank[name].tolist() for name in HISTOGRAMS},
    }


def rows_of(window: RawWindow) -> dict[int, dict[str, object]]:
    found = {int(record["tid"]) - FIRST_TID: numbers_of(record) for record in window.tasks}
    assert len(found) == len(window.tasks), "a task was reported twice"
    return found


def total_of(window: RawWindow) -> dict[str, object]:
    """Sums over all rows and all that was folded."""
    banks = [*window.tasks["bank"], *window.folded["bank"]]
    alive = int(window.tasks["alive_ns"].sum() + window.folded["alive_ns"].sum())
    return {
        "alive_ns": alive,
        **{name: sum(int(bank["time_ns"][phase]) for bank in banks) for name, phase in BANK_TIMES.items()},
        **{name: sum(int(bank[name]) for bank in banks) for name in (*model.COUNTERS, "bursts", "burst_tat_sum_ns")},
        **{name: sum(bank[name] for bank in banks).tolist() for name in HISTOGRAMS},
    }


def expected_total(rows: list[dict[str, object]]) -> dict[str, object]:
    names = ("alive_ns", *BANK_TIMES, *model.COUNTERS, "bursts", "burst_tat_sum_ns")
    lists = {name: np.sum([row[name] for row in rows], axis=0).astype(int).tolist() for name in HISTOGRAMS if rows}
    empty = {name: [0] * layout.TASK_BUCKETS for name in HISTOGRAMS}
    return {name: sum(row[name] for row in rows) for name in names} | (lists or empty)


def assert_rows_equal_the_model(history, windows, least):
    lives = model.lives(history.events)
    for (start, end), window in zip(history.windows, windows, strict=True):
        assert (window.start_ns, window.end_ns) == (start, end)
        rows = {task: model.row(life, start, end) for task, life in lives.items()}
        active = {t: row for t, row in rows.items() if row["alive_ns"] and model.demand_ns(row) >= least}
        assert rows_of(window) == active
        assert total_of(window) == expected_total(list(rows.values()))
        left_out = [row["open_wait_ns"] for task, row in rows.items() if task not in active]
        assert int(window.folded["open_wait_ns"].max()) == max(left_out, default=0)
        alive = sum(row["alive_ns"] > 0 for row in rows.values())
        assert int(window.folded["tasks"].sum()) == alive - len(active)
        assert not any(window.losses.values())


def assert_cpus_equal_the_model(history, windows):
    lives = list(model.lives(history.events).values())
    for (start, end), window in zip(history.windows, windows, strict=True):
        for cpu, bank in enumerate(window.cpus):
            found = {name: int(bank["time_ns"][phase]) for name, phase in CPU_TIMES.items()}
            assert found | {"switches": int(bank["switches"])} == model.cpu_row(history.events, cpu, start, end)
            for kind, samples in zip(layout.SAMPLE_KINDS, bank["samples"][1], strict=True):
                named = {name: samples[name].tolist() for name in ("sum_ns", "max_ns", "histogram")}
                assert named == model.samples(lives, kind, cpu, start, end)


def cpu_times(window, cpu: int = 0) -> dict[str, int]:
    return {name: int(window.cpus["time_ns"][cpu, phase]) for name, phase in CPU_TIMES.items()}


def assert_law_2(window) -> None:
    times = [cpu_times(window, cpu) for cpu in range(len(window.cpus))]
    rest = sum(time[name] for time in times for name in ("idle_ns", "teardown_ns", "untracked_ns"))
    rest += int(window.cpus["time_ns"][:, layout.CPU_OFFLINE].sum())
    assert total_of(window)["running"] + rest == (window.end_ns - window.start_ns) * len(window.cpus)
