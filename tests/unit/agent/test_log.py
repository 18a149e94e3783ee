"""The log: what comes back is what was written, whole after each row; others cannot read it; damage is one line."""

import os
import stat
import subprocess
import sys
from dataclasses import replace

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from agents import ARMS, lived, made

import schedtel
from schedtel.agent.context import CHOSEN
from schedtel.agent.log import DecisionLog, read_log


def plain(entry):
    """An entry without arrays, which do not compare as one."""
    vector = entry.context.features
    context = (vector.names, vector.values.tolist(), vector.mask.tolist(), entry.context.running)
    return replace(entry, context=(*context, entry.context.busiest_cpu), arms=tuple(entry.arms))


@pytest.fixture
def entries():
    return lived(made(), 30, seed=6)


def write(where, entries):
    log = DecisionLog(where, CHOSEN)
    for entry in entries:
        log.append(entry)
    return log


def test_what_was_written_comes_back(tmp_path, entries):
    guarded = replace(entries[3], propensities={}, reason="breach: p99", reward=None, arm=ARMS[0])
    some = replace(entries[4], propensities={ARMS[0]: 0.25, ARMS[2]: 0.75}, arm=ARMS[2], gap_ns=70_000_000)
    write(tmp_path / "log", [*entries, guarded, some])
    back = read_log(tmp_path / "log")
    assert [plain(entry) for entry in back] == [plain(entry) for entry in [*entries, guarded, some]]


def test_a_row_is_there_before_its_reward_is_known(tmp_path, entries):
    log = DecisionLog(tmp_path / "log", CHOSEN)
    log.append(replace(entries[0], reward=None))
    assert [entry.reward for entry in read_log(tmp_path / "log")] == [None]
    log.settle(0.5, gap_ns=7, reason="too slow")
    (row,) = read_log(tmp_path / "log")
    assert (row.reward, row.gap_ns, row.reason) == (0.5, 7, "too slow")


def test_a_log_that_is_opened_again_goes_on_and_parts_end(tmp_path, entries, monkeypatch):
    monkeypatch.setattr("schedtel.agent.log._MOST_ROWS", 8)
    write(tmp_path / "log", entries[:20])
    write(tmp_path / "log", entries[20:])
    assert len(list((tmp_path / "log/decisions").iterdir())) == 5
    assert [entry.time_ns for entry in read_log(tmp_path / "log")] == [entry.time_ns for entry in entries]


def test_only_the_owner_can_read_it_and_others_can_query_it(tmp_path, entries):
    write(tmp_path / "log", entries)
    paths = [tmp_path / "log", tmp_path / "log/decisions", *(tmp_path / "log/decisions").iterdir()]
    assert [stat.S_IMODE(path.stat().st_mode) & 0o077 for path in paths] == [0, 0, 0]
    found = duckdb.sql(f"select arm, count(*), avg(reward) from '{paths[-1]}' group by arm order by arm").fetchall()
    mine = {arm: [entry.reward for entry in entries if entry.arm == arm] for arm in sorted({e.arm for e in entries})}
    assert [(arm, n, pytest.approx(mean)) for arm, n, mean in found] == [
        (arm, len(rewards), np.mean(rewards)) for arm, rewards in mine.items()
    ]


def test_writing_it_does_not_import_pandas(tmp_path):
    code = (
        "import sys; from agents import *; from schedtel.agent.log import *; from schedtel.agent.context import CHOSEN;"
        f"log = DecisionLog({str(tmp_path / 'log')!r}, CHOSEN); [log.append(e) for e in lived(made(), 3, 1)];"
        "print('pandas' in sys.modules, 'torch' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": "tests/support"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_other_features_are_refused(tmp_path, entries):
    log = DecisionLog(tmp_path / "log", CHOSEN[:3])
    with pytest.raises(schedtel.UsageError, match="not those of the log"):
        log.append(entries[0])
    with pytest.raises(schedtel.UsageError, match="no feature"):
        DecisionLog(tmp_path / "other", ["moon"])


BY_HAND = {
    "a chance that is none": {"propensities": [[0.5, 0.6, 0.5]]},
    "a negative chance": {"propensities": [[1.5, -0.5, 0.0]], "propensity": [1.5]},
    "an arm without a chance": {"arm": [ARMS[1]], "propensities": [[1.0, 0.0, 0.0]], "propensity": [0.0]},
    "another propensity": {"propensity": [0.123]},
    "an unknown arm": {"arm": ["moon"]},
    "no arms": {"arms": [[]]},
    "two arms of a name": {"arms": [[ARMS[0]] * 3]},
    "too few features": {"features": [[1.0]]},
    "no number": {"reward": [float("nan")]},
    "no time": {"time_ns": [None]},
    "no wall time": {"wall_time": [None]},
    "no features": {"features": [None]},
}


@pytest.mark.parametrize("columns", BY_HAND.values(), ids=BY_HAND)
def test_rows_that_make_no_sense_are_refused(tmp_path, entries, columns):
    write(tmp_path / "log", entries[:1])
    path = tmp_path / "log/decisions/part-000001.parquet"
    table = pq.read_table(path)
    for name, values in columns.items():
        place = table.schema.get_field_index(name)
        table = table.set_column(place, table.schema.field(place), pa.array(values, table.schema.field(place).type))
    pq.write_table(table, path)
    with pytest.raises(schedtel.RecordingError, match=r"row 1 makes no sense"):
        read_log(tmp_path / "log")


def test_what_is_no_log_is_refused(tmp_path, entries):
    write(tmp_path / "log", entries)
    path = tmp_path / "log/decisions/part-000001.parquet"
    content, table = path.read_bytes(), pq.read_table(path)
    for part in (content[: len(content) // 2], b"", b"hello"):
        path.write_bytes(part)
        with pytest.raises(schedtel.RecordingError, match="damaged"):
            read_log(tmp_path / "log")
    pq.write_table(table.drop_columns(["arm"]), path)
    with pytest.raises(schedtel.RecordingError, match="its columns"):
        read_log(tmp_path / "log")
    for key, value in ((b"schedtel.decisions_version", b"9"), (b"schedtel.features_version", b"9")):
        pq.write_table(table.replace_schema_metadata({**table.schema.metadata, key: value}), path)
        with pytest.raises(schedtel.UsageError, match="version"):
            read_log(tmp_path / "log")
    place = table.schema.get_field_index("features")
    long = pa.array([[0.0] * 20_000] * table.num_rows, table.schema.field(place).type)
    pq.write_table(table.set_column(place, table.schema.field(place), long), path)
    with pytest.raises(schedtel.RecordingError, match="its columns"):
        read_log(tmp_path / "log")
    for where in (tmp_path, tmp_path / "none"):
        with pytest.raises(schedtel.RecordingError, match="cannot read"):
            read_log(where)
