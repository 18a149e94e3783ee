"""Networks whose weights are set by hand, for graphs that are not learned: rows of DagSim's numbers in, scores out."""

import numpy as np

from schedtel.environments.dag_engine import SEEN


def scorer(time=-1.0, arrival=-1.0, tail=0.0, wait=-50.0, elsewhere=0.0):
    """One layer: a sum of the numbers of a choice by these weights. By default the job that would end first."""
    weight = np.zeros((1, SEEN), np.float32)
    weight[0, [0, 1, 4, 5, 10]] = wait, time, tail, arrival, elsewhere
    return {"0.weight": weight, "0.bias": np.zeros(1, np.float32)}
