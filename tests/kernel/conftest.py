"""Real events on the running kernel: a compiled workload, and what the tests need to start it."""

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bcc_here import mounted_tracefs
from surroundings import announced

from schedtel.errors import CapabilityError
from schedtel.kernel.core import programs
from schedtel.kernel.privileges import missing_capabilities

SOURCE = Path(__file__).parents[1] / "support" / "workloads.c"

#: Shorter than the time after which the kernel lets other tasks run beside a real-time one (sched_rt_runtime_us, and
#: the fair server, kernel/sched/deadline.c): 0.95 s of each second.
_HOG_S = 0.8


def pytest_collection_modifyitems(items):
    missing = missing_capabilities()
    for item in items:
        if Path(__file__).parent in Path(item.path).parents:
            item.add_marker(pytest.mark.kernel)
            if missing:
                item.add_marker(pytest.mark.skip(reason=f"needs {' and '.join(missing)} to load BPF programs"))


@pytest.fixture(scope="session")
def workload(tmp_path_factory):
    """Path of the compiled workload program."""
    compiler = shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("needs a C compiler for the workloads (apt install gcc)")
    path = tmp_path_factory.mktemp("workload") / "schedtel-load"
    subprocess.run([compiler, "-O2", "-Wall", "-pthread", str(SOURCE), "-o", str(path)], check=True)
    return str(path)


@pytest.fixture(scope="session")
def last_cpu():
    """The highest CPU on which the tests may run; few other tasks are pinned there."""
    return max(os.sched_getaffinity(0))


@pytest.fixture
def start(workload):
    """Start a workload; whatever still runs at the end of the test is killed, by its pid.

    One that is ``gated`` begins when its standard input is closed.
    """
    processes = []

    def begin(mode, *arguments, cpu=None, gated=False, **options):
        environment = dict(os.environ) | ({"PIN": str(cpu)} if cpu is not None else {})
        if gated:
            environment, options = environment | {"GATED": ""}, options | {"stdin": subprocess.PIPE}
        command = [workload, mode, *map(str, arguments)]
        processes.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, **options))
        return processes[-1]

    yield begin
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()
        if process.stdin:
            process.stdin.close()


@pytest.fixture(params=["core", "bcc"])
def backend(request):
    """The name of a backend, once what it needs is ready."""
    with mounted_tracefs() if request.param == "bcc" else contextlib.nullcontext():
        yield request.param


@pytest.fixture
def hog(start, last_cpu):
    """Starts a real-time task that takes the last CPU for less than a second, at the end of its standard input."""

    def begin():
        process = start("spin", _HOG_S, cpu=last_cpu, gated=True)
        try:
            os.sched_setscheduler(process.pid, os.SCHED_FIFO, os.sched_param(1))
        except PermissionError as error:
            pytest.skip(f"needs real-time scheduling: {error}")
        return process

    return begin


@pytest.fixture
def journals(tmp_path):
    return tmp_path / "journals"


@pytest.fixture
def sleeper():
    """The pid of a process that sleeps, in a session of its own."""
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as process:
        yield process.pid
        process.kill()


@pytest.fixture
def serving():
    """Start `schedtel serve`; returns its process and URI. Whatever still runs at the end is killed, by its pid."""
    with announced("serving on ") as started:

        def begin(*arguments, window="100ms", listen="grpc://127.0.0.1:0", **options):
            command = [
                sys.executable,
                "-m",
                "schedtel.cli",
                "serve",
                "-w",
                window,
                "--listen",
                listen,
                *arguments,
            ]
            return started(command, **options)

        yield begin


@pytest.fixture
def no_walk(monkeypatch):
    """A kernel that refuses programs which walk the tasks by themselves."""
    real = programs.object_image

    def refused(name):
        if name == "core_walk":
            raise CapabilityError("as if the verifier had refused it")
        return real(name)

    monkeypatch.setattr(programs, "object_image", refused)
