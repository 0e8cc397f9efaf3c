"""A part of the analytics page: an element, and how it is filled from one round of questions."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from analytics import answers
from app.charts.question import Question, Window
from app.components.figure_table import FigureTable
from app.components.live_chart import LiveChart
from app.components.replay_panel import ReplayPanel
from app.components.tiles import Tiles
from app.i18n import N_, Speech, T
from app.shell import theme

Element = LiveChart | FigureTable | Tiles | ReplayPanel
REBUILDING = N_('The statistics were damaged and are being rebuilt from the queue.')
UNREADABLE = N_('The statistics cannot be read at the moment. The queue itself is not affected.')


class Round:
    """One look at the statistics: every question is asked once, however many parts want the answer.

    ``now`` is the window that is shown, ``before`` the one before it.
    """

    def __init__(self, book: Any, question: Question, at: float, said: Speech, zone: str = '') -> None:
        self.question = question
        self.said = said
        self.zone = zone  # of the browser; '' is the clock of this machine
        self.now = question.window(at)
        self.before = self.now.before()
        self.book = book
        self.broker: Any = None  # whose rules a replay goes by
        self._answers: dict[tuple[str, Window, tuple[tuple[str, object], ...]], asyncio.Task[Any]] = {}

    @property
    def compares(self) -> bool:
        """Whether the period before is to be shown beside."""
        return self.question.compare

    async def ask(self, name: str, window: Window | None = None, **more: object) -> Any:
        """The answer of ``ledger.<name>`` over ``window`` (``now`` by itself) with the filters of the question.

        Raises as the ledger does.
        """
        over = window or self.now
        key = (name, over, tuple(sorted(more.items())))
        if key not in self._answers:
            asked = getattr(self.book, name)(since=over.since, until=over.until, **self._filter(name), **more)
            self._answers[key] = asyncio.ensure_future(asked)
        return await asyncio.shield(self._answers[key])

    def _filter(self, name: str) -> dict[str, object]:
        """The filters, as far as this question knows them: a queue has models, slots have workers."""
        question = self.question
        if name == 'queue_depth':
            return {'models': _one(question.model)}
        if name == 'saturation':
            return {'workers': _one(question.worker)}
        if name == 'choices':
            return {}
        return {
            'only': answers.Filter(
                users=_one(question.user),
                models=_one(question.model),
                priorities=(int(question.priority),) if question.priority else (),
                kinds=_one(question.kind),
                workers=_one(question.worker),
            )
        }


@dataclass
class Part:
    """``fill(round)`` shows the figures in ``element``; ``stale`` while it has not seen the newest."""

    element: Element
    fill: Callable[[Round], Awaitable[None]]
    stale: bool = True
    live: bool = True  # whether new facts make it stale

    def complain(self, why: str) -> None:
        """Say in its place, in the page's language, why it shows nothing."""
        if not isinstance(self.element, Tiles):
            self.element.show_problem(why)


def section(title: str, *, hint: str = '') -> Any:
    """A heading (a msgid) and below it a grid for charts: ``with section(N_('Waiting')):``."""
    with theme.box('figures-section', tag='section'):
        with theme.box('figures-head'):
            T(theme.text(tag='h2'), title)
            if hint:
                T(theme.text(classes='quiet', tag='p'), hint)
        return theme.box('charts')


def _one(value: str) -> tuple[str, ...]:
    return (value,) if value else ()


def rounded(values: list[float | None], digits: int = 3) -> list[float | None]:
    """As exact as a chart needs it, so that the same figures are the same message."""
    return [None if value is None else round(value, digits) for value in values]
