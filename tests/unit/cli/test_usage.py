"""The command with wrong input: one line on stderr, exit status 2, no traceback."""

import pytest

import schedtel

WRONG = [
    ["live", "--window", "5"],
    ["live", "--window", "0s"],
    ["live", "--window", "1ns"],
    ["live", "--window", "25h"],
    ["live", "--window", "-5s"],
    ["live", "--window", "nan"],
    ["live", "--window", ""],
    ["live", "--duration", "soon"],
    ["live", "--duration", "0ms"],
    ["live", "--count", "0"],
    ["live", "--count", "-1"],
    ["live", "--count", "many"],
    ["live", "--pid", "0"],
    ["live", "--pid", "-3"],
    ["live", "--pid", "4999999"],
    ["live", "--pid", "init"],
    ["live", "--pid", "1", "--pid", "4999999"],
    ["live", *(part for uid in range(9) for part in ("--uid", str(uid)))],
    ["live", "--tid", "0"],
    ["live", "--tid", "4999999"],
    ["live", "--uid", "-1"],
    ["live", "--uid", "4294967296"],
    ["live", "--comm", ""],
    ["live", "--comm", "a-name-of-sixteen-bytes"],
    ["live", "--cgroup", "/no/such/cgroup"],
    ["live", "--cgroup", "../.."],
    ["live", "--kernel-threads", "some"],
    ["live", "--min-activity", "1"],
    ["live", "--min-activity", "1ms", "--all-tasks"],
    ["live", "--ring-size", "3"],
    ["live", "--ring-size", "0"],
    ["live", "--by", "colour"],
    ["live", "--sort", "colour"],
    ["live", "--by", "preemption", "--preemptions", "off"],
    ["live", "--top", "-1"],
    ["live", "--format", "xml"],
    ["live", "--table", "moon"],
    ["live", "-o", "out.xyz"],
    ["live", "-o", "/no/such/directory/out.ndjson"],
    ["live", "--no-such-option"],
    ["live", "--", "no-such-command-anywhere"],
    ["live", "--pid", "1", "--", "true"],
    ["scheduler", "list", "--format", "xml"],
    ["scheduler", "current", "--for", "pid=4999999"],
    ["scheduler", "current", "--for", "hogs"],
    ["scheduler", "run"],
    ["scheduler", "run", "policy:idle"],
    ["scheduler", "run", "eevdf:1", "--", "true"],
    ["scheduler", "run", "policy:idel", "--", "true"],
    ["scheduler", "run", "policy:slice=1h", "--", "true"],
    ["scheduler", "run", "policy:hogs:idle", "--", "true"],
    ["scheduler", "run", "policy:weight=10", "--", "true"],
    ["scheduler", "run", "policy:cpus=8000", "--", "true"],
    ["scheduler", "run", "policy:cgroup=/no/such/cgroup:weight=10", "--", "true"],
    ["scheduler", "run", "policy:hogs:idle", "--class", "hogs", "--", "true"],
    ["scheduler", "run", "policy:hogs:idle", "--class", "hogs=short", "--", "true"],
    ["scheduler", "run", "policy:idle", "--for", "colour=red", "--", "true"],
    ["scheduler", "run", "eevdf", "--for", "pid=1", "--", "true"],
    ["scheduler", "run", "scx:simple", "--class", "hogs=comm=x", "--", "true"],
    ["scheduler", "run", "policy:idle", "--class", "hogs=comm=x", "--", "true"],
    ["scheduler", "run", "scx:no-such-scheduler", "--", "true"],
    ["scheduler", "run", "policy:idle", "--", "no-such-command-anywhere"],
    ["agent", "evaluate"],
    ["agent", "evaluate", "/no/such/log", "--policy", "thompson"],
    ["agent", "evaluate", "/", "--policy", "thompson"],
    ["record"],
    ["record", "-o", "/proc/nowhere"],
    ["record", "-o", "/dev/null"],
    ["record", "-o", "/dev/null/deeper", "--window", "1s"],
    ["record", "--window", "1s"],
    ["record", "-o", "unused", "--rotate-size", "0"],
    ["record", "-o", "unused", "--rotate-every", "never"],
    ["show"],
    ["show", "/no/such/recording"],
    ["show", "/"],
    ["show", "/etc/passwd"],
    ["show", "/", "--from", "0"],
    ["show", "grpc://127.0.0.1:1"],
    ["show", "moon://bucket/path"],
    ["record", "-o", "moon://bucket/path"],
    ["record", "-o", "file://relative/path", "--", "true"],
    ["record", "-o", "file://", "--", "true"],
    ["record", "-o", "-", "--", "true"],
    ["import", "/dev/null", "-o", "-"],
    ["show", "-"],
    ["serve", "--listen", "nowhere"],
    ["serve", "--listen", "grpc://0.0.0.0:0"],
    ["serve", "--listen", "grpc+tls://127.0.0.1:0"],
    ["serve", "--listen", "grpc+unix:///proc/no/socket"],
    ["serve", "--from", "/no/such/recording"],
    ["serve", "--from", "/", "--", "true"],
    ["serve", "--from", "/", "--window", "1s"],
    ["serve", "--token-file", "/no/such/token"],
    ["serve", "--tls-cert", "/no/such/certificate"],
    ["serve", "--slow", "never"],
    ["serve", "--history", "0"],
    ["serve", "--max-subscribers", "0"],
    ["serve", "--window", "1ns"],
    ["subscribe"],
    ["subscribe", "recording"],
    ["subscribe", "grpc://127.0.0.1:1"],
    ["subscribe", "grpc+unix:///no/such/socket"],
    ["subscribe", "grpc+tls://127.0.0.1:1", "--ca", "/no/such/authority"],
    ["subscribe", "grpc://127.0.0.1:1", "--token", "0123456789abcdef"],
    ["collect", "-o", "unused"],
    ["collect", "grpc://127.0.0.1:1"],
    ["collect", "recording", "-o", "unused"],
    ["collect", "grpc://127.0.0.1:1", "-o", "/dev/null/deeper"],
    ["export", "graphite"],
    ["export", "prometheus", "--listen", "9435"],
    ["export", "prometheus", "--listen", "127.0.0.1:99999"],
    ["export", "prometheus", "--listen", "0.0.0.0:0"],
    ["export", "prometheus", "--listen", "no.such.host.invalid:0", "--tls-cert", "/no/such/file"],
    ["export", "prometheus", "--listen", "127.0.0.1:0", "--tls-cert", "/no/such/file", "--tls-key", "/no/such/file"],
    ["export", "prometheus", "--listen", "127.0.0.1:0", "--token-file", "/no/such/token"],
    ["export", "prometheus", "--listen", "127.0.0.1:0", "/no/such/recording"],
    ["export", "prometheus", "--listen", "127.0.0.1:0", "grpc://127.0.0.1"],
    ["export", "prometheus", "--listen", "127.0.0.1:0", "grpc://127.0.0.1:1", "--duration", "1s"],
    ["export", "prometheus", "--listen", "127.0.0.1:0", "grpc://127.0.0.1:1", "--comm", "x"],
    ["export", "prometheus", "--max-cgroups", "-1"],
    ["export", "prometheus", "--listen", "127.0.0.1:0", "--window", "1ns"],
    ["export", "otlp"],
    ["export", "otlp", "--endpoint", "127.0.0.1:4318"],
    ["export", "otlp", "--endpoint", "http://127.0.0.1:4318", "--interval", "often"],
    ["export", "otlp", "--endpoint", "https://127.0.0.1:4318", "--ca", "/no/such/file"],
    ["export", "otlp", "--endpoint", "http://127.0.0.1:4318", "/no/such/recording"],
    ["export", "otlp", "--endpoint", "http://127.0.0.1:4318", "--max-hosts", "3"],
    ["report"],
    ["report", "/"],
    ["report", "/no/such/recording", "-o", "page.html"],
    ["report", "/etc/passwd", "-o", "page.html"],
    ["report", "grpc://127.0.0.1:1", "-o", "page.html"],
    ["compare", "/", "grpc://127.0.0.1:1"],
    ["compare", "/", "/", "--count", "0"],
    ["compare", "/", "/", "-o", "-"],
    ["compare"],
    ["compare", "/no/such/recording"],
    ["compare", "/no/such/recording", "/"],
    ["compare", "/", "/", "--format", "xml"],
    ["compare", "/", "/", "--resamples", "5"],
    ["compare", "/", "/", "--confidence", "95"],
    ["compare", "/", "/", "--seed", "-1"],
    ["schema", "--format", "yaml"],
    ["doctor", "--seconds", "0"],
    ["no-such-command"],
]


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_bad_input_is_one_line_and_status_2(run, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, err = run(*arguments)
    assert status == 2
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith("schedtel: ")
    assert len(line) > 30
    assert "Traceback" not in err


@pytest.mark.parametrize("option", ["--max-hosts", "--max-cgroups"])
def test_what_export_tells_apart_is_not_none(run, option):
    status, _, err = run("export", "prometheus", "/no/such/recording", option, 0)
    assert status == 2
    assert err.startswith(f"schedtel: Invalid value for '{option}': 0 is not in the range 1<=x")


OF_STREAMS = [
    ["show", "RECORDING"],
    ["report", "RECORDING", "-o", "page.html"],
    ["compare", "RECORDING", "RECORDING"],
    ["export", "otlp", "RECORDING", "--endpoint", "http://127.0.0.1:1"],
    ["export", "otlp", "--endpoint", "http://127.0.0.1:1"],
]


@pytest.mark.parametrize("option", ["token-file", "ca", "tls-cert", "tls-key"])
@pytest.mark.parametrize("arguments", OF_STREAMS, ids=" ".join)
def test_what_is_for_a_server_is_refused_where_there_is_none(run, recording, arguments, option):
    """There is no server to show a token or certificate to: to ignore the option would be a promise not kept."""
    name = f"--source-{option}" if arguments[0] == "export" else f"--{option}"
    given = [str(recording) if argument == "RECORDING" else argument for argument in arguments]
    status, out, err = run(*given, name, "/no/such/file")
    assert (status, out) == (2, "")
    what = "a recording" if "RECORDING" in arguments else "this machine"
    assert err == f"schedtel: cannot use {name} with {what}: it is for what is served at a URI (drop one of the two)\n"


COMMANDS = ["live", "record", "show", "report", "compare", "serve", "subscribe", "collect", "doctor", "schema"]
COMMANDS += ["export", "export prometheus", "export otlp"]
COMMANDS += ["scheduler", *(f"scheduler {name}" for name in ("list", "current", "run", "switch", "restore", "watch"))]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(run, name):
    status, out, _ = run(*name.split(), "--help")
    assert status == 0
    assert out.startswith(f"Usage: schedtel {name}")


def test_version(run):
    status, out, _ = run("--version")
    assert status == 0
    assert schedtel.__version__ in out
