"""What is asked of the statistics: from when to when, of whom, beside which other time. It stands in the address."""

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Any, NamedTuple, Self
from urllib.parse import urlencode

from app.i18n import N_

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
MAX_SPAN_S = 400 * DAY
MAX_STEPS = 110
NEARLY = 0.1  # of a time may be missing
STEPS_S = (60.0, 300.0, 900.0, 1800.0, HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 7 * DAY)
CUSTOM = 'custom'
RANGES = {
    '15m': (N_('15 min'), 15 * MINUTE),
    '1h': (N_('1 h'), HOUR),
    '6h': (N_('6 h'), 6 * HOUR),
    '24h': (N_('24 h'), DAY),
    '7d': (N_('7 d'), 7 * DAY),
    '30d': (N_('30 d'), 30 * DAY),
}
FILTERS = ('user', 'model', 'priority', 'kind', 'worker')


class Window(NamedTuple):
    """From ``since`` to before ``until``, in unix seconds, in steps of ``step_s`` seconds."""

    since: float
    until: float
    step_s: float

    @property
    def span_s(self) -> float:
        """How long it is, in seconds."""
        return self.until - self.since

    def before(self) -> 'Window':
        """The time of the same length just before it."""
        return Window(self.since - self.span_s, self.since, self.step_s)

    def recorded(self, first_at: float | None) -> bool:
        """Whether jobs were counted in nearly all of it, when the first one ever ended at ``first_at``. What came after
        a time of which less is known is no change.
        """
        return first_at is None or first_at <= self.since + NEARLY * self.span_s


@dataclasses.dataclass(frozen=True, kw_only=True)
class Question:
    """A choice of time and filters; '' filters nothing. ``since`` and ``until`` count where ``range`` is 'custom'."""

    range: str = '24h'
    since: float = 0.0
    until: float = 0.0
    compare: bool = False
    user: str = ''
    model: str = ''
    priority: str = ''
    kind: str = ''
    worker: str = ''

    @classmethod
    def read(cls, query: Mapping[str, str]) -> Self:
        """What an address asks; what is wrong in it is left out."""
        found = cls().comparing(query.get('compare') == '1').filtered(**{name: query.get(name, '') for name in FILTERS})
        since, until = _moment(query.get('from', '')), _moment(query.get('to', ''))
        if since is not None and until is not None:
            return found.between(since, until)
        return found.over(query.get('range', ''))

    def over(self, name: str) -> Self:
        """The same over one of ``RANGES``; an unknown one changes nothing."""
        return dataclasses.replace(self, range=name, since=0.0, until=0.0) if name in RANGES else self

    def since_first(self, first_at: float, now: float) -> Self:
        """The same over the shortest time that holds all there is, a day at most: the first hours fill a chart, too."""
        age_s = now - first_at
        return self.over(next((name for name, (_, span_s) in RANGES.items() if age_s <= span_s <= DAY), Question.range))

    def between(self, since: float, until: float) -> Self:
        """The same between two moments; changes nothing when they are the wrong way round or too far apart."""
        if not 0 <= since < until <= since + MAX_SPAN_S:
            return self
        return dataclasses.replace(self, range=CUSTOM, since=since, until=until)

    def comparing(self, compare: bool) -> Self:
        """The same with or without the period before."""
        return dataclasses.replace(self, compare=compare)

    def filtered(self, **filters: str) -> Self:
        """The same with other filters."""
        known: dict[str, Any] = {name: value[:300] for name, value in filters.items() if name in FILTERS}
        if not _is_priority(known.get('priority', '')):
            known['priority'] = ''
        return dataclasses.replace(self, **known)

    def over_time(self) -> Self:
        """The same time, without filters and comparison."""
        return self.comparing(False).filtered(**dict.fromkeys(FILTERS, ''))

    @property
    def filters(self) -> dict[str, str]:
        """All filters by name, the empty ones too."""
        return {name: getattr(self, name) for name in FILTERS}

    def window(self, now: float) -> Window:
        """Which time that is at ``now``."""
        if self.range == CUSTOM:
            since, until = self.since, self.until
        else:
            since, until = now - RANGES[self.range][1], now
        return Window(since, until, step_of(until - since))

    def address(self, path: str = '/analytics') -> str:
        """The path that asks this."""
        said: dict[str, str] = {}
        if self.range == CUSTOM:
            said |= {'from': _written(self.since), 'to': _written(self.until)}
        elif self.range != Question.range:
            said['range'] = self.range
        said |= {name: value for name, value in self.filters.items() if value}
        if self.compare:
            said['compare'] = '1'
        return f'{path}?{urlencode(said)}' if said else path


def step_of(span_s: float) -> float:
    """The shortest round step that makes at most ``MAX_STEPS`` of a time."""
    return next((step for step in STEPS_S if span_s / step <= MAX_STEPS), STEPS_S[-1])


def _is_priority(text: str) -> bool:
    return not text or (text.isascii() and text.isdigit() and int(text) <= 15)


def _moment(text: str) -> float | None:
    """ISO 8601, in UTC where it names no zone."""
    try:
        found = datetime.datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=datetime.UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _written(at: float) -> str:
    return datetime.datetime.fromtimestamp(at, datetime.UTC).strftime('%Y-%m-%dT%H:%MZ')
