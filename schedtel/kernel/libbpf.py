"""An object file in; file descriptors of its maps, programs and iterators out, by way of ``libbpf.so`` and ctypes."""

import _thread
import ctypes
import errno
import os
import threading
from collections.abc import Callable
from ctypes import POINTER, byref, c_bool, c_char_p, c_int, c_size_t, c_uint32, c_uint64, c_void_p
from typing import Any, Self

from schedtel.errors import CapabilityError, CollectorError
from schedtel.kernel.privileges import advice

#: libbpf 1.x, else 0.5 or later (Ubuntu 22.04) in its strict mode, in which calls report errors as those of 1.x do.
_SONAMES = ("libbpf.so.1", "libbpf.so.0")
_STRICT_ALL = 0xFFFFFFFF

_KERNEL_BTF = "/sys/kernel/btf/vmlinux"

#: libbpf names internal maps after the first eight letters of this.
OBJECT_NAME = b"schedtel"

_SIGNATURES: dict[str, tuple[Any, list[Any]]] = {
    "bpf_object__open_mem": (c_void_p, [c_void_p, c_size_t, c_void_p]),
    "bpf_object__load": (c_int, [c_void_p]),
    "bpf_object__close": (None, [c_void_p]),
    "bpf_object__btf": (c_void_p, [c_void_p]),
    "bpf_object__find_map_by_name": (c_void_p, [c_void_p, c_char_p]),
    "bpf_object__find_program_by_name": (c_void_p, [c_void_p, c_char_p]),
    "bpf_map__fd": (c_int, [c_void_p]),
    "bpf_map__set_max_entries": (c_int, [c_void_p, c_uint32]),
    "bpf_map__reuse_fd": (c_int, [c_void_p, c_int]),
    "bpf_map__set_initial_value": (c_int, [c_void_p, c_void_p, c_size_t]),
    "bpf_map_update_elem": (c_int, [c_int, c_void_p, c_void_p, c_uint64]),
    "bpf_map_delete_elem": (c_int, [c_int, c_void_p]),
    "bpf_map_lookup_and_delete_batch": (c_int, [c_int, *[c_void_p] * 4, POINTER(c_uint32), c_void_p]),
    "bpf_program__fd": (c_int, [c_void_p]),
    "bpf_program__set_autoload": (c_int, [c_void_p, c_bool]),
    "bpf_program__attach": (c_void_p, [c_void_p]),
    "bpf_program__attach_iter": (c_void_p, [c_void_p, c_void_p]),
    "bpf_link__fd": (c_int, [c_void_p]),
    "bpf_link__destroy": (c_int, [c_void_p]),
    "bpf_iter_create": (c_int, [c_int]),
    "bpf_prog_test_run_opts": (c_int, [c_int, c_void_p]),
    "bpf_obj_get_info_by_fd": (c_int, [c_int, c_void_p, POINTER(c_uint32)]),
    "btf__raw_data": (c_void_p, [c_void_p, POINTER(c_uint32)]),
    "btf__load_vmlinux_btf": (c_void_p, []),
    "btf__free": (None, [c_void_p]),
    "btf__find_by_name_kind": (c_int, [c_void_p, c_char_p, c_uint32]),
    "btf__type_by_id": (c_void_p, [c_void_p, c_uint32]),
    "btf__name_by_offset": (c_char_p, [c_void_p, c_uint32]),
}

#: The name that a function had before libbpf 0.6.
_OLDER_NAMES = {"btf__raw_data": "btf__get_raw_data"}

_PRINT = ctypes.CFUNCTYPE(c_int, c_int, c_char_p, c_void_p)


class _OpenOptions(ctypes.Structure):
    """The head of ``struct bpf_object_open_opts``; libbpf reads no further than ``sz``."""

    _fields_ = (("sz", c_size_t), ("object_name", c_char_p))


#: BPF_F_TEST_RUN_ON_CPU (include/uapi/linux/bpf.h).
_RUN_ON_CPU = 1


class _RunOptions(ctypes.Structure):
    """``struct bpf_test_run_opts`` up to ``cpu``. ``repeat`` is 0: run once."""

    _fields_ = (
        ("sz", c_size_t),
        ("buffers", c_void_p * 2),
        ("buffer_sizes", c_uint32 * 2),
        ("contexts", c_void_p * 2),
        ("context_sizes", c_uint32 * 2),
        ("retval", c_uint32),
        ("repeat", c_int),
        ("duration", c_uint32),
        ("flags", c_uint32),
        ("cpu", c_uint32),
    )


class ProgInfo(ctypes.Structure):
    """``struct bpf_prog_info`` (include/uapi/linux/bpf.h) up to ``recursion_misses``."""

    _fields_ = (
        ("head", c_uint32 * 6),
        ("translated", c_uint64 * 2),
        ("load_time", c_uint64),
        ("created_by_uid", c_uint32),
        ("nr_map_ids", c_uint32),
        ("map_ids", c_uint64),
        ("name", ctypes.c_char * 16),
        ("tail", c_uint32 * 26),
        ("tags", c_uint64),
        ("run_time_ns", c_uint64),
        ("run_cnt", c_uint64),
        ("recursion_misses", c_uint64),
    )


class Libbpf:
    """The loaded library. It keeps libbpf's warnings for error messages."""

    def __init__(self) -> None:
        self._library, self.soname = _open_library()
        self._functions = {name: self._function(name) for name in _SIGNATURES}
        self._messages: list[str] = []
        self._capture = _PRINT(self._keep_message)
        self._library.libbpf_set_print(self._capture)
        if self.soname == "libbpf.so.0":
            self._library.libbpf_set_strict_mode(_STRICT_ALL)

    def _keep_message(self, level: int, template: bytes, arguments: int) -> int:
        # A va_list argument is a pointer in both ABIs that matter, x86-64 and AAPCS64, so it can be handed on.
        if level == 0:
            text = ctypes.create_string_buffer(512)
            ctypes.CDLL(None).vsnprintf(text, len(text), template, c_void_p(arguments))
            self._messages.append(text.value.decode(errors="replace").strip().removeprefix("libbpf: "))
        return 0

    def _function(self, name: str) -> Callable[..., Any]:
        for symbol in (name, _OLDER_NAMES.get(name, name)):
            if hasattr(self._library, symbol):
                function = getattr(self._library, symbol)
                function.restype, function.argtypes = _SIGNATURES[name]
                return function
        raise CapabilityError(f"cannot use {self.soname}: it has no {name}() (install libbpf 0.5 or later)")

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """A function of the library, if ``_SIGNATURES`` has it."""
        if name not in _SIGNATURES:
            raise AttributeError(f"no signature of {name}()")
        return self._functions[name]

    def forget_messages(self) -> None:
        """Forget earlier warnings: they are not the cause of a failure from now on."""
        self._messages.clear()

    @property
    def first_message(self) -> str:
        """The first warning, or ``""``: it names the cause, and the others are consequences."""
        return self._messages[0] if self._messages else ""


def _open_library() -> tuple[ctypes.CDLL, str]:
    for soname in _SONAMES:
        try:
            return ctypes.CDLL(soname, use_errno=True), soname
        except OSError:
            continue
    raise CapabilityError("cannot load libbpf.so.1: not found (install it: apt install libbpf1, dnf install libbpf)")


_loaded: list[Libbpf] = []


def libbpf() -> Libbpf:
    """The library, loaded on first use. Raises :class:`CapabilityError` if it is missing or too old."""
    if not _loaded:
        _loaded.append(Libbpf())
    return _loaded[0]


def _in_a_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function of the library from another thread, and wait for its end, whatever signal comes meanwhile.

    libbpf calls :meth:`Libbpf._keep_message` back several hundred times. Python runs signal handlers in the main thread
    alone, and ctypes drops what one of them raises inside a callback: Ctrl-C would be lost there.
    """
    results: list[tuple[Any, int]] = []
    running = threading.Lock()
    running.acquire()

    def call() -> None:
        try:
            results.append((function(*arguments), ctypes.get_errno()))
        finally:
            running.release()

    interrupted: BaseException | None = None
    try:
        # Not Thread.start(), which waits for the thread: a signal would leave that wait while the library runs.
        _thread.start_new_thread(call, ())
    except RuntimeError:  # no thread can be started
        raise
    except BaseException as error:  # noqa: BLE001  (a signal right after the start; raised below)
        interrupted = error
    waiting = True
    while waiting:
        try:
            # Neither join() nor an Event: a signal may interrupt those half way, and the next wait would never end, or
            # end too early (Python 3.11).
            running.acquire()
            waiting = False
        except BaseException as error:  # noqa: BLE001  (raised below, once the library has returned)
            interrupted, waiting = error, not results
    if interrupted:
        raise interrupted
    ctypes.set_errno(results[0][1])  # each thread has its own
    return results[0][0]


def _errno_of(result: int) -> int:
    return -result if result < 0 and result != -1 else ctypes.get_errno()


class BpfObject:
    """One BPF object, to be set up, loaded, attached and closed, in this order.

    Methods raise :class:`CapabilityError` where libbpf or the kernel refuses, and :class:`CollectorError` where a
    loaded program cannot be run.
    """

    def __init__(self, image: bytes) -> None:
        self._lib = libbpf()
        self._lib.forget_messages()
        options = _OpenOptions(ctypes.sizeof(_OpenOptions), OBJECT_NAME)
        self._image = ctypes.create_string_buffer(image, len(image))
        self._object = _in_a_thread(self._lib.bpf_object__open_mem, self._image, len(image), byref(options))
        if not self._object:
            raise CapabilityError(f"cannot open the BPF object: {os.strerror(ctypes.get_errno())} (reinstall schedtel)")
        self._links: list[int] = []
        self._iterators: dict[str, int] = {}
        self._program_fds: dict[str, int] = {}

    def raw_btf(self) -> bytes:
        """The object's own BTF; empty if it has none."""
        size = c_uint32()
        address = self._lib.btf__raw_data(self._lib.bpf_object__btf(self._object), byref(size))
        return ctypes.string_at(address, size.value) if address else b""

    def _map(self, name: str) -> int:
        address = self._lib.bpf_object__find_map_by_name(self._object, name.encode())
        if not address:
            raise CapabilityError(f"cannot use the BPF object: it has no map {name} (rebuild or reinstall schedtel)")
        return int(address)

    def map_fd(self, name: str) -> int:
        return int(self._lib.bpf_map__fd(self._map(name)))

    def set_max_entries(self, name: str, entries: int) -> None:
        self._check(self._lib.bpf_map__set_max_entries(self._map(name), entries), f"size map {name}")

    def use_map(self, name: str, fd: int) -> None:
        """Have :meth:`load` use this map, of another object, in the place of its own."""
        self._check(self._lib.bpf_map__reuse_fd(self._map(name), fd), f"share map {name}")

    def set_initial_value(self, name: str, value: bytes) -> None:
        buffer = ctypes.create_string_buffer(value, len(value))
        self._check(self._lib.bpf_map__set_initial_value(self._map(name), buffer, len(value)), f"set {name}")

    def leave_out(self, name: str) -> None:
        """Have :meth:`load` leave out this program."""
        self._check(self._lib.bpf_program__set_autoload(self._program(name), False), f"leave out {name}")

    def load(self) -> None:
        self._check(_in_a_thread(self._lib.bpf_object__load, self._object), "load the BPF programs")

    def _program(self, name: str) -> int:
        return int(self._lib.bpf_object__find_program_by_name(self._object, name.encode()) or 0)

    def program_fd(self, name: str) -> int:
        """The file descriptor of a loaded program, looked up once: every window asks for each program's counts."""
        if name not in self._program_fds:
            self._program_fds[name] = int(self._lib.bpf_program__fd(self._program(name)))
        return self._program_fds[name]

    def attach(self, name: str) -> None:
        link = self._lib.bpf_program__attach(self._program(name))
        if not link:
            self._check(-ctypes.get_errno(), f"attach BPF program {name}")
        self._links.append(link)

    def attach_iterator(self, name: str) -> None:
        link = self._lib.bpf_program__attach_iter(self._program(name), None)
        if not link:
            self._check(-ctypes.get_errno(), f"attach BPF iterator {name}")
        self._links.append(link)
        self._iterators[name] = self._lib.bpf_link__fd(link)

    def open_iterator(self, name: str) -> int:
        """A new file descriptor that runs the iterator once over all tasks when read; the caller closes it."""
        fd = int(self._lib.bpf_iter_create(self._iterators[name]))
        if fd < 0:
            error = _errno_of(fd)
            raise CollectorError(f"cannot run BPF iterator {name}: {os.strerror(error)} (restart schedtel)")
        return fd

    def run(self, name: str) -> int:
        """Run a program of type ``syscall`` once, in this thread; returns the program's own result."""
        options = _RunOptions(ctypes.sizeof(_RunOptions))
        self._run(name, options)
        return int(options.retval)

    def run_on(self, name: str, cpu: int) -> bool:
        """Run a program of type ``raw_tp`` on a CPU, where it interrupts what runs; false if the CPU is offline."""
        options = _RunOptions(ctypes.sizeof(_RunOptions), flags=_RUN_ON_CPU, cpu=cpu)
        return self._run(name, options, errno.ENXIO)

    def _run(self, name: str, options: _RunOptions, allowed: int = 0) -> bool:
        """Run a program; false where it ended with the error that is allowed."""
        result = int(self._lib.bpf_prog_test_run_opts(self.program_fd(name), byref(options)))
        error = _errno_of(result) if result < 0 else 0
        if error and error != allowed:
            raise CollectorError(f"cannot run BPF program {name}: {os.strerror(error)} (restart schedtel)")
        return not error

    def program_info(self, name: str) -> ProgInfo:
        """The kernel's counts of one program: run time, runs and skipped runs."""
        info, size = ProgInfo(), c_uint32(ctypes.sizeof(ProgInfo))
        self._check(
            self._lib.bpf_obj_get_info_by_fd(self.program_fd(name), byref(info), byref(size)), "read program info"
        )
        return info

    def detach(self) -> None:
        """Detach all programs. The maps stay, with what the programs have written."""
        for link in reversed(self._links):
            self._lib.bpf_link__destroy(link)
        self._links.clear()
        self._iterators.clear()

    def close(self) -> None:
        self.detach()
        if self._object:
            self._lib.bpf_object__close(self._object)
            self._object = None

    def _check(self, result: int, what: str) -> None:
        if result < 0:
            error = _errno_of(result)
            detail = f"; libbpf: {self._lib.first_message}" if self._lib.first_message else ""
            raise CapabilityError(f"cannot {what}: {os.strerror(error)}{detail} ({advice(error)})")


class KernelTypes:
    """Look-ups in the running kernel's BTF. A context manager, since the parsed BTF takes several megabytes."""

    _STRUCT, _TYPEDEF, _FUNC = 4, 8, 12

    def __enter__(self) -> Self:
        self._lib = libbpf()
        self._btf = self._lib.btf__load_vmlinux_btf()
        if not self._btf:
            raise CapabilityError(self._why_not())
        return self

    def _why_not(self) -> str:
        if os.path.exists(_KERNEL_BTF) and os.path.getsize(_KERNEL_BTF):
            soname = self._lib.soname
            return f"cannot read the kernel's BTF: {soname} is older than this kernel's (install libbpf 1.0 or later)"
        return (
            f"cannot find the kernel's BTF at {_KERNEL_BTF}: this kernel was built without CONFIG_DEBUG_INFO_BTF "
            "(use a kernel that has it)"
        )

    def __exit__(self, *_: object) -> None:
        self._lib.btf__free(self._btf)

    def _type(self, type_id: int) -> tuple[int, int, int, int]:
        """Address, kind, vlen, and size or referenced type (struct btf_type)."""
        address = self._lib.btf__type_by_id(self._btf, type_id)
        _, info, size = (c_uint32 * 3).from_address(address)
        return address, (info >> 24) & 0x1F, info & 0xFFFF, size

    def tracepoint_arguments(self, name: str) -> int | None:
        """How many arguments a tracepoint passes to a BPF program; None if the kernel has no such tracepoint."""
        type_id = self._lib.btf__find_by_name_kind(self._btf, f"btf_trace_{name}".encode(), self._TYPEDEF)
        if type_id < 0:
            return None
        for _ in range(2):  # typedef → pointer → function
            type_id = self._type(type_id)[3]
        return self._type(type_id)[2] - 1  # the first is the tracepoint's own data

    def has_function(self, name: str) -> bool:
        """Whether the kernel's BTF has a function of that name."""
        return int(self._lib.btf__find_by_name_kind(self._btf, name.encode(), self._FUNC)) > 0

    def has_member(self, struct_name: str, member: str) -> bool:
        """Whether a struct of the kernel has that member, at its top level or in an anonymous one inside it."""
        type_id = self._lib.btf__find_by_name_kind(self._btf, struct_name.encode(), self._STRUCT)
        return type_id > 0 and member in self._members(type_id)

    def _members(self, type_id: int) -> set[str]:
        address, _, vlen, _ = self._type(type_id)
        names: set[str] = set()
        for i in range(vlen):
            name_offset, member_type, _ = (c_uint32 * 3).from_address(address + 12 + 12 * i)
            name = self._lib.btf__name_by_offset(self._btf, name_offset).decode()
            names |= {name} if name else self._members(member_type)
        return names
