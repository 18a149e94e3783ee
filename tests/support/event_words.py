"""Raw events as the kernel side writes them, packed by hand from the comments of bpf/events/event_records.h."""

import numpy as np

from schedtel.eventlog.recorder import EventRecorder
from schedtel.eventlog.tracing import Decoder, Pieces
from schedtel.records.book_layout import BOOK
from schedtel.records.event_layout import EVENT, LIFE_EVENT

#: Metadata of a recording.
FACTS = {"events_version": "1", "host": "web1", "kernel": "6.18", "filter": ""}


def _body(*fields):
    """Values and the bits at which they begin."""
    return sum(value << at for value, at in fields)


def switch(ns, tid, prev, *, prio=120, state=0, followed=True, unseen=False):
    return ns << 4 | 1, _body((tid, 0), (prio % 256, 22), (prev, 30), (state, 52), (followed, 61), (unseen, 62))


def wakeup(ns, tid, cpu, *, prio=120, new=False):
    return ns << 4 | (3 if new else 2), _body((tid, 0), (prio % 256, 22), (cpu, 30))


def migrate(ns, tid, source, target, *, prio=120):
    return ns << 4 | 4, _body((tid, 0), (prio % 256, 22), (source, 30), (target, 46))


def lost(ns, number):
    return ns << 4 | 5, number


def raw(*words):
    return np.array(list(words), EVENT)


def life(ns, kind, tid, comm=b"task", *, tgid=None, other=0, exit_code=0, kernel_thread=False):
    """kind: 1 alive, 2 newtask, 3 exec, 4 rename, 5 exit."""
    record = np.zeros((), LIFE_EVENT)
    record["time_ns"], record["kind"], record["tid"], record["tgid"] = ns, kind, tid, tgid or tid
    record["comm"], record["other"], record["exit_code"], record["prio"] = comm, other, exit_code, 120
    record["start_boottime_ns"], record["kernel_thread"], record["cpu"] = 77, kernel_thread, 6
    return record


def lives(*records):
    return np.array(list(records), LIFE_EVENT)


def book(ns, tid, *, role=1, level=0, entity=0x1000, queue=0x9000, flags=1, **fields):
    """role: 1 leaves, 2 comes, 3 is woken, 4 migrates, 5 is queued, 6 records were lost."""
    record = np.zeros((), BOOK)
    record["time_role"], record["tid"], record["level"] = ns << 4 | role, tid, level
    record["entity"], record["queue"], record["flags"] = entity, queue, flags
    for name, value in fields.items():
        record[name] = value % 2**64
    return record


def pieces(events, *records, books=None):
    """By CPU the words of events; life events; and by CPU books."""
    own = {cpu: np.array(told, BOOK) for cpu, told in (books or {}).items()}
    return Pieces({cpu: raw(*words) for cpu, words in events.items()}, lives(*records), books=own)


def recorded(where, *parts, gaps=(), facts=FACTS):
    """A recording with a part for each of the pieces."""
    decoder = Decoder(0)
    with EventRecorder(where) as recorder:
        recorder.begin(facts)
        for part in parts:
            recorder.add(part, decoder)
            recorder.write(decoder, list(gaps))
    return where
