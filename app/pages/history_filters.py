"""What narrows the history: a text, states, a time, a priority, a kind, a model, a user."""

import contextlib
import time
from collections.abc import Callable, Iterable
from typing import Any

from nicegui import background_tasks, ui

from analytics.errors import AnalyticsError
from app.components import controls
from app.i18n import N_, T
from app.parts import Parts
from app.past.query import SPANS, Query
from app.shell import theme

STATES = {
    'waiting': N_('Waiting'),
    'delayed': N_('Delayed'),
    'running': N_('Running'),
    'completed': N_('Completed'),
    'dead': N_('Failed'),
    'cancelled': N_('Cancelled'),
}
KINDS = {
    '': N_('Any kind'),
    'chat': N_('Chat message'),
    'generate': N_('Text completion'),
    'embed': N_('Embedding'),
    'raw': N_('Other request'),
}
LEVELS = {
    '': N_('Any priority'),
    'low': N_('Low'),
    'normal': N_('Normal'),
    'high': N_('High'),
    'realtime': N_('Realtime'),
}
KNOWN_S = 90 * 86_400.0  # models and users of so long are suggested


class Filters:
    """The row of controls: ``on_change(**fields of a Query)`` when one was set, ``on_clear()`` when all are gone."""

    def __init__(self, parts: Parts, query: Query, on_change: Callable[..., Any], on_clear: Callable[[], Any]) -> None:
        self._parts, self._change, self._on_clear = parts, on_change, on_clear
        with T(theme.box('history-filters').props('role=search'), 'Find jobs', prop='aria-label') as self._place:
            self._text = controls.field(
                'Search', query.text, on_change=lambda value: self._change(text=str(value or '').strip()[:300]),
                kind='search', placeholder='Text, title, id or error', live=True, bare=True,
            ).classes('history-search')  # fmt: skip
            self._chips = _Chips(query.states, lambda states: self._change(states=states))
            self._fold = theme.button('Filters', self._unfold, icon_name='sliders').classes('history-fold')
            self._fold.props['aria-expanded'] = 'false'
            self._more = theme.box('history-more')
            with self._more:
                self._picks(query)
                self._names(query)
                self._dates(query)
                self._clear = theme.icon_button('close', 'Clear', self.clear).classes('tip-left')
        self.say(query)
        background_tasks.create(self._suggest(), name='suggest models and users', context=self._place)

    def say(self, query: Query) -> None:
        """Offer to clear them where there is something to clear."""
        self._clear.set_visibility(query.narrow)

    def clear(self) -> None:
        """Take all away."""
        for control in (self._text, self._model, self._user, self._first, self._last, self._span, self._level,
                        self._kind):  # fmt: skip
            control.set('')
        self._chips.set(())
        self._days.set_visibility(False)
        self._on_clear()

    def _picks(self, query: Query) -> None:
        spans = SPANS | {'custom': N_('From … to …')}
        self._span = controls.select('Time', spans, query.span or _custom(query), on_change=self._time, bare=True)
        self._level = controls.select(
            'Priority', LEVELS, _one(query.levels), on_change=lambda value: self._change(levels=_some(value)), bare=True
        )
        self._kind = controls.select(
            'Kind', KINDS, _one(query.kinds), on_change=lambda value: self._change(kinds=_some(value)), bare=True
        )

    def _names(self, query: Query) -> None:
        self._model = controls.picker(
            'Model', [], query.model, on_change=lambda value: self._change(model=str(value or '').strip()),
            maxlength=300,
        ).classes('history-name')  # fmt: skip
        self._user = controls.picker(
            'User', [], query.user, on_change=lambda value: self._change(user=str(value or '').strip()), maxlength=300
        ).classes('history-name')

    def _dates(self, query: Query) -> None:
        self._days = theme.box('history-days')
        with self._days:
            self._first = controls.field(
                'From', query.first, kind='date', on_change=lambda value: self._change(first=value or '', span='')
            )
            self._last = controls.field(
                'To', query.last, kind='date', on_change=lambda value: self._change(last=value or '', span='')
            )
        self._days.set_visibility(bool(_custom(query)))

    def _time(self, value: str) -> None:
        self._days.set_visibility(value == 'custom')
        if value == 'custom':
            self._change(span='')
        else:
            self._first.set('')
            self._last.set('')
            self._change(span=value, first='', last='')

    def _unfold(self) -> None:
        """Where there is little room, the other filters are shown when they are wanted."""
        shown = 'open' not in self._more.classes
        self._more.classes(toggle='open')
        self._fold.props['aria-expanded'] = 'true' if shown else 'false'
        self._fold.update()

    async def _suggest(self) -> None:
        """The models and users of now at once, those of the last months as soon as they are known."""
        board, jobs = self._parts.board, [*self._parts.board.finished(), *self._parts.board.waiting()]
        models = {model.name for model in board.models()} | {job.model for job in jobs}
        users = {job.user for job in jobs}
        self._offer(models, users)
        if self._parts.analytics is not None:
            now = time.time()
            with contextlib.suppress(AnalyticsError):  # any name may still be written
                known = await self._parts.analytics.choices(since=now - KNOWN_S, until=now)
                self._offer(models.union(known.models), users.union(known.users))

    def _offer(self, models: Iterable[str], users: Iterable[str]) -> None:
        if not self._model.is_deleted:
            self._model.offer(sorted(filter(None, models), key=str.casefold))
            self._user.offer(sorted(filter(None, users), key=str.casefold))


class _Chips(ui.element):
    """States that can be switched on and off."""

    def __init__(self, on: tuple[str, ...], change: Callable[[tuple[str, ...]], Any]) -> None:
        super().__init__('div')
        self.classes('history-chips').props('role=group')
        T(self, 'State', prop='aria-label')
        self._on, self._change = set(on), change
        self._buttons: dict[str, ui.element] = {}
        with self:
            for name, msgid in STATES.items():
                button = ui.element('button').classes(f'chip {name}').props('type=button')
                with button:
                    T(theme.text(), msgid)
                self._buttons[name] = button.on('click', lambda name=name: self._press(name))
        self._say()

    def set(self, on: tuple[str, ...]) -> None:
        """Show these as on."""
        self._on = set(on)
        self._say()

    def _press(self, name: str) -> None:
        self._on ^= {name}
        self._say()
        self._change(tuple(each for each in STATES if each in self._on))

    def _say(self) -> None:
        for name, button in self._buttons.items():
            button.props['aria-pressed'] = 'true' if name in self._on else 'false'
            button.update()


def _custom(query: Query) -> str:
    return 'custom' if query.first or query.last else ''


def _one(values: tuple[str, ...]) -> str:
    return values[0] if values else ''


def _some(value: str) -> tuple[str, ...]:
    return (value,) if value else ()
