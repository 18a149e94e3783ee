"""Whether a host has KVM: files in the place of its device."""

import pytest

from schedtel.errors import CapabilityError
from schedtel.lab import jobs, kvm


def test_a_host_without_kvm_is_told_what_to_do_before_anything_is_fetched(tmp_path, monkeypatch):
    monkeypatch.setattr(kvm, "DEVICE", tmp_path / "kvm")
    monkeypatch.setattr("schedtel.lab.packages.fetched", lambda *_: pytest.fail("fetched"))
    with pytest.raises(CapabilityError, match=r"cannot use KVM: .*/kvm is not there \(load kvm_intel"):
        jobs.machine("6.18", 1, kvm=True)


def test_a_file_that_is_no_device_of_kvm_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(kvm, "DEVICE", tmp_path / "kvm")
    (tmp_path / "kvm").write_bytes(b"")
    with pytest.raises(CapabilityError, match="does not answer as KVM does"):
        kvm.refuse_without_kvm()


def test_a_device_that_may_not_be_opened_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(kvm, "DEVICE", tmp_path)  # a directory, which nobody can open to write
    with pytest.raises(CapabilityError, match="join the group kvm"):
        kvm.refuse_without_kvm()
