"""Workloads that run for real, by the kernel's own accounting: the work, the policies, and what each behaviour does."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from runs_of_workloads import MS, Watch, cpu_ns, planned, run, status, unique

import schedtel
from schedtel.errors import CapabilityError, WorkloadError
from schedtel.workloads.external import External, installed
from schedtel.workloads.run import Runner

PERIODIC = 'arrival = { kind = "periodic", period = "20ms" }\n'
CLOSED = 'arrival = "closed"\n'
THINK = '{ kind = "closed", think = "50ms" }'
#: 20 jobs in 400 ms, and then none for a while: what /proc says at the end is of all of them.
QUIET = '[[phases]]\nduration = "400ms"\n[[phases]]\nduration = "300ms"\nrates = {{ {} = 0 }}\n'
JOBS = 20


def one(name, lines, service="2ms", duration="400ms", head="drain = '30s'"):
    return f'duration = "{duration}"\n{head}\n[classes.{name}]\nservice = "{service}"\n{lines}\n'


@pytest.mark.parametrize("tasks", ["processes", "threads"])
def test_what_jobs_ran_is_what_the_kernel_counted(tasks):
    name = unique("k")
    text = one(name, f'{PERIODIC}workers = 3\ntasks = "{tasks}"', "4ms", "700ms") + QUIET.format(name)
    watch = Watch(name, cpu_ns)
    outcome = run(text, watch)
    figures = outcome.summary()["classes"][name]
    assert figures["completed"] == figures["planned"] == JOBS
    # Beside their jobs, workers only start and wake: some milliseconds, and the work is 80.
    assert figures["cpu_ns"] <= sum(watch.last.values()) <= figures["cpu_ns"] + 60 * MS


def test_four_times_the_work_takes_four_times_the_cpu():
    classes = "".join(
        f'[classes.{name}]\n{PERIODIC}workers = 4\nservice = "{service}"\n'
        for name, service in (("wl-short", "1ms"), ("wl-long", "4ms"))
    )
    jobs = run(f'duration = "400ms"\ndrain = "30s"\n{classes}').jobs
    short, long = (np.median(jobs["cpu_ns"][jobs["class"] == number]) for number in range(2))
    assert 2.5 < long / short < 6


def test_a_deadline_is_missed_by_the_jobs_that_end_after_it():
    """None of 2 ms of work can end within 1 ms, and all end within 20 s."""
    classes = "".join(
        f'[classes.wl-{word}]\n{PERIODIC}service = "2ms"\ndeadline = "{word}"\n' for word in ("1ms", "20s")
    )
    short, long = run(f'duration = "400ms"\ndrain = "30s"\n{classes}').summary()["classes"].values()
    assert (short["missed"], long["missed"]) == (JOBS, 0)
    assert short["tardiness_mean_ns"] == pytest.approx(short["tat_mean_ns"] - MS)
    assert long["tardiness_max_ns"] == 0


def test_half_as_many_loops_are_half_the_cpu():
    text = one("wl-loops", PERIODIC, "4ms")
    full, half = (np.median(run(text, loops_per_us=loops).jobs["cpu_ns"]) for loops in (600, 300))
    assert 1.3 < full / half < 3


TREATMENTS = {
    "nice = 5": (os.SCHED_OTHER, 0, 5),
    "weight = 3121": (os.SCHED_OTHER, 0, -5),
    "policy = 'batch'\nnice = 3": (os.SCHED_BATCH, 0, 3),
    "policy = 'idle'": (os.SCHED_IDLE, 0, 0),
    "policy = 'fifo'\npriority = 7": (os.SCHED_FIFO, 7, 0),
    "policy = 'rr'\npriority = 3": (os.SCHED_RR, 3, 0),
    "policy = 'deadline'\nruntime = '1ms'\ndeadline = '50ms'\nperiod = '50ms'": (6, 0, 0),
}


def test_each_task_has_the_policy_and_the_nice_value_it_asked_for():
    """All in one run; a class of threads and a class of processes for each."""
    names = {unique(chr(97 + number)): lines for number, lines in enumerate(TREATMENTS)}
    classes = "".join(
        f"[classes.{name}]\narrival = {{ kind = 'periodic', period = '100ms' }}\nservice = '100us'\n{lines}\n"
        f"workers = 2\ntasks = '{('processes', 'threads')[number % 2]}'\n"
        for number, (name, lines) in enumerate(names.items())
    )
    watches = {
        name: Watch(
            name,
            lambda tid: (
                os.sched_getscheduler(tid),
                os.sched_getparam(tid).sched_priority,
                os.getpriority(os.PRIO_PROCESS, tid),
            ),
        )
        for name in names
    }
    run(f"duration = '300ms'\n{classes}", lambda: [watch() for watch in watches.values()])
    for name, lines in names.items():
        seen = list(watches[name].last.values())
        assert seen.count(TREATMENTS[lines]) == 2, (lines, seen)


def test_tasks_stay_on_the_cpus_of_their_class(last_cpu):
    name = unique("p")
    watch = Watch(name, os.sched_getaffinity)
    run(one(name, f"{PERIODIC}workers = 2\ncpus = [{last_cpu}]"), watch)
    assert list(watch.last.values()) == [{last_cpu}] * 2


def test_a_life_has_the_treatment_of_its_class():
    name = unique("l")
    watch = Watch(name, lambda tid: (os.sched_getscheduler(tid), os.getpriority(os.PRIO_PROCESS, tid)))
    run(one(name, f"{PERIODIC}life = true\npolicy = 'batch'\nnice = 4", "30ms"), watch)
    assert list(watch.last.values()).count((os.SCHED_BATCH, 4)) >= 3


def test_a_system_that_is_late_slows_down_no_arrival(last_cpu):
    """One worker on one CPU gets four times the work it can do."""
    outcome = run(
        one("wl-over", f"{PERIODIC}workers = 1\ncpus = [{last_cpu}]", "80ms", head="overload = true\ndrain = '0s'")
    )
    figures = outcome.summary()["classes"]["wl-over"]
    assert figures["planned"] == figures["released"] == JOBS
    assert figures["completed"] < 10
    assert figures["unfinished"] == JOBS - figures["completed"]
    released = outcome.records["released_ns"] - outcome.facts["started_ns"]
    assert (released >= outcome.plan.jobs["at_ns"]).all()
    assert np.array_equal(outcome.lateness_ns, (released - outcome.plan.jobs["at_ns"])[outcome.plan.order])


def test_times_of_a_job_are_in_their_order():
    outcome = run(one("wl-order", PERIODIC))
    records = outcome.records
    assert (records["released_ns"] <= records["started_ns"]).all()
    assert (records["started_ns"] + records["cpu_ns"] <= records["ended_ns"] + 1000).all(), "two clocks"


def test_what_the_generator_says_it_cost_is_what_the_kernel_counted():
    name = unique("q")

    def of_ours(tid):
        if status("PPid")(tid) != os.getpid():
            raise ProcessLookupError(tid)
        return cpu_ns(tid)

    watch = Watch("workload", of_ours)
    outcome = run(one(name, PERIODIC, "1ms", "700ms") + QUIET.format(name), watch, 500)  # no calibration
    (counted,) = watch.last.values()
    said = outcome.facts["dispatcher_cpu_ns"]
    # The kernel also counted the start, with the forks of 16 workers; the generator also the last 20 ms, asleep.
    assert 0 < said < counted + MS
    assert counted - said < 100 * MS


def test_a_closed_worker_thinks_between_its_jobs():
    lines = "arrival = { kind = 'closed', think = '50ms' }\nworkers = 2"
    records = run(one("wl-think", lines, "1ms")).records.reshape(2, -1)
    for worker in records:
        done = worker[worker["ended_ns"] > 0]
        assert len(done) > 2
        # The next job is due when the one before has ended and 50 ms have passed.
        assert (done["released_ns"][1:] - done["ended_ns"][:-1] >= 50 * MS).all()


def test_a_closed_class_pauses_in_a_phase_without_it():
    name = unique("c")
    phases = QUIET.format(name).replace('"400ms"', '"300ms"').replace('"300ms"\nrates', '"900ms"\nrates')
    begun = run(one(name, CLOSED, "5ms", "1200ms") + phases).jobs["started_ns"]
    assert len(begun) > 3
    assert begun.max() < 1000 * MS, "300 ms, and a job that begins late"


def test_a_closed_worker_that_is_faster_than_planned_begins_again():
    figures = run(one("wl-fast", CLOSED, "1ms"), loops_per_us=0.5).summary()["classes"]["wl-fast"]
    assert figures["repeated"] > 500
    assert figures["completed"] > figures["repeated"]


# ---- behaviours ----


def test_sleep_takes_as_long_as_its_sleeps():
    lines = f"{PERIODIC}behaviour = {{ kind = 'sleep', bursts = 4, sleep = '5ms' }}"
    outcome = run(one("wl-sleep", lines, "1ms"))
    assert (outcome.records["ended_ns"] - outcome.records["started_ns"] >= 15 * MS).all()
    assert np.median(outcome.records["cpu_ns"]) < 10 * MS


@pytest.mark.parametrize("tasks", ["processes", "threads"])
def test_partners_wake_each_other_and_share_the_work(tasks, last_cpu):
    """On one CPU, each of 20 round trips of a job has at least one switch of each partner."""
    name = unique("w")
    lines = (
        f"{PERIODIC}workers = 1\ntasks = '{tasks}'\ncpus = [{last_cpu}]\nbehaviour = {{ kind = 'pipe', rounds = 20 }}"
    )
    switches, used = Watch(name, status("voluntary_ctxt_switches", "nonvoluntary_ctxt_switches")), Watch(name, cpu_ns)
    outcome = run(one(name, lines, "4ms", "700ms") + QUIET.format(name), lambda: [switches(), used()])
    both = sorted(switches.last.values())[-2:]
    assert outcome.summary()["classes"][name]["completed"] == JOBS
    assert both[0] >= JOBS * 20
    less, more = sorted(used.last.values())[-2:]
    assert less > 0.3 * more


def test_a_tree_forks_as_many_processes_as_it_says():
    """Depth 2 and 3 children: 1 + 3 + 9 lives for each job, as schedtel counts those that complete."""
    name = unique("t")
    lines = f"{PERIODIC}life = true\nbehaviour = {{ kind = 'fork', depth = 2, fan = 3 }}"
    with schedtel.live(window="200ms", pid=os.getpid()) as source:
        outcome = run(one(name, lines, "2ms", "400ms"))
        source.stop()
        rows = [row for window in source for row in window.tasks.to_pylist() if row["comm"] == name]
    ended = [row for row in rows if row["completion_ns"] is not None]
    assert outcome.summary()["classes"][name]["completed"] == 20
    assert len([row for row in ended if row["exit_code"] == 0]) == 20 * 13


def test_a_lock_is_held_by_one_job_at_a_time():
    """All of the work is under the lock, so no two jobs work at the same time."""
    name = unique("o")
    switches = Watch(name, status("voluntary_ctxt_switches"))
    lines = f"{CLOSED}workers = 2\nbehaviour = {{ kind = 'lock', share = 1 }}"
    outcome = run(one(name, lines, "10ms"), switches)
    done = outcome.records[outcome.records["ended_ns"] > 0]
    assert len(done) > 3
    assert done["cpu_ns"].sum() < 1.2 * outcome.length_ns, "two CPUs would have done twice as much"
    assert sum(switches.last.values()) > 2


def test_a_file_is_written_and_leaves_no_name(tmp_path):
    name = unique("f")

    def written(tid):
        with open(f"/proc/{tid}/io") as file:
            return int(dict(line.split(": ") for line in file.read().splitlines())["wchar"])

    behaviour = f"behaviour = {{ kind = 'file', size = 100000, sync = true, directory = '{tmp_path}' }}"
    watch = Watch(name, written)
    outcome = run(one(name, f"{PERIODIC}workers = 2\n{behaviour}", "1ms", "700ms") + QUIET.format(name), watch)
    done = outcome.summary()["classes"][name]
    assert (done["completed"], done["errors"]) == (JOBS, 0)
    assert JOBS * 100_000 <= sum(watch.last.values()) < (JOBS + 1) * 100_000
    assert list(tmp_path.iterdir()) == []


def test_memory_is_touched():
    name = unique("m")
    watch = Watch(name, status("VmRSS"))
    run(one(name, f"{PERIODIC}workers = 1\nbehaviour = {{ kind = 'memory', size = 20000000 }}"), watch)
    assert max(watch.last.values()) * 1024 >= 20_000_000


BEHAVIOURS = {
    "cpu": '"cpu"',
    "sleep": '{ kind = "sleep", bursts = 2, sleep = "1ms" }',
    "pipe": '{ kind = "pipe", rounds = 2 }',
    "fork": '{ kind = "fork", depth = 1, fan = 2 }',
    "lock": '{ kind = "lock", share = 0.5 }',
    "file": '{ kind = "file", size = 1000 }',
    "memory": '{ kind = "memory", size = 10000 }',
}
KINDS = {"processes": "", "threads": 'tasks = "threads"', "lives": "life = true", "closed": ""}


def test_every_behaviour_goes_with_every_kind_of_task():
    arrivals = dict.fromkeys(KINDS, PERIODIC.replace("20ms", "100ms")) | {"closed": CLOSED.replace('"closed"', THINK)}
    classes = "".join(
        f'[classes.{kind[0]}-{name}]\n{arrivals[kind]}service = "100us"\nworkers = 2\nbehaviour = {text}\n{lines}\n'
        for kind, lines in KINDS.items()
        for name, text in BEHAVIOURS.items()
    )
    outcome = run(f'duration = "400ms"\ndrain = "30s"\n{classes}')
    for name, figures in outcome.summary()["classes"].items():
        assert figures["completed"] >= (1 if name.startswith("c") else 4), (name, figures)
        assert (figures["unfinished"], figures["errors"]) == (0, 0), (name, figures)


# ---- refusals ----


def test_what_the_kernel_refuses_ends_the_run_with_the_class_and_the_reason(tmp_path):
    lines = f"{PERIODIC}behaviour = {{ kind = 'file', size = 1, directory = '{tmp_path}/no' }}"
    with pytest.raises(WorkloadError, match="class wl-no: cannot make a file in its directory: No such file"):
        Runner(planned(one("wl-no", lines))).run()


def test_a_user_without_the_right_to_a_policy_is_told_so():
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv to drop privileges (apt install util-linux)")
    text = one("wl-rt", f"{PERIODIC}policy = 'fifo'")
    program = (
        "import sys\nfrom runs_of_workloads import planned\nfrom schedtel.workloads.run import Runner\n"
        "from schedtel.errors import WorkloadError\n"
        f"try:\n    Runner(planned({text!r})).run()\nexcept WorkloadError as error:\n    print(error)"
    )
    without = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", sys.executable, "-c", program]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    said = subprocess.run(without, capture_output=True, text=True, env=environment, check=True).stdout
    assert "class wl-rt: cannot have this policy, priority or these CPUs: Operation not permitted" in said


# ---- programs of others ----


def test_a_program_that_is_missing_is_named_with_its_package(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert set(installed().values()) == {None}
    with pytest.raises(CapabilityError, match=r"external.x: stress-ng is not on PATH .apt install stress-ng"):
        External("x", "stress-ng").command(1, 1)


def test_an_external_program_runs_with_its_seed_and_says_what_it_did():
    if installed()["stress-ng"] is None:
        pytest.skip("needs stress-ng (apt install stress-ng)")
    text = "duration = '1s'\nseed = 42\n[external.load]\ntool = 'stress-ng'\narguments = '--cpu 1 --cpu-ops 20'\n"
    outcome = run(text)
    (load,) = outcome.externals
    assert load.command[1:3] == ("--seed", "42")
    assert load.status == 0
    assert "dispatching hogs: 1 cpu" in load.output
    assert outcome.complaints == []


def test_an_external_program_that_fails_is_an_error_with_its_last_words():
    if installed()["stress-ng"] is None:
        pytest.skip("needs stress-ng (apt install stress-ng)")
    text = "duration = '5s'\n[external.load]\ntool = 'stress-ng'\narguments = ['--no-such-option']\n"
    with pytest.raises(WorkloadError, match=r"external.load: status 1: .+"):
        Runner(planned(text)).run()
