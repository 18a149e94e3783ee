"""A plan in; the run of it, and what became of every job, out. Whatever a run started is gone when it returns."""

import os
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import IO, Any

import numpy as np

from schedtel.errors import UsageError, WorkloadError
from schedtel.workloads import generator
from schedtel.workloads.external import External
from schedtel.workloads.outcome import ExternalOutcome, Outcome
from schedtel.workloads.plan import Plan, refuse_overload

#: A command of others is asked to end, and ended 2 s later; its keeper then has some time for what descends from it.
_PATIENCE_S = 30
#: Between two looks whether the commands of others have ended, where nothing else is to be waited for.
_LOOK_S = 0.01
#: Most of what a command of others says, from its end.
_MOST_OUTPUT = 64 << 10


class Runner:
    """Runs a plan once, in the foreground.

    The thread that calls :meth:`run` must live until it returns: the kernel ends the generator when that thread ends.
    """

    def __init__(self, plan: Plan, loops_per_us: float | None = None) -> None:
        """
        :param loops_per_us: loops of work in a microsecond; by default what the workload says, or else what
            :func:`~schedtel.workloads.generator.calibrate` measures.

        Raises :class:`UsageError` for CPUs that are not there, for jobs that are only simulated, and for a plan that
        this machine cannot keep.
        """
        for task_class in plan.workload.classes:
            task_class.treatment.check_cpus(task_class.name)
            if task_class.behaviour.graph:
                raise UsageError(
                    f"cannot run classes.{task_class.name}: its jobs are graphs, which have no devices here "
                    "(schedtel sim run)"
                )
        refuse_overload(plan, os.sched_getaffinity(0))
        self.plan = plan
        self._commands = [(one, one.command(*_terms(plan))) for one in plan.workload.externals]
        self._loops_per_us = loops_per_us or plan.workload.loops_per_us
        self._process: subprocess.Popen[bytes] | None = None
        self._is_stopped = False

    def stop(self) -> None:
        """End the run early, in order. Safe in a signal handler and from any thread."""
        self._is_stopped = True
        process = self._process
        if process is not None:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)

    def run(self) -> Outcome:
        """Run the plan and return what became of its jobs.

        Raises :class:`WorkloadError` where the generator or a command of others cannot do what it should.
        """
        loops_per_us = self._loops_per_us or generator.calibrate()
        with ExitStack() as stack:
            kept = [stack.enter_context(_kept(one, command)) for one, command in self._commands]
            if self.plan.workload.classes:
                raw = self._generate(generator.plan_bytes(self.plan, loops_per_us))
                facts, records = generator.read_answer(raw, len(self.plan.jobs))
            else:
                facts, records = self._wait(kept), np.empty(0, generator.RECORD)
            externals = tuple(one.outcome() for one in kept)
        return Outcome(self.plan, records, facts, loops_per_us, externals)

    def _wait(self, kept: "list[_Kept]") -> dict[str, Any]:
        """Wait until all commands have ended by themselves, or for the length of the run. Returns facts as of a run."""
        began = time.monotonic_ns()
        while not self._is_stopped and any(one.runs() for one in kept):
            if time.monotonic_ns() - began > self.plan.workload.duration_ns:
                break
            time.sleep(_LOOK_S)
        facts = {"started_ns": began, "ended_ns": time.monotonic_ns(), "interrupted": self._is_stopped}
        return facts | {"released": 0, "classes": [], "dispatcher_cpu_ns": 0, "dispatcher_policy": "none"}

    def _generate(self, plan: bytes) -> bytes:
        with generator.begin() as process:
            self._process = process
            if self._is_stopped:  # by a signal while it was started
                self.stop()
            try:
                answer, _ = process.communicate(plan)
            except BaseException:
                process.kill()
                raise
            finally:
                self._process = None
        return answer


def _terms(plan: Plan) -> tuple[int, int]:
    return plan.workload.seed, plan.workload.duration_ns


# ---- commands of others ----


class _Kept:
    """A running command of others."""

    def __init__(self, external: External, command: list[str], output: IO[bytes]) -> None:
        self._external, self._command, self._output = external, command, output
        self._process = generator.keep(command, output)

    def runs(self) -> bool:
        return self._process.poll() is None

    def outcome(self) -> ExternalOutcome:
        """What became of it, now that the run is over. Raises :class:`WorkloadError` if it has failed by itself."""
        status = self._process.poll()
        self.end()
        self._output.seek(max(0, self._output.seek(0, os.SEEK_END) - _MOST_OUTPUT))
        text = self._output.read().decode(errors="replace")
        if status:
            last = text.strip().rpartition("\n")[2][:200] or "it said nothing"
            raise WorkloadError(
                f"cannot run external.{self._external.name}: status {status}: {last} (try {shlex.join(self._command)})"
            )
        return ExternalOutcome(self._external.name, tuple(self._command), status, text)

    def end(self) -> None:
        """End it with all that descends from it."""
        self._process.terminate()
        try:
            self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise WorkloadError(
                f"cannot end external.{self._external.name}: it goes on after {_PATIENCE_S} s (end it by hand)"
            ) from None


@contextmanager
def _kept(external: External, command: list[str]) -> Iterator[_Kept]:
    with tempfile.TemporaryFile() as output:
        kept = _Kept(external, command, output)
        try:
            yield kept
        finally:
            kept.end()
