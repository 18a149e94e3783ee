"""Datasets: what is written comes back, no run is on both sides of the split, and what is damaged is one line."""

import hashlib
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import small_runs
import small_traces
import traces
from click.testing import CliRunner
from event_words import life, lost, pieces, recorded, switch, wakeup
from hypothesis import given
from hypothesis import strategies as st
from refusals import refused
from small_runs import drawn_run
from small_traces import IDLE as SWAPPER
from small_traces import A, B, windows
from traces import PERF

import schedtel
from schedtel.cli import group
from schedtel.errors import RecordingError, UsageError
from schedtel.oracle.dataset import Dataset, DatasetWriter, datasets_at, split
from schedtel.oracle.evaluation import evaluate
from schedtel.oracle.gather import run_of_recording, run_of_trace
from schedtel.oracle.models import Model, save_model
from schedtel.oracle.page import read_evaluation
from schedtel.oracle.pointer import SHAPES, Weights
from schedtel.oracle.runs import IDLE, NOBODY, Kind, Left, Run, cut, from_parquet, to_parquet

NOTHING = Weights(**{name: np.zeros(shape, np.float32) for name, shape in SHAPES.items()})


def written(where, runs=2, workloads=("web", "pipe"), begin=0):
    writer = DatasetWriter(where)
    for number in range(1, runs + 1):
        for at, workload in enumerate(workloads):
            writer.add(drawn_run(begin + 10 * at + number, 650, workload=workload, number=number))
    writer.finish({})
    return where


@pytest.fixture
def dataset(tmp_path):
    return written(tmp_path / "data")


def oracle(*words):
    return CliRunner().invoke(group, ["oracle", *map(str, words)], catch_exceptions=True)


# ---- runs ----


def test_a_run_comes_back_as_it_was():
    run = cut(drawn_run(1), 0, 100)
    found = from_parquet(to_parquet(run).to_pybytes(), "a file", "digest")
    assert (found.workload, found.number, found.digest) == ("web", 1, "digest")
    assert [tuple(map(int, event)) for event in named(found)] == [tuple(map(int, event)) for event in named(run)]


def named(run):
    """The events with the tasks by a number that both runs have in common: that of the role's name."""
    ids = np.array([hash(role) % 2**31 for role in run.roles] + [NOBODY])
    events = run.events.copy()
    events["task"], events["previous"] = ids[events["task"]], ids[events["previous"]]
    return events


def test_a_part_of_a_run_has_the_tasks_of_that_part_and_times_from_zero():
    run = drawn_run(1)
    part = cut(run, 2_000_000, 10)
    assert part.switches == 10
    assert part.events["time_ns"][0] == 0
    begin = np.searchsorted(run.events["time_ns"], run.events["time_ns"][0] + 2_000_000)
    whole = run.events[begin : begin + len(part.events)]
    assert [part.roles[task] for task in part.events["task"] if task >= 0] == [
        run.roles[task] for task in whole["task"] if task >= 0
    ]
    assert cut(run, 10**15, 10).switches == 0


def test_a_recording_becomes_roles_with_gaps_where_events_are_missing(tmp_path):
    lives = [life(5, 1, tid, comm) for tid, comm in ((7, b"db"), (8, b"db"), (9, b"sh"))]
    events = [switch(10, 8, 0), wakeup(20, 7, 0), lost(30, 4), switch(30, 9, 8, state=0x100), switch(40, 7, 9, state=1)]
    where = recorded(tmp_path / "rec", pieces({0: events}, *lives, life(25, 3, 9, b"vi")))
    run = run_of_recording(where, "web", 1)
    assert run.roles == ("idle", "db#1", "db#2", "vi#1")  # in the order of appearance, by the last name
    assert run.events["kind"].tolist() == [Kind.SWITCH, Kind.WAKEUP, Kind.GAP, Kind.SWITCH, Kind.SWITCH]
    assert run.events["task"].tolist() == [1, 2, NOBODY, 3, 2]
    assert run.events["previous"].tolist() == [IDLE, NOBODY, NOBODY, 1, 3]
    assert run.events["left"].tolist()[3:] == [Left.PREEMPTED, Left.BLOCKED]
    told = run_of_recording(where, "web", 1, lambda comm: comm == "vi")
    assert told.roles == ("idle", "other#1", "other#2", "vi#1")


def test_a_trace_of_perf_becomes_the_same_roles(tmp_path):
    db, twin, shell, idle = ("db", 7), ("db", 8), ("sh", 9), ("swapper/0", 0)
    lines = [
        traces.switch(PERF, 1_000_010_000, 0, idle, twin),
        traces.woken(PERF, 1_000_020_000, 0, db),
        traces.switch(PERF, 1_000_030_000, 0, twin, shell, state="R+"),
        traces.switch(PERF, 1_000_040_000, 0, shell, db),
    ]
    (tmp_path / "trace").write_text("\n".join(lines) + "\n")
    run = run_of_trace(str(tmp_path / "trace"), "web", 1)
    assert run.roles == ("idle", "db#1", "db#2", "sh#1")
    assert run.events["task"].tolist() == [1, 2, 3, 2]
    assert run.events["left"].tolist() == [Left.BLOCKED, 0, Left.PREEMPTED, Left.BLOCKED]
    assert np.diff(run.events["time_ns"]).tolist() == [10_000] * 3


# ---- splits ----


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=30))
def test_each_workload_has_its_first_runs_to_learn_from_and_others_to_test_on(workloads):
    sides = split(workloads)
    for name in set(workloads):
        own = [side for side, of in zip(sides, workloads, strict=True) if of == name]
        assert own == sorted(own, reverse=True)
        assert not own[-1]
        assert len(own) == 1 or own[0]
    assert split(["web"] * 5) == [True] * 3 + [False] * 2


def test_no_events_are_on_both_sides(dataset):
    found = Dataset(dataset)
    sides = [{run.events.tobytes() for run in found.runs(is_for_training=side)} for side in (True, False)]
    assert [len(side) for side in sides] == [2, 2]
    assert not sides[0] & sides[1]


def test_a_recording_that_is_given_twice_is_refused(tmp_path):
    writer = DatasetWriter(tmp_path / "data")
    writer.add(drawn_run(1))
    assert "the same run as web/1" in refused(UsageError, writer.add, drawn_run(1, number=2))


def test_a_model_is_not_tested_on_what_it_learned_from(dataset):
    found = Dataset(dataset)
    digests = {side: next(found.runs(is_for_training=side)).digest for side in (True, False)}
    seen = Model({0: NOTHING}, (digests[False],), ("web",), {})
    assert "the model learned from this run" in refused(UsageError, evaluate, [found], seen, 500, None, print)
    unseen = Model({0: NOTHING}, (digests[True],), ("web",), {})
    (judged,) = evaluate([found], unseen, 500, None, print)["datasets"]
    assert judged["parts"]["runs"]["all"]["forecasts"] > 100


def test_a_run_that_is_in_two_datasets_is_refused_since_it_could_be_on_both_sides(dataset, tmp_path):
    other = written(tmp_path / "other", runs=3)
    assert "the same run as" in refused(UsageError, datasets_at, (str(dataset), str(other)))
    assert "the same run as" in refused(UsageError, datasets_at, (str(dataset), str(dataset)))


def test_networks_learn_from_several_datasets_and_each_is_judged_apart(dataset, tmp_path, monkeypatch):
    """Of web and pipe in one dataset and web in another one, with one run of each to learn from and one to test on."""
    pytest.importorskip("torch", reason="needs torch, of the extra learn")
    from schedtel.oracle import networks  # noqa: PLC0415  (as the commands do)

    learned = []

    def trained(samples, seed, epochs):
        learned.append([each.run.digest for each in samples])
        return NOTHING

    monkeypatch.setattr(networks, "FIRST", networks.Tuning(1e-2, 8, 16))
    monkeypatch.setattr(networks, "trained_pointer", trained)
    other = written(tmp_path / "other", workloads=("web",), begin=50)
    both = datasets_at([str(dataset), str(other)])
    judged = evaluate(both, Model({0: NOTHING}, (), ("web",), {}), 30, 1, print)
    web, pipe, elsewhere = (entry.digest for each in both for entry in each.entries if entry.is_for_training)
    # Without web, without pipe; without the first dataset, without the other one.
    assert learned == [[pipe], [web, elsewhere], [elsewhere], [web, pipe]]
    found = [
        {part: list(told["all"]["rows"][0]["by_workload"]) for part, told in each["parts"].items()}
        for each in judged["datasets"]
    ]
    assert found[0] == {"runs": ["web", "pipe"], "workloads": ["web", "pipe"], "datasets": ["web", "pipe"]}
    assert found[1] == {"runs": ["web"], "workloads": ["web"], "datasets": ["web"]}
    assert [each["name"] for each in judged["datasets"]] == [str(dataset), str(other)]


# ---- the command ----


def test_recordings_become_a_dataset_an_evaluation_and_a_page(dataset, tmp_path):
    save_model(Model({0: NOTHING}, (), ("web",), {}), tmp_path / "model")
    done = oracle("evaluate", dataset, "--model", tmp_path / "model", "-o", tmp_path / "judged.json")
    assert done.exit_code == 0, done.output
    assert "markov2" in done.output
    rows = {
        row["forecaster"]: row
        for row in read_evaluation(str(tmp_path / "judged.json"))["datasets"][0]["parts"]["runs"]["all"]["rows"]
    }
    # A network of zeros gives each candidate, and another task, the same chance.
    assert rows["pointer"]["nll"]["value"] > np.log(5)
    assert rows["markov2"]["top1"]["value"] > rows["pointer"]["top1"]["value"]
    done = oracle("report", tmp_path / "judged.json", "-o", tmp_path / "page.html")
    assert done.exit_code == 0, done.output
    page = (tmp_path / "page.html").read_text()
    assert "<script" not in page
    assert f"{rows['markov2']['top1']['value']:.3f}" in page


def test_what_exists_becomes_a_dataset_by_the_command(tmp_path):
    for number in (1, 2):
        events = [
            event for at in range(200) for event in (switch(1000 * at, 7, 0), switch(1000 * at + 500 + number, 0, 7))
        ]
        recorded(tmp_path / f"rec{number}", pieces({0: events}, life(5, 1, 7, b"db")))
    sources = [word for number in (1, 2) for word in ("--from", f"web={tmp_path / f'rec{number}'}")]
    done = oracle("dataset", "-o", tmp_path / "data", *sources, "--licence", "free")
    assert done.exit_code == 0, done.output
    found = Dataset(tmp_path / "data")
    assert [(entry.workload, entry.number, entry.is_for_training) for entry in found.entries] == [
        ("web", 1, True),
        ("web", 2, False),
    ]
    assert found.card["licence"] == "free"
    assert next(found.runs(is_for_training=False)).switches == 400


@pytest.mark.parametrize(
    ("shares", "taken"),
    [([0.5], 0.5), ([0.9, 0.95, 0.3], 0.3), ([0.95, 0.9, *[0.97] * 8], 0.9)],
    ids=["at once", "at last", "never"],
)
def test_a_run_that_others_fill_is_made_again_and_the_one_with_the_least_is_taken(tmp_path, monkeypatch, shares, taken):
    """Of 20 switches of a run, so many are to another job."""
    left = list(shares)

    def made(spec, number, length_ns, switches, on_stop):
        others = round(20 * left.pop(0))
        events = [small_runs.switch(at, 0, 0, 2 if at < others else 1) for at in range(20)]
        return Run(spec, number, ("idle", "own#1", "other#1"), small_runs.run_of(events).events)

    monkeypatch.setattr("schedtel.oracle.recorded.recorded_run", made)
    done = oracle("dataset", "-o", tmp_path / "data", "--workload", "web", "--runs", "1", "--most-others", "0.85")
    assert done.exit_code == 0, done.output
    assert left == []
    (told,) = Dataset(tmp_path / "data").card["runs"]
    assert told["others"] == pytest.approx(taken, abs=0.051)


def who_came(run):
    """The role and the moment of each event, since the first one."""
    times = run.events["time_ns"] - run.events["time_ns"][0]
    return [(run.roles[task], ns) for task, ns in zip(run.events["task"].tolist(), times.tolist(), strict=True)]


def test_runs_of_other_datasets_become_one_with_what_is_known_of_their_machine(dataset, tmp_path):
    card = json.loads((dataset / "card.json").read_text())
    (dataset / "card.json").write_text(json.dumps(card | {"kernel": "6.18-guest", "cpus": 7}))
    names = [run["workload"] for run in card["runs"]]
    sources = [word for name in dict.fromkeys(names) for word in ("--from", f"{name}={dataset}")]
    done = oracle("dataset", "-o", tmp_path / "one", *sources)
    assert done.exit_code == 0, done.output
    found, before = Dataset(tmp_path / "one"), Dataset(dataset)
    assert (found.card["kernel"], found.card["cpus"]) == ("6.18-guest", 7)
    pairs = zip(*(sorted(each.entries, key=lambda entry: entry.file) for each in (found, before)), strict=True)
    for entry, told in pairs:
        assert who_came(found.read(entry)) == who_came(before.read(told))
    assert "cannot take nothing from" in refused(UsageError, before.runs_of, "nothing")


def test_a_card_says_how_much_of_a_run_is_of_other_jobs(tmp_path):
    events = [small_runs.switch(at, 0, *pair) for at, pair in enumerate([(0, 1), (1, 2), (2, 1), (1, 0)])]
    beside = Run("web", 1, ("idle", "own#1", "other#1"), small_runs.run_of(events).events)
    writer = DatasetWriter(tmp_path / "data")
    writer.add(beside)
    writer.finish({})
    (told,) = Dataset(tmp_path / "data").card["runs"]
    assert told["others"] == 0.25


def damaged(where, how):
    """The dataset with something wrong, by name."""
    file, card = where / "web/part-000002.parquet", where / "card.json"
    if how == "truncated":
        file.write_bytes(file.read_bytes()[:-50])
    elif how == "foreign":
        pq.write_table(pa.table({"a": [1]}), file)
        keep_digest(where)
    elif how == "rolled back":
        table = pq.read_table(file)
        pq.write_table(table.take(list(range(table.num_rows))[::-1]), file)
        keep_digest(where)
    elif how == "missing":
        file.unlink()
    elif how == "no card":
        card.unlink()
    elif how == "no JSON":
        card.write_text("{")
    elif how == "outside":
        card.write_text(card.read_text().replace('"web/part-000002.parquet"', '"../web/part-000002.parquet"'))
    else:
        card.write_text(card.read_text().replace('"version": 1', '"version": 9'))


def keep_digest(where):
    """Have the card name the file that is there."""
    card = json.loads((where / "card.json").read_text())
    for run in card["runs"]:
        run["sha256"] = hashlib.sha256((where / run["file"]).read_bytes()).hexdigest()
    (where / "card.json").write_text(json.dumps(card))


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("truncated", "not the file that the card names"),
        ("foreign", "no run of a dataset"),
        ("rolled back", "cannot read"),
        ("missing", "No such file"),
        ("no card", "it is no dataset"),
        ("no JSON", "no card of a dataset"),
        ("outside", "no card of a dataset"),
        ("version", "its version is 9"),
    ],
)
def test_a_damaged_dataset_is_one_line_and_status_2(dataset, tmp_path, how, why):
    damaged(dataset, how)
    save_model(Model({0: NOTHING}, (), ("web",), {}), tmp_path / "model")
    done = oracle("evaluate", dataset, "--model", tmp_path / "model")
    assert isinstance(done.exception, schedtel.SchedtelError)
    assert why in str(done.exception)
    assert "\n" not in str(done.exception)


def test_a_recording_of_windows_is_no_recording_of_events(tmp_path):
    recorder = schedtel.Recorder(tmp_path / "rec", window="1s")
    recorder.add(windows(small_traces.switch(1, 0, SWAPPER, A), small_traces.switch(2, 0, A, B))[0])
    recorder.flush()
    done = oracle("dataset", "-o", tmp_path / "data", "--from", f"web={tmp_path / 'rec'}")
    assert isinstance(done.exception, RecordingError)
    assert "it is a recording of windows" in str(done.exception)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"evaluation": "schedtel.oracle", "version": 3, "datasets": 3}'])
def test_a_file_that_is_no_evaluation_is_refused(tmp_path, content):
    (tmp_path / "file").write_text(content)
    assert "it is none, or damaged" in refused(UsageError, read_evaluation, str(tmp_path / "file"))
