"""This host in; whether guests can run on its CPUs in real time, out."""

import fcntl
import os
from pathlib import Path

from schedtel.errors import CapabilityError

DEVICE = Path("/dev/kvm")
#: KVM_GET_API_VERSION of include/uapi/linux/kvm.h, and the version that it has had since 2007.
_GET_API_VERSION, _API_VERSION = 0xAE00, 12
_INSTEAD = "leave --kvm out for virtual time"


def refuse_without_kvm() -> None:
    """Raise :class:`CapabilityError` unless this process can use KVM."""
    try:
        device = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        raise CapabilityError(
            f"cannot use KVM: {DEVICE} is not there (load kvm_intel or kvm_amd, or {_INSTEAD})"
        ) from None
    except OSError as error:
        raise CapabilityError(
            f"cannot use KVM: {DEVICE}: {error.strerror} (join the group kvm, or {_INSTEAD})"
        ) from error
    try:
        version = fcntl.ioctl(device, _GET_API_VERSION)
    except OSError:  # not the device that it should be
        version = 0
    finally:
        os.close(device)
    if version != _API_VERSION:
        raise CapabilityError(f"cannot use KVM: {DEVICE} does not answer as KVM does ({_INSTEAD})")
