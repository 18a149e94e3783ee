"""The command ``schedtel``: arguments in; windows on a terminal, in files or on a pipe out. One file per command."""

import errno
import importlib
import keyword
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from schedtel.cli import lines
from schedtel.cli.signals import ending_by_signals
from schedtel.cli.streams import open_closed_streams
from schedtel.cli.strict import StrictGroup
from schedtel.errors import SchedtelError

#: Commands; each has a module in ``commands``, imported when the user calls it: `--help` and `schema` need no BPF.
_COMMANDS = (
    "live",
    "record",
    "show",
    "report",
    "compare",
    "serve",
    "subscribe",
    "collect",
    "export",
    "import",
    "events",
    "timehist",
    "latency",
    "features",
    "workload",
    "sim",
    "dag",
    "models",
    "scheduler",
    "experiment",
    "trial",
    "agent",
    "oracle",
    "train",
    "lab",
    "target",
    "doctor",
    "schema",
)
USAGE_STATUS = 2
#: Where the path in an error is not its cause.
_ADVICE = {
    errno.EMFILE: "raise the limit of `ulimit -n`",
    errno.ENFILE: "close files: the machine has no more",
    errno.ENOMEM: "free some memory",
    errno.ENOSPC: "free some space",
    errno.EIO: "check the disk",
}


@contextmanager
def _exit_on_broken_pipe() -> Iterator[None]:
    """If the reader of the output has gone, exit silently with the status of SIGPIPE, a signal that Python ignores."""
    try:
        yield
    except BrokenPipeError:
        from schedtel.cli.service import discard_output  # noqa: PLC0415  (see _COMMANDS)

        for stream in (sys.stdout, sys.stderr):  # the error does not say which one broke
            discard_output(stream)
        sys.exit(128 + signal.SIGPIPE)


class _LazyGroup(StrictGroup):
    """A group that imports a command when the user calls it.

    A broken pipe is caught here, before click's ``main`` turns it into status 1.
    """

    @_exit_on_broken_pipe()
    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        return super().make_context(*arguments, **options)

    @_exit_on_broken_pipe()
    def invoke(self, context: click.Context) -> Any:
        return super().invoke(context)

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        module = f"{name}_" if keyword.iskeyword(name) else name
        command: click.Command = importlib.import_module(f"schedtel.cli.commands.{module}").command
        return command


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="schedtel")
def group() -> None:
    """Live scheduler telemetry: turnaround time, response time and fairness, from the running kernel."""


def main() -> None:
    """Run the command. Every error that a user can cause becomes one line on stderr and an exit status."""
    open_closed_streams()
    # Without this, gRPC writes its own line to stderr for every handshake that fails, in a server and in a client.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    with ending_by_signals(), _exit_on_broken_pipe():
        sys.exit(_run())


def _run() -> int:
    try:
        status = group.main(prog_name="schedtel", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        lines.document(error.ctx.get_help() if error.ctx else str(error))
        status = USAGE_STATUS
    except click.ClickException as error:
        status = _complain(error.format_message())
    except SchedtelError as error:
        status = _complain(str(error))
    except BrokenPipeError:  # an OSError, which _exit_on_broken_pipe() handles
        raise
    except OSError as error:
        status = _complain(_what_failed(error))
    return status if isinstance(status, int) else 0


def _what_failed(error: OSError) -> str:
    """What the system refused, where it can be told: the path in the error, or standard output."""
    cause = error.strerror or error
    if error.filename is not None:
        advice = _ADVICE.get(error.errno or 0, "check the path, and who may use it")
        return f"cannot use {os.fsdecode(error.filename)}: {cause} ({advice})"
    if _fails_to_write(error):
        return f"cannot write the output: {cause} (check the disk and the path)"
    return f"cannot go on: {cause} (check what was named, the disk, memory and `ulimit -a`)"


def _fails_to_write(error: OSError) -> bool:
    """Whether standard output failed: by a cause that only writing has, or since it still fails."""
    from schedtel.cli.service import discard_output  # noqa: PLC0415  (see _COMMANDS)

    try:
        sys.stdout.flush()
    except OSError:
        discard_output(sys.stdout)
        return True
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _complain(message: str) -> int:
    from schedtel.cli.service import with_level  # noqa: PLC0415  (see _COMMANDS)

    lines.remark(with_level(lines.in_one_line(message), logging.ERROR))
    return USAGE_STATUS
