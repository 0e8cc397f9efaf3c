"""When will it start? Played through with the order that dispatches, so what is told is what would happen.

Durations are guesses from the last jobs of the same model. Every slot gets the time at which it will probably be free,
with the variance of that; the slot that is free first takes the job whose turn it is there. The interval is where nine
of ten starts fall if durations are as spread as they were lately.
"""

import heapq
import math
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from broker.backend import Backend
from broker.durations import Durations
from broker.order import Lane
from broker.playback import Playback

Z = 1.645  # of a normal distribution: 90 % lie within


class Slot(NamedTuple):
    """A worker's place for one job: the models it can run, what is loaded there, and when it is free.

    The slots of one backend share it; it is changed on the way, so it is a copy.
    """

    models: frozenset[str]
    backend: Backend
    free_s: float = 0.0  # from now
    variance: float = 0.0


class Start(NamedTuple):
    """When a job will start, seconds from now: most likely, and the interval for nine of ten."""

    job_id: str
    likely_s: float
    earliest_s: float
    latest_s: float
    load_s: float = 0.0  # what has to be loaded then takes so long


class Forecast:
    """The starts to come on these slots. ``free_s`` afterwards says when a slot for a model is free behind them all."""

    def __init__(self, playback: Playback, slots: list[Slot], durations: Durations) -> None:
        self._playback = playback
        self._durations = durations
        self._slots = {number: slot for number, slot in enumerate(slots)}
        self._free = [(slot.free_s, number) for number, slot in self._slots.items()]
        heapq.heapify(self._free)

    def starts(self) -> Iterator[Start]:
        """Job after job. Each costs O(log slots) and a look at each lane."""
        while self._free:
            _, number = self._free[0]
            slot = self._slots[number]
            turn = self._playback.next(slot.models.__contains__, partial(_is_warm, slot), slot.free_s)
            if turn is None:  # nothing is left that this one could run
                heapq.heappop(self._free)
                continue
            lane = self._playback.lane(turn)
            load_s = 0.0 if _is_warm(slot, lane) else self._durations.load_s(lane.model)
            slot.backend.runs(lane.model, lane.options, ())
            takes = self._durations.of(lane.model)
            spread_s = Z * math.sqrt(slot.variance)
            free_s = slot.free_s + load_s + takes.mean_s
            self._slots[number] = slot._replace(free_s=free_s, variance=slot.variance + takes.variance)
            heapq.heapreplace(self._free, (free_s, number))
            earliest_s, latest_s = max(0.0, slot.free_s - spread_s), slot.free_s + spread_s
            yield Start(turn.job_id, slot.free_s, earliest_s, latest_s, load_s)

    def answer_s(self, model: str) -> tuple[float, float]:
        """When one more job of this model would start behind those asked for, and be done; infinity for never."""
        able = [slot for slot in self._slots.values() if model in slot.models]
        slot = min(able, key=lambda slot: slot.free_s, default=None)
        if slot is None:
            return math.inf, math.inf
        load_s = 0.0 if slot.backend.has(model, '') else self._durations.load_s(model)
        return slot.free_s, slot.free_s + load_s + self._durations.of(model).mean_s


def _is_warm(slot: Slot, lane: Lane) -> bool:
    return lane.model in slot.models and slot.backend.has(lane.model, lane.options)
