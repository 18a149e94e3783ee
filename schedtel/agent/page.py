"""The decisions of a log in; the figures of a page about them out, as plain lists and numbers for JSON.

:mod:`schedtel.report` draws it. Times are nanoseconds since the first decision. Where there are many decisions, a bin
has several in a row.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from schedtel._version import __version__
from schedtel.agent.estimates import BATCHES, estimate_of
from schedtel.agent.evaluation import Evaluator, Judged
from schedtel.agent.log import Entry
from schedtel.analysis.bootstrap import student_reach
from schedtel.errors import UsageError
from schedtel.report.page import page_of

#: The most bins of the time axis.
MOST_BINS = 2000
#: Rewards of which the running mean is made, and the fewest that have an interval.
RUNNING, _FEWEST = 50, 5
#: A decision without a next one for so many times the usual pause has ended before: the agent was not running.
_PAUSES = 20
#: Interventions of a guard that are told one by one: the last ones.
_MOST_TOLD = 100
_SIGNIFICANT = 6


def render(entries: Sequence[Entry], name: str) -> str:
    """The page as HTML.

    :param entries: at least one, as :func:`schedtel.agent.log.read_log` has them.
    :param name: of the log.
    """
    return page_of(document_of(entries, name), f"schedtel agent: {name}", "decisions")


def document_of(entries: Sequence[Entry], name: str) -> dict[str, Any]:
    """The figures of the page."""
    arms = list(dict.fromkeys(arm for entry in entries for arm in (*entry.arms, entry.arm)))
    firsts = range(0, len(entries), -(-len(entries) // MOST_BINS))
    bins = [entries[first : first + firsts.step] for first in firsts]
    rewards = np.array([math.nan if entry.reward is None else entry.reward for entry in entries])
    running = running_mean(rewards)
    lasts = [first + len(one) - 1 for first, one in zip(firsts, bins, strict=True)]
    return {
        "version": __version__,
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        "recordings": [
            {
                "name": name,
                **_times(entries, firsts, lasts),
                "lost": {},
                "arms": arms,
                "decisions": [len(one) for one in bins],
                "guarded": [sum(not entry.propensities for entry in one) for one in bins],
                "ran": [[sum(entry.arm == arm for entry in one) for one in bins] for arm in arms],
                "chance": [[_mean([entry.propensities.get(arm) for entry in one]) for one in bins] for arm in arms],
                "reward": [_mean([entry.reward for entry in one]) for one in bins],
                "running": {key: [_number(values[last]) for last in lasts] for key, values in running.items()},
            }
        ],
        "facts": _facts(entries),
        "by_arm": [_arm(entries, arm) for arm in arms],
        "guard": _guard(entries),
        "judged": _judged(entries, lasts),
    }


def _times(entries: Sequence[Entry], firsts: Sequence[int], lasts: Sequence[int]) -> dict[str, Any]:
    """Start and end of each bin. The clock begins anew at a boot; then the wall clock tells how much time passed."""
    monotonic = np.diff(np.array([float(entry.time_ns) for entry in entries]))
    wall = np.diff(np.array([float(entry.wall_time_ns) for entry in entries]))
    apart = np.where(monotonic > 0, monotonic, np.maximum(wall, 0))
    usual = float(np.median(apart[apart > 0])) if (apart > 0).any() else 1e9
    starts = np.concatenate([[0.0], np.cumsum(apart)])
    ends = starts + np.append(np.minimum(apart, _PAUSES * usual), usual)
    return {
        "start": [float(starts[place]) for place in firsts],
        "end": [float(ends[place]) for place in lasts],
        "wall_us": [entries[place].wall_time_ns // 1000 for place in firsts],
    }


def running_mean(rewards: np.ndarray) -> dict[str, np.ndarray]:
    """The mean of the last ``RUNNING`` rewards at each decision, and its 95 % interval; NaN where it is not known.

    :param rewards: NaN where one is not known, shape (decisions,).
    """
    known = np.flatnonzero(~np.isnan(rewards))
    found = {key: np.full(len(rewards), math.nan) for key in ("mean", "low", "high")}
    for count, place in enumerate(known.tolist(), 1):
        last = rewards[known[max(0, count - RUNNING) : count]]
        mean = float(last.mean())
        reach = student_reach(last) if len(last) >= _FEWEST else math.nan
        for key, value in (("mean", mean), ("low", mean - reach), ("high", mean + reach)):
            found[key][place:] = value
    return found


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return _number(sum(known) / len(known)) if known else None


def _number(value: float) -> float | None:
    """A number for JSON; NaN as null."""
    return float(f"{value:.{_SIGNIFICANT}g}") if math.isfinite(value) else None


def _facts(entries: Sequence[Entry]) -> dict[str, str]:
    swaps = sum(entry.arm != entry.context.running for entry in entries)
    gaps = [entry.gap_ns for entry in entries if entry.gap_ns is not None]
    policies = Counter(entry.policy for entry in entries)
    return {
        "decisions": str(len(entries)),
        "policy": ", ".join(sorted(policies)) or "not told",
        "begins": _moment(entries[0]),
        "ends": _moment(entries[-1]),
        "swaps": str(swaps),
        "median gap of a swap": f"{np.median(gaps) / 1e6:.3g} ms" if gaps else "not known",
        "without a reward": str(sum(entry.reward is None for entry in entries)),
        "features": ", ".join(entries[0].context.features.names),
    }


def _moment(entry: Entry) -> str:
    return f"{entry.moment:%Y-%m-%d %H:%M:%S} UTC"


def _arm(entries: Sequence[Entry], arm: str) -> dict[str, Any]:
    """A row of the table of arms."""
    its = [entry for entry in entries if entry.arm == arm]
    rewards = np.array([entry.reward for entry in its if entry.reward is not None])
    estimate = estimate_of(rewards) if len(rewards) >= BATCHES else None
    return {
        "arm": arm,
        "decisions": len(its),
        "by_guard": sum(not entry.propensities for entry in its),
        "chance": _mean([entry.propensities.get(arm) for entry in entries if entry.propensities]),
        "reward": _number(float(rewards.mean())) if len(rewards) else None,
        "low": _number(estimate.low) if estimate else None,
        "high": _number(estimate.high) if estimate else None,
    }


def _guard(entries: Sequence[Entry]) -> dict[str, Any]:
    """What a guard did, in its words: how often for each reason, and the last times one by one."""
    told = [entry for entry in entries if entry.reason or not entry.propensities]
    reasons = Counter(_reason(entry) for entry in told)
    rows = [[_moment(entry), entry.window_id, entry.arm, _reason(entry)] for entry in told[-_MOST_TOLD:]]
    return {"all": len(told), "reasons": reasons.most_common(_MOST_TOLD), "last": rows}


def _reason(entry: Entry) -> str:
    return entry.reason or "it did not say why"


def _judged(entries: Sequence[Entry], lasts: Sequence[int]) -> dict[str, Any]:
    """What other policies would have earned, and the regret beside the best static arm; or why it cannot be told."""
    try:
        log = Evaluator(entries)
    except UsageError as error:
        return {"why": str(error)}
    regret = log.regret()
    counting = [place for place, entry in enumerate(entries) if entry.propensities and entry.reward is not None]
    total = np.full(len(entries), math.nan)
    total[counting] = np.cumsum(regret.rows)
    # Between decisions that count, the sum stays as it is.
    filled = total[np.maximum.accumulate(np.where(np.isnan(total), 0, np.arange(len(total))))]
    mean = {key: _number(getattr(regret.mean, key)) for key in ("value", "low", "high")}
    return {
        "rows": [_row(judged) for judged in log.yardsticks()],
        "best": regret.arm,
        "regret": [_number(filled[last]) for last in lasts],
        "mean_regret": mean,
    }


def _row(judged: Judged) -> dict[str, Any]:
    dr = judged.estimates.dr
    figures = {key: _number(getattr(dr, key)) for key in ("value", "low", "high")}
    return {"policy": judged.name, "trusted": judged.trusted, "ess": _number(judged.estimates.ess), **figures}
