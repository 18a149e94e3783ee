"""Errors of a policy's beliefs in; whether they have changed for good out.

Cumulative sums of standardised errors, one for each direction (E. Page, "Continuous Inspection Schemes", Biometrika 41,
1954). A shift by one standard deviation is seen after about 40 errors, one by two after 14. What a context explains is
in the belief, so a change that the policy has learned to see raises no alarm.
"""

from __future__ import annotations

import numpy as np

#: Half of the smallest shift that matters, and the sum that raises an alarm, in standard deviations.
_SLACK, _LIMIT = 0.5, 20.0
#: Errors that only teach how large errors are.
_FIRST = 100
_MOST = 4.0
#: Weight of the newest error in what is known about their size.
_GAIN = 0.02


class Drift:
    """Watches the errors of rewards against what was believed."""

    def __init__(self) -> None:
        #: Errors seen, their mean and variance, the two sums, and the alarms raised.
        self.state = np.zeros(6)

    @property
    def alarms(self) -> int:
        return int(self.state[5])

    def add(self, error: float) -> bool:
        """Whether with this error a change is seen; the sums then begin anew."""
        seen, mean, variance, above, below, alarms = self.state.tolist()
        seen += 1
        gain = max(_GAIN, 1 / seen)
        z = (error - mean) / max(variance, 1e-12) ** 0.5
        z = min(_MOST, max(-_MOST, z))
        # The sums compare with the size of errors before they change it.
        judged = seen > _FIRST
        above = max(0.0, above + z - _SLACK) if judged else 0.0
        below = max(0.0, below - z - _SLACK) if judged else 0.0
        within = mean + min(_MOST, max(-_MOST, z)) * variance**0.5 if judged else error
        # A mean that follows errors would follow a change; it is that of the first ones.
        mean += 0 if judged else (error - mean) / seen
        variance += gain * ((within - mean) ** 2 - variance)
        changed = max(above, below) > _LIMIT
        if changed:
            seen, above, below, alarms = 0.0, 0.0, 0.0, alarms + 1
            mean = variance = 0.0
        self.state[:] = seen, mean, variance, above, below, alarms
        return changed
