"""The real load generators of others, where they are installed: they run, and their tasks are known by their names."""

import json
import os

import pytest
from observe import collecting, judge
from runs_of_workloads import planned

from schedtel.analysis.lifetimes import WHOLE, lifetimes
from schedtel.workloads.external import TOOLS, installed
from schedtel.workloads.run import Runner

#: Two threads of rt-app that are busy for a quarter of 400 ms. With a number, rt-app does not calibrate its loop.
RT_APP = {
    "global": {"duration": 1, "calibration": 100, "default_policy": "SCHED_OTHER", "lock_pages": False},
    "tasks": {
        name: {"loop": 20, "run": 5000, "timer": {"ref": "unique", "period": 20000}} for name in ("xp-rt-a", "xp-rt-b")
    },
}
#: Tool → its entry in a workload, what it says, and how many of its tasks are the workload's.
REAL = {
    "stress-ng": ("arguments = '--cpu 3 --cpu-ops 30 --cpu-method loop'", "successful run completed", 3),
    "perf bench sched": ("arguments = 'messaging -g 1 -l 10'", "groups == 40 processes run", 41),
    "hackbench": ("arguments = '-g 1 -l 10'", "(== 40 tasks)", 41),
    "schbench": ("arguments = '-m 1 -t 2 -r 1'", "Latenc", 3),
    "rt-app": ("arguments = 'rt-app.json'\ntasks = 'xp-rt'", "", 2),
}


@pytest.mark.parametrize("tool", REAL)
def test_a_real_program_runs_and_its_tasks_are_known(tool, tmp_path, monkeypatch):
    if installed()[tool] is None:
        pytest.skip(f"needs {tool} ({TOOLS[tool].advice})")
    entry, said, tasks = REAL[tool]
    monkeypatch.chdir(tmp_path)  # rt-app logs where it is
    (tmp_path / "rt-app.json").write_text(json.dumps(RT_APP))
    plan = planned(f"duration = '60s'\n[external.x]\ntool = '{tool}'\n{entry}\n")

    def observe():
        with collecting("200ms", pid=os.getpid()) as collected:
            outcome = Runner(plan, 1.0).run()
        return collected, outcome.externals[0]

    def verdict(collected, external):
        assert said in external.output
        lives = lifetimes(collected.windows)
        names = [row["comm"] for row in lives.table.to_pylist() if row["life"] == WHOLE]
        assert sum(map(plan.workload.is_task, names)) == tasks, names
        assert lives.broken.num_rows == 0

    judge(observe, verdict)
