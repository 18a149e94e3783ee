"""Inputs made at random for all that reads what strangers write. ``make fuzz MINUTES=60`` tries more and others.

In ``make test`` there are few, the same ones each time, and the finds of the past.
"""

import os
import time

import pytest
from fuzz_targets import (
    FTRACE,
    PERF,
    REQUEST,
    TICKET,
    WORDS,
    WORKLOADS,
    Target,
    edited,
    edited_files,
    http_taker,
    recording_taker,
    take_option,
    take_text,
    take_ticket,
    take_trace,
    take_workload,
)
from hostile_commands import parameters
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import schedtel
from schedtel.export.http import Endpoint

#: How long each target is tried. Without FUZZ_MINUTES, it gets a fixed number of inputs.
SECONDS = float(os.environ.get("FUZZ_MINUTES", "0")) * 60 / 7
EXAMPLES, EXAMPLES_OF_A_ROUND = 60, 500


def fuzz(target):
    for find in target.finds:
        target.take(find)
    if not SECONDS:
        round_of(target, max_examples=EXAMPLES, derandomize=True)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        round_of(target, max_examples=EXAMPLES_OF_A_ROUND, derandomize=False)


def round_of(target, **chosen):
    @settings(deadline=None, database=None, suppress_health_check=list(HealthCheck), **chosen)
    @given(target.inputs)
    def attempt(made):
        target.take(made)

    attempt()


@pytest.fixture(scope="module")
def recording(tmp_path_factory, windows):
    folder = tmp_path_factory.mktemp("fuzz") / "recording"
    with schedtel.Recorder(folder, window="1s") as recorder:
        for window in windows:
            recorder.write(window)
    return folder


def test_traces():
    fuzz(Target(edited(FTRACE, PERF), take_trace, (b"", b"\0" * 5_000, FTRACE * 2, PERF[:-30])))


def test_texts():
    texts = st.one_of(
        st.text(max_size=60),
        edited(*(word.encode() for word in WORDS)).map(lambda raw: raw.decode(errors="surrogateescape")),
    )
    finds = (
        "9" * 5_000 + "h",
        "grpc://127.0.0.1: 80",
        "grpc://ünïcode:1",
        "grpc+unix:///a\0b",
        "grpc://[::1",
        "\udcff",
    )
    fuzz(Target(texts, take_text, finds))


def test_tickets():
    fuzz(Target(edited(TICKET), take_ticket, (b"", b"[" * 2_000, b'{"after": 1e999}', b"\xff", b'{"stream": []}')))


def test_workloads():
    fuzz(Target(edited(*WORKLOADS), take_workload, (b"", b"[" * 5_000, b"duration = '" + b"9" * 5_000 + b"h'")))


def test_options():
    values = st.one_of(st.text(max_size=40), st.integers().map(str), st.floats().map(str), st.sampled_from(WORDS))
    some = parameters()[0][1]
    fuzz(Target(st.tuples(st.sampled_from([one for _, one in parameters()]), values), take_option, ((some, ""),)))


def test_recordings(recording):
    fuzz(Target(edited_files(recording), recording_taker(recording), (("summary/part-000001.parquet", b"PAR1PAR1"),)))


def test_http_requests():
    def application(_environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"schedtel 1\n"]

    with Endpoint(application, "127.0.0.1:0") as endpoint:
        port = int(endpoint.url.split(":")[2].partition("/")[0])
        finds = (
            b"",
            b"\r\n\r\n",
            b"GET " + b"/" * 70_000,
            b"GET /metrics HTTP/9\r\n\r\n",
            REQUEST.replace(b"GET", b"PRI"),
        )
        fuzz(Target(edited(REQUEST), http_taker(port), finds))
