"""The summary of a week: one page that reads well on the screen and on paper."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from nicegui import background_tasks

from analytics import errors
from app.charts.part import REBUILDING, UNREADABLE
from app.charts.question import Window
from app.charts.week import Answers, Week, report
from app.components.week_report import WeekReport
from app.i18n import speech
from app.pages.analytics import tabs
from app.parts import Parts
from app.shell import theme
from app.visit import watch

AGAIN_S = 30.0  # a week that is not over is asked anew at most so often


def create(parts: Parts, week: str = '') -> None:
    """Build the page for a week such as '2026-W47'; where none is named, the one before this one or, in the
    first week of all, this one.
    """
    bar, body = theme.page('Analytics')
    with bar:
        tabs('/analytics/week')
        theme.box('grow')
        theme.button('Print', icon_name='print').classes('week-print').on('click', js_handler='() => window.print()')
    with body:
        _Page(parts, Week.read(week))


class _Page:
    def __init__(self, parts: Parts, named: Week | None) -> None:
        self._book = parts.analytics
        self._named = named is not None
        self._week = named or Week.of(time.time()).moved(-1)
        self._said = speech()
        self._answers: Answers | None = None
        self._stale = True
        self._task: asyncio.Task[None] | None = None
        self._shown = WeekReport()
        self._said.on_switch(self._shown, self._say)
        watch(self._listen, self._news)
        self._news()

    def _listen(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Hear what happens for as long as the page is there; then nothing is asked any more."""
        remove = self._book.watch(callback)

        def leave() -> None:
            remove()
            if self._task is not None:
                self._task.cancel()

        return leave

    def _news(self) -> None:
        """Something ended: ask now or, after a while, once for all that came meanwhile."""
        self._stale = self._stale or time.time() < self._week.until + AGAIN_S
        if self._stale and (self._task is None or self._task.done()):
            self._task = background_tasks.create(self._ask_while_stale(), name='summary of a week')

    async def _ask_while_stale(self) -> None:
        while self._stale:
            self._stale = False
            await self._ask()
            await asyncio.sleep(AGAIN_S)

    async def _ask(self) -> None:
        while not self._shown.is_deleted:
            try:
                await self._choose()
                self._answers = await ask(self._book, self._week)
                self._say()
                return
            except errors.Rebuilding:
                self._complain(REBUILDING)
            except errors.Unavailable:
                self._complain(UNREADABLE)
            await asyncio.sleep(1.0)

    async def _choose(self) -> None:
        """In the first week of all the one before has nothing to tell."""
        if not self._named:
            first_at = await self._book.first_end()
            self._week = Week.of(time.time()).moved(0 if first_at is None or first_at >= self._week.until else -1)
            self._named = True

    def _say(self) -> None:
        if self._answers is not None and not self._shown.is_deleted:
            self._shown.show(report(self._said, self._week, self._answers, time.time()))

    def _complain(self, problem: str) -> None:
        if self._answers is None:
            self._shown.show({'problem': self._said.tr(problem)})


async def ask(book: Any, week: Week) -> Answers:
    """Everything that the summary of a week needs. Raises as the ledger does."""
    span = {'since': week.since, 'until': week.until}
    days = [await book.summary(since=since, until=until) for _, since, until in week.days()]
    before = Window(week.moved(-1).since, week.since, 0.0)
    known = before.recorded(await book.first_end())
    return Answers(
        now=await book.summary(**span),
        before=await book.summary(since=before.since if known else before.until, until=before.until),
        days=days,
        usage=await book.usage(**span),
        models=await book.groups('model', **span),
        waits=await book.waits(**span),
        failures=await book.failures(**span),
        hours=await book.by_hour_of_week(**span),
        eta=await book.eta(**span),
    )
