"""Options that several commands share; parsed options in, a filter or an error out."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import click
from click.core import ParameterSource

from schedtel.cli.output import FORMATS, LIFE_FORMATS
from schedtel.errors import UsageError
from schedtel.kernel.filters import Filter
from schedtel.kernel.selection import BACKENDS
from schedtel.kernel.settings import DEFAULT_MAX_TASKS, DEFAULT_PREEMPTIONS, PREEMPTIONS
from schedtel.windows.source import TABLE_NAMES

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

_WINDOWS = (
    click.option("-w", "--window", default="5s", show_default=True, metavar="DURATION", help="Length of a window."),
    click.option("-d", "--duration", metavar="DURATION", help="End after this time."),
    click.option("-n", "--count", type=click.IntRange(min=1), help="End after this many windows."),
)
_BOUNDS = (
    click.option("-d", "--duration", metavar="DURATION", help="End after windows that cover this time."),
    click.option("-n", "--count", type=click.IntRange(min=1), help="End after this many windows."),
    click.option("--host", metavar="NAME", help="Only windows of this host, if the source has several hosts."),
)
_TASKS = (
    click.option(
        "-c",
        "--cgroup",
        multiple=True,
        metavar="PATH",
        help="Only this cgroup (v2) and those below it. May be repeated.",
    ),
    click.option(
        "-p",
        "--pid",
        multiple=True,
        type=int,
        metavar="PID",
        help="Only this process and its descendants. May be repeated.",
    ),
    click.option("-t", "--tid", multiple=True, type=int, metavar="TID", help="Only this thread. May be repeated."),
    click.option(
        "-u", "--uid", multiple=True, type=int, metavar="UID", help="Only tasks of this user id. May be repeated."
    ),
    click.option(
        "--comm",
        multiple=True,
        metavar="PREFIX",
        help="Only tasks whose command name begins with this. May be repeated.",
    ),
    click.option(
        "--kernel-threads",
        type=click.Choice(["include", "exclude", "only"]),
        default="include",
        show_default=True,
        help="Threads of the kernel.",
    ),
)
_ROWS = (
    click.option(
        "--min-activity", metavar="DURATION", help="Only tasks that ran and waited at least this long in a window."
    ),
    click.option("--all-tasks", is_flag=True, help="Also tasks that slept through the window."),
)
_BACKEND = (
    click.option(
        "--backend",
        type=click.Choice(BACKENDS),
        default="auto",
        show_default=True,
        help="How BPF programs are loaded: core, or bcc where core does not work.",
    ),
    click.option(
        "--max-tasks",
        type=int,
        default=DEFAULT_MAX_TASKS,
        show_default=True,
        metavar="N",
        help="Tasks alive at a time, with bcc, and in a window, with --counter; those beyond are counted as lost.",
    ),
    click.option(
        "--ring-size",
        type=click.IntRange(min=1, max=1024),
        default=4,
        show_default=True,
        metavar="MB",
        help="Size of the kernel's ring buffer, a power of two, with core; a window's rows take as much again.",
    ),
    click.option(
        "--preemptions",
        type=click.Choice(list(PREEMPTIONS)),
        default=DEFAULT_PREEMPTIONS,
        show_default=True,
        help="Record who preempted whom by cgroup or by command name, or not at all.",
    ),
)
_MACHINE = (
    click.option("--machine", is_flag=True, help="Also sample CPU time, memory, swap and I/O: the table machine."),
)
_COUNTERS = (
    click.option(
        "--counter",
        multiple=True,
        metavar="EVENT",
        help="Also count this perf event for each task, such as page-faults: the table counters. May be repeated.",
    ),
)
_VIEW = (
    click.option(
        "--by",
        type=click.Choice(["task", "process", "cgroup", "comm", "preemption", "wait"]),
        default="task",
        show_default=True,
        help="What a row of the table is; preemption: who preempted whom; wait: one of the longest waits.",
    ),
    click.option(
        "--sort",
        metavar="COLUMN",
        help="Column to sort by, such as cpu (the default), wait or tat; with --by preemption wait, count or the like.",
    ),
    click.option("--top", type=click.IntRange(min=0), default=15, show_default=True, help="Rows of the table."),
)
_TABLE_AND_FILE = (
    click.option(
        "--table",
        type=click.Choice(TABLE_NAMES),
        default="tasks",
        show_default=True,
        help="Which table --format arrow writes.",
    ),
    click.option("-o", "--output", metavar="FILE", help="Write to a file; its extension chooses the format."),
)


def _output(formats: Sequence[str], others: str = "") -> tuple[Decorator, ...]:
    text = f"Output; `table` is a page for a person{others}."
    return (click.option("--format", "kind", type=click.Choice(formats), help=text), *_TABLE_AND_FILE)


_CLIENT = (
    click.option("--token-file", metavar="FILE", help="Token for a server, else from SCHEDTEL_TOKEN."),
    click.option("--ca", metavar="FILE", help="Authority (PEM) to trust for grpc+tls, instead of the system's."),
    click.option("--tls-cert", metavar="FILE", help="Our certificate (PEM), where the server wants one."),
    click.option("--tls-key", metavar="FILE", help="Its key (PEM)."),
)
_ROTATION = (
    click.option(
        "--rotate-size",
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        metavar="MB",
        help="Close a file at this size.",
    ),
    click.option(
        "--rotate-every", default="5m", show_default=True, metavar="DURATION", help="Close a file after this time."
    ),
)


_LOG = (
    click.option("-v", "--verbose", is_flag=True, help="A line for each event, as under systemd."),
    click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors."),
)


def format_option(*kinds: str) -> Decorator:
    """``--format table|json``, and ``ndjson`` where a command has it."""
    meaning = "A table for a person, or JSON." if len(kinds) == 2 else "A table, JSON, or a line of JSON for each job."
    return click.option("--format", "kind", type=click.Choice(kinds), default="table", show_default=True, help=meaning)


def together(options: tuple[Decorator, ...]) -> Decorator:
    """Several options as one decorator, in their order."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


window_options = together(_WINDOWS)
log_options = together(_LOG)
bound_options = together(_BOUNDS)
task_options = together(_TASKS)
filter_options = together((*_TASKS, *_ROWS, *_BACKEND))
machine_options = together(_MACHINE)
counter_options = together(_COUNTERS)
view_options = together(_VIEW)
output_options = together(_output(FORMATS))
#: Those of a command that also shows lives.
output_options_with_lives = together(_output(LIFE_FORMATS, ", `csv` and `parquet` are for --lifetimes"))
client_options = together(_CLIENT)
rotation_options = together(_ROTATION)


def server_options(clients: str) -> Decorator:
    """What a server asks of those who call it, who are called ``clients`` in the help."""
    return together(
        (
            click.option(
                "--token-file", metavar="FILE", help=f"Token to be shown by {clients}, else from SCHEDTEL_TOKEN."
            ),
            click.option("--tls-cert", metavar="FILE", help="Certificate (PEM), for grpc+tls."),
            click.option("--tls-key", metavar="FILE", help="Its key (PEM)."),
            click.option(
                "--client-ca",
                metavar="FILE",
                help=f"{clients.capitalize()} must show a certificate of this authority (PEM).",
            ),
        )
    )


def make_filter(options: dict[str, Any]) -> Filter:
    """The filter that the options of ``task_options`` or ``filter_options`` describe. Removes them from ``options``."""
    chosen: dict[str, Any] = {name: options.pop(name) or None for name in ("cgroup", "pid", "tid", "uid", "comm")}
    others = {"kernel_threads", "min_activity", "all_tasks"} & options.keys()
    return Filter(**chosen, **{name: options.pop(name) for name in others})


def refuse_for_another_source(source: str, *, bounded: bool = False) -> None:
    """Refuse window and filter options for a source other than this machine, where they would do nothing.

    :param bounded: ``--duration`` and ``--count`` end the other source as well.

    Raises :class:`UsageError` if the user gave one of them.
    """
    windows = _WINDOWS[:1] if bounded else _WINDOWS
    refuse(
        _names(*windows, *_TASKS, *_ROWS, *_BACKEND, *_MACHINE, *_COUNTERS), source, "it is for watching this machine"
    )


def refuse_without_stream(where: str, prefix: str = "") -> None:
    """Refuse the options of ``client_options`` where there is no server to connect to.

    :param prefix: what precedes the options' names in this command.

    Raises :class:`UsageError` if the user gave one of them.
    """
    refuse({f"{prefix}{name}" for name in _names(*_CLIENT)}, where, "it is for what is served at a URI")


def refuse_for_lives() -> None:
    """Refuse the options of ``view_options`` and ``--table`` for the table of lives, which has one shape.

    Raises :class:`UsageError` if the user gave one of them.
    """
    refuse({*_names(*_VIEW), "table"}, "--lifetimes", "it is for pages of windows")


def refuse(names: Collection[str | None], where: str, purpose: str) -> None:
    """Raise :class:`UsageError` if the user gave one of these options, which would do nothing.

    :param where: the source that the option does not apply to.
    :param purpose: what the option is for, in words for the message.
    """
    context = click.get_current_context()
    for parameter in context.command.params:
        given = context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
        if given and parameter.name in names:
            raise UsageError(f"cannot use {parameter.opts[-1]} with {where}: {purpose} (drop one of the two)")


def _names(*options: Decorator) -> set[str | None]:
    probe = click.Command("probe")
    for option in options:
        option(probe)  # click adds the option to the command's parameters
    return {parameter.name for parameter in probe.params}
