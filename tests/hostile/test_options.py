"""Hostile values for every option and every argument of every command.

Commands and options are found by introspection, so a new one is covered at once. Each invocation ends within seconds
with status 2 and one line of printable text, or the value is fine. It touches no file that was there.
"""

import os
import time

import click
import pytest
from hostile_commands import ARGUMENTS, commands, line, name_of, parameters
from hostile_files import hostile_paths
from hostile_numbers import ADDRESSES, DURATIONS, NUMBERS, SCHEMES

import schedtel
from schedtel.cli.strict import StrictCommand

#: A hang takes longer, and no machine is so slow, also while other tests run beside.
LONGEST_S = 20
TRACE = (
    "          <idle>-0     [000] d... 100.000000: sched_switch: prev_comm=swapper/0 prev_pid=0 prev_prio=120 "
    "prev_state=R ==> next_comm=a next_pid=7 next_prio=120\n"
)


@pytest.fixture(scope="module")
def world(tmp_path_factory, windows):
    """A folder with a recording, a trace, a file that must stay, and hostile files; a server of the recording."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "files").mkdir()
    paths = hostile_paths(folder / "files")
    with schedtel.Recorder(folder / "recording", window="1s") as recorder:
        for window in windows:
            recorder.write(window)
    (folder / "trace").write_text(TRACE)
    (folder / "kept.ndjson").write_text("kept")
    with schedtel.serve(schedtel.read(folder / "recording"), f"grpc+unix://{folder}/socket") as server:
        yield folder, paths, server.uri


def values(parameter, paths):
    """What to try for a parameter: what its kind suggests, and everything where the kind is not known."""
    metavar = (parameter.metavar or "").strip("[].")
    if metavar == "TRACE":  # a pipe without a writer is waited for: perf may be about to write to it
        return [path for path in paths if not path.endswith("pipe")]
    if isinstance(parameter.type, click.types.IntParamType | click.types.FloatParamType):
        return NUMBERS
    if isinstance(parameter.type, click.Choice):
        return NUMBERS[:6] + DURATIONS[-3:]
    if metavar == "DURATION":
        return NUMBERS[:8] + DURATIONS
    if metavar in ("FILE", "DIR", "PATH"):
        return tuple(paths)
    addresses = tuple(scheme + address for scheme in SCHEMES for address in ADDRESSES[::3])
    return ADDRESSES + addresses + tuple(paths) if "UR" in metavar or metavar == "HOST:PORT" else (*DURATIONS, *paths)


def state(folder):
    """Every file below the folder that a command must not touch, with its size and the time of its last change.

    What is in the root directory counts, too: as root, a path that is misread may be made there.
    Those among the hostile files are tried as outputs, too, so what is in them does not matter.
    """
    kept = [folder / "kept.ndjson", folder / "trace", *(folder / "recording").rglob("*")]
    return {path: (path.lstat().st_size, path.lstat().st_mtime_ns) for path in kept} | {"/": sorted(os.listdir("/"))}


CASES = parameters()


@pytest.mark.parametrize(("name", "parameter"), CASES, ids=[f"{name} {name_of(p)}" for name, p in CASES])
def test_a_hostile_value_is_refused_in_one_line_or_fine(run, world, tmp_path, monkeypatch, name, parameter):
    folder, paths, uri = world
    monkeypatch.chdir(tmp_path)
    before = state(folder)
    known = {"RECORDING": str(folder / "recording"), "TRACE": str(folder / "trace"), "SERVED": uri}
    for number, value in enumerate(values(parameter, paths)):
        new = {"KEPT": str(folder / "kept.ndjson"), "NEW": str(tmp_path / f"{number}"), "NEW.html": f"{number}.html"}
        words = line(name, parameter, value, known | new)
        began = time.monotonic()
        status, _, err = run(*words)
        assert time.monotonic() - began < LONGEST_S, words
        assert status in (0, 2), (words, err)
        if status == 2:
            assert err.count("\n") == 1, (words, err)
            assert err[:-1].isprintable(), (words, err)
            assert err.startswith("schedtel: "), (words, err)
        assert "Traceback" not in err, words
        assert state(folder) == before, words


def test_every_command_is_strict_and_in_the_table():
    found = commands()
    assert set(found) == set(ARGUMENTS)
    assert all(isinstance(command, StrictCommand) for command in found.values())


@pytest.mark.parametrize(("name", "parameter"), CASES, ids=[f"{name} {name_of(p)}" for name, p in CASES])
def test_an_option_that_is_given_twice_is_refused(run, name, parameter):
    if not isinstance(parameter, click.Option) or parameter.multiple:
        return
    option = name_of(parameter)
    status, _, err = run(*name.split(), f"{option}=1", f"{option}=2")
    assert (status, err) == (2, f"schedtel: cannot use {option} 2 times: it has one value (give it once)\n")


@pytest.mark.parametrize("variable", ["SCHEDTEL_TOKEN"])
@pytest.mark.parametrize("given", ["", " ", "short", "x" * 15, "ünïcode-of-sixteen-letters"])
@pytest.mark.parametrize("command", [["serve", "--from", "RECORDING"], ["subscribe", "grpc://127.0.0.1:1"]])
def test_a_token_that_is_none_does_not_mean_without(run, world, monkeypatch, variable, given, command):
    monkeypatch.setenv(variable, given)
    status, _, err = run(*(str(world[0] / "recording") if word == "RECORDING" else word for word in command))
    assert status == 2
    assert err.startswith("schedtel: cannot use this token")


def test_nothing_is_left_of_the_attempts(world):
    """The server that all of them asked still answers, and the pipe has no reader."""
    folder, _, uri = world
    with pytest.raises(OSError, match="No such device or address"):
        os.open(folder / "files" / "pipe", os.O_WRONLY | os.O_NONBLOCK)
    with schedtel.subscribe(uri, history=True) as subscription:
        assert next(iter(subscription)).window_id == 1
