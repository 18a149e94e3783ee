"""``schedtel report``: a recording in; an HTML page out."""

from __future__ import annotations

from typing import Any

import click

from schedtel.access.uri import is_uri
from schedtel.cli.event_recordings import has_events, opened_recording
from schedtel.cli.inputs import name_of, read_summaries
from schedtel.cli.options import bound_options, client_options, refuse, refuse_without_stream
from schedtel.cli.pages import deliver
from schedtel.cli.strict import StrictCommand
from schedtel.durations import format_duration, parse_duration
from schedtel.report import document_of, render


@click.command("report", cls=StrictCommand, short_help="Draw a recording as an HTML page.")
@click.argument("directory", metavar="DIR|URI")
@click.option("-o", "--output", required=True, metavar="FILE", help="The page to write, an .html file; - for stdout.")
@click.option(
    "--begin",
    metavar="DURATION",
    help="Of a recording of events: draw from so long after its begin on; --duration is then the length to draw.",
)
@bound_options
@client_options
def command(directory: str, output: str, begin: str | None, **options: Any) -> None:
    """Draw a recording as one HTML page: waits, turnaround, fairness, load, CPUs and groups over time. Of a recording
    of events: what each CPU and each thread did when, and who woke it.

    The page needs no network and no other file. It opens in any browser, and its charts can be zoomed. Only its owner
    can read it, since it contains the names of commands.

    The recording may also be what `schedtel serve` has at a URI: first the windows that the server
    keeps, then new ones, until --duration, --count, or Ctrl-C.
    """
    is_of_events = not is_uri(directory) and has_events(directory)
    page, told = (_of_events if is_of_events else _of_windows)(directory, begin, options)
    deliver(page, output, told)


def _of_windows(directory: str, _begin: str | None, options: dict[str, Any]) -> tuple[str, str]:
    """The page, and what is on it in words."""
    refuse(("begin",), "a recording of windows", "it is for events")
    (summary,) = read_summaries([directory], options)
    timeline = summary.timeline
    merged = f" (drawn as {len(timeline.bins)} bins)" if timeline.stride > 1 else ""
    return render(document_of([summary])), f"{timeline.windows} windows{merged}"


def _of_events(directory: str, begin: str | None, options: dict[str, Any]) -> tuple[str, str]:
    """The page, and what is on it in words."""
    from schedtel.eventlog import page  # noqa: PLC0415  (windows do without)

    refuse(("count", "host"), "a recording of events", "it is for windows")
    refuse_without_stream("a recording")
    after_ns = 0 if begin is None else parse_duration(begin)
    length_ns = None if options["duration"] is None else parse_duration(options["duration"])
    with opened_recording(directory) as (recording, tasks):
        document = page.document_of(recording, tasks, name_of(directory), after_ns, length_ns)
    length_ns = document["recordings"][0]["duration"]
    return page.render(document), f"{document['events']} events in {format_duration(length_ns)}"
