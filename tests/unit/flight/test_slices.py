"""Windows larger than a message: any client gets all rows, and ours the same window."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.flight as fl
import pytest
from peers import wide
from samples import replaced
from serving import Reader, assert_bit_identical, served, subscribers
from waiting import eventually

import schedtel
from schedtel.flight import wire
from schedtel.flight.assembly import Assembly
from schedtel.flight.slices import SLICE_BYTES, slices

ROWS = 8000
#: gRPC's limit on a message, for a client that sets none.
USUAL = 4 << 20


@pytest.fixture(scope="module")
def large(windows):
    """A window of 8,000 tasks, each of another thread."""
    window = wide(windows[0], ROWS)
    tasks = replaced(window.tasks, tid=list(range(1, ROWS + 1)))
    return schedtel.Window(window.summary, tasks, window.cpus, window.preemptions, window.throttled)


def with_cgroups(window, names):
    labels = pa.DictionaryArray.from_arrays(pa.array(np.arange(ROWS, dtype=np.int32) % len(names)), pa.array(names))
    tasks = replaced(window.tasks, cgroup=labels)
    return schedtel.Window(window.summary, tasks, window.cpus, window.preemptions, window.throttled)


def sent(batch):
    """A batch in memory of its own, as it is once it has been received."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return pa.ipc.open_stream(sink.getvalue()).read_next_batch()


@pytest.mark.parametrize("stream", ["tasks", "groups"])
def test_a_client_with_the_usual_limit_gets_all_rows(large, stream):
    request = wire.Request(stream, "history", by="task")
    with served() as server:
        server.source.feed(large)
        client = fl.connect(server.uri, generic_options=[("grpc.max_receive_message_length", USUAL)])
        reader, batches, said = client.do_get(fl.Ticket(request.ticket())), [], []
        while not said or said[-1]["part"] < said[-1]["parts"]:
            chunk = reader.read_chunk()
            batches.append(chunk.data)
            said.append(json.loads(chunk.app_metadata.to_pybytes()))
        reader.cancel()
        client.close()
    key = "tid" if stream == "tasks" else "task"
    assert pa.Table.from_batches(batches)[key].to_pylist() == list(range(1, ROWS + 1))
    assert [one["part"] for one in said] == list(range(1, len(said) + 1))
    assert {(one["event"], one["sequence"], one["parts"]) for one in said} == {("window", 1, len(said))}


def test_windows_missed_are_told_once_a_window():
    event = wire.Event(wire.WINDOW, 7, 2)
    said = [json.loads(wire.marker(event, part, 3)) for part in (1, 2, 3)]
    assert [one["windows_missed"] for one in said] == [2, 0, 0]


def test_our_own_client_gets_the_same_window(large, windows):
    with served() as server:
        reader = Reader(schedtel.subscribe(server.uri))
        eventually(lambda: subscribers(server))
        server.source.feed(windows[0], large, windows[1])
        server.source.end()
        assert_bit_identical(reader.join().windows, [windows[0], large, windows[1]])
    assert reader.error is None


@pytest.mark.parametrize("length", [20, 400, 4000])
def test_every_slice_is_small_whatever_the_labels(large, length):
    """Dictionaries too: a slice has no labels but its own where they are many and long."""
    window = with_cgroups(large, [f"/{number}".ljust(length, "x") for number in range(1000 if length > 1000 else ROWS)])
    for piece in slices(window.tasks):
        dictionaries = sum(c.dictionary.nbytes for c in piece.columns if pa.types.is_dictionary(c.type))
        assert piece.nbytes - dictionaries <= SLICE_BYTES
        assert dictionaries <= 2 * SLICE_BYTES
    assembly, batches = Assembly(), wire.pack(wire.Event(wire.WINDOW, 1, 0, window), wire.windows_schema({}))
    (event,) = [event for batch in batches for event in assembly.add(sent(batch))]
    assert event.window.to_ndjson() == window.to_ndjson()


def test_a_table_without_rows_and_a_small_one_are_one_slice(windows):
    for table in (windows[0].tasks, windows[0].preemptions.slice(0, 0)):
        (only,) = slices(table)
        assert only.equals(table)
