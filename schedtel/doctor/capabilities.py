"""This kernel, this machine and this user in; what schedtel can do here out, with what to do about each "no"."""

import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from schedtel.errors import CapabilityError
from schedtel.host import procfs
from schedtel.host.cgroups import SEE_ALL_CGROUPS, cgroup_root, is_whole
from schedtel.host.namespaces import require_machine_clocks
from schedtel.kernel.bcc import compiler as bcc_compiler
from schedtel.kernel.bcc import headers, tracepoints
from schedtel.kernel.bcc.backend import BccBackend
from schedtel.kernel.btf import ObjectTypes, check_contract
from schedtel.kernel.core import programs
from schedtel.kernel.core.backend import CoreBackend
from schedtel.kernel.filters import Filter
from schedtel.kernel.libbpf import BpfObject, KernelTypes, libbpf
from schedtel.kernel.privileges import missing_capabilities
from schedtel.records.layout import CONTRACT

_BTF = "/sys/kernel/btf/vmlinux"
_TRACEPOINTS = (
    "sched_switch",
    "sched_wakeup",
    "sched_wakeup_new",
    "task_newtask",
    "sched_process_exec",
    "sched_process_exit",
)


@dataclass(frozen=True)
class Answer:
    """The answer to one question about this machine.

    ``found``: the fact behind a yes; behind a no, the cause and what to do. ``needed``: whether schedtel needs a yes.
    ``backend``: the backend that needs it, if only one does; schedtel works if either backend has all that it needs.
    """

    question: str
    yes: bool
    found: str
    needed: bool = True
    backend: str = ""


def survey() -> Iterator[Answer]:
    """Answer every question, each after those that its answer depends on."""
    yield Answer("Linux", platform.system() == "Linux", f"{platform.system()} {platform.release()}")
    yield _ask("clocks", _clocks)
    yield _ask("privileges", _privileges)
    yield from (_ask(question, find, backend="core") for question, find in _CORE.items())
    yield from (_ask(question, find, backend="bcc") for question, find in _BCC.items())
    yield _ask("cgroup v2 (filter --cgroup, paths)", _cgroups, needed=False)
    yield _ask("process ids (filters --pid, --tid, a command)", _process_ids, needed=False)
    yield _bpf_statistics()
    yield _sched_ext()


def usable_backends(answers: Sequence[Answer]) -> list[str]:
    """Names of the backends that work here, in the order in which ``auto`` tries them."""
    if not all(answer.yes or not answer.needed or answer.backend for answer in answers):
        return []
    return [name for name in ("core", "bcc") if all(a.yes for a in answers if a.backend == name)]


def _ask(question: str, find: Callable[[], str], *, needed: bool = True, backend: str = "") -> Answer:
    try:
        return Answer(question, True, find(), needed, backend)
    except CapabilityError as error:
        return Answer(question, False, str(error), needed, backend)


def _kernel_btf() -> str:
    with KernelTypes():
        return _BTF


def _tracepoints() -> str:
    with KernelTypes() as kernel:
        arguments = {name: kernel.tracepoint_arguments(name) for name in _TRACEPOINTS}
    missing = [name for name, count in arguments.items() if count is None]
    if missing:
        raise CapabilityError(f"cannot find tracepoints {', '.join(missing)} in the kernel's BTF (use another kernel)")
    state = "its argument" if (arguments["sched_switch"] or 0) >= 4 else "the task's field"
    return f"all {len(_TRACEPOINTS)}; prev_state from {state}"


def _object() -> str:
    image = programs.object_image()
    opened = BpfObject(image)
    try:
        check_contract(ObjectTypes(opened.raw_btf()).structs(), CONTRACT)
    finally:
        opened.close()
    return f"{len(image) // 1024} KB, layout matches"


def _clocks() -> str:
    require_machine_clocks()
    return "the machine's own"


def _privileges() -> str:
    missing = missing_capabilities()
    if missing:
        raise CapabilityError(
            f"this user lacks {' and '.join(missing)} (run as root, or with these two alone: "
            "sudo setpriv --reuid=$USER --init-groups --inh-caps=-all,+bpf,+perfmon "
            "--ambient-caps=-all,+bpf,+perfmon schedtel ...)"
        )
    return "root" if os.geteuid() == 0 else "CAP_BPF and CAP_PERFMON"


def _cgroups() -> str:
    root = cgroup_root()
    if not is_whole(root):
        raise CapabilityError(f"{root} is only a container's part: names are ids ({SEE_ALL_CGROUPS})")
    return str(root)


def _process_ids() -> str:
    if not procfs.sees_all_pids():
        raise CapabilityError(
            "a container's own: they cannot be filtered by, and before Linux 6.7 its tasks are all that core sees "
            "(run it with --pid=host)"
        )
    return "the machine's own"


def _attach() -> str:
    backend = CoreBackend(programs.load(Filter(), ring_bytes=1 << 16))
    backend.close()
    return "all programs load and attach"


def _formats() -> str:
    runnable = tracepoints.runnable_states(tracepoints.formats()["on_switch"])
    return f"all {len(_TRACEPOINTS)}; a preempted task's prev_state is {runnable:#x}"


def _compile() -> str:
    begin = time.monotonic()
    backend = BccBackend(Filter(), max_tasks=1024)
    backend.close()
    return f"all programs compile, load and attach, in {time.monotonic() - begin:.1f} s"


_CORE = {
    "libbpf": lambda: libbpf().soname,
    "kernel BTF": _kernel_btf,
    "tracepoints": _tracepoints,
    "compiled BPF object": _object,
    "task storage, iterators, attach": _attach,
}
_BCC = {
    "bcc of the distribution": lambda: str(bcc_compiler.module_directory()),
    "kernel headers": lambda: headers.find_headers().description,
    "tracefs": lambda: str(tracepoints.tracefs()),
    "tracepoints' fields": _formats,
    "mapped arrays, compile, attach": _compile,
}


def _bpf_statistics() -> Answer:
    with open("/proc/sys/kernel/bpf_stats_enabled", encoding="ascii") as file:
        on = file.read().strip() == "1"
    found = "kernel.bpf_stats_enabled=1" if on else "off, bpf_ns is null (sysctl -w kernel.bpf_stats_enabled=1)"
    return Answer("BPF run time statistics", on, found, needed=False)


def _sched_ext() -> Answer:
    there = os.path.isdir("/sys/kernel/sched_ext")
    found = (
        "there"
        if there
        else "this kernel is built without CONFIG_SCHED_CLASS_EXT (nothing to do: telemetry works without)"
    )
    return Answer("sched_ext", there, found, needed=False)
