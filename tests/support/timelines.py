"""Timelines made of numbers instead of events, for the tests of the statistics."""

import numpy as np

from schedtel.analysis.timeline import FIGURE_INDEX, FIGURES, SAMPLES, Bin, Timeline
from schedtel.records.histogram import FINE_EDGES_NS, TASK_EDGES_NS
from schedtel.windows.schema import LOSSES

SECOND = 1_000_000_000
EDGES = {s.name: FINE_EDGES_NS if s.buckets == len(FINE_EDGES_NS) - 1 else TASK_EDGES_NS for s in SAMPLES}


def counted(name: str, samples_ns) -> np.ndarray:
    """Samples in ns as the histogram of that name."""
    return np.histogram(samples_ns, bins=EDGES[name])[0].astype(np.int64)


def make_bin(number: int, figures: dict[str, float], samples: dict[str, object], **changed) -> Bin:
    """One window of a second. A figure that is not given has no value; a kind of sample that is not given has none."""
    values = np.array([figures.get(figure.name, np.nan) for figure in FIGURES])
    facts = {
        "start_ns": number * SECOND,
        "end_ns": (number + 1) * SECOND,
        "wall_us": 1_700_000_000_000_000 + number * 1_000_000,
        "windows": 1,
        "held_up": 0,
        "numerators": np.nan_to_num(values),
        "denominators": (~np.isnan(values)).astype(float),
        "lowest": values,
        "highest": values.copy(),
        "histograms": {s.name: counted(s.name, samples.get(s.name, [])) for s in SAMPLES},
        "largest_ns": {s.name: int(np.max(samples.get(s.name, [0]), initial=0)) for s in SAMPLES},
        "cpus": {0: np.array([SECOND // 4, 3 * SECOND // 4])},
        "losses": np.zeros(len(LOSSES), np.int64),
    }
    return Bin(**(facts | changed))


def make_timeline(bins: list[Bin]) -> Timeline:
    return Timeline(bins=bins, hosts=["testhost"], kernels=["6.18.0"], schedulers=["eevdf"])


def of_figure(name: str, values) -> Timeline:
    """A window for each value of one figure."""
    assert name in FIGURE_INDEX
    return make_timeline([make_bin(i, {name: float(value)}, {}) for i, value in enumerate(values)])


def of_samples(name: str, windows) -> Timeline:
    """A window for each array of samples, ns."""
    return make_timeline([make_bin(i, {}, {name: samples}) for i, samples in enumerate(windows)])


def autoregressive(random: np.random.Generator, n: int, correlation: float) -> np.ndarray:
    """n values with mean 0 and variance 1; ``correlation`` is that of each value with the one before."""
    noise = random.standard_normal(n + 50) * np.sqrt(1 - correlation**2)
    values = np.zeros(n + 50)
    for i in range(1, n + 50):
        values[i] = correlation * values[i - 1] + noise[i]
    return values[50:]
