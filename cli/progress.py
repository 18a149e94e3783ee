"""How far an experiment is in; a line on stderr out."""

from schedtel.cli import lines
from schedtel.durations import format_duration
from schedtel.experiments.running import Progress


def tell_run(progress: Progress) -> None:
    """Say which run is about to begin, and how much time is left."""
    left = "" if progress.left_s is None else f"; {format_duration(progress.left_s * 1e9)} left"
    cell = progress.cell
    lines.remark(
        f"run {progress.number} of {progress.total}: {cell.workload} under {cell.scheduler}, repeat {cell.repeat}{left}"
    )
