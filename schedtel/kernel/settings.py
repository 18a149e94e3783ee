"""What a user may choose besides a filter: its usual values; and what the BPF programs are told of it at load."""

from schedtel.errors import UsageError

DEFAULT_RING_BYTES = 4 << 20
#: How many tasks bcc can follow at a time.
DEFAULT_MAX_TASKS = 16_384
#: What who preempted whom can be told by; the numbers are those of ``bpf/records.h``.
PREEMPTIONS = {"cgroup": 1, "comm": 2, "off": 0}
DEFAULT_PREEMPTIONS = "cgroup"


def preemptions_setting(by: str) -> dict[str, object]:
    """The field of ``struct settings``. Raises :class:`UsageError` for a word that is none of ``PREEMPTIONS``."""
    if by not in PREEMPTIONS:
        raise UsageError(f"cannot tell who preempted whom by {by!r}: it is {', '.join(PREEMPTIONS)}")
    return {"preemptions": PREEMPTIONS[by]}


def preempted_by(by: str) -> str:
    """What the table's groups are: nothing where it is off."""
    return "" if by == "off" else by
