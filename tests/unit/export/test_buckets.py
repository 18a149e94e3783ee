"""Exported buckets: each sample counts once, and no bucket is wider than said."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedtel.export.buckets import CGROUP_STEP, HOST_STEP, exported
from schedtel.records.histogram import FINE_EDGES_NS, TASK_EDGES_NS
from schedtel.records.layout import FINE_BUCKETS, TASK_BUCKETS


@given(st.data())
@pytest.mark.parametrize(
    ("buckets", "edges", "step"),
    [(FINE_BUCKETS, FINE_EDGES_NS, HOST_STEP), (TASK_BUCKETS, TASK_EDGES_NS, CGROUP_STEP)],
    ids=["host", "cgroup"],
)
def test_exported_buckets_count_each_sample_once_and_where_it_belongs(buckets, edges, step, data):
    durations = np.array(data.draw(st.lists(st.integers(0, int(edges[-1]) - 1), max_size=50)), np.int64)
    counts = np.histogram(durations, bins=edges)[0]
    found = exported(counts, int(durations.sum()), step)
    assert len(found.counts) == len(found.bounds_s) + 1
    for bound, below in zip(found.bounds_s, found.counts.cumsum(), strict=False):
        assert below == (durations < round(bound * 1e9)).sum()
    assert found.counts.sum() == len(durations)


@pytest.mark.parametrize(("step", "most"), [(HOST_STEP, 0.25), (CGROUP_STEP, 0.5)])
def test_no_bucket_is_wider_than_is_said(step, most):
    bounds = exported(np.zeros(FINE_BUCKETS, np.int64), 0, step).bounds_s
    assert (bounds[0], bounds[-1]) == (1.024e-6, 68.719476736)
    assert max((high - low) / low for low, high in itertools.pairwise(bounds)) <= most + 1e-12
