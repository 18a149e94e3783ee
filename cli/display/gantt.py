"""A schedule in; rows of text out, one for each device, time from left to right."""

from schedtel.dags.dag import Dag
from schedtel.dags.schedule import Schedule


def gantt(dag: Dag, schedule: Schedule, width: int) -> list[str]:
    """A row for each device: ``|`` where a job begins, its name as far as there is room, and ``.`` where it is idle."""
    makespan, ends = schedule.makespan(dag), schedule.ends(dag)
    longest = max(map(len, dag.device_names))
    rows = [["."] * width for _ in dag.device_names]
    for job in sorted(range(len(dag.jobs)), key=lambda job: schedule.starts[job]):
        left = schedule.starts[job] * width // makespan
        right = max(left + 1, ends[job] * width // makespan)
        drawn = f"|{dag.jobs[job]}"[: right - left].ljust(right - left)
        rows[schedule.devices[job]][left:right] = drawn
    return [f"{name.ljust(longest)}  {''.join(row)}" for name, row in zip(dag.device_names, rows, strict=True)]
