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
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live

from schedtel.cli.display.choices import Choice
from schedtel.cli.display.view import View
from schedtel.windows.window import Window

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


def watch(source: Iterable[Window], choice: Choice, stop: Callable[[], None], progress: Callable[[], str]) -> None:
    """Show windows until the source ends or the user quits. At the source's end, the last page stays on the terminal.

    :param stop: makes iteration over the source finish; safe from another thread.
    :param progress: what the last line begins with: how far the window in progress is, or the like.
    """
    windows: queue.Queue[Window | BaseException | None] = queue.Queue()
    worker = threading.Thread(target=_collect, args=(source, windows), daemon=True)
    worker.start()
    console = Console()
    try:
        view = View(choice)
        with _keyboard() as keys, Live(console=console, screen=True, auto_refresh=False) as screen:
            over = _show(progress, view, windows, keys, screen)
        if over and view.has_window:
            console.print(view.render(width=console.width))
    finally:
        stop()
        worker.join()


def _collect(source: Iterable[Window], windows: "queue.Queue[Window | BaseException | None]") -> None:
    """In a thread of its own, so that keys and the clock go on while windows are waited for."""
    try:
        for window in source:
            windows.put(window)
        windows.put(_End)
    except BaseException as error:  # noqa: BLE001  (raised again where the user is)
        windows.put(error)


def _show(
    progress: Callable[[], str],
    view: View,
    windows: "queue.Queue[Window | BaseException | None]",
    keys: int | None,
    screen: Live,
) -> bool:
    """Returns whether it was the source that ended it, and not the user."""
    paused, drawn = False, 0.0
    while True:
        pressed = _read_keys(keys)
        if "q" in pressed:
            return False
        paused ^= pressed.count("p") % 2 == 1
        for key in pressed:
            _adjust(view.choice, key)
        new = _take_all(windows)
        for window in new:
            if window is not None and not paused:
                view.add(window)
        if _End in new:
            return True
        if new or pressed or time.monotonic() - drawn >= _REDRAW_S:
            size = screen.console.size
            status = progress() + _keys_now(view.choice, paused)
            screen.update(view.render(size.height, size.width, status), refresh=True)
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


def clock(elapsed: float) -> str:
    """How much of the open window has passed, as a bar."""
    done = round(elapsed * 20)
    return "━" * done + "╌" * (20 - done) + "  "


def _keys_now(choice: Choice, paused: bool) -> str:
    return _KEYS.format(by=choice.by, pause="go on" if paused else "pause")


def _adjust(choice: Choice, key: str) -> None:
    if key == "b":
        choice.group_by_next()
    elif key == "s":
        choice.sort_by_next()
    elif key in (_UP, _DOWN):
        choice.top = max(0, choice.top + (1 if key == _DOWN else -1))


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
