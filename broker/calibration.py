"""How far forecasts were off lately, and intervals that make up for it.

A forecast knows who waits now, not who comes later and goes first: by priority, because they have used less, or because
their model is loaded. How often that happens shows in the starts of the last jobs. After adaptive conformal prediction
(Gibbs and Candès, 2021; Angelopoulos, Candès and Tibshirani, 2023): each start outside of its interval moves that end
out by a step, and each other one moves it in by so much less that it holds as often as it says, whatever the errors'
distribution, and also where that changes. Jobs of one priority are compared with each other: whoever has time is
overtaken more.
"""

import math

from broker.forecast import Start

EARLY, LATE = 0.03, 0.05  # so many starts come before the interval, and so many after it
STEP = 0.15  # of the width
NARROWEST, WIDEST = -0.9, 10.0  # widths
SECOND = 1.0  # the width is never less: nobody minds parts of a second


class Calibration:
    """By how much the two ends of the interval are moved, in widths of what the forecast leaves open on that side."""

    def __init__(self) -> None:
        self._moved: dict[int, tuple[float, float]] = {}  # by priority

    def learn(self, told: Start, waited_s: float, priority: int) -> None:
        """What was told this interval started after ``waited_s``."""
        early, late = self._of(priority)
        early += STEP * (int(waited_s < told.earliest_s) - EARLY)
        late += STEP * (int(waited_s > told.latest_s) - LATE)
        self._moved[priority] = _bounded(early), _bounded(late)

    def of(self, forecast: Start, priority: int) -> Start:
        """The same forecast with an interval that would have held lately, in whole seconds."""
        earliest_s, latest_s = _ends(forecast, self._of(priority))
        return forecast._replace(earliest_s=earliest_s, latest_s=latest_s)

    def _of(self, priority: int) -> tuple[float, float]:
        """What is known about this priority, else about the one that is closest."""
        if priority in self._moved or not self._moved:
            return self._moved.get(priority, (0.0, 0.0))
        return self._moved[min(self._moved, key=lambda other: abs(other - priority))]


def _ends(forecast: Start, moved: tuple[float, float]) -> tuple[float, float]:
    likely_s = forecast.likely_s
    before_s = likely_s - forecast.earliest_s + 0.1 * likely_s + SECOND
    behind_s = forecast.latest_s - likely_s + 0.1 * likely_s + SECOND
    earliest_s = min(forecast.earliest_s - moved[0] * before_s, likely_s)
    latest_s = max(forecast.latest_s + moved[1] * behind_s, likely_s, SECOND)
    return math.floor(max(0.0, earliest_s)), math.ceil(latest_s)


def _bounded(moved: float) -> float:
    return min(max(moved, NARROWEST), WIDEST)
