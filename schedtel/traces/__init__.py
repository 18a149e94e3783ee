"""The text of another tracer in; windows out, by the state machine that live windows come from.

file      the file of a trace                 → text in chunks, or why it is refused (form)
text      lines of perf or ftrace             → events (fields: those of one event)
events    the layout of bpf/replay.c          → a numpy dtype
order     chunks of events                    → the same events in the order of time
library   bpf/replay.c                        → the state machine, compiled and loaded into this process
replay    events, through the state machine   → raw windows
imported  text, through all of these          → windows
"""

from schedtel.traces.imported import ImportedTrace, import_trace

__all__ = ["ImportedTrace", "import_trace"]
