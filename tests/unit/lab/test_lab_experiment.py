"""Experiments of the lab, up to the boot."""

import json
from dataclasses import replace

import pytest

from schedtel.errors import UsageError
from schedtel.experiments.design import cells
from schedtel.experiments.spec import spec_of
from schedtel.experiments.store import Store
from schedtel.lab import cell as inside
from schedtel.lab.experiment import LabExperiment
from schedtel.lab.machine import Machine
from schedtel.lab.packages import Qemu

TABLE = {
    "workloads": ["web"],
    "schedulers": ["eevdf", "policy:short:idle"],
    "duration": "1s",
    "classes": {"short": ["request"]},
}


def machine(root, cpus=1):
    return Machine(Qemu(root / "qemu-system-x86_10.0.2"), root / "vmlinuz-6.18", root / "archive", cpus)


def test_the_guest_reads_the_cell_and_the_experiment_that_the_host_described():
    spec = spec_of(dict(TABLE), "the experiment")
    for cell in cells(spec):
        for loops in (57.0, None):
            assert inside._read(json.loads(inside.described(spec, cell, loops))) == (spec, cell, loops)


def test_a_guests_cpus_share_its_work_in_virtual_time_and_real_time_is_measured(tmp_path):
    spec = spec_of(dict(TABLE), "the experiment")
    one, two, real = (
        LabExperiment(spec, tmp_path / str(number), guest)._loops_per_us()
        for number, guest in enumerate((machine(tmp_path), machine(tmp_path, 2), replace(machine(tmp_path), kvm=True)))
    )
    assert (one, two, real) == (114, 57, None)


def test_runs_of_guests_and_of_this_machine_do_not_mix(tmp_path):
    spec = spec_of(dict(TABLE), "the experiment")
    LabExperiment(spec, tmp_path / "runs", machine(tmp_path))
    LabExperiment(spec, tmp_path / "runs", machine(tmp_path))
    with pytest.raises(UsageError, match="another machine's runs"):
        LabExperiment(spec, tmp_path / "runs", machine(tmp_path, 2))
    with pytest.raises(UsageError, match="another machine's runs"):
        LabExperiment(spec, tmp_path / "runs", replace(machine(tmp_path), kvm=True))
    with pytest.raises(UsageError, match="another machine's runs"):
        Store(tmp_path / "runs", spec)


def test_a_workload_from_above_the_directory_is_refused(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "mine.toml").write_text('[classes.job]\nworkers = 1\narrival = "closed"\nservice = "1ms"\n')
    monkeypatch.setattr("schedtel.lab.experiment.load_workload", lambda _: None)
    spec = spec_of(TABLE | {"workloads": ["../mine.toml"]}, "the experiment")
    with pytest.raises(UsageError, match=r"has \.\. in it"):
        LabExperiment(spec, tmp_path / "runs", machine(tmp_path))


@pytest.mark.parametrize("words", [("--kernel", "7.2"), ("--cpus", "2"), ("--kvm",)])
def test_a_guests_options_without_a_guest_are_refused(words, tmp_path):
    from click.testing import CliRunner  # noqa: PLC0415

    from schedtel.cli.commands.experiment import command  # noqa: PLC0415

    spec = tmp_path / "spec.toml"
    spec.write_text('workloads = ["web"]\nschedulers = ["eevdf"]\n')
    result = CliRunner().invoke(command, ["run", str(spec), "-o", str(tmp_path / "runs"), *words])
    assert "add --lab" in str(result.exception)
