"""How far forecasts were off lately, and intervals that make up for it.

A forecast knows who waits now, not who comes later and goes first: by priority, because they have used less, or because
their model is loaded. How often that happens shows in the starts of the last jobs. After conformal prediction (Vovk,
Gammerman, Shafer, "Algorithmic Learning in a Random World", 2005): the interval is moved out, or in, by the quantile of
the recent errors, so that it holds as often as it says, whatever their distribution.
"""

from bisect import bisect_left, insort
from collections import deque

from broker.forecast import Start

REMEMBER = 200  # starts
ENOUGH = 10  # with fewer nothing is known about errors
EARLY, LATE = 0.02, 0.1  # so many starts come before the interval, and so many after it
BASE_S = 2.0  # errors are measured against the forecast wait and this, or a wait of a second would count for nothing


class Calibration:
    """Errors of the two ends of the interval, as parts of the wait that was forecast."""

    def __init__(self) -> None:
        self._early = _Lately()
        self._late = _Lately()

    def learn(self, forecast: Start, waited_s: float) -> None:
        """What was forecast like this started after ``waited_s``."""
        scale_s = forecast.likely_s + BASE_S
        self._early.add((forecast.earliest_s - waited_s) / scale_s)
        self._late.add((waited_s - forecast.latest_s) / scale_s)

    def of(self, forecast: Start) -> Start:
        """The same forecast with an interval that would have held lately."""
        scale_s = forecast.likely_s + BASE_S
        earliest_s = forecast.earliest_s - self._early.at(1 - EARLY) * scale_s
        latest_s = forecast.latest_s + self._late.at(1 - LATE) * scale_s
        return forecast._replace(
            earliest_s=min(max(0.0, earliest_s), forecast.likely_s), latest_s=max(latest_s, forecast.likely_s)
        )


class _Lately:
    """The last so many numbers, and quantiles of them."""

    def __init__(self) -> None:
        self._in_order: list[float] = []
        self._by_age = deque[float]()

    def add(self, number: float) -> None:
        self._by_age.append(number)
        insort(self._in_order, number)
        if len(self._by_age) > REMEMBER:
            del self._in_order[bisect_left(self._in_order, self._by_age.popleft())]

    def at(self, part: float) -> float:
        """The number that this part of them does not exceed; 0 while there are few."""
        if len(self._in_order) < ENOUGH:
            return 0.0
        return self._in_order[min(len(self._in_order) - 1, int(part * len(self._in_order)))]
