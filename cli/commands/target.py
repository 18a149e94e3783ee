"""``schedtel target``: experiments and agents of a controller on another machine in; what they do on this one out."""

import os

import click

from schedtel.access.tls import read_tls
from schedtel.access.tokens import read_token
from schedtel.access.uri import parse_address
from schedtel.cli.heap import give_back_what_is_freed
from schedtel.cli.options import log_options, server_options
from schedtel.cli.service import log_end, notify_systemd, say, set_up_log
from schedtel.cli.session import stop_on_signals
from schedtel.cli.strict import StrictGroup
from schedtel.durations import parse_duration
from schedtel.errors import UsageError
from schedtel.schedulers.settings import parse_setting
from schedtel.target.rules import Rules, presets_without_programs
from schedtel.target.server import Target

_DEFAULT_URI = "grpc://127.0.0.1:8816"


@click.group("target", cls=StrictGroup, short_help="Let another machine act here.")
def command() -> None:
    """Be the machine under test: a controller acts here, and its own load stays where it is."""


@command.command("serve", short_help="Run the experiments and the agents of controllers.")
@click.option("-l", "--listen", "uri", default=_DEFAULT_URI, show_default=True, metavar="URI", help="Where to listen.")
@server_options("controllers")
@click.option(
    "--workload",
    "workloads",
    multiple=True,
    metavar="NAME",
    help="Allow this preset, and no other that is not named. May be repeated.  [default: all that run no program of "
    "others]",
)
@click.option("--uploads", is_flag=True, help="Also allow workloads that a controller sends.")
@click.option(
    "--scheduler",
    "schedulers",
    multiple=True,
    metavar="PATTERN",
    help="Allow arms like this, such as 'policy:*', and no others. May be repeated.  [default: eevdf, and for "
    "experiments policies of the workload's own classes]",
)
@click.option(
    "--max-duration", default="60s", show_default=True, metavar="DURATION", help="Longest run, with its drain."
)
@click.option(
    "--max-tasks", type=click.IntRange(min=1), default=1024, show_default=True, help="Most tasks of a workload."
)
@click.option("--cpus", metavar="LIST", help="CPUs that workloads may use, such as 0,2-3.  [default: all of ours]")
@log_options
def serve(
    uri: str,
    token_file: str | None,
    tls_cert: str | None,
    tls_key: str | None,
    client_ca: str | None,
    workloads: tuple[str, ...],
    uploads: bool,
    schedulers: tuple[str, ...],
    max_duration: str,
    max_tasks: int,
    cpus: str | None,
    quiet: bool,
    verbose: bool,
) -> int:
    """Do what `schedtel experiment run` and `schedtel agent run` ask for with --target URI, one of them at a time.

    When nothing is heard of a controller for 2.5 seconds, its workload ends, and threads are scheduled as before. An
    agent switches arms for any threads here, so it may use those alone that --scheduler names.
    """
    set_up_log(quiet=quiet, verbose=verbose)
    give_back_what_is_freed()
    tls, address = read_tls(tls_cert, tls_key, client_ca), parse_address(uri)
    rules = Rules(
        cpus=_cpus(cpus),
        workloads=workloads or presets_without_programs(),
        schedulers=schedulers,
        uploads=uploads,
        max_duration_ns=parse_duration(max_duration),
        max_tasks=max_tasks,
    )
    with Target(rules, address, tls, read_token(token_file)) as target:
        with stop_on_signals(target.stop) as signals:
            say.info("target at %s", target.uri)
            notify_systemd("READY=1")
            target.run()
        log_end(signals)
    return 0


def _cpus(text: str | None) -> tuple[int, ...]:
    """The CPUs of a list as the kernel writes it. Raises :class:`UsageError` for one that this process may not use."""
    ours = os.sched_getaffinity(0)
    if text is None:
        return tuple(sorted(ours))
    found = parse_setting(f"cpus={text}").values
    missing = sorted(set(found) - ours)
    if missing:
        raise UsageError(f"cannot use --cpus {text}: CPU {missing[0]} is not there or not ours (see `nproc --all`)")
    return found
