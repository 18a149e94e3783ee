"""Servers that lie: each is told and given up, and the windows of the others come."""

import subprocess
import sys

import pytest
from peers import FACTS, LIES, lying, message_of, row, wide
from serving import assert_bit_identical, served

import schedtel
from schedtel.access.tls import Tls
from schedtel.flight import assembly
from schedtel.flight.assembly import UntrustedError
from schedtel.flight.client import Subscription
from schedtel.flight.collect import Collection, Outage
from schedtel.recordings.dataset import host_of


def collected(*uris):
    """What a collection of these servers yields: deliveries, and outages."""
    news = list(Collection(uris, lambda uri, request: Subscription(uri, None, Tls(), request)))
    return [n for n in news if not isinstance(n, Outage)], [n for n in news if isinstance(n, Outage)]


@pytest.mark.parametrize("lie", LIES)
def test_a_server_that_lies_is_told_and_given_up_and_the_other_goes_on(windows, lie, capfd):
    with lying(LIES[lie](windows[0])) as liar, served() as good:
        good.source.feed(*windows)
        good.source.end()
        deliveries, (outage,) = collected(liar, good.uri)
    assert [d.window.window_id for d in deliveries if d.uri == good.uri] == [1, 2, 3]
    assert outage.uri == liar
    assert outage.final
    assert isinstance(outage.error, UntrustedError)
    assert str(outage.error).isprintable()
    assert len(str(outage.error)) < 400
    assert capfd.readouterr().err == ""


def test_a_window_that_is_too_large_is_left_out_and_counted_and_the_stream_goes_on(windows, monkeypatch):
    told = []
    monkeypatch.setattr(assembly._log, "warning", lambda text, *figures: told.append((text % figures).split(":")[0]))
    large = wide(windows[0], 400_000)
    batches = [*row(windows[0], 1), *row(large, 2), *row(large, 3), *row(windows[1], 6, missed=2)]
    with lying(batches) as server, schedtel.subscribe(server) as subscription:
        received = iter(subscription)
        next(received)
        assert_bit_identical([next(received)], windows[1:2])
        assert (subscription.sequence, subscription.gap_before, subscription.windows_missed) == (6, 4, 4)
    assert told == ["window 2 is too large, and left out", "window 3 is too large, and left out"]


def test_a_window_of_the_table_is_sound_where_nothing_is_changed(windows):
    with lying(row(windows[0])) as server, schedtel.subscribe(server) as subscription:
        assert_bit_identical([next(iter(subscription))], windows[:1])


def test_a_message_larger_than_any_of_ours_is_not_received():
    with (
        lying([message_of(20 << 20)]) as uri,
        schedtel.subscribe(uri) as subscription,
        pytest.raises(schedtel.StreamError, match="a batch is larger than schedtel's"),
    ):
        next(iter(subscription))


@pytest.mark.parametrize("facts", [{"run": "../" * 100}, {"run": ""}, {f"fact{n}": "" for n in range(100)}])
def test_facts_that_no_server_has_are_refused(windows, facts):
    with lying(row(windows[0]), FACTS | facts) as uri, pytest.raises(schedtel.StreamError) as caught:
        schedtel.subscribe(uri)
    assert str(caught.value).isprintable()


def test_facts_are_shown_in_printable_characters(windows):
    with lying(row(windows[0]), FACTS | {"filter": "\x1b[31mred\n"}) as uri, schedtel.subscribe(uri) as subscription:
        assert subscription.metadata["filter"] == r"\x1b[31mred\n"


def test_the_command_writes_the_sound_windows_and_says_which_server_lied(windows, tmp_path):
    """One line for it, status 1, and no traceback."""
    with lying(LIES["a time beyond all calendars"](windows[0])) as liar, served() as good:
        good.source.feed(*windows)
        good.source.end()
        command = [sys.executable, "-m", "schedtel.cli", "collect", liar, good.uri, "-o", str(tmp_path / "fleet")]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    told, closing = sorted(done.stderr.splitlines(), reverse=True)
    assert told.startswith(f"schedtel: lost {liar}: what came is no window: summary.wall_start is ")
    assert told.endswith("; gave it up")
    assert closing.startswith("collected 3 windows of 1 server to ")
    assert [host_of(w) for w in schedtel.read(tmp_path / "fleet")] == ["testhost"] * 3
