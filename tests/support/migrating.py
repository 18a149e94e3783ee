"""MigrateSim for tests: one machine whose jobs are given; and the same on the simulator without the environment."""

import numpy as np
from simulated import compile_once

from schedtel.environments.migrate import STEP_NS, MigrateSim
from schedtel.simulator.beginning import beginning
from schedtel.simulator.engine import advance
from schedtel.simulator.machine import Machine
from schedtel.workloads.plan import make_plan
from schedtel.workloads.spec import parse_workload

MS = 1_000_000
WARM_NS = 20 * MS
START_NS = 1_000 * MS
ASLEEP_NS = START_NS + MS
JOBS = 64


def compile_all():
    compile_once(lambda: one_machine(2, [1 * MS], [1 * MS])[1].step(np.zeros(1, np.int32)))


def one_machine(cpus, work_ns, pause_ns, migration_ns=0, cpu=0):
    """(How to act, environment) of threads with jobs that all take the same: a number, or one for each job."""
    environment = MigrateSim(1, cpus, len(work_ns), staggered=False)
    environment.reset(1)
    set_jobs(environment, work_ns, pause_ns)
    tasks = environment.fleet.tasks[0]
    tasks["migration_ns"], tasks["cpu"] = migration_ns, cpu
    environment.fleet.places[0] = cpu

    def act(action=None):
        found = environment.action_count - 1 if action is None else action
        return environment.step(np.array([found], np.int32))

    return act, environment


def set_jobs(environment, work_ns, pause_ns):
    threads = environment.threads
    jobs = environment.fleet.jobs[0].reshape(threads, JOBS)
    jobs["work_ns"] = np.broadcast_to(np.array(work_ns).reshape(threads, -1), (threads, JOBS))
    jobs["at_ns"] = np.broadcast_to(np.array(pause_ns).reshape(threads, -1), (threads, JOBS))
    due_ns = ASLEEP_NS + jobs["at_ns"][:, 0]
    order = np.argsort(due_ns, kind="stable")
    environment.fleet.tasks[0]["due_ns"] = due_ns
    environment.fleet.timers[0, :threads] = np.stack([due_ns[order], order, order], 1)


def keep(environment, thread, cpu):
    return thread * (environment.cpus + 1) + cpu


def release(environment, thread):
    return thread * (environment.cpus + 1) + environment.cpus


def peer(environment, allowed=None):
    """The tasks after an episode's time without actions, as the simulator alone has them.

    Its threads first run at its start, for as long as a switch takes, so the first pause is shortened by that.

    :param allowed: thread → the CPUs that it may use; all others any.
    """
    cpus, threads = environment.cpus, environment.threads
    text = (
        'duration = "10s"\n[classes.thread]\narrival = { kind = "closed", think = "1ms" }\nservice = "1ms"\n'
        f"workers = {threads}\n"
    )
    plan = make_plan(parse_workload(text, "test"))

    def begun(first_pause_ns):
        state, _ = beginning(plan, Machine(cpus, warm_ns=WARM_NS), START_NS)
        jobs = environment.fleet.jobs[0].copy()
        jobs["at_ns"][::JOBS] = first_pause_ns
        state.classes["each"] = JOBS
        state = state._replace(
            jobs=jobs, records=np.zeros(len(jobs), state.records.dtype), changes=np.zeros((0, 3), np.int64)
        )
        advance(state, ASLEEP_NS)
        return state

    long_ns = 100 * MS
    found_at = begun(long_ns).tasks["due_ns"] - long_ns
    pause_ns = ASLEEP_NS - found_at + environment.fleet.jobs[0]["at_ns"][::JOBS]
    state = begun(pause_ns)
    state.jobs["at_ns"] = environment.fleet.jobs[0]["at_ns"]
    first, start = environment.fleet.tasks[0], state.tasks
    start["cpu"], start["migration_ns"] = first["cpu"], first["migration_ns"]
    start["ran_ns"] = START_NS - WARM_NS
    for name in ("bursts", "burst_tat_sum_ns", "migrations"):
        start[name] = 0
    rows = np.ones((threads, cpus), np.uint8)
    for thread, those in (allowed or {}).items():
        rows[thread] = np.isin(np.arange(cpus), those)
    start["pinned"], state.machine["is_pinned"] = np.arange(threads), 1
    state = state._replace(allowed=rows)

    def after(steps):
        advance(state, ASLEEP_NS + steps * STEP_NS)
        return state.tasks

    return after
