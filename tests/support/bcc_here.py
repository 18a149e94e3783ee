"""What the bcc backend needs: tests mount it for a moment, or are skipped where it is missing."""

import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
from waiting import PATIENCE_S

from schedtel.errors import CapabilityError
from schedtel.kernel.bcc import compiler, headers, tracepoints

_TRACEFS = Path("/sys/kernel/tracing")


@contextmanager
def mounted_tracefs():
    """Mount tracefs for the moment where it is not mounted; skip where something else is missing."""
    mounted = False
    try:
        tracepoints.tracefs()
    except CapabilityError:
        done = subprocess.run(
            ["mount", "-t", "tracefs", "tracefs", _TRACEFS], check=False, capture_output=True, text=True
        )
        if done.returncode:
            pytest.skip(f"needs tracefs, and cannot mount it: {done.stderr.strip()}")
        mounted = True
    try:
        _require()
        yield
    finally:
        if mounted:
            subprocess.run(["umount", _TRACEFS], check=True)


def _require():
    for find in (compiler.module_directory, headers.find_headers, tracepoints.formats):
        try:
            find()
        except CapabilityError as error:
            pytest.skip(str(error))


def in_private_mounts(script, **options):
    """Run a shell script in a mount namespace of its own: no other process sees what it mounts."""
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", script]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=PATIENCE_S, **options)
