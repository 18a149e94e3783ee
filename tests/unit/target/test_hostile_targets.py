"""Targets that lie: each is told in one line, and nothing of it is in the controller's store."""

import contextlib
import copy
import itertools
import json
import math

import pyarrow as pa
import pyarrow.flight as fl
import pytest
from targets import TOKEN

from schedtel._version import __version__
from schedtel.access.tls import Tls
from schedtel.errors import SchedtelError
from schedtel.experiments.design import cells
from schedtel.experiments.spec import spec_of
from schedtel.experiments.store import read_store
from schedtel.flight import wire
from schedtel.flight.assembly import UntrustedError
from schedtel.flight.token_check import TokenCheck
from schedtel.flight.wire import END, WINDOW, Event
from schedtel.target.answers import run_of
from schedtel.target.client import Connection
from schedtel.target.experiment import TargetExperiment

SPEC = spec_of({"workloads": ["web"], "schedulers": ["eevdf"], "duration": "1s", "repeats": 1}, "the experiment")
(CELL,) = cells(SPEC)
FACTS = {"host": "liar", "window": "500ms", "run": "20260101T000000.000000Z-000000"}
SCHEMA = wire.windows_schema(FACTS)
RUN = {
    "cell": vars(CELL),
    "figures": {"tat_mean_ns": 1.5},
    "classes": {"request": {"tat_mean_ns": 1.5}},
    "cpus": {"0": {"busy_share": 0.5}, "11": {"busy_share": 0.25}},
    "provenance": {"windows": 2, "kernel": "6.18", "governor": None, "late": "", "loops_per_us": 500.0},
}
HONEST = {
    "describe": {"schedtel": __version__, "machine": "target liar"},
    "check": {},
    "begin": {"session": "k"},
    "run": {},
    "renew": {"state": "done", "cell": CELL.key, "run": FACTS["run"]},
    "result": RUN,
    "end": {},
}


class Liar(fl.FlightServerBase):
    """Answers as it is told to: a table, or bytes."""

    def __init__(self, answers, batches):
        super().__init__("grpc://127.0.0.1:0", middleware={"token": TokenCheck(TOKEN)})
        self._answers, self._batches = answers, batches

    def do_action(self, _context, action):
        answer = self._answers[action.type]
        if callable(answer):
            return answer()
        return [answer if isinstance(answer, bytes) else json.dumps(answer).encode()]

    def get_flight_info(self, _context, descriptor):
        return fl.FlightInfo(SCHEMA, descriptor, [], -1, -1)

    def do_get(self, _context, _ticket):
        # Flight for Python would not send the dictionaries of a bare batch.
        return fl.GeneratorStream(SCHEMA, (fl.RecordBatchStream(pa.Table.from_batches([b])) for b in self._batches))


@contextlib.contextmanager
def experiment(root, batches, **answers):
    """An experiment on a target with these answers in the place of honest ones."""
    with (
        Liar(HONEST | answers, batches) as server,
        Connection(f"grpc://127.0.0.1:{server.port}", TOKEN, Tls()) as connection,
    ):
        yield lambda: TargetExperiment(SPEC, root, connection).run()


def batches_of(events):
    return [batch for event in events for batch in wire.pack(event, SCHEMA)]


def honest(windows):
    return batches_of([*(Event(WINDOW, n, 0, w) for n, w in enumerate(windows[:2], 1)), Event(END, 2)])


def refused(run):
    with pytest.raises(SchedtelError) as caught:
        run()
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500
    return caught.value


def changed(*path, to):
    """The run with another value in one place."""
    found = copy.deepcopy(RUN)
    inner = found
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = to
    return found


def test_an_honest_target_is_believed(windows, tmp_path):
    with experiment(tmp_path / "runs", honest(windows)) as run:
        assert run() == 1
    (found,) = read_store(tmp_path / "runs")[1]
    assert found.figures == RUN["figures"]
    assert found.cpus == RUN["cpus"]
    assert found.provenance == RUN["provenance"] | {"target": "target liar"}


LIES = {
    "another cell": changed("cell", "repeat", to=2),
    "no cell": {**RUN, "cell": None},
    "a cell whose numbers are texts": changed("cell", "seed", to=str(CELL.seed)),
    "a figure that is a text": changed("figures", "tat_mean_ns", to="1"),
    "a figure that is a list": changed("figures", "tat_mean_ns", to=[1]),
    "a figure that is true": changed("figures", "tat_mean_ns", to=True),
    "a figure larger than any float": changed("figures", "tat_mean_ns", to=10**400),
    "a name that is a path": changed("figures", "../../x", to=1.0),
    "a name that acts on a terminal": changed("figures", "\x1b[2J", to=1.0),
    "more figures than any run": {**RUN, "figures": {f"f{n}": 1.0 for n in range(65)}},
    "figures that are no table": {**RUN, "figures": [1]},
    "a class that the workload has not": changed("classes", "other", to={}),
    "a CPU that is a path": changed("cpus", "../0", to={}),
    "a CPU without figures": changed("cpus", "0", to=None),
    "no CPUs": {name: value for name, value in RUN.items() if name != "cpus"},
    "a table in the provenance": changed("provenance", "kernel", to={"a": 1}),
    "no provenance": {name: value for name, value in RUN.items() if name != "provenance"},
    "no JSON": b"\xff",
    "an infinite figure": b'{"cell": {}, "figures": {"x": Infinity}}',
    "JSON that is deep": b'{"cell": ' + b"[" * 100_000,
    "nothing": b"",
    "more than a message may have": b" " * (5 << 20),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_run_that_is_none_is_refused_and_not_kept(windows, tmp_path, lie):
    with experiment(tmp_path / "runs", honest(windows), result=LIES[lie]) as run:
        refused(run)
    assert read_store(tmp_path / "runs")[1] == []


def test_a_windows_count_that_is_wrong_is_refused(windows, tmp_path):
    one = batches_of([Event(WINDOW, 1, 0, windows[0]), Event(END, 1)])
    missed = batches_of([Event(WINDOW, 1, 0, windows[0]), Event(WINDOW, 3, 1, windows[1]), Event(END, 3)])
    cut = batches_of([Event(WINDOW, n, 0, w) for n, w in enumerate(windows[:2], 1)])
    for number, batches in enumerate((one, missed, cut, [])):
        with experiment(tmp_path / f"runs-{number}", batches) as run:
            refused(run)
        assert read_store(tmp_path / f"runs-{number}")[1] == []


@pytest.mark.parametrize(
    "answers",
    [
        {"describe": {}},
        {"describe": {"schedtel": "\x1b[2J" * 200, "machine": "x"}},
        {"describe": {"schedtel": __version__, "machine": "a\nb"}},
        {"describe": {"schedtel": __version__, "machine": "x" * 300}},
        {"describe": {"schedtel": __version__, "machine": ["x"]}},
        {"describe": b"\0"},
        {"describe": lambda: itertools.repeat(b" " * 100_000)},
        {"begin": {}},
        {"begin": {"session": 1}},
        {"renew": {"state": "failed", "cell": CELL.key, "why": "a\x1b[2Jb\nc" * 2000}},
        {"renew": {"state": "failed", "cell": CELL.key, "why": {"a": 1}}},
        {"renew": {"state": "else", "cell": CELL.key}},
        {"renew": {"state": "done", "cell": CELL.key, "run": 7}},
        {"renew": {"state": "done", "cell": CELL.key, "run": "x" * 5000}},
        {"renew": b"[]"},
    ],
)
def test_an_answer_that_is_none_is_refused(windows, tmp_path, answers):
    with experiment(tmp_path / "runs", honest(windows), **answers) as run:
        refused(run)
    assert not list(tmp_path.glob("runs/runs/*/run.json"))


def test_what_a_target_says_reaches_the_store_as_one_line():
    run = run_of(changed("provenance", "late", to="a\x1b[2J\nb" * 5000), CELL, ["request"])
    assert str(run.provenance["late"]).isprintable()
    assert len(str(run.provenance["late"])) < 50_000
    with pytest.raises(UntrustedError):
        run_of({**RUN, "figures": {"x": math.inf}}, CELL, ["request"])
