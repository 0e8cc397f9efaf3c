"""Limits counted the long way round: every start of the past is kept, and every window is looked at."""

from collections import defaultdict
from typing import NamedTuple

from broker.limits import Limits, Rate
from tests.broker.sim.violation import Violation

SLACK_S = 1e-6
NEVER = float('-inf')


class Start(NamedTuple):
    """A job started at ``at`` by the broker's clock, at ``passed`` by one that never goes back.

    For a later broker it was somewhere between ``early`` and ``late``: both lie in no broker's future, but whether the
    first one to notice that has written it down depends on what became of the job.
    """

    at: float
    passed: float
    early: float
    late: float


class Admissions:
    """I9: in no window more starts than burst + window / step, also across restarts.

    The window is measured by a clock that goes forward with the broker's and stands still where that one is put back:
    a clock that was put forward an hour forgives an hour, whoever put it; one that was put back forgives nothing.
    """

    def __init__(self, limits: Limits) -> None:
        self._rates: dict[tuple[str, str], Rate] = {}
        self.limits = limits
        self._starts: defaultdict[tuple[str, str], list[Start]] = defaultdict(list)
        self._opens: dict[tuple[tuple[str, str], str], float] = {}  # as worked out, until something starts
        self._put_back_s = 0.0
        self._last_at = NEVER
        self._last_boot = NEVER
        rates = [limits.rate, limits.user_rate, *(rate for _, rate in limits.model_rates)]
        self._known_s = max((rate.period_s + rate.burst * rate.step_s for rate in rates if rate), default=0.0)

    def booted(self, at: float) -> None:
        """A new broker begins at this time of its clock."""
        self._put_back_s += max(0.0, self._last_at - at)
        self._last_at = self._last_boot = at
        self._opens.clear()
        for key, starts in self._starts.items():
            self._starts[key] = [start._replace(early=min(start.early, at), late=min(start.at, at)) for start in starts]

    def saw(self, at: float) -> None:
        """The broker's clock showed this."""
        self._last_at = max(self._last_at, at)

    def started(self, user: str, model: str, at: float) -> None:
        """A job starts; raise Violation when a limit forbids it."""
        self.saw(at)
        for key, rate in self._keys(user, model):
            starts = self._starts[key]
            self._opens.clear()
            starts.append(Start(at, at + self._put_back_s, at, at))
            for count, start in enumerate(reversed(starts), 1):
                if count > rate.burst + (starts[-1].passed - start.passed + SLACK_S) / rate.step_s:
                    raise Violation('I9', f'{count} starts of {key} within {starts[-1].passed - start.passed:.3f} s')

    def opens(self, user: str, model: str) -> tuple[float, float]:
        """From when on, by the broker's clock, all rates let this user start this model: at the earliest, latest."""
        keys = self._keys(user, model)
        return (
            max((self._open_at(key, rate, 'early') for key, rate in keys), default=NEVER),
            max((self._open_at(key, rate, 'late') for key, rate in keys), default=NEVER),
        )

    def holds_from_before(self, user: str, model: str, at: float) -> bool:
        """Whether a start under an earlier broker is why this user cannot start this model now."""
        return any(
            self._open_at(key, rate, 'early') > at and self._starts[key][-1].early <= self._last_boot
            for key, rate in self._keys(user, model)
        )

    def _open_at(self, key: tuple[str, str], rate: Rate, which: str) -> float:
        """As a broker that has the times before it would count: never more than a full burst is owed.

        A new broker does not know what was before a while ago, and takes it for a full burst, at the latest.
        """
        if (key, which) in self._opens:
            return self._opens[key, which]
        since = self._last_boot - self._known_s if which == 'late' else NEVER
        owed_until = since + rate.burst * rate.step_s
        for at in sorted(getattr(start, which) for start in self._starts[key]):
            if at > since:
                owed_until = min(max(owed_until, at) + rate.step_s, at + rate.burst * rate.step_s)
        opens = self._opens[key, which] = owed_until - (rate.burst - 1) * rate.step_s
        return opens

    def _keys(self, user: str, model: str) -> list[tuple[tuple[str, str], Rate]]:
        limits = self.limits
        keys: list[tuple[tuple[str, str], Rate]] = []
        if limits.rate is not None:
            keys.append((('all', ''), limits.rate))
        if limits.user_rate is not None:
            keys.append((('user', user), limits.user_rate))
        keys += [(('model', model), rate) for name, rate in limits.model_rates if name == model]
        return keys
