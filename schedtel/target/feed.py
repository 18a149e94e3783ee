"""Feeds of what ran last on a target in; one feed, for whoever names the run, out."""

from collections.abc import Callable, Iterator

from schedtel.errors import UsageError
from schedtel.flight.feeds import Feed, Subscriber
from schedtel.flight.wire import Event, Request


class RunFeed(Feed):
    """The windows of the run or the agent that was here last, for who names them."""

    def __init__(self) -> None:
        super().__init__({})
        self._shown: Feed | None = None

    def show(self, feed: Feed) -> str:
        """Have the windows of a feed sent, instead of those before. Returns the name of its run."""
        self._shown = feed
        self.run, self.facts = feed.run, feed.facts
        return self.run

    def events(self, request: Request, subscriber: Subscriber, gone: Callable[[], bool]) -> Iterator[Event]:
        shown = self._shown
        if shown is None or request.run != shown.run:
            raise UsageError("cannot send these windows: their run is not here any more (run it again)")
        return shown.events(request, subscriber, gone)

    def stop(self) -> None:
        if self._shown is not None:
            self._shown.stop()
