"""A filter in; the BPF programs of core, which the kernel has verified and which are not attached yet, out.

This module does without numpy and pyarrow, so that both can be imported while the kernel verifies
(:mod:`schedtel.live`).
"""

import mmap
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from schedtel.errors import CapabilityError, UsageError
from schedtel.host.cpus import possible_cpus
from schedtel.host.procfs import thread_count
from schedtel.kernel.btf import Member, ObjectTypes
from schedtel.kernel.filters import Filter
from schedtel.kernel.libbpf import BpfObject, KernelTypes
from schedtel.kernel.privileges import require_capabilities
from schedtel.kernel.settings import DEFAULT_PREEMPTIONS, DEFAULT_RING_BYTES, preempted_by, preemptions_setting

#: The programs in the order in which they are attached. Those that end lives come before those that begin them, so that
#: no life can begin whose end no program would see.
PROGRAMS = (
    "on_cpu_step",
    "on_cpu_step_done",
    "on_exit",
    "on_newtask",
    "on_exec",
    "on_arrival",
    "on_wakeup",
    "on_switch",
)
#: The task cache has so many slots for each thread that there is at attach, or up to twice as many, but within bounds.
#: A slot is 896 bytes of kernel memory.
_SLOTS_PER_THREAD, _CACHE_BITS = 4, range(12, 16)
#: Programs that are left out where the kernel has no CPU hotplug.
_HOTPLUG = ("on_cpu_step", "on_cpu_step_done")


@dataclass(frozen=True)
class LoadPlan:
    """What to load: fields of ``struct settings``, names of the programs, and values that set the sizes of maps."""

    settings: dict[str, object]
    names: tuple[str, ...]
    ring_bytes: int
    cpus: int
    cache_bits: int
    preempted_by: str


@dataclass(frozen=True)
class Programs:
    """The loaded object, and the layout of its structs. ``walks``: its programs visit all tasks without iterators."""

    plan: LoadPlan
    object: BpfObject
    structs: dict[str, list[Member]]
    walks: bool

    @property
    def page_rows(self) -> int:
        """How many rows the flush writes before it asks for room."""
        return page_rows(self.plan.ring_bytes, _row_bytes(self.structs))


def load(
    task_filter: Filter,
    ring_bytes: int = DEFAULT_RING_BYTES,
    preemptions: str = DEFAULT_PREEMPTIONS,
    while_verifying: Callable[[], object] = lambda: None,
) -> Programs:
    """Load the object that fits the kernel best.

    ``while_verifying`` is called right before this thread waits for the kernel to verify an object, once for each
    object that is tried.

    Raises :class:`UsageError` for a wrong value, and :class:`CapabilityError` where the kernel, the machine or the
    user's privileges lack something that is needed.
    """
    if ring_bytes < mmap.PAGESIZE or ring_bytes & (ring_bytes - 1):
        raise UsageError(
            f"cannot use a ring of {ring_bytes} bytes: it must be a power of two, at least {mmap.PAGESIZE}"
        )
    settings = task_filter.settings() | preemptions_setting(preemptions)
    names = tuple(name for name in PROGRAMS if name != "on_exec" or task_filter.follows_exec)
    require_capabilities()
    plan = LoadPlan(settings, names, ring_bytes, possible_cpus(), cache_bits(thread_count()), preempted_by(preemptions))
    return _fitting(plan, while_verifying)


def object_image(name: str = "core") -> bytes:
    """A compiled BPF object of the package: ``core``, or ``core_walk`` for kernels that have its functions."""
    path = Path(__file__).parents[2] / "_bpf" / f"{name}.bpf.o"
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise CapabilityError(
            f"cannot find the compiled BPF object {name}.bpf.o in the package (run `make build`, which needs clang)"
        ) from None


def page_rows(ring_bytes: int, row_bytes: int) -> int:
    """How many rows the flush's page holds: it has as much memory as the ring has for exits."""
    return ring_bytes // row_bytes


def cache_bits(threads: int) -> int:
    """The logarithm of the number of slots in the task cache, for a machine with so many threads."""
    return min(max((_SLOTS_PER_THREAD * threads - 1).bit_length(), _CACHE_BITS[0]), _CACHE_BITS[-1])


def _row_bytes(structs: dict[str, list[Member]]) -> int:
    return structs["task_record"][-1].offset


def _fitting(plan: LoadPlan, while_verifying: Callable[[], object]) -> Programs:
    """The first object that loads. The kernel's BTF is read only after a load has failed, since that is slow."""
    # The guard against preemption is tried first. Kernels whose verifier refuses it, since it allows no global function
    # there, do not need it.
    loaded = _try("core_walk", plan, while_verifying, disable_preemption=1)
    if loaded:
        return loaded
    with KernelTypes() as kernel:
        has_switches = kernel.tracepoint_arguments("sched_switch") is not None
        has_walk = kernel.has_function("bpf_iter_task_new")
        has_storage = kernel.has_function("bpf_task_storage_get")
        has_hotplug = kernel.tracepoint_arguments("cpuhp_exit") is not None
    if not has_switches:
        raise CapabilityError("cannot attach to sched_switch: this kernel's BTF has no such tracepoint")
    if not has_hotplug:
        plan = replace(plan, names=tuple(name for name in plan.names if name not in _HOTPLUG))
    loaded = _try("core_walk", plan, while_verifying) if has_walk else None
    if loaded:
        return loaded
    try:
        return _load("core", plan, while_verifying)
    except CapabilityError:
        if has_storage:
            raise
        raise CapabilityError(
            "cannot use the core backend: this kernel has no BPF task storage (use Linux 5.15 or later)"
        ) from None


def _try(name: str, plan: LoadPlan, while_verifying: Callable[[], object], **more: object) -> Programs | None:
    try:
        return _load(name, plan, while_verifying, **more)
    except CapabilityError:
        return None


def _load(name: str, plan: LoadPlan, while_verifying: Callable[[], object], **more: object) -> Programs:
    opened = BpfObject(object_image(name))
    try:
        structs = ObjectTypes(opened.raw_btf()).structs()
        _set_up(opened, plan, structs, more)
        while_verifying()
        opened.load()
    except BaseException:
        opened.close()
        raise
    return Programs(plan, opened, structs, walks=name == "core_walk")


def _set_up(opened: BpfObject, plan: LoadPlan, structs: dict[str, list[Member]], more: dict[str, object]) -> None:
    rows = page_rows(plan.ring_bytes, _row_bytes(structs))
    sizes: dict[str, object] = {"wakeup_bytes": plan.ring_bytes // 4, "page_rows": rows}
    opened.set_initial_value("schedtel.rodata", packed(structs["settings"], sizes | plan.settings | more))
    opened.set_max_entries("task_cache", 1 << plan.cache_bits)
    opened.set_max_entries("cpus", plan.cpus)
    opened.set_max_entries("preemptions", plan.cpus if plan.preempted_by else 1)
    opened.set_max_entries("stoppers", plan.cpus)
    opened.set_max_entries("ring", plan.ring_bytes)
    opened.set_max_entries("page", rows)
    for name in set(PROGRAMS) - set(plan.names):
        opened.leave_out(name)


def packed(members: list[Member], values: dict[str, object]) -> bytes:
    """A struct of unsigned integers, and of tuples of them, as the object lays it out; fields without a value are 0.

    A tuple has as many numbers as its field, and may have tuples in it as an array of arrays does.

    Raises :class:`CapabilityError` for a value that no field has.
    """
    *fields, end = members
    unknown = values.keys() - {field.name for field in fields}
    if unknown:
        raise CapabilityError(
            f"cannot use the BPF object: its settings have no {', '.join(sorted(unknown))} "
            "(the installation is mixed; rebuild with `make build` or reinstall schedtel)"
        )
    image = bytearray(end.offset)
    for field in fields:
        words = _numbers(values.get(field.name, 0))
        size = field.size // len(words)
        image[field.offset : field.offset + field.size] = b"".join(word.to_bytes(size, sys.byteorder) for word in words)
    return bytes(image)


def _numbers(value: object) -> list[int]:
    """The numbers of a field: one, or those of a tuple in their order."""
    if isinstance(value, tuple):
        return [number for part in value for number in _numbers(part)]
    assert isinstance(value, int)
    return [value]
