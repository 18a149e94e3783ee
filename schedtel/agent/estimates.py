"""Logged rewards with their propensities, and chances of another policy, in; what that one would have earned out.

    IPS     mean of w r              w = chance that the other policy gives the arm / chance that it had
    SNIPS   sum of w r / sum of w    less scatter for a little bias
    DR      mean of q(policy) + w (r - q(arm))    q: rewards predicted by a regression on the other rows

IPS and DR are right on average if every arm that the other policy may take had a chance (D. Horvitz, D. Thompson 1952;
M. Dudik, J. Langford, L. Li, "Doubly Robust Policy Evaluation and Learning", ICML 2011; A. Swaminathan, T. Joachims,
"The Self-Normalized Estimator for Counterfactual Learning", NIPS 2015). The effective sample size (sum w)^2 / sum w^2
says how many rows of its own the other policy would have needed for as much.

Neighbouring rows are alike, so intervals are by the block bootstrap of :mod:`schedtel.analysis.bootstrap`: the standard
error over resampled blocks, times the quantile of Student's distribution for so many blocks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from schedtel.analysis.bootstrap import block_length, missed_variance, resampled, standard_error, student_quantile

CONFIDENCE = 0.95
_RESAMPLES = 1000
_SEED = 20
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
    """The three estimates with their intervals.

    :param target, logged: chances of all arms by the other policy, and by the one that decided: shape (rows, arms).
    :param arm: the arm that ran, by its column: shape (rows,).
    :param predicted: rewards of all arms by :func:`predicted_rewards`, shape (rows, arms).
    """
    row = np.arange(len(arm))
    weight = target[row, arm] / logged[row, arm]
    doubly = (target * predicted).sum(axis=1) + weight * (reward - predicted[row, arm])
    sums = np.column_stack([weight * reward, weight, doubly])
    block = block_length(doubly)
    added = resampled(sums, block, _RESAMPLES, (_SEED,)) / len(arm)
    ips, mean_weight, dr = sums.mean(axis=0).tolist()
    with np.errstate(invalid="ignore", divide="ignore"):
        replicates = {"ips": added[:, 0], "snips": added[:, 0] / added[:, 1], "dr": added[:, 2]}
    snips = ips / mean_weight if mean_weight > 0 else 0.0
    values = {"ips": ips, "snips": snips, "dr": dr}
    series = {"ips": sums[:, 0], "snips": weight * (reward - snips), "dr": doubly}
    made = {n: _estimate(values[n], replicates[n], series[n], block, confidence) for n in values}
    ess = float(weight.sum() ** 2 / (weight**2).sum()) if weight.any() else 0.0
    return Estimates(**made, ess=ess, without_support=float((target * (logged <= 0)).sum(axis=1).mean()))


def _estimate(value: float, replicates: np.ndarray, series: np.ndarray, block: int, confidence: float) -> Estimate:
    blocks = len(series) / block
    known = replicates[np.isfinite(replicates)]
    if blocks <= 1 or len(known) < 2:
        return Estimate(value, float("-inf"), float("inf"))
    error = standard_error(known, blocks, missed_variance(series, block))
    reach = student_quantile(1 - (1 - confidence) / 2, max(1.0, blocks - 1)) * error
    return Estimate(value, value - reach, value + reach)


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
