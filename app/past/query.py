"""Which jobs of the past, in which order: as it stands in an address, and as the queue is asked for it."""

import datetime
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self
from urllib.parse import urlencode

from app.i18n import N_
from broker import protocol
from broker.job import State

# What is offered as times, in seconds; '' is all there is.
SPANS_S = {'1h': 3600.0, '24h': 86_400.0, '7d': 7 * 86_400.0, '30d': 30 * 86_400.0}
SPANS = {'': N_('Any time'), '1h': N_('Last hour'), '24h': N_('Last 24 hours'), '7d': N_('Last 7 days'),
         '30d': N_('Last 30 days')}  # fmt: skip
LEVELS = {'low': range(4), 'normal': range(4, 8), 'high': range(8, 13), 'realtime': range(13, 16)}
# What a person means by a state: "waiting" is all that could begin, or waits for other jobs; "delayed" has a time set.
STATES = {
    'waiting': (State.WAITING, State.BLOCKED),
    'delayed': (State.DELAYED,),
    'running': (State.RUNNING, State.CANCELLING),
    'completed': (State.COMPLETED,),
    'dead': (State.DEAD,),
    'cancelled': (State.CANCELLED,),
}
LOOK = 20_000  # jobs whose texts are read before the page says how far it has come
_LONGEST = 300


class Params(Protocol):
    """An address's parameters, as Starlette has them."""

    def get(self, key: str, default: str = ...) -> Any: ...

    def getlist(self, key: str) -> list[Any]: ...


@dataclass(frozen=True, kw_only=True)
class Query:
    """Filters and order; empty ones let everything through. ``first`` and ``last`` are days as 2026-11-22."""

    states: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    levels: tuple[str, ...] = ()
    model: str = ''
    user: str = ''
    batch: str = ''
    worker: str = ''
    code: str = ''
    text: str = ''
    span: str = ''
    first: str = ''
    last: str = ''
    sort: str = 'queued'
    up: bool = False

    @classmethod
    def read(cls, params: Params) -> Self:
        """What an address asks for; what makes no sense in it is left out."""

        def word(name: str) -> str:
            return str(params.get(name, '') or '').strip()[:_LONGEST]

        def among(name: str, allowed: Any) -> tuple[str, ...]:
            asked = {part for each in params.getlist(name) for part in str(each).split(',')}
            return tuple(value for value in allowed if value in asked)

        return cls(
            states=among('state', STATES),
            kinds=among('kind', protocol.KINDS),
            levels=among('priority', LEVELS),
            model=word('model'),
            user=word('user'),
            batch=word('batch'),
            worker=word('worker'),
            code=word('code'),
            text=word('q'),
            span=word('range') if word('range') in SPANS_S else '',
            first=word('from') if _midnight(word('from')) else '',
            last=word('to') if _midnight(word('to')) else '',
            sort=word('sort') if word('sort') in protocol.SORTS else 'queued',
            up=word('order') == 'asc',
        )

    def params(self) -> dict[str, str]:
        """The same as parameters of an address, without what is left as it is."""
        found = {
            'q': self.text,
            'state': ','.join(self.states),
            'kind': ','.join(self.kinds),
            'priority': ','.join(self.levels),
            'model': self.model,
            'user': self.user,
            'batch': self.batch,
            'worker': self.worker,
            'code': self.code,
            'range': self.span,
            'from': self.first,
            'to': self.last,
            'sort': '' if self.sort == 'queued' else self.sort,
            'order': 'asc' if self.up else '',
        }
        return {name: value for name, value in found.items() if value}

    def address(self, path: str = '/history', **more: str) -> str:
        """The address of the page that shows this."""
        asked = urlencode({**self.params(), **{name: value for name, value in more.items() if value}})
        return f'{path}?{asked}' if asked else path

    @property
    def narrow(self) -> bool:
        """Whether it leaves anything out."""
        return bool(set(self.params()) - {'sort', 'order'})

    def without_filters(self) -> 'Query':
        """Everything, in the same order."""
        return Query(sort=self.sort, up=self.up)

    def but(self, **changes: Any) -> 'Query':
        """The same with changes."""
        return replace(self, **changes)

    def wanted(self, now: float, conversations: tuple[str, ...] = ()) -> protocol.ListJobs:
        """What the queue is asked for; ``now`` (unix seconds) stays the same while one list is scrolled."""
        since = now - SPANS_S[self.span] if self.span else _midnight(self.first)
        return protocol.ListJobs(
            states=tuple(state for name in self.states for state in STATES[name]),
            kinds=self.kinds,
            priorities=tuple(number for name in self.levels for number in LEVELS[name]),
            model=self.model,
            user=self.user,
            parent=self.batch,
            worker=self.worker,
            code=self.code,
            since=since,
            until=_midnight(self.last, days=1) if not self.span else 0.0,
            text=self.text,
            conversations=conversations if self.text else (),
            sort=self.sort,
            oldest_first=self.up,
        )


def _midnight(day: str, *, days: int = 0) -> float:
    """When a day begins on this machine's clock; 0 for what is no day."""
    try:
        found = datetime.date.fromisoformat(day) + datetime.timedelta(days=days)
        return max(0.0, datetime.datetime.combine(found, datetime.time()).timestamp())
    except (ValueError, OverflowError, OSError):
        return 0.0
