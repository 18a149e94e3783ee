"""What the tests of targets share: two machines as two network namespaces, a target's process, and a controller's."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest
from waiting import PATIENCE_S, eventually

TOKEN = "0123456789abcdef-of-the-tests"
CONTROLLER, TARGET = "10.213.0.1", "10.213.0.2"
SERVE = [sys.executable, "-m", "schedtel.cli", "target", "serve"]
RUN = [sys.executable, "-m", "schedtel.cli", "experiment", "run"]
_ENVIRONMENT = {**os.environ, "SCHEDTEL_TOKEN": TOKEN}
#: Status 0 once the target's machine answers, if only by refusing a port that nobody has.
_ASKING = (
    *(sys.executable, "-S", "-c"),
    f"""
import socket, sys
try:
    socket.create_connection(({TARGET!r}, 9), 1)
except ConnectionRefusedError:
    sys.exit(0)
except OSError:
    sys.exit(1)
""",
)


class Network:
    """Two network namespaces with a cable between them. They end with this object's processes."""

    def __init__(self):
        self._holders = [subprocess.Popen(["unshare", "--net", "sleep", "infinity"]) for _ in range(2)]
        for holder in self._holders:
            eventually(lambda pid=holder.pid: _net(pid) != _net(os.getpid()))
        near, far = self._holders
        self._ip(near, f"link add st-near type veth peer name st-far netns {far.pid}")
        for holder, name, address in ((near, "st-near", CONTROLLER), (far, "st-far", TARGET)):
            self._ip(holder, f"address add {address}/24 dev {name}")
            self._ip(holder, f"link set {name} up")
            self._ip(holder, "link set lo up")
        self._find()

    def _ip(self, holder, words):
        subprocess.run([*_inside(holder), "ip", *words.split()], check=True)

    @property
    def controller(self):
        """Words that begin a command on the controller's side."""
        return _inside(self._holders[0])

    @property
    def target(self):
        """Words that begin a command on the target's side."""
        return _inside(self._holders[1])

    def cut(self):
        self._ip(self._holders[1], "link set st-far down")

    def mend(self):
        self._ip(self._holders[1], "link set st-far up")
        self._find()

    def _find(self):
        """Wait until the target's address is found: a second or two after the link was set up."""
        eventually(lambda: subprocess.run([*self.controller, *_ASKING], check=False).returncode == 0)

    def close(self):
        for holder in self._holders:
            holder.kill()
            holder.wait()


def _inside(holder):
    return ["nsenter", f"--net=/proc/{holder.pid}/ns/net"]


def _net(pid):
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/{pid}/ns/net")
    return None


@pytest.fixture
def network():
    if os.geteuid() or not all(map(shutil.which, ("unshare", "nsenter", "ip"))):
        pytest.skip("needs root, unshare, nsenter and ip for two network namespaces (apt install iproute2)")
    probe = subprocess.run(["unshare", "--net", "true"], capture_output=True, text=True, check=False)
    if probe.returncode:
        pytest.skip(f"needs network namespaces: {probe.stderr.strip()}")
    made = Network()
    yield made
    made.close()


class TargetProcess:
    """A running ``schedtel target serve``; ``said`` has the lines that it wrote."""

    def __init__(self, *options, within=(), listen="grpc://127.0.0.1:0"):
        command = [*within, *SERVE, "-v", "--listen", listen, *options]
        #: Where it keeps the run in progress: what a killed one leaves there goes with this object.
        self.scratch = tempfile.TemporaryDirectory()
        environment = {**_ENVIRONMENT, "TMPDIR": self.scratch.name}
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        self.said = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        eventually(lambda: self.said or self.process.poll() is not None)
        assert self.said[0].startswith("target at "), self.said
        self.uri = self.said[0].removeprefix("target at ")

    def _read(self):
        for line in self.process.stderr:
            self.said.append(line.rstrip("\n"))

    @property
    def pid(self):
        return self.process.pid

    def end(self):
        """Kill it, if it runs."""
        self.process.kill()
        self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        self.process.stderr.close()
        self.scratch.cleanup()


@contextlib.contextmanager
def target(*options, **terms):
    """A target, which ends with the context."""
    served = TargetProcess(*options, **terms)
    try:
        yield served
    finally:
        served.end()


def controller(spec, output, uri, *options, within=(), token=TOKEN):
    """A process that runs an experiment on a target."""
    command = [*within, *RUN, str(spec), "-o", str(output), "--target", uri, *options]
    environment = {**_ENVIRONMENT, "SCHEDTEL_TOKEN": token}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def outcome(process):
    """Exit status, stdout and the lines on stderr of a process, once it has ended."""
    out, err = process.communicate(timeout=PATIENCE_S)
    return process.returncode, out, err.splitlines()


def files_below(folder):
    return {str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file()}
