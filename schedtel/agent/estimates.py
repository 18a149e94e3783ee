"""Logged rewards with their propensities, and chances of another policy, in; what that one would have earned out.

    IPS     mean of w r              w = chance that the other policy gives the arm / chance that it had
    SNIPS   sum of w r / sum of w    less scatter for a little bias
    DR      mean of q(policy) + w (r - q(arm))    q: rewards predicted by a regression on the other rows

IPS and DR are right on average if every arm that the other policy may take had a chance (D. Horvitz, D. Thompson 1952;
M. Dudik, J. Langford, L. Li, "Doubly Robust Policy Evaluation and Learning", ICML 2011; A. Swaminathan, T. Joachims,
"The Self-Normalized Estimator for Counterfactual Learning", NIPS 2015). The effective sample size (sum w)^2 / sum w^2
says how many rows of its own the other policy would have needed for as much.

Neighbouring rows are alike, so intervals are by batch means: the rows are cut into 20 runs of neighbours, and the means
of these runs scatter as independent values do, if a run is longer than a phase of the load. The interval is that of
Student's distribution with 19 degrees of freedom (B. Schmeiser, "Batch Size Effects in the Analysis of Simulation
Output", Operations Research 30, 1982). That of SNIPS, a ratio, is by the linear part of its error, w (r - SNIPS).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from schedtel.analysis.bootstrap import student_quantile

CONFIDENCE = 0.95
#: Runs of neighbours; also the fewest rows of which an interval can be made.
BATCHES = 20
#: The regression of a row's reward is made of all rows but those of its fold, a run of neighbours.
_FOLDS = 5
_RIDGE = 1.0


@dataclass(frozen=True)
class Estimate:
    """A mean reward and its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Estimates:
    """What a policy would have earned a decision, by three estimators.

    :param ess: effective sample size, in rows.
    :param without_support: part of the policy's chances that went to arms which could not have been drawn: of them the
        log says nothing.
    """

    ips: Estimate
    snips: Estimate
    dr: Estimate
    ess: float
    without_support: float


def estimates(
    target: np.ndarray,
    logged: np.ndarray,
    arm: np.ndarray,
    reward: np.ndarray,
    predicted: np.ndarray,
    confidence: float = CONFIDENCE,
) -> Estimates:
    """The three estimates with their intervals, of at least ``BATCHES`` rows.

    :param target, logged: chances of all arms by the other policy, and by the one that decided: shape (rows, arms).
    :param arm: the arm that ran, by its column: shape (rows,).
    :param predicted: rewards of all arms by :func:`predicted_rewards`, shape (rows, arms).
    """
    row = np.arange(len(arm))
    weight = target[row, arm] / logged[row, arm]
    doubly = doubly_robust(target, logged, arm, reward, predicted)
    mean_weight = float(weight.mean())
    snips = float((weight * reward).mean()) / mean_weight if mean_weight > 0 else 0.0
    linear = weight * (reward - snips) / mean_weight if mean_weight > 0 else np.zeros(len(arm))
    return Estimates(
        ips=estimate_of(weight * reward, confidence),
        snips=estimate_of(snips + linear, confidence),
        dr=estimate_of(doubly, confidence),
        ess=float(weight.sum() ** 2 / (weight**2).sum()) if weight.any() else 0.0,
        without_support=float((target * (logged <= 0)).sum(axis=1).mean()),
    )


def doubly_robust(
    target: np.ndarray, logged: np.ndarray, arm: np.ndarray, reward: np.ndarray, predicted: np.ndarray
) -> np.ndarray:
    """What the policy would have earned in each row, with the parameters of :func:`estimates`: shape (rows,)."""
    row = np.arange(len(arm))
    weight = target[row, arm] / logged[row, arm]
    return np.asarray((target * predicted).sum(axis=1) + weight * (reward - predicted[row, arm]))


def estimate_of(values: np.ndarray, confidence: float = CONFIDENCE) -> Estimate:
    """The mean of values, shape (rows,), and its interval by batch means."""
    mean, rows = float(values.mean()), len(values)
    ends = np.arange(1, BATCHES + 1) * rows // BATCHES
    sums = np.diff(np.concatenate([[0.0], np.cumsum(values)])[ends], prepend=0.0)
    # A run has one row more or less than another: its sum is compared with what as many rows have on average.
    away = (sums - mean * np.diff(ends, prepend=0)) * BATCHES / rows
    error = float(np.sqrt((away**2).sum() / (BATCHES - 1) / BATCHES))
    reach = student_quantile(1 - (1 - confidence) / 2, BATCHES - 1) * error
    return Estimate(mean, mean - reach, mean + reach)


def predicted_rewards(x: np.ndarray, arm: np.ndarray, reward: np.ndarray, arms: int) -> np.ndarray:
    """The reward of every arm in every row, by a ridge regression for each arm on the rows of other folds.

    :param x: inputs of shape (rows, inputs).

    Returns shape (rows, arms). An arm that other folds do not have is predicted to earn their mean.
    """
    fold = np.arange(len(arm)) * _FOLDS // len(arm)
    predicted = np.zeros((len(arm), arms))
    for number in range(_FOLDS):
        own = fold == number
        if own.all() or not own.any():
            continue
        mean = float(reward[~own].mean())
        for each in range(arms):
            rows = ~own & (arm == each)
            gram = x[rows].T @ x[rows] + _RIDGE * np.eye(x.shape[1])
            predicted[own, each] = mean + x[own] @ np.linalg.solve(gram, x[rows].T @ (reward[rows] - mean))
    return predicted
