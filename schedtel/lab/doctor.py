"""This host in; what the lab has here, what it would fetch, and what keeps it from running, out."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from schedtel.errors import SchedtelError
from schedtel.lab import apt, initramfs, packages


class Answer(NamedTuple):
    """``needed``: without a yes, nothing runs. ``found``: what is there, or what to do."""

    question: str
    yes: bool
    needed: bool
    found: str


def survey() -> Iterator[Answer]:
    """All answers, one by one. Fetches nothing."""
    yield _unless("this machine lends its Python to guests", initramfs.refuse_other_machines, "x86-64")
    fetching = _unless("Debian packages can be fetched", _try_apt, "")
    items = packages.items()
    all_there = all(packages.cached(item) for item in items)
    yield fetching._replace(needed=not all_there, found=fetching.found or f"from {apt.mirror()}")
    yield from map(_of_item, items)
    yield _unless("schedtel and its libraries can be packed", lambda: initramfs.shared_objects(()), "all are installed")


def _unless(question: str, check: Callable[[], object], found: str) -> Answer:
    try:
        check()
    except SchedtelError as error:
        return Answer(question, yes=False, needed=True, found=str(error))
    return Answer(question, yes=True, needed=True, found=found)


def _try_apt() -> None:
    apt.refuse_without_apt()
    apt.mirror()


def _of_item(item: packages.Item) -> Answer:
    place = packages.cached(item)
    if place is None:
        return Answer(item.what, yes=False, needed=False, found=f"fetched from {item.suites[0]} when it is first used")
    return Answer(item.what, yes=True, needed=False, found=str(place))
