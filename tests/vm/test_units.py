"""The units of deploy/ under a real systemd, which is the first process of a guest (guest_units.py)."""

import subprocess

import pytest
from boot import boot
from kernels import KERNELS, UnavailableError, fetch
from report import Report
from services import COMMAND_LINE, pack_services

#: One kernel is enough: test_vm.py checks without systemd what differs between kernels.
KERNEL = next(kernel for kernel in KERNELS if kernel.name == "6.12")
CHECKS = ("agent", "serve", "record", "journal", "sandbox")


@pytest.fixture
def with_systemd(archive, tmp_path):
    """Packs an archive that boots into systemd when called. The kernel unpacks archives one after the other."""

    def packed():
        target = tmp_path / "initrd.cpio"
        with open(target, "wb") as file:
            subprocess.run(["cat", archive(), pack_services(tmp_path)], stdout=file, check=True)
        return target

    yield packed
    (tmp_path / "initrd.cpio").unlink(missing_ok=True)  # a quarter of a gigabyte


def test_units(with_systemd, tmp_path, report):
    try:
        outcome = boot(fetch(KERNEL), with_systemd(), COMMAND_LINE, tmp_path)
    except UnavailableError as reason:
        report.note(f"units: skipped: {reason}")
        pytest.skip(str(reason))
    found = outcome.of("units")
    report.note(f"units under systemd, on {outcome.release}: {Report.notes(found)}")
    assert outcome.finished, f"the guest ended before its checks did, {outcome.ending}:\n{outcome.console}"
    assert [name for name in CHECKS if not found[name]["holds"]] == [], f"{Report.notes(found)}\n{outcome.console}"
