"""Experiments of the lab, up to the boot."""

import io
import json
import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from schedtel.errors import CollectorError, UsageError, WorkloadError
from schedtel.experiments.design import cells
from schedtel.experiments.spec import spec_of
from schedtel.experiments.store import Run, Store, read_store
from schedtel.lab import cell as inside
from schedtel.lab.experiment import LabExperiment, scheduler_names
from schedtel.lab.guests import Done
from schedtel.lab.machine import Machine
from schedtel.lab.packages import Qemu
from schedtel.workloads.plan import make_plan
from schedtel.workloads.spec import load_workload

TABLE = {
    "workloads": ["web"],
    "schedulers": ["eevdf", "policy:short:idle"],
    "duration": "1s",
    "classes": {"short": ["request"]},
}


def machine(root, cpus=1):
    return Machine(Qemu(root / "qemu-system-x86_10.0.2"), root / "vmlinuz-6.18", root / "archive", cpus)


def test_the_guest_reads_what_the_host_described():
    spec = spec_of(dict(TABLE), "the experiment")
    for cell in cells(spec):
        read, told, loops = inside._read(json.loads(inside.described(spec, cell, 57.0)))
        assert (told, loops) == (replace(cell, repeat=1), 57)
        assert replace(read, title=spec.title, repeats=spec.repeats, seed=spec.seed) == spec


def test_what_makes_no_difference_to_the_scheduler_is_the_same_to_the_byte():
    """A placebo, another repeat with one seed, more repeats, another title."""
    table = TABLE | {"schedulers": [*TABLE["schedulers"], "placebo"], "same_seed": True}
    spec = spec_of(table | {"repeats": 2}, "the experiment")
    longer = spec_of(table | {"repeats": 11, "title": "another"}, "the experiment")
    told = {}
    for each in (spec, longer):
        for cell in cells(each):
            told.setdefault(cell.scheduler, set()).add(inside.described(each, cell, 57.0))
    assert told["placebo"] == told["eevdf"] != told["policy:short:idle"]
    assert {len(descriptions) for descriptions in told.values()} == {1}
    other = cells(spec_of(TABLE | {"repeats": 2}, "the experiment"))
    assert len({inside.described(spec, cell, 57.0) for cell in other}) == 4


def test_an_arm_that_no_guest_can_have_is_refused():
    spec = spec_of(TABLE | {"schedulers": ["eevdf", "scx:fifo"]}, "the experiment")
    assert scheduler_names(spec) == ["fifo"]
    spec = spec_of(TABLE | {"schedulers": ["eevdf", "loader:bpfland"]}, "the experiment")
    with pytest.raises(UsageError, match=r"cannot use loader:bpfland in the lab: .*\(use scx:bpfland\)"):
        scheduler_names(spec)
    spec = spec_of(TABLE | {"schedulers": ["eevdf", "scx:fifo@/x"]}, "the experiment")
    with pytest.raises(UsageError, match=r"cannot use scx:fifo@/x in the lab: .*\(use scx:fifo\)"):
        scheduler_names(spec)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"classes": {"short": ["job"]}}, "cannot use class 'short': no workload has a class 'job'"),
        ({"schedulers": ["eevdf", "policy:shrt:idle"]}, "cannot select class 'shrt': .*short"),
    ],
)
def test_a_class_that_there_is_not_is_refused_before_a_guest_boots(changes, said, tmp_path):
    spec = spec_of(TABLE | changes, "the experiment")
    with pytest.raises(UsageError, match=said):
        LabExperiment(spec, tmp_path / "o", machine(tmp_path), {}, lambda stopped: None)
    assert list(tmp_path.iterdir()) == []


def test_a_guests_cpus_share_its_work_in_virtual_time_and_in_real_time_it_is_this_hosts(tmp_path, monkeypatch):
    spec = spec_of(dict(TABLE), "the experiment")
    monkeypatch.setattr("schedtel.workloads.generator.calibrate", lambda: 900.0)
    guests = (machine(tmp_path), machine(tmp_path, 2), replace(machine(tmp_path), kvm=True))
    given = [
        LabExperiment(spec, tmp_path / str(number), guest, {}, None)._loops_per_us()
        for number, guest in enumerate(guests)
    ]
    assert given == [114, 57, 900]


def test_runs_of_guests_and_of_this_machine_do_not_mix(tmp_path):
    spec = spec_of(dict(TABLE), "the experiment")
    LabExperiment(spec, tmp_path / "runs", machine(tmp_path), {}, None)
    LabExperiment(spec, tmp_path / "runs", machine(tmp_path), {}, None)
    with pytest.raises(UsageError, match="another machine's runs"):
        LabExperiment(spec, tmp_path / "runs", machine(tmp_path, 2), {}, None)
    with pytest.raises(UsageError, match="another machine's runs"):
        LabExperiment(spec, tmp_path / "runs", machine(tmp_path), {"/usr/bin/scx_x": b"another build"}, None)
    with pytest.raises(UsageError, match="another machine's runs"):
        LabExperiment(spec, tmp_path / "runs", replace(machine(tmp_path), kvm=True), {}, None)
    with pytest.raises(UsageError, match="another machine's runs"):
        Store(tmp_path / "runs", spec)


def test_a_workload_from_above_the_directory_is_refused(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "mine.toml").write_text(
        'duration = "1s"\n[classes.job]\nworkers = 1\narrival = "closed"\nservice = "1ms"\n'
    )
    spec = spec_of(TABLE | {"workloads": ["../mine.toml"]}, "the experiment")
    with pytest.raises(UsageError, match=r"has \.\. in it"):
        LabExperiment(spec, tmp_path / "runs", machine(tmp_path), {}, None)


@pytest.mark.parametrize(
    "words",
    [
        ("--kernel", "7.2"),
        ("--cpus", "2"),
        ("--jobs", "2"),
        ("--ray-address", "auto"),
        ("--kvm",),
        ("--scx", "/a/scx_b"),
    ],
)
def test_a_guests_options_without_a_guest_are_refused(words, tmp_path):
    from click.testing import CliRunner  # noqa: PLC0415

    from schedtel.cli.commands.experiment import command  # noqa: PLC0415

    spec = tmp_path / "spec.toml"
    spec.write_text('workloads = ["web"]\nschedulers = ["eevdf"]\n')
    result = CliRunner().invoke(command, ["run", str(spec), "-o", str(tmp_path / "runs"), *words])
    assert "add --lab" in str(result.exception)


class Places:
    """Makes runs as a guest would, each with its cell as its only figure, and two of them at a time."""

    def __init__(self, clock, fails=()):
        self.clock, self.fails, self.stopped = clock, fails, False

    def stop(self):
        self.stopped = True

    def done(self, work, begin):
        for index in range(0, len(work), 2):
            pair = work[index : index + 2]
            for job in pair:
                begin(job)
            self.clock.now += 10
            for job in pair:
                if not self.stopped:
                    yield job, self.made(job)

    def made(self, job):
        spec, cell, _ = inside._read(json.loads(job.files[inside.PATH]))
        if cell.scheduler in self.fails:
            return Done(2, b"a warning\ncannot do that\n", b"")
        with tempfile.TemporaryDirectory() as directory:
            store = Store(directory, spec)
            store.begin(cell)
            (Path(directory) / "runs" / cell.key / "windows").mkdir()
            store.finish(Run(cell, {"seed": float(cell.seed)}, {}))
            packed = io.BytesIO()
            with tarfile.open(fileobj=packed, mode="w") as archive:
                archive.add(directory, ".")
        return Done(0, b"", packed.getvalue())


class Clock:
    now = 100.0


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr("schedtel.lab.experiment.time.monotonic", lambda: made.now)
    return made


def experiment(tmp_path, places, **changes):
    spec = spec_of(TABLE | {"repeats": 3} | changes, "the experiment")
    return LabExperiment(spec, tmp_path / "runs", machine(tmp_path), {}, lambda _: places)


def test_each_run_is_kept_and_the_time_left_is_that_of_two_at_a_time(tmp_path, clock):
    told, made = [], experiment(tmp_path, Places(clock))
    assert made.run(told.append) == 6
    assert [progress.number for progress in told] == [1, 2, 3, 4, 5, 6]
    # Pairs take 10 s. Before the third run, two are done and four are left: 20 s. Before the fourth, half of the third
    # is taken to be done. After four in 20 s, two are left: 10 s.
    left = [progress.left_s for progress in told]
    assert left == [None, None, pytest.approx(20), pytest.approx(14), pytest.approx(10), pytest.approx(20 / 4.5 * 1.5)]
    runs = read_store(tmp_path / "runs")[1]
    assert sorted(run.cell.key for run in runs) == sorted(cell.key for cell in cells(made.spec))
    assert all(run.figures == {"seed": float(run.cell.seed)} for run in runs)
    assert made.run(told.append) == 0


def test_the_reason_of_a_run_that_fails_is_told_and_earlier_runs_are_kept(tmp_path, clock):
    made = experiment(tmp_path, Places(clock, fails=["policy:short:idle"]))
    with pytest.raises(WorkloadError, match="in the guest: cannot do that"):
        made.run()
    first = next(number for number, cell in enumerate(cells(made.spec)) if cell.scheduler == "policy:short:idle")
    assert len(read_store(tmp_path / "runs")[1]) == first


def test_a_repeat_whose_plan_a_guest_cannot_keep_is_refused_before_the_first_run(tmp_path, monkeypatch, clock):
    """Two thirds of a CPU arrive on average, and by chance more than one in some second."""
    monkeypatch.chdir(tmp_path)  # a seed is drawn from the name as well
    path = Path("rare.toml")
    path.write_text(
        'duration = "1s"\n[classes.job]\nworkers = 9\narrival = { kind = "poisson", rate = 3.3 }\nservice = "200ms"\n'
    )
    table = TABLE | {"workloads": [str(path)], "repeats": 20, "classes": {"short": ["job"]}}
    spec = spec_of(table, "the experiment")
    jobs = {}
    for cell in cells(spec):
        plan = make_plan(load_workload(str(path)).with_options(seed=cell.seed))
        jobs[cell.repeat] = len(plan.jobs)
    too_many = [repeat for repeat, count in jobs.items() if count * 0.2 > 1]
    assert too_many[0] > 1
    load = 0.2 * jobs[too_many[0]]
    places = Places(clock)
    made = LabExperiment(spec, tmp_path / "runs", machine(tmp_path), {}, lambda _: places)
    with pytest.raises(UsageError, match=f"^cannot keep the plan of {path}, repeat {too_many[0]}: {load:.2f} CPUs"):
        made.run()
    assert read_store(tmp_path / "runs")[1] == []
    assert LabExperiment(spec, tmp_path / "wider", machine(tmp_path, 2), {}, lambda _: places).run() == 40


def test_an_experiment_that_is_stopped_goes_on(tmp_path, clock):
    made = experiment(tmp_path, Places(clock))
    assert made.run(lambda progress: made.stop() if progress.number == 3 else None) == 2
    assert len(made.remaining()) == 4
    assert experiment(tmp_path, Places(clock)).run() == 4


@pytest.mark.parametrize("results", [b"", b"no archive" * 99])
def test_results_that_are_none_are_refused(results, tmp_path, clock):
    places = Places(clock)
    places.made = lambda _: Done(0, b"", results)
    with pytest.raises(CollectorError, match="cannot read the guest's results"):
        experiment(tmp_path, places).run()
    assert read_store(tmp_path / "runs")[1] == []
