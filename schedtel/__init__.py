"""schedtel: live scheduler telemetry. Task lives and waits in; turnaround time, response time and fairness out.

The packages, in the order in which data flows through them:

    records     the contract: the bytes that the kernel side writes   → arrays of named fields
    access      URIs, tokens, certificates                            → what is safe to serve and to ask
    host        /proc, /sys, cgroupfs                                 → CPUs, cgroups, threads, counters
    kernel      a filter                                              → raw windows, by the backend core or bcc
    schedulers  arms such as ``policy:hogs:idle``                     → threads scheduled so, and as before again
    workloads   a description in TOML and a seed                      → jobs by real tasks, and when each ended
    live        a backend and a grid of window edges                  → windows as they end
    windows     raw windows                                           → windows: Arrow tables, metrics, groups, text
    recordings  windows                                               ⇄ Parquet files
    traces      what perf or ftrace printed                           → windows, by the same state machine
    flight      windows                                               ⇄ Arrow Flight streams
    features    windows                                               → rows of numbers for a model, with names
    analysis    windows of a whole run                                → timelines, comparisons, log lines
    experiments workloads under schedulers, several times             → runs, and which differences are shown
    agent       windows under arms                                    → which arm to run next, and judgements of that
    simulator   a planned workload and a machine                      → the windows that it would have made
    eventlog    a filter, or a recording of events                    → single events, as Arrow tables
    oracle      recorded events                                       → who is next on a CPU, and how sure that is
    report      timelines                                             → one HTML page
    export      windows                                               → metrics for Prometheus and OpenTelemetry
    doctor      this machine and this user                            → what can be done here; do the laws hold?
    cli         arguments                                             → the command ``schedtel``

Imports go down only; ``docs/architecture.md`` has the rule, and ``make lint`` enforces it.
:mod:`schedtel.windows.schema` defines every column, :mod:`schedtel.errors` every error.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING

from schedtel._version import __version__
from schedtel.errors import (
    CapabilityError,
    CollectorError,
    RecordingError,
    SchedtelError,
    StreamError,
    UsageError,
    WorkloadError,
)
from schedtel.kernel.filters import Filter
from schedtel.live import LiveSource, live
from schedtel.windows.source import Source

if TYPE_CHECKING:
    from schedtel.eventlog import EventBatch, EventRecording, LiveEvents, events
    from schedtel.flight import Subscription, serve, subscribe
    from schedtel.recordings.recorder import Recorder
    from schedtel.recordings.recording import Recording, read
    from schedtel.traces import ImportedTrace, import_trace
    from schedtel.windows.features import FeatureVector
    from schedtel.windows.metrics import Distribution, Fairness, Metrics
    from schedtel.windows.window import Window

# Without a handler, Python prints a library's warnings to stderr; here the application decides.
logging.getLogger("schedtel").addHandler(logging.NullHandler())

#: Names that are imported at their first use, and their modules: tracing begins without files, streams and pyarrow.
#: A program that gives up the right to read the package's files must use such a name before it does.
_LATER = {
    "Distribution": "windows.metrics",
    "EventBatch": "eventlog",
    "EventRecording": "eventlog",
    "Fairness": "windows.metrics",
    "FeatureVector": "windows.features",
    "ImportedTrace": "traces",
    "LiveEvents": "eventlog",
    "Metrics": "windows.metrics",
    "Recorder": "recordings.recorder",
    "Recording": "recordings.recording",
    "Subscription": "flight",
    "Window": "windows.window",
    "events": "eventlog",
    "import_trace": "traces",
    "read": "recordings.recording",
    "serve": "flight",
    "subscribe": "flight",
}


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})


__all__ = [
    "CapabilityError",
    "CollectorError",
    "Distribution",
    "EventBatch",
    "EventRecording",
    "Fairness",
    "FeatureVector",
    "Filter",
    "ImportedTrace",
    "LiveEvents",
    "LiveSource",
    "Metrics",
    "Recorder",
    "Recording",
    "RecordingError",
    "SchedtelError",
    "Source",
    "StreamError",
    "Subscription",
    "UsageError",
    "Window",
    "WorkloadError",
    "__version__",
    "events",
    "import_trace",
    "live",
    "read",
    "serve",
    "subscribe",
]
