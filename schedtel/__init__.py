"""schedtel: live scheduler telemetry. Task lives and waits in; turnaround time, response time and fairness out.

The modules, in the order in which data flows through them:

    filters     what to observe               → load-time constants of the BPF programs
    settings    what else may be chosen       → likewise
    privileges  this process                  → may it?
    libbpf      ctypes on libbpf.so           → objects, maps, links, the kernel's BTF
    btf, layout the records of bpf/records.h  → numpy dtypes, checked against the object
    programs    the compiled objects          → programs that the kernel has verified
    ring        the mapped ring buffer        → records
    rows        records of all windows        → one array a window
    backend      the window protocol           → raw windows, by either of
    core        programs                      → a backend
    headers, tracepoints, bcc_compiler        → bcc's programs, by bcc_child in a process of its own
    slots, pool the slots of bpf/slots.h      → records
    procfs, seeding     /proc                 → slots of tasks older than tracing
    bcc_loader  all of these                  → a backend
    backends    a user's choice               → a backend that works
    live        the window grid               → windows
    memory      sizes                         → arrays, lent
    arrow       numpy                         → Arrow, without pandas
    tables      records                       → Arrow tables
    metrics     samples, histogram            → distributions, fairness
    ndjson      tables                        → text
    window      tables and metrics            → Window
    source      anything that yields windows  → windows
    stream      windows                       → one of their tables, as an Arrow stream
    storage     names                         ⇄ Parquet files, here or in an object store
    recording   windows                       ⇄ Parquet
    traces      what perf or ftrace printed   → windows, by the same state machine
    dataset     windows of many hosts         → partitioned Parquet
    flight      windows                       ⇄ Arrow Flight streams
    export      windows                       → metrics for Prometheus and OpenTelemetry
    laws        windows                       → do the laws hold?
    chronicle   windows                       → log lines: losses, windows held up, steps of the clock
    timeline    windows                       → at most a thousand bins of time, merged exactly
    report      timelines                     → one HTML page
    bootstrap   sums over windows             → standard errors, p-values
    compare     two timelines                 → changes, intervals, verdicts
    capabilities the machine and the user     → what can be done here

:mod:`schedtel.windows.schema` defines every column; :mod:`schedtel.errors` every error.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING

from schedtel._version import __version__
from schedtel.errors import CapabilityError, CollectorError, RecordingError, SchedtelError, StreamError, UsageError
from schedtel.kernel.filters import Filter
from schedtel.live import LiveSource, live
from schedtel.windows.source import Source

if TYPE_CHECKING:
    from schedtel.flight import Subscription, serve, subscribe
    from schedtel.recordings.recorder import Recorder
    from schedtel.recordings.recording import Recording, read
    from schedtel.traces import ImportedTrace, import_trace
    from schedtel.windows.metrics import Distribution, Fairness, Metrics
    from schedtel.windows.window import Window

# What is logged is for those who ask for it; Python would print warnings of a library that nobody has set up.
logging.getLogger("schedtel").addHandler(logging.NullHandler())

#: What is imported when it is first asked for, and from where: tracing begins without files, streams and pyarrow.
#: A program that gives up the right to read these files imports what it needs by name before: a test does.
_LATER = {
    "Distribution": "windows.metrics",
    "Fairness": "windows.metrics",
    "ImportedTrace": "traces",
    "Metrics": "windows.metrics",
    "Recorder": "recordings.recorder",
    "Recording": "recordings.recording",
    "Subscription": "flight",
    "Window": "windows.window",
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
    "Fairness",
    "Filter",
    "ImportedTrace",
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
    "__version__",
    "import_trace",
    "live",
    "read",
    "serve",
    "subscribe",
]
