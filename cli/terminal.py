"""The live view on a terminal: windows and keys in, a screen out; the terminal is restored however it ends."""

import os
import queue
import re
import select
import sys
import termios
import threading
import time
import tty
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live

from schedtel.cli.choice import GROUPINGS, SORTS, Choice, sort_column
from schedtel.cli.view import View
from schedtel.live import LiveSource
from schedtel.window import Window

#: How often the clock is drawn anew, and how soon a window or a key is noticed.
_REDRAW_S, _NOTICE_S = 1.0, 0.1
_UP, _DOWN = "\x1b[A", "\x1b[B"
_KEYS = "q quit · b by {by} · s sort · ↑↓ rows · p {pause}"
_End = None


def pages(windows: Iterable[Window], choice: Choice) -> None:
    """One page after the other, as wide as the terminal."""
    console, view = Console(), View(choice)
    for window in windows:
        view.add(window)
        console.print(view.render(width=console.width))


def watch(source: LiveSource, choice: Choice) -> None:
    """Show windows until the source ends or the user quits."""
    windows: queue.Queue[Window | BaseException | None] = queue.Queue()
    worker = threading.Thread(target=_collect, args=(source, windows), daemon=True)
    worker.start()
    try:
        with _keyboard() as keys, Live(console=Console(), screen=True, auto_refresh=False) as screen:
            _show(source, View(choice), windows, keys, screen)
    finally:
        source.stop()
        worker.join()


def _collect(source: LiveSource, windows: "queue.Queue[Window | BaseException | None]") -> None:
    """In a thread of its own, so that keys and the clock go on while the kernel is waited for."""
    try:
        for window in source:
            windows.put(window)
        windows.put(_End)
    except BaseException as error:  # noqa: BLE001  (raised again where the user is)
        windows.put(error)


def _show(
    source: LiveSource,
    view: View,
    windows: "queue.Queue[Window | BaseException | None]",
    keys: int | None,
    screen: Live,
) -> None:
    paused, drawn = False, 0.0
    while True:
        pressed = _read_keys(keys)
        if "q" in pressed:
            return
        paused ^= pressed.count("p") % 2 == 1
        for key in pressed:
            _adjust(view.choice, key)
        new = _take_all(windows)
        if _End in new:
            return
        for window in new:
            if window is not None and not paused:
                view.add(window)
        if new or pressed or time.monotonic() - drawn >= _REDRAW_S:
            size = screen.console.size
            screen.update(view.render(size.height, size.width, _status(source, view.choice, paused)), refresh=True)
            drawn = time.monotonic()


def _take_all(windows: "queue.Queue[Window | BaseException | None]") -> list[Window | None]:
    """What has come since the last look; an error of the collecting thread is raised here."""
    taken: list[Window | None] = []
    while not windows.empty():
        got = windows.get()
        if isinstance(got, BaseException):
            raise got
        taken.append(got)
    return taken


def _status(source: LiveSource, choice: Choice, paused: bool) -> str:
    done = round(source.elapsed * 20)
    return "━" * done + "╌" * (20 - done) + "  " + _KEYS.format(by=choice.by, pause="go on" if paused else "pause")


def _adjust(choice: Choice, key: str) -> None:
    if key == "b":
        choice.by = _after(GROUPINGS, choice.by)
    elif key == "s":
        short = {sort_column(name): name for name in SORTS}
        choice.sort = sort_column(_after(SORTS, short.get(choice.sort, SORTS[-1])))
    elif key in (_UP, _DOWN):
        choice.top = max(0, choice.top + (1 if key == _DOWN else -1))


def _after(choices: tuple[str, ...], current: str) -> str:
    return choices[(choices.index(current) + 1) % len(choices)]


@contextmanager
def _keyboard() -> Iterator[int | None]:
    """The terminal's keys one at a time, without echo; None where stdin is no terminal."""
    if not sys.stdin.isatty():
        yield None
        return
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    try:
        tty.setcbreak(fd)
        yield fd
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def _read_keys(fd: int | None) -> list[str]:
    """The keys pressed within the time to notice them; an arrow is one key of three characters."""
    ready, _, _ = select.select([fd] if fd is not None else [], [], [], _NOTICE_S)
    if not ready or fd is None:
        return []
    return re.findall(r"\x1b\[.|.", os.read(fd, 64).decode(errors="replace"))
