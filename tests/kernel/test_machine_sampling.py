"""The machine is sampled where that is asked for, in each window, by the collecting thread, and not otherwise."""

import json
import subprocess
import sys
import threading

import pytest
from observe import collecting

import schedtel
from schedtel import features

COMMAND = [sys.executable, "-m", "schedtel.cli"]


def rows(*arguments):
    done = subprocess.run([*COMMAND, *arguments], check=True, capture_output=True, text=True, timeout=60)
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("machine", [True, False])
def test_psutil_is_loaded_only_where_the_machine_is_sampled(machine):
    program = (
        "import schedtel, sys\n"
        f"with schedtel.live('50ms', count=2, machine={machine}) as source:\n"
        "    print([window.machine.num_rows for window in source], 'psutil' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout == f"[{int(machine)}, {int(machine)}] {machine}\n"


def test_sampling_starts_no_thread():
    before = threading.active_count()
    with schedtel.live("50ms", count=2, machine=True) as source:
        counts = [threading.active_count() for _ in source]
    # One imports modules while the kernel verifies the programs, and may not have ended yet.
    assert counts[-1] <= before + 1


def test_a_window_of_a_second_has_a_sample_each_tenth_of_it():
    with collecting("1s", machine=True) as collected:
        collected.await_windows(2)
    for window in collected.windows[1:-1]:
        assert 2 <= window.machine["machine_samples"][0].as_py() <= 11


def test_the_shortest_windows_have_readings_too_and_they_tile_time():
    with collecting("10ms", machine=True) as collected:
        collected.await_windows(30)
    read_ns = sum(window.machine["machine_ns"][0].as_py() for window in collected.windows)
    whole_ns = collected.windows[-1].end_ns - collected.windows[0].start_ns
    assert all(window.machine.num_rows == 1 for window in collected.windows)
    # The first reading is just before the first window, the last one just after the last.
    assert read_ns >= whole_ns - 10_000_000 * len(collected.windows)
    assert all(window.features()["machine_ns"] > 0 for window in collected.windows)


def test_the_command_writes_rows_of_this_machine_with_both_parts():
    first, second = rows("features", "-w", "200ms", "-n", "2")
    assert first["window_id"] == 1
    assert list(second) == [*features.IDENTITY, *(feature.name for feature in features.FEATURES)]
    assert second["memory_used_avg_bytes"] > 0
    assert first["memory_used_percent_change"] is None
    assert second["memory_used_percent_change"] is not None


def test_what_was_recorded_with_the_machine_has_both_parts_and_what_was_not_has_one(tmp_path):
    for name, options in {"with": ["--machine"], "without": []}.items():
        command = [*COMMAND, "record", "-o", tmp_path / name, "-w", "100ms", "-n", "2", "-q", *options]
        subprocess.run(command, check=True, timeout=60)
    whole, kernel = (rows("features", tmp_path / name)[1] for name in ("with", "without"))
    assert whole["memory_used_avg_bytes"] > 0
    assert kernel["memory_used_avg_bytes"] is None
    assert kernel["blocked_avg"] > 0


def test_a_stream_carries_the_readings_of_its_server(serving):
    _, uri = serving("--machine")
    (row,) = rows("features", uri, "-n", "1")
    assert row["memory_available_avg_bytes"] > 0
