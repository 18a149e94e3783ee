"""Windows full of hostile names, every command that can show them, and a judge of what a command wrote."""

import itertools
import os
import pty
import re
import subprocess
import sys
from dataclasses import replace

import click
import pyarrow as pa
from samples import replaced
from waiting import PATIENCE_S

import schedtel
from schedtel.cli import group
from schedtel.windows.schema import ARROW

#: What a terminal obeys: controls but the newline, those of one byte in UTF-8, and those that turn text around, but
#: for the mark that pages put between cells (U+200E). DEL does nothing on a terminal (ECMA-48), and JSON has it as
#: it is.
ACTING = re.compile("[\x00-\x09\x0b-\x1f\x80-\x9f\u061c\u200f\u2028-\u202e\u2066-\u2069]")
#: A sequence of the terminal, as rich writes it.
SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def named(window, number, text):
    """The window with this number, in which every column that is text says ``text``, but for the host's name."""
    tables = {}
    for table, schema in ARROW.items():
        batch = getattr(window, table)
        columns = {"window_id": [number] * batch.num_rows}
        if table == "summary":  # the windows of one run do not overlap
            columns["window_start_ns"] = [number * (window.end_ns - window.start_ns)]
        columns |= {field.name: _texts(field.type, text, batch.num_rows) for field in schema if _is_text(field)}
        tables[table] = replaced(batch, **columns)
    return schedtel.Window(**tables)


def _is_text(field):
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    return pa.types.is_string(kind) and field.name != "host"


def _texts(kind, text, rows):
    if not pa.types.is_dictionary(kind):
        return [text] * rows
    return pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([text]))


def recorded(directory, windows, texts, host, **summary):
    """A recording with a window for each text. Its host and metadata are hostile, too; ``summary`` has exceptions."""
    recorder = schedtel.Recorder(directory, window="100ms", filter_text=host)
    recorder.facts = {"preemptions": host, "window": host}
    for number, text in enumerate(texts, 1):
        window = named(windows[number % len(windows)], number, text)
        recorder.add(replace(window, summary=replaced(window.summary, host=[host], **summary)))
    recorder.flush()
    return directory


def commands(parent=group, words=()):
    """(words, command) of every command that is no group."""
    context = click.Context(parent)
    for name in parent.list_commands(context):
        command = parent.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*words, name))
        else:
            yield (*words, name), command


#: Name of a parameter → what takes its place in the arguments of :func:`calls`.
PLACES = {"directory": "RECORDING", "a": "RECORDING", "b": "RECORDING", "source": "RECORDING"}
PLACES |= {
    "uri": "URI",
    "uris": "URI",
    "trace": "TRACE",
    "output": "OUTPUT",
    "endpoint": "ENDPOINT",
    "listen": "LISTEN",
}
#: Commands that show no names of a recording, a stream or a trace: they trace this machine, make a load on it,
#: or have names of workloads, arms and graphs only, which tests/unit/experiments, agent, dags and models try.
ON_THIS_MACHINE = {("live",), ("record",), ("doctor",)}
ON_THIS_MACHINE |= {("scheduler", name) for name in ("list", "current", "run", "switch", "restore", "watch")}
ON_THIS_MACHINE |= {("experiment", name) for name in ("plan", "run", "report", "pack")}
ON_THIS_MACHINE |= {("trial", name) for name in ("run", "report")}
ON_THIS_MACHINE |= {("lab", name) for name in ("doctor", "run", "shell", "validate")}
ON_THIS_MACHINE |= {("target", "serve")}
ON_THIS_MACHINE |= {("agent", name) for name in ("init", "run", "explain", "report", "train", "replay", "evaluate")}
#: Names of workloads only, which tests/unit/oracle tries.
ON_THIS_MACHINE |= {("oracle", name) for name in ("dataset", "train", "evaluate", "report")}
#: Names in recordings of events: tests/kernel/test_events_as_text.py.
ON_THIS_MACHINE |= {("events", name) for name in ("record", "snapshot", "export", "windows")}
ON_THIS_MACHINE |= {("timehist",), ("latency",), ("oracle", "pick")}
ON_THIS_MACHINE |= {("workload", name) for name in ("run", "plan", "list", "show")}
ON_THIS_MACHINE |= {("sim", name) for name in ("run", "list")}
ON_THIS_MACHINE |= {
    ("models", name) for name in ("list", "show", "pick", "update", "merge", "split", "rollback", "verify")
}
ON_THIS_MACHINE |= {("dag", name) for name in ("list", "solve", "search", "periodic")}
ON_THIS_MACHINE |= {
    ("train", name) for name in ("MigrateSim", "DagSim", "PeriodicSim", "list", "report", "judge", "export")
}


def calls():
    """The arguments of every command, once for each choice of each of its options, found by introspection.

    Left out are the options for this machine, which are refused for another source.
    """
    found = dict(commands())
    refused = {p.name for p in found["live",].params} - {p.name for p in found["show",].params}
    for words, command in found.items():
        if words in ON_THIS_MACHINE:
            continue
        needed = list(itertools.chain.from_iterable(map(_needed, command.params)))
        yield (*words, *needed)
        for option in command.params:
            if isinstance(option.type, click.Choice) and option.name not in refused:
                yield from ((*words, *needed, option.opts[-1], *choice) for choice in _choices(words, option))
            elif option.name == "lifetimes":
                yield (*words, *needed, option.opts[-1])


def _choices(words, option):
    """The words of each choice: those that lives alone have bring the option for lives."""
    found = [choice for choice in option.type.choices if not (words[0] == "import" and choice == "ftrace")]
    return [
        (choice, "--lifetimes") if words == ("show",) and choice in ("csv", "parquet") else (choice,)
        for choice in found
    ]


def _needed(parameter):
    if isinstance(parameter, click.Argument):
        return [] if parameter.name == "arguments" else [PLACES[parameter.name]]
    if parameter.name in ("directory", "uri", "listen"):  # of `serve`, which else would trace this machine
        return [parameter.opts[-1], PLACES["listen" if parameter.name != "directory" else "directory"]]
    return [parameter.opts[-1], PLACES[parameter.name]] if parameter.required else []


def on_terminal(command):
    """Run a command on a terminal of 200 columns; returns its exit status and all that it wrote there."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "200", "LINES": "50"}
    process = subprocess.Popen(
        [sys.executable, "-m", "schedtel.cli", *command], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    written = b""
    while True:
        try:
            written += os.read(ours, 65536)
        except OSError:  # the command has ended
            break
    os.close(ours)
    return process.wait(PATIENCE_S), written.decode()
