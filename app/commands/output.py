"""Printing: tables for people, JSON for programs, notes and progress on stderr."""

import contextlib
import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from app.commands.terminal import clean, clean_line, escape_json

PATIENCE_S = 0.5  # what takes less has no progress bar
STYLES = {
    'running': 'green',
    'completed': 'dim',
    'waiting': 'yellow',
    'delayed': 'yellow',
    'blocked': 'yellow',
    'cancelling': 'magenta',
    'cancelled': 'magenta',
    'dead': 'red',
    'ok': 'green',
    'warning': 'yellow',
    'problem': 'red',
}
WHOLE = {
    'id',
    'batch',
    'state',
    'prio',
    'queued',
    'took',
    'opened',
    'next',
}  # columns that are of no use when they are cut


class Output:
    """One command's output. Everything that goes out is made harmless for terminals here."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.on_terminal = sys.stdout.isatty()

    def document(self, value: object) -> None:
        """One JSON document."""
        print(escape_json(json.dumps(value, ensure_ascii=False, indent=2)))

    def line(self, value: object) -> None:
        """One line of newline-delimited JSON, at once."""
        print(escape_json(json.dumps(value, ensure_ascii=False)), flush=True)

    def text(self, text: str, end: str = '\n') -> None:
        """Text that was made clean before, at once."""
        sys.stdout.write(text + end)
        sys.stdout.flush()

    def say(self, text: str) -> None:
        """A sentence of ours, on stdout; programs do not get it."""
        if not self.as_json:
            print(clean(text).replace('\n', ' '), flush=True)

    def note(self, text: str) -> None:
        """Something beside the result, on stderr."""
        with contextlib.suppress(OSError):
            print(clean_line(text), file=sys.stderr, flush=True)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
        """A table: with colours on a terminal, as aligned columns elsewhere. Without rows the note ``empty``."""
        cells = [[clean_line('' if cell is None else str(cell)) for cell in row] for row in rows]
        if not cells:
            self.note(empty)
        elif self.on_terminal:
            _console().print(rich_table(columns, cells))
        else:
            print('\n'.join(_aligned([list(columns), *cells])))

    def fields(self, pairs: Sequence[tuple[str, object]]) -> None:
        """Names and values below each other; those without a value are left out."""
        shown = [(name, clean_line(str(value))) for name, value in pairs if value not in ('', None)]
        width = max((len(name) for name, _ in shown), default=0)
        for name, value in shown:
            print(f'{name:<{width}}  {value}')

    @contextlib.contextmanager
    def progress(
        self, what: str, total: int | None, *, printing: bool = False, in_bytes: bool = False
    ) -> Iterator['Progress']:
        """A bar on stderr while something takes long; nothing where stderr is no terminal, or where the result is
        being printed (``printing``) on the same one.
        """
        on = sys.stderr.isatty() and not (printing and self.on_terminal)
        progress = Progress(what, total, on=on, in_bytes=in_bytes)
        try:
            yield progress
        finally:
            progress.stop()


class Progress:
    """How far something is; a bar when it takes long enough to wonder."""

    def __init__(self, what: str, total: int | None, *, on: bool, in_bytes: bool = False) -> None:
        self._in_bytes = in_bytes
        self._what = what
        self._total = total
        self._on = on
        self._began_at = time.monotonic()
        self._bar: Any = None

    def reach(self, done: int, total: int | None = None) -> None:
        """So much is done, of so much where that is known only now."""
        if not self._on or (self._bar is None and time.monotonic() - self._began_at < PATIENCE_S):
            return
        if self._bar is None:
            self._start()
        self._bar.update(self._task, completed=done, **({'total': total} if total is not None else {}))

    def stop(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()

    def _start(self) -> None:
        from rich import progress as bars
        from rich.console import Console

        columns = (
            bars.TextColumn('{task.description}'),
            bars.BarColumn(),
            *((bars.DownloadColumn(), bars.TransferSpeedColumn()) if self._in_bytes else (bars.MofNCompleteColumn(),)),
            bars.TimeRemainingColumn(),
        )
        # stdout is not redirected: what is printed there may go into a file
        how: dict[str, Any] = {'transient': True, 'redirect_stdout': False, 'redirect_stderr': False}
        self._bar = bars.Progress(*columns, console=Console(stderr=True), **how)
        self._task = self._bar.add_task(self._what, total=self._total)
        self._bar.start()


def rich_table(columns: Sequence[str], cells: Iterable[Sequence[str]]) -> Any:
    """The table for a terminal, without columns that are empty. The cells are texts, not markup."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    rows = list(cells)
    shown = [place for place in range(len(columns)) if any(row[place] for row in rows) or not rows]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for place in shown:
        least = max((len(row[place]) for row in rows), default=0) if columns[place] in WHOLE else None
        table.add_column(columns[place], no_wrap=True, overflow='ellipsis', min_width=least)
    for row in rows:
        table.add_row(*(Text(row[place], style=STYLES.get(row[place], '')) for place in shown))
    return table


def _console() -> Any:
    from rich.console import Console

    return Console(highlight=False)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    from unicodedata import east_asian_width

    def wide(text: str) -> int:
        return sum(2 if east_asian_width(letter) in 'WF' else 1 for letter in text)

    widths = [max(wide(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [
        '  '.join(cell + ' ' * (width - wide(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
