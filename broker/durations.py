"""How long jobs took lately, as a guess of how long the next ones will take."""

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

REMEMBER = 64  # durations per model
FEW = 5  # with fewer durations than this a guess is kept wide
WORTH_TELLING_S = 0.5  # a shorter load is not worth a word


class Guess(NamedTuple):
    """How long something takes, seconds."""

    mean_s: float
    variance: float


class Durations:
    """How long the last jobs of each model held their slot, loading not counted, and how long loading took."""

    def __init__(self, first_guess_s: float = 5.0) -> None:
        self._first = Guess(first_guess_s, first_guess_s**2)
        self._all = deque[float](maxlen=REMEMBER)
        self._of: dict[str, deque[float]] = {}
        self._guesses: dict[str, Guess] = {}
        self._of_any: Guess | None = self._first  # None: to be worked out when somebody asks
        self._loads: dict[str, float] = {}

    def learn(self, model: str, seconds: float, load_s: float = 0.0) -> None:
        """One more job of this model took so long, and so much of it was loading."""
        load_s = min(max(load_s, 0.0), seconds)
        if load_s > WORTH_TELLING_S:
            self._loads[model] = load_s
            seconds -= load_s
        self._of.setdefault(model, deque(maxlen=REMEMBER)).append(seconds)
        self._all.append(seconds)
        self._guesses.pop(model, None)
        self._of_any = None

    def of(self, model: str) -> Guess:
        """What to expect of a job of this model."""
        seen = self._of.get(model)
        if seen is None:
            if self._of_any is None:
                self._of_any = _guess(self._all, self._first)
            return self._of_any
        if model not in self._guesses:
            self._guesses[model] = _guess(seen, self._first)
        return self._guesses[model]

    def mean_s(self, model: str) -> float:
        """The first half of ``of``, which every start asks for: a tenth of the work."""
        seen = self._of.get(model)
        return sum(seen) / len(seen) if seen else self.of(model).mean_s

    def load_s(self, model: str) -> float:
        """How long it took to load this model last; 0 while unknown."""
        return self._loads.get(model, 0.0)

    def rest(self, model: str, elapsed_s: float) -> Guess:
        """What is left of one that has run for a while: as long as those that lasted longer than that."""
        longer = [seconds - elapsed_s for seconds in self._of.get(model, ()) if seconds > elapsed_s]
        if longer:
            return _guess(longer, Guess(longer[0], longer[0] ** 2))
        expected = self.of(model)
        rest_s = max(expected.mean_s - elapsed_s, 0.2 * expected.mean_s)
        return Guess(rest_s, rest_s**2)


def _guess(seen: Iterable[float], first: Guess) -> Guess:
    values = list(seen)
    if not values:
        return first
    mean_s = sum(values) / len(values)
    variance = sum((value - mean_s) ** 2 for value in values) / len(values)
    if len(values) < FEW:  # too few to know how much they differ
        variance = max(variance, (mean_s / 2) ** 2)
    return Guess(mean_s, variance)
