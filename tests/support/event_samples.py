"""A recording of events with all kinds of them, hostile names, real-time and deadline tasks, and losses."""

from event_words import FACTS, life, lost, migrate, pieces, recorded, switch, wakeup

from schedtel.eventlog.decode import Gap

START, WALL, BOOT = 5_000_000_000, 1_700_000_000_123_456_789, 4_000_000_000
#: Names that a terminal would obey, that are no UTF-8, that would end a quoted text; one of all 15 letters.
NAMES = {7: b"plain", 8: b"\x1b[31m\xff\xfe", 9: b'"};\\env{x="\n', 10: b"fifteen letters", 11: b"\xc3\xa9t\xc3\xa9"}
ALIVE, NEWTASK, EXEC, RENAME, EXIT = range(1, 6)


def everything(where, **facts):
    """Some 3,000 events on two CPUs, in two parts. 12 are lost on CPU 1 in between, 3 on CPU 0 at the end."""
    lives = [life(START, ALIVE, tid, name, tgid=7 if tid == 8 else tid) for tid, name in NAMES.items()]
    lives += [
        life(START + 500, NEWTASK, 12, b"child", other=7),
        life(START + 600, NEWTASK, 13, b"twin", tgid=7, other=8),
    ]
    lives += [life(START + 700, RENAME, 12, b"renamed"), life(START + 800, EXEC, 12, b"exec", other=13)]
    first = pieces({cpu: _busy(START + 10_000 + cpu, cpu) for cpu in (0, 1)}, *lives)
    words = {cpu: _busy(START + 10_000_000 + cpu, cpu) for cpu in (0, 1)}
    words[1].insert(0, lost(START + 10_000_000, 12))
    second = pieces(words, life(START + 12_000_000, EXIT, 12, b"exec", exit_code=256))
    second.gaps.append(Gap(0, START + 19_000_000, START + 19_500_000, 3, "ring_full"))
    offsets = {"start_ns": str(START), "wall_offset_ns": str(WALL), "boottime_offset_ns": str(BOOT)}
    return recorded(where, first, second, facts=FACTS | offsets | {"cpus": "0,1"} | facts)


def _busy(now, cpu):
    """The tasks in turn: each is woken or born, comes, is moved, leaves in another state, of the idle task or to it."""
    words, tids = [], sorted(NAMES)
    for number in range(250):
        tid, prio = tids[number % len(tids)], (120, 139, 49, -1, 100)[number % 5]
        words += [wakeup(now, tid, 1 - cpu, prio=prio, new=number % 10 == 0), switch(now + 700, tid, 0, prio=prio)]
        if number % 3 == 0:
            words.append(migrate(now + 900, tid, cpu, 1 - cpu, prio=prio))
        words.append(switch(now + 1_500 + 100 * number, 0, tid, prio=140, state=(1, 2, 0x80, 0x100, 0)[number % 5]))
        now += 2_000 + 100 * number
    return words
