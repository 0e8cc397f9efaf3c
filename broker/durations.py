"""How long jobs took lately, as a guess of how long others will take: those like it count most.

A job is like others of its model, more so where kind, size of the prompt and longest answer are the same, or the user,
or both, or the batch. With few jobs in such a circle the wider one counts more. What was never seen is not impossible:
some may take longer than all that are known, and whoever has run longer than all may run on for as long again.
"""

import itertools
import math
from bisect import bisect_left, bisect_right
from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import NamedTuple

from broker.job import Job

REMEMBER = 64  # durations per circle
CIRCLES = 4_000  # that are remembered, the last used ones
TRUST = 3.0  # with so many jobs in it, a circle counts as much as all wider ones together
STRATA = 32  # equally likely parts of what may happen
STALE = 4  # jobs more of a model, after which what is expected of those like them is worked out anew
TAIL = 2.0  # of a Pareto distribution: the smaller, the longer may last what has lasted long
LONGEST = 20.0  # times as long as the longest one known the next longer one may take
SHORTEST_S = 0.1
FIRST_DOUBT = 1.2  # before anything was seen: nine of ten are within seven times as long or as short
WORTH_TELLING_S = 0.5  # a shorter load is not worth a word
_MIDDLES = tuple((part + 0.5) / STRATA for part in range(STRATA))

Strata = tuple[float, ...]  # seconds, ascending, one for the middle of each part


class Traits(NamedTuple):
    """What is known about a job before it runs, as far as it tells how long it takes."""

    model: str
    user: str = ''
    shape: str = ''  # kind, size of its prompt, longest answer
    series: str = ''  # the batch or schedule it belongs to


def traits_of(job: Job) -> Traits:
    """Those of this job. Sizes count in steps of four times."""
    longest = job.terms.longest
    shape = f'{job.kind} {job.body_bytes.bit_length() // 2} {longest.bit_length() // 2}'
    return Traits(job.model, job.user, shape, job.parent or job.terms.schedule)


class Seen(NamedTuple):
    """How long a job took, loading not counted, and the number that tells it from others that took as long."""

    seconds: float
    number: int


class Durations:
    """How long the last jobs held their slot, loading not counted, and how long loading took."""

    def __init__(self, first_guess_s: float = 5.0) -> None:
        self._first = tuple(-first_guess_s * math.log1p(-middle) for middle in _MIDDLES)  # exponential
        self._circles: OrderedDict[tuple[str, ...], deque[Seen]] = OrderedDict()
        self._number = 0
        self._spreads: dict[Traits, tuple[bool, int, Spread]] = {}  # of a model that is known, and after how many jobs
        self._learnt: dict[str, int] = {}  # jobs by model
        self._loads: dict[str, float] = {}

    def learn(self, traits: Traits, seconds: float, load_s: float = 0.0) -> None:
        """One more job like this took so long, and so much of it was loading."""
        model = traits.model
        load_s = min(max(load_s, 0.0), seconds)
        if load_s > WORTH_TELLING_S:
            self._loads[model] = load_s
            seconds -= load_s
        self._number += 1
        for circle in _circles_of(traits):
            self._circles.setdefault(circle, deque(maxlen=REMEMBER)).append(Seen(seconds, self._number))
            self._circles.move_to_end(circle)
        while len(self._circles) > CIRCLES:
            self._circles.popitem(last=False)
        self._learnt[model] = self._learnt.get(model, 0) + 1
        if len(self._spreads) > CIRCLES:
            self._spreads.clear()

    def of(self, traits: Traits) -> 'Spread':
        """What to expect of such a job."""
        learnt = self._learnt.get(traits.model, 0)
        own, seen = learnt > 0, learnt or self._number  # an unknown model is like all others
        known = self._spreads.get(traits)
        if known is None or own != known[0] or seen - known[1] > min(STALE, known[1] // 8):
            known = self._spreads[traits] = own, seen, self._spread(traits)
        return known[2]

    def mean_s(self, model: str) -> float:
        """How long jobs of this model took on average, which every start asks for: a tenth of the work."""
        seen = self._circles.get((model,))
        return sum(job.seconds for job in seen) / len(seen) if seen else self.of(Traits(model)).mean_s

    def load_s(self, model: str) -> float:
        """How long it took to load this model last; 0 while unknown."""
        return self._loads.get(model, 0.0)

    def _spread(self, traits: Traits) -> 'Spread':
        weights, most, left = dict[Seen, float](), 0, 1.0  # who is in several circles is one job still
        for circle in reversed(_circles_of(traits)):
            seen = self._circles.get(circle, ())
            weight = left * len(seen) / (len(seen) + TRUST)
            for job in seen:
                weights[job] = weights.get(job, 0.0) + weight / len(seen)
            left -= weight
            most = max(most, len(seen))
        if most < TRUST:  # a guess counts only until there is something better
            weights |= {Seen(seconds, 0): left / STRATA for seconds in self._first}
        return Spread(weights)


class Spread:
    """How long something may take: durations by their weights.

    Between two of them it is as likely as at one; and of so many as there are, one more would be longer than all
    (Hill, "Posterior distribution of percentiles", 1968).
    """

    def __init__(self, weights: Mapping[Seen, float]) -> None:
        jobs = sorted(weights)
        self._seconds = [job.seconds for job in jobs]
        self._below = [0.0, *itertools.accumulate(weights[job] for job in jobs)]  # the weight of the first so many
        self._squares = [0.0, *itertools.accumulate(weights[job] ** 2 for job in jobs)]
        self.mean_s = sum(job.seconds * weight for job, weight in weights.items()) / self._below[-1]
        self._guessed = any(not job.number for job in jobs)
        square = sum(job.seconds**2 * weight for job, weight in weights.items()) / self._below[-1]
        known = self._below[-1] ** 2 / self._squares[-1] if any(job.number for job in jobs) else 0.0
        differ = math.sqrt(max(0.0, square / self.mean_s**2 - 1.0)) if self.mean_s > 0.0 else 0.0
        # How far all of them together may be off, as the logarithm of a factor: the error of a mean, and a first doubt.
        self.doubt = min(differ / math.sqrt(known + 1.0) + FIRST_DOUBT / (known + 1.0), FIRST_DOUBT)
        self._strata: Strata = ()

    def strata(self) -> Strata:
        """How long it may take, from its start."""
        if not self._strata:
            self._strata = self.rest(0.0)
        return self._strata

    def has(self, elapsed_s: float) -> bool:
        """Whether any took longer than this."""
        return elapsed_s < self._seconds[-1]

    def rest(self, elapsed_s: float) -> Strata:
        """What may be left of one that has run for a while: as of those that lasted longer than that."""
        first = bisect_right(self._seconds, elapsed_s)
        weight = self._below[-1] - self._below[first]
        squares = self._squares[-1] - self._squares[first]
        known = weight**2 / squares if squares > 0.0 else 0.0  # so many of the same weight would say as much
        if self._guessed:  # that has a tail of its own; what else is in doubt concerns all jobs alike
            known = float(len(self._seconds) - first)
        beyond = 1.0 / (known + 1.0)
        top = max(self._seconds[-1], elapsed_s, SHORTEST_S)
        found = []
        for middle in _MIDDLES:
            if middle >= 1.0 - beyond:
                far = min((beyond / (1.0 - middle)) ** (1.0 / TAIL), LONGEST)
                found.append(top * far - elapsed_s)
            else:
                found.append(self._at(self._below[first] + middle / (1.0 - beyond) * weight, elapsed_s) - elapsed_s)
        return tuple(found)

    def _at(self, below: float, elapsed_s: float) -> float:
        """Between which two durations, and where, so much weight lies below."""
        at = min(bisect_left(self._below, below), len(self._seconds))
        low = max(self._seconds[at - 2], elapsed_s) if at > 1 else elapsed_s
        high = self._seconds[at - 1]
        share = (below - self._below[at - 1]) / (self._below[at] - self._below[at - 1])
        return low + (high - low) * share


def _circles_of(traits: Traits) -> tuple[tuple[str, ...], ...]:
    """Those that a job is in, the widest first."""
    model, user, shape, series = traits
    circles: tuple[tuple[str, ...], ...] = ((), (model,))
    if shape:
        circles += ((model, 'shape', shape),)
    circles += ((model, 'user', user),)
    if shape:
        circles += ((model, 'both', user, shape),)
    return (*circles, (model, 'series', user, series)) if series else circles
