"""The errors that schedtel raises, for a caller to catch and for a user to read.

    SchedtelError                 every message reads "what failed: cause (what to do)"
    ├── UsageError                an argument is wrong
    ├── CapabilityError           this kernel, this machine or this user lacks something that is needed
    ├── CollectorError            the kernel side failed while running
    ├── RecordingError            a recording cannot be read or written
    ├── StreamError               windows cannot be served to others or received from a server
    └── WorkloadError             a workload cannot be run, or failed while it ran

The command prints the message on one line and exits with status 2; no traceback reaches a user for any of these.
"""


class SchedtelError(Exception):
    """Base of all errors schedtel raises on purpose."""


class UsageError(SchedtelError, ValueError):
    """An argument has a value that cannot be used."""


class CapabilityError(SchedtelError):
    """The kernel, the machine or the user's privileges lack something that is needed."""


class CollectorError(SchedtelError):
    """The kernel side failed after it had been loaded."""


class RecordingError(SchedtelError):
    """A recording is missing, corrupt, or cannot be written."""


class StreamError(SchedtelError):
    """A stream of windows cannot be served or received, was refused, or was lost."""


class WorkloadError(SchedtelError):
    """A workload cannot be run as it was planned, or its generator failed while it ran."""
