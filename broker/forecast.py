"""When will it start? Played through with the order that dispatches, so what is told is what would happen.

Durations are guesses from the last jobs of the same model. Every slot gets the time at which it will probably be free,
with the variance of that; each job takes the slot that is free first. The interval is where nine of ten starts fall if
durations are as spread as they were lately.
"""

import math
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

REMEMBER = 64  # durations per model
Z = 1.645  # of a normal distribution: 90 % lie within
FEW = 5  # with fewer durations than this a guess is kept wide


class Guess(NamedTuple):
    """How long something takes, seconds."""

    mean_s: float
    variance: float


class Durations:
    """How long the last jobs of each model held their slot."""

    def __init__(self, first_guess_s: float = 5.0) -> None:
        self._first = Guess(first_guess_s, first_guess_s**2)
        self._all = deque[float](maxlen=REMEMBER)
        self._of: dict[str, deque[float]] = {}
        self._guesses: dict[str, Guess] = {}
        self._of_any = self._first

    def learn(self, model: str, seconds: float) -> None:
        """One more job of this model took so long."""
        self._of.setdefault(model, deque(maxlen=REMEMBER)).append(seconds)
        self._all.append(seconds)
        self._guesses[model] = _guess(self._of[model], self._first)
        self._of_any = _guess(self._all, self._first)

    def of(self, model: str) -> Guess:
        """What to expect of a job of this model."""
        return self._guesses.get(model, self._of_any)

    def rest(self, model: str, elapsed_s: float) -> Guess:
        """What is left of one that has run for a while: as long as those that lasted longer than that."""
        longer = [seconds - elapsed_s for seconds in self._of.get(model, ()) if seconds > elapsed_s]
        if longer:
            return _guess(longer, Guess(longer[0], longer[0] ** 2))
        expected = self.of(model)
        rest_s = max(expected.mean_s - elapsed_s, 0.2 * expected.mean_s)
        return Guess(rest_s, rest_s**2)


class Slot(NamedTuple):
    """A worker's place for one job: the models it can run, and when it is free."""

    models: frozenset[str]
    free_s: float = 0.0  # from now
    variance: float = 0.0


class Start(NamedTuple):
    """When a job will start, seconds from now: most likely, and the interval for nine of ten."""

    likely_s: float
    earliest_s: float
    latest_s: float


def forecast(waiting: Iterable[tuple[str, str]], slots: list[Slot], durations: Durations) -> dict[str, Start]:
    """The start of each job of ``waiting`` (id and model, in the order of dispatch) that some slot can run.

    Costs jobs × slots; callers pass the front of the queue only.
    """
    slots = list(slots)
    found: dict[str, Start] = {}
    for job_id, model in waiting:
        able = [place for place, slot in enumerate(slots) if model in slot.models]
        if not able:
            continue
        place = min(able, key=lambda place: slots[place].free_s)
        slot = slots[place]
        spread_s = Z * math.sqrt(slot.variance)
        found[job_id] = Start(slot.free_s, max(0.0, slot.free_s - spread_s), slot.free_s + spread_s)
        takes = durations.of(model)
        slots[place] = Slot(slot.models, slot.free_s + takes.mean_s, slot.variance + takes.variance)
    return found


def _guess(seen: Iterable[float], first: Guess) -> Guess:
    values = list(seen)
    if not values:
        return first
    mean_s = sum(values) / len(values)
    variance = sum((value - mean_s) ** 2 for value in values) / len(values)
    if len(values) < FEW:  # too few to know how much they differ
        variance = max(variance, (mean_s / 2) ** 2)
    return Guess(mean_s, variance)
