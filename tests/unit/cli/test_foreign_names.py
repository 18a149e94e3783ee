"""Every command, found by introspection, with names and messages of others: they are shown and not obeyed.

A new command, and a new choice of an option, takes part by itself. A new argument needs a place in ``foreign.PLACES``.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import urllib.request

import exporting
import foreign
import pyarrow as pa
import pyarrow.flight as fl
import pytest
from foreign import ACTING, SEQUENCE
from serving import unused_port
from texts import TEXTS, TEXTS_OF_TABLES
from waiting import eventually

import schedtel
from schedtel.cli.display.choices import Choice
from schedtel.cli.display.view import View
from schedtel.foreign_text import Printable
from schedtel.windows.schema import ARROW

#: These of a peer must be printable (schedtel.windows.validation); the tests of strangers try others.
OF_A_PEER = {"kernel": ["k[/x]"], "scheduler": ["s[/x]"]}
HOST = "h[/x]\x1b]0;owned\x07\u202e\x9b2J\nh"
#: Commands that go on after the last window until a signal ends them, and what they say when they are there.
ENDLESS = {"prometheus": "exporting on", "serve": "serving on"}
CALLS = [pytest.param(call, id=" ".join(call)) for call in foreign.calls()]
#: Formats that are no text.
BINARY = ("arrow", "parquet")
#: Without those that write nothing on a terminal, or what is no text, or the same whatever their option is.
ON_TERMINALS = [
    call
    for call in CALLS
    if call.values[0][0] not in ("serve", "export", "import") and not {*BINARY, "--table"} & set(call.values[0])
]


@pytest.fixture(scope="module")
def places(tmp_path_factory, windows):
    """What the words of ``foreign.PLACES`` stand for, hostile and harmless."""
    folder = tmp_path_factory.mktemp("hostile\x1b[31m\udcff\u202e")
    hostile = foreign.recorded(folder / "hostile\n\x1b]0;owned\x07[/x]", windows, TEXTS_OF_TABLES.values(), HOST)
    served = foreign.recorded(folder / "served", windows, TEXTS_OF_TABLES.values(), "h[/x]", **OF_A_PEER)
    harmless = foreign.recorded(folder / "harmless", windows, ["harmless"] * len(TEXTS), "host")
    trace = folder / "trace\x1b]0;owned\x07"
    trace.write_bytes(b"".join(_lines()))
    with (
        schedtel.serve(schedtel.read(served), "grpc://127.0.0.1:0") as server,
        schedtel.serve(schedtel.read(harmless), "grpc://127.0.0.1:0") as other,
        unused_port() as port,
    ):
        for one in (server, other):
            threading.Thread(target=one.run, daemon=True).start()
        common = {"TRACE": trace, "ENDPOINT": f"http://127.0.0.1:{port}", "LISTEN": "grpc://127.0.0.1:0"}
        yield {
            "hostile": {**common, "RECORDING": hostile, "URI": server.uri},
            "harmless": {**common, "RECORDING": harmless, "URI": other.uri},
        }
        for one in (server, other):
            one.stop()


def _lines():
    for number, name in enumerate(name for name in TEXTS.values() if b"\n" not in name and len(name) < 16):
        fields = (name, 100 + number, name, 101 + number)
        switch = b"prev_comm=%b prev_pid=%d prev_prio=120 prev_state=S ==> next_comm=%b next_pid=%d next_prio=120"
        yield b"%16b %5d [000] %d.000000: sched:sched_switch: " % (name, 100 + number, 1000 + number)
        yield switch % fields + b"\n"


def filled(call, places, output):
    if output.exists():
        shutil.rmtree(output) if output.is_dir() else output.unlink()
    words = {**places, "OUTPUT": output} | ({"LISTEN": "127.0.0.1:0"} if "prometheus" in call else {})
    return [str(words.get(word, word)) for word in call]


def run_in_pipes(arguments):
    """Run a command; one that goes on for ever is ended by a signal, once it says that it is there."""
    command = [sys.executable, "-m", "schedtel.cli", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    first = b""
    if sign := next((ENDLESS[word] for word in arguments[:2] if word in ENDLESS), None):
        first = process.stderr.readline()
        assert first.startswith(sign.encode()), first
        if "prometheus" in arguments:
            _scraped(first.split()[-1].decode())
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, (first + err).decode()


def _scraped(url):
    """Wait until the exporter has the whole recording: by then it takes signals, too. Its labels are the names."""

    def labels():
        with urllib.request.urlopen(url) as answer:
            return {dict(key).get("cgroup") for _, key in exporting.samples(answer.read().decode())}

    eventually(lambda: set(TEXTS_OF_TABLES.values()) <= labels())


@pytest.mark.parametrize("call", CALLS)
def test_in_a_pipe_no_byte_of_a_name_acts(call, places, tmp_path):
    status, out, err = run_in_pipes(filled(call, places["hostile"], tmp_path / "out"))
    assert "Traceback" not in err
    assert status in (0, 2) if call[:2] == ("export", "otlp") else status == 0, err
    assert not ACTING.search(err)
    if not {*BINARY} & set(call):
        assert not ACTING.search(out.decode())


@pytest.fixture(scope="module")
def sequences(places):
    """Those with which rich colours pages of harmless windows and moves the cursor."""
    recording, uri = str(places["harmless"]["RECORDING"]), places["harmless"]["URI"]
    pages = [["show", recording, "--by", by] for by in ("task", "preemption", "wait")]
    calls = [*pages, ["subscribe", uri], ["compare", recording, recording]]
    return {found for call in calls for found in SEQUENCE.findall(foreign.on_terminal(call)[1])}


@pytest.mark.parametrize("call", ON_TERMINALS)
def test_on_a_terminal_a_command_writes_the_same_sequences_whatever_the_names(call, places, sequences, tmp_path):
    status, written = foreign.on_terminal(filled(call, places["hostile"], tmp_path / "out"))
    assert status == 0, written
    assert not ACTING.search(SEQUENCE.sub("", written).replace("\r", ""))
    assert set(SEQUENCE.findall(written)) <= sequences


def test_data_has_the_names_as_they_are(places):
    hostile = places["hostile"]["RECORDING"]
    status, out, _ = run_in_pipes(["show", str(hostile), "--format", "ndjson"])
    names = [{task["comm"] for task in json.loads(line)["tasks"]} for line in out.decode().splitlines()]
    assert (status, names) == (0, [{text} for text in TEXTS_OF_TABLES.values()])
    for table in ARROW:
        _, out, _ = run_in_pipes(["show", str(hostile), "--format", "arrow", "--table", table])
        stored = [getattr(window, table) for window in schedtel.read(hostile)]
        assert pa.ipc.open_stream(out).read_all().to_pylist() == [row for batch in stored for row in batch.to_pylist()]


@pytest.mark.parametrize("by", ["task", "process", "cgroup", "comm", "preemption", "wait"])
@pytest.mark.parametrize("text", TEXTS_OF_TABLES.values(), ids=TEXTS_OF_TABLES)
def test_a_row_stays_a_row_and_columns_stay_below_each_other(windows, by, text):
    harmless, hostile = (_page(foreign.named(windows[0], 1, name), by) for name in ("x" * 40, text))
    assert len(hostile) == len(harmless)
    shown = Printable(text).strip()[:8]
    assert any(shown in row for row in hostile)
    assert max(map(_width, hostile)) <= 140
    assert {_width(row) for row in hostile if row.startswith("wait ≤")} == {
        _width(row) for row in harmless if row.startswith("wait ≤")
    }


@pytest.mark.parametrize("name", ["\u05e9\u05dc\u05d5\u05dd", "\u0645\u0631\u062d\u0628\u0627", "a\u05d0" * 30])
def test_figures_stay_behind_a_name_that_is_written_from_right_to_left(windows, name):
    """The first letter of each cell is one from left to right: so no terminal takes a figure to be part of the name."""
    page = _page(foreign.named(windows[0], 1, name), "comm")
    _heading, row = [row for row in page if name[:4] in row]  # an event has the name, too
    assert row.startswith("\u200e")
    assert all(re.match("\u200e|$", cell) for cell in re.split(" {2,}", row)), row


def _page(window, by):
    from schedtel.cli.display.cells import plain_console  # noqa: PLC0415

    view, console = View(Choice(by=by)), plain_console(140)
    view.add(window)
    with console.capture() as captured:
        console.print(view.render())
    rows = captured.get().split("\n")
    return rows[rows.index("") :]  # the rows of the headline, which may go on in the next row, are above


def _width(row):
    from rich.cells import cell_len  # noqa: PLC0415

    return cell_len(row.rstrip())


@pytest.mark.parametrize("raw", [raw for raw in TEXTS.values() if raw], ids=[name for name in TEXTS if TEXTS[name]])
def test_an_argument_of_the_user_comes_back_in_one_line(run, raw, tmp_path, monkeypatch):
    """A file's name is another user's, too: `schedtel show *`."""
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(raw)
    for arguments in (["show", name], ["show", "--by", name, "x"], ["serve", "--", name], [name], ["subscribe", name]):
        status, _, err = run(*arguments)
        assert not ACTING.search(err)
        if raw != b"--help":
            assert (status, err.count("\n")) == (2, 1), err
            assert err.startswith("schedtel: ")


class Refusing(fl.FlightServerBase):
    """A server that answers every question with an error of its own words."""

    def __init__(self, words):
        super().__init__("grpc://127.0.0.1:0")
        self._words = words

    def get_flight_info(self, _context, _descriptor):
        raise fl.FlightServerError(self._words)


@pytest.mark.parametrize("command", ["subscribe", "show", "report -o page.html", "compare"])
def test_words_of_a_server_come_in_one_line(run, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = " ".join(TEXTS_OF_TABLES.values()).replace("\n", " ")
    with Refusing(words) as server:
        uri = f"grpc://127.0.0.1:{server.port}"
        status, out, err = run(*command.split(), uri, *[uri] * (command == "compare"))
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert not ACTING.search(err)
    assert "\\x1b]0;owned\\x07" in err
