"""An SQL box: an editor, the tables there are, examples, and the answer as a grid that scrolls."""

from collections.abc import Callable
from typing import Any

from nicegui import ui

from app.components import words
from app.i18n import N_

State = dict[str, Any]
SHORTCUT = N_('Ctrl+Enter')


class SqlBox(ui.element, component='sql_box.js', esm={'corral-figures': 'figures'}):
    """Shows ``{"tables", "examples", "limits", "sql"}``; ``on_run(ticket, sql)`` and ``on_stop()`` are wishes.

    ``tables`` are ``{'name', 'about', 'columns': [{'name', 'type', 'about'}]}``, ``examples`` ``{'title', 'sql'}``.
    ``answer`` and ``refuse`` give what a run came to; a ticket that is not the last one is ignored.
    """

    def __init__(self, state: State, *, on_run: Callable[[int, str], Any], on_stop: Callable[[], Any]) -> None:
        super().__init__()
        self._props['state'] = state
        self.on_gone: Callable[[], Any] = lambda: None  # the page was left
        _labels(self)
        self.on('run', lambda event: on_run(int(event.args[0]), str(event.args[1])))
        self.on('stop', on_stop, [])

    def show(self, **state: Any) -> None:
        """Change a part of the state."""
        self._props['state'] = {**self._props['state'], **state}
        self.update()

    def answer(self, ticket: int, result: dict[str, Any]) -> None:
        """``result`` has ``columns``, ``types``, ``rows``, ``truncated`` and ``took_s``."""
        self.run_method('answer', ticket, result)

    def refuse(self, ticket: int, message: str, *, line: int = 0, column: int = 0) -> None:
        """Say why there is no answer; ``line`` and ``column`` count from 1, 0 where it is nowhere in particular."""
        self.run_method('refuse', ticket, {'message': message, 'line': line, 'column': column})

    def _handle_delete(self) -> None:
        self.on_gone()
        super()._handle_delete()


def _labels(box: SqlBox) -> None:
    words.give(
        box,
        title=N_('SQL'),
        query=N_('Query'),
        run=N_('Run'),
        stop_run=N_('Stop'),
        keys=SHORTCUT,
        running=N_('Running…'),
        tables=N_('Tables'),
        tables_hint=N_('One file, read only. Times are unix seconds.'),
        find=N_('Find a table or column'),
        examples=N_('Examples'),
        history=N_('My queries'),
        no_history=N_('Queries that you ran in this browser appear here.'),
        forget=N_('Forget them all'),
        insert=N_('Look into it'),
        limits=N_('At most {rows} rows and {seconds} s'),
        rows=N_('{n} rows in {time}'),
        one_row=N_('1 row in {time}'),
        no_rows=N_('No rows, {time}'),
        cut=N_('only the first {n} are here'),
        json=N_('Save as JSON'),
        save_csv=N_('Save as CSV'),
        chart=N_('Chart'),
        grid=N_('Table'),
        line=N_('Line {line}, column {column}'),
        begin=N_('Pick an example, or write a query of your own.'),
        stopped=N_('Stopped.'),
        nothing=N_('(nothing)'),
        result=N_('Result'),
    )
