"""The SQL box: questions of one's own to the statistics, read only and within limits."""

import asyncio
import math
from typing import Any

from nicegui import background_tasks

from analytics import answers, errors
from app.charts import refusals
from app.charts.examples import EXAMPLES
from app.charts.part import REBUILDING, UNREADABLE
from app.components.sql_box import SqlBox
from app.i18n import N_, Speech, speech
from app.pages.analytics import tabs
from app.parts import Parts
from app.shell import theme

MOST_ROWS = 10_000
MOST_BYTES = 4_000_000
MOST_S = 10.0
MOST_SQL = 20_000  # characters
MOST_EXACT = 2**53  # beyond it a browser rounds
TOO_LONG = N_('The query is too long. Up to {n} characters are taken.')


def create(parts: Parts, sql: str = '') -> None:
    """Build the page, with ``sql`` in the editor."""
    bar, body = theme.page('Analytics')
    with bar:
        tabs('/analytics/sql')
    with body.classes('sql-page'):
        _Desk(parts, sql[:MOST_SQL])


class _Desk:
    """The box and the one statement that may run for it."""

    def __init__(self, parts: Parts, sql: str) -> None:
        self._book = parts.analytics
        self._said = speech()
        self._task: asyncio.Task[None] | None = None
        self._box = SqlBox({**self._state(), 'sql': sql}, on_run=self._run, on_stop=self._stop)
        self._box.on_gone = self._stop
        self._said.on_switch(self._box, lambda: self._box.show(**self._state()))

    def _state(self) -> dict[str, Any]:
        return {
            'tables': [_told(self._said, table) for table in self._book.schema()],
            'examples': [{'title': self._said.tr(title), 'sql': sql} for title, sql in EXAMPLES],
            'limits': {'rows': MOST_ROWS, 'seconds': round(MOST_S)},
        }

    def _run(self, ticket: int, sql: str) -> None:
        self._stop()
        self._task = background_tasks.create(self._ask(ticket, sql), name='sql box')

    def _stop(self) -> None:
        if self._task is not None and not self._task.done():
            self._task.cancel()

    async def _ask(self, ticket: int, sql: str) -> None:
        if len(sql) > MOST_SQL:
            self._box.refuse(ticket, self._said.tr(TOO_LONG, n=self._said.number(MOST_SQL)))
            return
        try:
            result = await self._book.query(sql, limit_rows=MOST_ROWS, limit_bytes=MOST_BYTES, timeout_s=MOST_S)
        except errors.Refused as error:
            sentence = refusals.in_words(self._said, error.sentence)
            self._box.refuse(ticket, sentence, line=error.line, column=error.column)
        except errors.Rebuilding:
            self._box.refuse(ticket, self._said.tr(REBUILDING))
        except errors.AnalyticsError:
            self._box.refuse(ticket, self._said.tr(UNREADABLE))
        else:
            self._box.answer(ticket, plain(result))


def plain(result: answers.Result) -> dict[str, Any]:
    """A result as a browser can read it without rounding."""
    return {
        'columns': result.columns,
        'types': result.types,
        'rows': [[_exact(value) for value in row] for row in result.rows],
        'truncated': result.truncated,
        'took_s': round(result.took_s, 4),
    }


def _exact(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return str(value) if isinstance(value, int) and abs(value) > MOST_EXACT else value


def _told(said: Speech, table: answers.Table) -> dict[str, Any]:
    columns = [{'name': each.name, 'type': each.type, 'about': said.tr(each.about)} for each in table.columns]
    return {'name': table.name, 'about': said.tr(table.about), 'columns': columns}
