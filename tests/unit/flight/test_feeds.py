"""What the server remembers for subscribers: histories are bounded, and what a slow one misses is counted."""

import pytest
from serving import take

import schedtel
from schedtel.flight import feeds
from schedtel.flight.feeds import LiveFeed, Subscriber
from schedtel.flight.wire import Request


def test_thinning_goes_on_with_the_newest_window_and_says_how_many_were_missed(windows):
    feed, subscriber = LiveFeed({}, history=3, slow="thin"), Subscriber("")
    feed.publish(windows[0])
    _, events = take(feed, subscriber, Request(start="history"), 1)
    for _ in range(10):
        feed.publish(windows[1])
    event = next(events)
    assert (event.sequence, event.windows_missed) == (11, 9)
    feed.publish(windows[2])
    event = next(events)
    assert (event.sequence, event.windows_missed) == (12, 0)
    assert subscriber.windows_missed == 9


def test_dropping_ends_the_stream_and_says_how_many_were_missed(windows):
    feed, subscriber = LiveFeed({}, history=3, slow="drop"), Subscriber("")
    feed.publish(windows[0])
    _, events = take(feed, subscriber, Request(start="history"), 1)
    for _ in range(10):
        feed.publish(windows[1])
    with pytest.raises(schedtel.StreamError, match="too slow: 9 windows missed"):
        next(events)


def test_who_resumes_gets_what_is_remembered_and_is_told_of_the_rest(windows):
    feed = LiveFeed({}, history=3)
    for _ in range(10):
        feed.publish(windows[0])
    (event,), _ = take(feed, Subscriber(""), Request(run=feed.run, after=4), 1)
    assert (event.sequence, event.windows_missed) == (8, 3)
    (event,), _ = take(feed, Subscriber(""), Request(run=feed.run, after=9), 1)
    assert (event.sequence, event.windows_missed) == (10, 0)
    (event,), _ = take(feed, Subscriber(""), Request(start="history", run="another", after=9), 1)
    assert (event.sequence, event.windows_missed) == (8, 0)


def test_the_history_is_bounded_in_bytes_and_keeps_the_newest(windows):
    one = feeds.size_of(windows[0])
    feed = LiveFeed({}, history=1000, history_bytes=3 * one)
    for _ in range(50):
        feed.publish(windows[0])
    assert feed.oldest == 48
    small = LiveFeed({}, history=1000, history_bytes=1)
    for _ in range(3):
        small.publish(windows[0])
    assert small.oldest == 3
