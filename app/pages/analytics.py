"""How the queue did: figures and charts over a time that is chosen, filtered and compared, and that move with it."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from nicegui import background_tasks, context, ui
from nicegui.page_arguments import PageArguments

from analytics import answers, errors
from app import zones
from app.charts import SECTIONS
from app.charts.part import REBUILDING, UNREADABLE, Part, Round
from app.charts.question import RANGES, Question
from app.components.range_bar import RangeBar
from app.i18n import N_, T, speech
from app.pages import downloads
from app.parts import Parts
from app.shell import theme
from app.visit import visit, watch

REFRESH_S = 1.0  # at most this often, however much happens
DRIFT_S = 20.0  # the range moves with the clock even when nothing happens
NOT_COUNTED = N_('New jobs cannot be counted at the moment. They will be, as soon as it works again.')

FORMS = {
    'parquet': N_('Parquet, for data tools'),
    'csv': N_('CSV, for spreadsheets'),
    'json': N_('JSON'),
}
KINDS = {
    'chat': N_('Chat message'),
    'generate': N_('Text completion'),
    'embed': N_('Embedding'),
    'raw': N_('Other request'),
}

log = logging.getLogger(__name__)


def create(parts: Parts, arguments: PageArguments | None = None) -> None:
    """Build the page; the address says what it shows."""
    bar, body = theme.page('Analytics')
    with bar:
        tabs('/analytics')
        theme.box('grow')
        links = _exports()
    with body:
        shown = _Figures(parts, dict(arguments.query_parameters) if arguments else {}, links)
    watch(parts.analytics.watch, shown.refresh_soon)
    ui.timer(DRIFT_S, shown.refresh_soon, immediate=False)
    speech().on_switch(body, shown.say)


def tabs(here: str) -> None:
    """The pages about the past, in the bar; ``here`` is the path of the one that is open."""
    with T(theme.box('page-tabs', tag='nav'), 'Statistics', prop='aria-label'):
        for path, name in TABS.items():
            link = T(theme.text(tag='a').props(f'href={path}'), name)
            if path == here:
                link.props('aria-current=page')


TABS = {'/analytics': N_('Overview'), '/analytics/week': N_('Week'), '/analytics/sql': N_('SQL')}


def _exports() -> dict[str, ui.element]:
    """A menu with all jobs of the time that is shown as files; the links by form."""
    links: dict[str, ui.element] = {}
    with (
        theme.button('Export', icon_name='save').props('aria-haspopup=menu'),
        ui.menu().props('anchor="bottom right" self="top right" :offset="[0, 4]"'),
        theme.box().props('role=menu'),
    ):
        T(theme.text(classes='export-hint', tag='p'), 'All jobs that ended in the time that is shown')
        for form, name in FORMS.items():
            links[form] = ui.element('a').classes('menu-item').props('role=menuitem download')
            with links[form]:
                T(theme.text(), name)
    return links


class _Figures:
    """Everything below the bar. It asks analytics, then changes only what is other than before and can be seen."""

    def __init__(self, parts: Parts, query: Mapping[str, str], links: dict[str, ui.element]) -> None:
        self._book, self._broker = parts.analytics, parts.broker
        self._links = links
        self._state, self._speech = visit().state, speech()
        self._question = self._begin(query)
        self._chosen = self._question != Question()  # otherwise the page looks for a time that suits what there is
        self._zone = ''
        self._choices: answers.Choices | None = None
        self._choices_stale = True
        self._ever: bool | None = None
        self._problem = ''
        self._task: asyncio.Task[None] | None = None
        self._again = False
        with theme.box('column analytics') as self._place:
            self._bar = RangeBar(self._bar_state(), self._change, self._set_zone)
            self._note = theme.text(classes='note gone', tag='p').props('role=status')
            with theme.box('figures-all') as self._all:
                self._parts: list[Part] = [part for create_section in SECTIONS for part in create_section()]
            self._empty = _nothing_yet()
        self._empty.classes('gone')
        for part in self._parts:
            part.element.on_seen = self._refresh_seen
        self._keep_address()
        _stay()

    def refresh_soon(self) -> None:
        """There is news: ask again, now or when the pause after the last time is over."""
        for part in self._parts:
            part.stale = part.stale or part.live
        self._refresh_seen()

    def say(self) -> None:
        """Write everything in the language of the page, which has changed."""
        self._bar.show(**self._bar_state())
        self._say_problem()
        self._ask_anew()

    def _refresh_seen(self) -> None:
        self._again = True
        if self._task is None or self._task.done():
            self._task = background_tasks.create(self._refresh_while_asked(), name='refresh analytics')

    def _ask_anew(self) -> None:
        self._choices_stale = True
        for part in self._parts:
            part.stale = True
        self._refresh_seen()

    async def _refresh_while_asked(self) -> None:
        while self._again and not self._place.is_deleted:
            self._again = False
            if self._ever is False or any(part.stale and part.element.seen for part in self._parts):
                await self._refresh()
                await asyncio.sleep(REFRESH_S)

    async def _refresh(self) -> None:
        try:
            if not self._ever or not self._chosen:
                self._suit(await self._book.first_end(), time.time())
            round_ = Round(self._book, self._question, time.time(), self._speech, self._zone)
            round_.broker = self._broker
            if self._ever and not self._place.is_deleted:
                await self._fill([part for part in self._parts if part.stale and part.element.seen], round_)
            if self._choices_stale and self._ever:
                self._choices, self._choices_stale = await round_.ask('choices'), False
                self._bar.show(**self._bar_state())
            self._problem = NOT_COUNTED if self._book.problem else ''
        except errors.Rebuilding:
            self._ask_later()
            self._problem = REBUILDING
        except errors.Unavailable:
            self._ask_later()
            self._problem = UNREADABLE
        if not self._place.is_deleted:
            self._say_problem()
            hide(self._empty, self._ever is not False)
            for part in (self._all, self._bar):
                hide(part, self._ever is False)

    def _suit(self, first_at: float | None, now: float) -> None:
        """Show the time that there is something of, until somebody chooses one."""
        self._ever = first_at is not None
        if first_at is None or self._chosen:
            return
        suiting = self._question.since_first(first_at, now)
        if suiting != self._question:
            self._question = suiting
            self._keep_links()
            self._bar.show(**self._bar_state())
            for part in self._parts:
                part.stale = True

    async def _fill(self, stale: list[Part], round_: Round) -> None:
        """All of them at once; what is wrong with the file is raised, what is wrong with one part is its own."""
        for part in stale:
            part.stale = False
        filled = await asyncio.gather(*(part.fill(round_) for part in stale), return_exceptions=True)
        for part, error in zip(stale, filled, strict=True):
            if isinstance(error, errors.AnalyticsError | asyncio.CancelledError):
                raise error
            if error is not None:
                log.error('a part of the page failed', exc_info=error, extra={'action': 'fill'})
                part.complain(self._speech.tr(UNREADABLE))

    def _ask_later(self) -> None:
        for part in self._parts:
            part.stale = True
        self._again = True

    def _say_problem(self) -> None:
        self._note.set_text(self._problem and self._speech.tr(self._problem))
        hide(self._note, not self._problem)

    # what is asked

    def _begin(self, query: Mapping[str, str]) -> Question:
        kept = self._state.get('analytics question')
        return kept if not query and kept is not None else Question.read(query)

    def _set_zone(self, name: str) -> None:
        if name != self._zone and name in zones.names():
            self._zone = name
            self._ask_anew()

    def _change(self, wish: dict[str, Any]) -> None:
        before = self._question
        try:
            if 'range' in wish:
                self._question = before.over(str(wish['range']))
            elif 'since' in wish:
                self._question = before.between(float(wish['since']), float(wish['until']))
            elif 'compare' in wish:
                self._question = before.comparing(bool(wish['compare']))
            elif 'filters' in wish:
                self._question = before.filtered(**{str(name): str(value) for name, value in wish['filters'].items()})
        except (TypeError, ValueError, KeyError, AttributeError):
            return
        self._chosen = True
        if self._question != before:
            self._keep_address()
            self._bar.show(**self._bar_state())
            self._ask_anew()

    def _keep_address(self) -> None:
        self._state['analytics question'] = self._question
        context.client.sub_pages_router.current_path = self._question.address()
        self._keep_links()

    def _keep_links(self) -> None:
        for form, link in self._links.items():
            link.props['href'] = self._question.over_time().address(f'{downloads.PATH}/jobs_ended.{form}')
            link.update()

    def _bar_state(self) -> dict[str, Any]:
        question, window = self._question, self._question.window(time.time())
        return {
            'ranges': [[key, self._speech.tr(name)] for key, (name, _) in RANGES.items()],
            'range': question.range,
            'since': round(window.since),
            'until': round(window.until),
            'compare': question.compare,
            'filters': question.filters,
            'options': self._options(),
            'address': question.address() if self._chosen else '/analytics',
        }

    def _options(self) -> dict[str, list[list[str]]]:
        found, tr = self._choices, self._speech.tr
        if found is None:
            return {}
        return {
            'user': [[name, name] for name in found.users],
            'model': [[name, name] for name in found.models],
            'worker': [[name, name] for name in found.workers],
            'kind': [[name, tr(KINDS.get(name, name))] for name in found.kinds],
            'priority': [[str(n), _priority(n, tr)] for n in found.priorities],
        }


def _stay() -> None:
    """From now on the bare address of the page leads to what was asked last, also while the page is open."""
    router, state = context.client.sub_pages_router, visit().state

    def lead(path: str) -> None:
        if path == '/analytics':
            router.current_path = state['analytics question'].address()

    if 'analytics stays' not in state:
        state['analytics stays'] = True
        router.on_path_changed(lead)


def _priority(priority: int, tr: Callable[[str], str]) -> str:
    return f'{tr(theme.PRIORITIES[priority])} · {priority}' if priority in theme.PRIORITIES else str(priority)


def _nothing_yet() -> ui.element:
    with (
        theme.empty(
            'chart',
            'No job has ended yet',
            'Every chat message is a job. As soon as one ends, you see here how long it waited and how it went.',
        ) as element,
        theme.text(tag='a', classes='btn primary').props('href=/chat'),
    ):
        T(theme.text(), 'Write a message')
    return element


def hide(element: ui.element, hidden: bool) -> None:
    """Hide or show; an element stays what it is."""
    if hidden != ('gone' in element.classes):
        element.classes(add='gone') if hidden else element.classes(remove='gone')
