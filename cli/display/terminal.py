"""Windows and keys in; a screen on the terminal out. The terminal is restored on every exit."""

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

from rich.live import Live

from schedtel.cli.display.cells import terminal_console
from schedtel.cli.display.choices import Choice
from schedtel.cli.display.view import View
from schedtel.windows.window import Window

#: Seconds between two redraws of the clock, and the longest time until a window or a key is noticed.
_REDRAW_S, _NOTICE_S = 1.0, 0.1
_UP, _DOWN = "\x1b[A", "\x1b[B"
_KEYS = "q quit · b by {by} · s sort · ↑↓ rows · p {pause}"
_End = None


def pages(windows: Iterable[Window], choice: Choice) -> None:
    """Print one page for each window, as wide as the terminal."""
    console, view = terminal_console(), View(choice)
    for window in windows:
        view.add(window)
        console.print(view.render(width=console.width))


def watch(source: Iterable[Window], choice: Choice, stop: Callable[[], None], progress: Callable[[], str]) -> None:
    """Show windows until the source ends or the user quits. If the source ends, the last page stays on the terminal.

    :param stop: makes iteration over the source finish; called from another thread than the one that iterates.
    :param progress: the beginning of the last line, for example how much of the open window has passed.

    Raises what iteration over the source raises.
    """
    windows: queue.Queue[Window | BaseException | None] = queue.Queue()
    worker = threading.Thread(target=_collect, args=(source, windows), daemon=True)
    worker.start()
    console = terminal_console()
    try:
        view = View(choice)
        with _keyboard() as keys, Live(console=console, screen=True, auto_refresh=False) as screen:
            source_ended = _show(progress, view, windows, keys, screen)
        if source_ended and view.has_window:
            console.print(view.render(width=console.width))
    finally:
        stop()
        worker.join()


def _collect(source: Iterable[Window], windows: "queue.Queue[Window | BaseException | None]") -> None:
    """Runs in its own thread, so that keys and the clock work while it waits for the next window."""
    try:
        for window in source:
            windows.put(window)
        windows.put(_End)
    except BaseException as error:  # noqa: BLE001  (raised again in the main thread)
        windows.put(error)


def _show(
    progress: Callable[[], str],
    view: View,
    windows: "queue.Queue[Window | BaseException | None]",
    keys: int | None,
    screen: Live,
) -> bool:
    """Redraw the screen until the source ends (returns True) or the user quits (returns False)."""
    paused, drawn = False, 0.0
    while True:
        pressed = _read_keys(keys)
        if "q" in pressed:
            return False
        paused ^= pressed.count("p") % 2 == 1
        for key in pressed:
            _adjust(view.choice, key)
        new = _arrived(windows)
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


def _arrived(windows: "queue.Queue[Window | BaseException | None]") -> list[Window | None]:
    """The windows that arrived since the last call. Raises the error of the collecting thread, if it failed."""
    arrived: list[Window | None] = []
    while not windows.empty():
        item = windows.get()
        if isinstance(item, BaseException):
            raise item
        arrived.append(item)
    return arrived


def clock(elapsed: float) -> str:
    """A bar of the part of the open window that has passed, from 0 to 1."""
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
    """Let keys be read one at a time and without echo. Yields stdin's descriptor, or None if it is no terminal."""
    if not sys.stdin.isatty():
        yield None
        return
    fd = sys.stdin.fileno()
    previous = termios.tcgetattr(fd)
    try:
        tty.setcbreak(fd)
        yield fd
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, previous)


def _read_keys(fd: int | None) -> list[str]:
    """The keys pressed within ``_NOTICE_S`` seconds; an arrow key is one key of three characters."""
    ready, _, _ = select.select([fd] if fd is not None else [], [], [], _NOTICE_S)
    if not ready or fd is None:
        return []
    return re.findall(r"\x1b\[.|.", os.read(fd, 64).decode(errors="replace"))
