"""Rate limits by the generic cell rate algorithm: one time per key, no buckets to fill, no window edges.

After ITU-T I.371 and Brandur Leach's description for throttling HTTP. A limit of N per period with a burst of B lets B
start at once and then one every period / N; in any window of t seconds never more than B + t · N / period.
"""

import math
import re
from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

UNITS_S = {'s': 1.0, 'min': 60.0, 'h': 3600.0, 'd': 86400.0}
_FORM = re.compile(r'(\d+) per (\d+(?:\.\d+)?)? ?(s|min|h|d)(?: burst (\d+))?')
MANY = 10_000  # keys
REMEMBERED = 500  # times that a limit was reached; a wait that began before them all was limited a little less
FORM = "'10 per min', '100 per 5 min' or '10 per min burst 3'"


class Rate(NamedTuple):
    """So many ``starts`` per ``period_s`` seconds, ``burst`` of them at once."""

    starts: int
    period_s: float
    burst: int

    @property
    def step_s(self) -> float:
        """Seconds between two starts in the long run."""
        return self.period_s / self.starts


def parse(text: str) -> Rate:
    """A rate as people write it; without a burst all ``count`` may start at once. Raises ``ValueError``."""
    found = _FORM.fullmatch(' '.join(text.split()))
    if found is None:
        raise ValueError(f'a rate is written like {FORM}')
    count, periods, unit, burst = found.groups()
    rate = Rate(int(count), float(periods or 1) * UNITS_S[unit], int(burst or count))
    if rate.starts < 1 or rate.burst < 1 or rate.period_s <= 0:
        raise ValueError('a rate must let at least one job start; leave it empty for no limit')
    return rate


class Room(NamedTuple):
    """Of a ``limit``, how many more may come at once, and after how many seconds without any all may again."""

    limit: int
    remaining: int
    reset_s: float


class Gcra:
    """One limit for many keys (users, models). Pure: times are passed in."""

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self._tat: dict[str, float] = {}  # theoretical arrival time of the next start, by key
        self._many = MANY

    def eligible_at(self, key: str) -> float:
        """From when on ``key`` may start one more."""
        return self._tat.get(key, 0.0) - (self.rate.burst - 1) * self.rate.step_s

    def room(self, key: str, waiting: int, now: float) -> Room:
        """What is left for ``key`` when those that wait have started, too."""
        rate = self.rate
        owed_s = max(0.0, self._tat.get(key, 0.0) - now) + waiting * rate.step_s
        remaining = math.floor(rate.burst - owed_s / rate.step_s + 1e-6)  # a step is seldom a whole number of bits
        return Room(rate.burst, max(0, remaining), owed_s)

    def owe(self, key: str, since: float) -> None:
        """What ``key`` started before this time is not known: as if it had started all that it might."""
        self._tat.setdefault(key, since + self.rate.burst * self.rate.step_s)

    def take(self, key: str, now: float) -> None:
        """One has started, allowed or not. More than a full burst is never owed: many starts at one time are those of
        a broker whose clock was ahead.
        """
        step_s = self.rate.step_s
        self._tat[key] = min(max(self._tat.get(key, 0.0), now) + step_s, now + self.rate.burst * step_s)
        if len(self._tat) > self._many:  # keys whose time has passed are as if never seen
            self._tat = {key: tat for key, tat in self._tat.items() if tat > now}
            self._many = max(MANY, 2 * len(self._tat))  # or with many in force each start would go through all


class Started(NamedTuple):
    """A start of the past, to bring limits back to where they were before a restart."""

    user: str
    model: str
    at: float


class Waiting(Protocol):
    """How many jobs wait: all, of a user, or for a model."""

    def __call__(self, *, user: str | None = None, model: str | None = None) -> int: ...


class Limits(NamedTuple):
    """What may be limited; None or 0 is no limit. Rates count starts, caps count what runs at the same time."""

    rate: Rate | None = None
    user_rate: Rate | None = None
    model_rates: tuple[tuple[str, Rate], ...] = ()  # by model name
    user_running: int = 0
    running: int = 0


class Shut:
    """When a limit let nobody start, the last so many times."""

    def __init__(self) -> None:
        self.spans: deque[tuple[float, float]] = deque(maxlen=REMEMBERED)
        self.until = 0.0

    def add(self, since: float, until: float) -> None:
        """It lets nobody start from now until then."""
        if self.spans and self.spans[-1][1] >= since:
            since = self.spans.pop()[0]
        self.spans.append((since, until))
        self.until = until

    def end(self, now: float) -> None:
        """It is over, if it was not yet."""
        if self.spans and self.until > now:
            self.spans.append((self.spans.pop()[0], now))
            self.until = now


class Gate:
    """Says who may start now, and from when on the others may. Nobody is queued here."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._all = Gcra(limits.rate) if limits.rate else None
        self._users = Gcra(limits.user_rate) if limits.user_rate else None
        self._models = {model: Gcra(rate) for model, rate in limits.model_rates}
        self._running: dict[str, int] = {}
        self._total = 0
        self._shut: dict[tuple[str, str], Shut] = {}  # by what is limited and its name

    def change(self, limits: Limits, starts: Iterable[Started], now: float) -> None:
        """Other limits from now on; ``starts`` are those that count for their rates, and what runs is known."""
        changed = Gate(limits)
        changed.restore(starts, now)
        self._limits, self._all, self._users, self._models = limits, changed._all, changed._users, changed._models
        for shut in self._shut.values():
            shut.end(now)

    @property
    def limits_models(self) -> bool:
        """Whether any model has a rate of its own."""
        return bool(self._models)

    @property
    def longest_period_s(self) -> float:
        """How far back starts still matter."""
        gates = [gate for gate in (self._all, self._users, *self._models.values()) if gate is not None]
        return max((gate.rate.period_s + gate.rate.burst * gate.rate.step_s for gate in gates), default=0.0)

    def started(self, user: str, model: str, now: float) -> None:
        """A job starts: it counts for rates and for caps."""
        self.remember(Started(user, model, now))
        self.holds(user)
        for what, name, open_at in self._closed(user, model):
            if open_at > now:
                self._shut.setdefault((what, name), Shut()).add(now, open_at)
        if len(self._shut) > MANY:
            self._shut = {key: shut for key, shut in self._shut.items() if shut.until > now}

    def holds(self, user: str) -> None:
        """A job of this user runs."""
        self._running[user] = self._running.get(user, 0) + 1
        self._total += 1

    def restore(self, starts: Iterable[Started], now: float) -> None:
        """Starts of the past, oldest first. Only so many are known (see ``longest_period_s``), and under a steady load
        what is owed goes back further; so everybody who started lately begins with a full debt of that time.
        """
        since = now - self.longest_period_s
        for start in starts:
            for gate, key in self._gates(start.user, start.model):
                gate.owe(key, since)
            self.remember(start._replace(at=min(start.at, now)))

    def remember(self, start: Started) -> None:
        """A start counts for the rates."""
        for gate, key in self._gates(start.user, start.model):
            gate.take(key, start.at)

    def ended(self, user: str, now: float = 0.0) -> None:
        """A job of this user runs no more."""
        self._total -= 1
        self._running[user] -= 1
        if not self._running[user]:
            del self._running[user]
        for key in (('running', ''), ('user running', user)):
            if now and key in self._shut:
                self._shut[key].end(now)

    def limited_s(self, user: str, model: str, since: float, now: float) -> float:
        """How long of this time a limit kept jobs of this user and model from starting, seconds."""
        if not self._shut:
            return 0.0
        keys = (('running', ''), ('user running', user), ('all', ''), ('user', user), ('model', model))
        spans = sorted(span for key in keys if key in self._shut for span in self._shut[key].spans)
        total, reached = 0.0, since
        for begin, end in spans:
            total += max(0.0, min(end, now) - max(begin, reached))
            reached = max(reached, min(end, now))
        return total

    def rooms(self, user: str, model: str, waiting: Waiting, now: float) -> Iterator[Room]:
        """What the rates that count for this user and model leave; ``waiting`` jobs are yet to start."""
        if self._all is not None:
            yield self._all.room('', waiting(), now)
        if self._users is not None:
            yield self._users.room(user, waiting(user=user), now)
        if model in self._models:
            yield self._models[model].room(model, waiting(model=model), now)

    def open_at(self) -> float:
        """From when on anything may start at all; infinity while the cap on running jobs is reached."""
        if self._limits.running and self._total >= self._limits.running:
            return float('inf')
        return self._all.eligible_at('') if self._all is not None else 0.0

    def user_at(self, user: str) -> float:
        """From when on this user may start one; infinity while the cap on their running jobs is reached."""
        if self._limits.user_running and self._running.get(user, 0) >= self._limits.user_running:
            return float('inf')
        return self._users.eligible_at(user) if self._users is not None else 0.0

    def model_at(self, model: str) -> float:
        """From when on this model may start one."""
        gate = self._models.get(model)
        return gate.eligible_at(model) if gate is not None else 0.0

    def _closed(self, user: str, model: str) -> Iterator[tuple[str, str, float]]:
        """From when on each limit lets the next one start."""
        limits = self._limits
        if limits.running and self._total >= limits.running:
            yield 'running', '', math.inf
        if limits.user_running and self._running.get(user, 0) >= limits.user_running:
            yield 'user running', user, math.inf
        if self._all is not None:
            yield 'all', '', self._all.eligible_at('')
        if self._users is not None:
            yield 'user', user, self._users.eligible_at(user)
        if model in self._models:
            yield 'model', model, self._models[model].eligible_at(model)

    def _gates(self, user: str, model: str) -> Iterator[tuple[Gcra, str]]:
        """The limits that a start counts for, each with its key."""
        if self._all is not None:
            yield self._all, ''
        if self._users is not None:
            yield self._users, user
        if model in self._models:
            yield self._models[model], model

    def check(self, running: dict[str, int]) -> None:
        """Raise AssertionError when other jobs run than were counted. For tests."""
        assert self._running == running and self._total == sum(running.values())
