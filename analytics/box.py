"""Runs one statement of the SQL box on a cursor of its own, and stops it when it takes too much."""

import contextlib
import datetime
import decimal
import re
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import psutil

from analytics import dictionary, errors, sandbox
from analytics.answers import Result

PORTION = 200  # rows fetched at a time
LOOK_S = 0.02  # between two looks at the memory
MOST_MEMORY = 400_000_000  # bytes that the process may grow by meanwhile
_SHOWS = re.compile(r'\s*(describe|desc|show|summarize)\b', flags=re.IGNORECASE)
MOST_SQL = 100_000  # characters of a statement


class Limits(NamedTuple):
    """What a statement may take."""

    rows: int
    bytes: int
    timeout_s: float


class Cursor(Protocol):
    """What is needed of DuckDB's."""

    @property
    def description(self) -> Any: ...
    def execute(self, query: str, parameters: Any = None) -> Any: ...
    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...
    def fetchmany(self, size: int = 1) -> list[Any]: ...
    def interrupt(self) -> None: ...


def run(cursor: Cursor, sql: str, limits: Limits, stop: threading.Event | None = None) -> Result:
    """The rows of a SELECT; ``stop`` ends it, from any thread.

    Raises ``errors.Refused`` for all that it may not, and DuckDB's errors for a broken file.
    """
    if len(sql) > MOST_SQL:
        raise errors.Refused(f'A statement may have {MOST_SQL} characters at most.')
    if not sql.strip():
        raise errors.Refused('There is no statement.')
    begun = time.monotonic()
    with _watched(cursor, limits, stop or threading.Event()) as watch:
        try:
            cursor.execute('SELECT json_serialize_sql(?::VARCHAR)', [sql])
            sandbox.check(sql, cursor.fetchone()[0])
            cursor.execute('BEGIN TRANSACTION READ ONLY')
            try:
                columns, types = _described(cursor, sql)
                cursor.execute(_readable(sql, types))
                rows, truncated = _fetched(cursor, limits)
                if _SHOWS.match(sql) and columns == ['name']:  # of the tables: those that may be read
                    rows = [row for row in rows if row[0] in dictionary.TABLES]
            finally:
                with contextlib.suppress(Exception):  # nothing was written
                    cursor.execute('ROLLBACK')
        except Exception as error:
            raise watch.judged(error) from error
    return Result(columns=columns, types=types, rows=rows, truncated=truncated, took_s=time.monotonic() - begun)


def _described(cursor: Cursor, sql: str) -> tuple[list[str], list[str]]:
    """Names and types of the columns. Mistakes are found here, with their place in the statement."""
    if _SHOWS.match(sql):
        cursor.execute(sql)
        return [column[0] for column in cursor.description], [str(column[1]) for column in cursor.description]
    cursor.execute(f'DESCRIBE {sql}')
    found = cursor.fetchall()
    return [row[0] for row in found], [row[1] for row in found]


def _readable(sql: str, types: list[str]) -> str:
    """The statement with times in a zone as text: Python has no such times without a package that we do not need."""
    if not any('TIME ZONE' in kind for kind in types):
        return sql
    names = [f'c{n}' for n in range(len(types))]
    wanted = [f'{name}::VARCHAR' if 'TIME ZONE' in kind else name for name, kind in zip(names, types, strict=True)]
    inner = sql.strip().rstrip(';')
    return f'SELECT {", ".join(wanted)} FROM (\n{inner}\n) AS asked({", ".join(names)})'


def _fetched(cursor: Cursor, limits: Limits) -> tuple[list[tuple[object, ...]], bool]:
    rows: list[tuple[object, ...]] = []
    size = 0
    while portion := cursor.fetchmany(min(PORTION, limits.rows + 1 - len(rows))):
        for row in portion:
            plain = tuple(_plain(value) for value in row)
            size += sum(len(value) if isinstance(value, str) else 8 for value in plain)
            if len(rows) == limits.rows or size > limits.bytes:
                return rows, True
            rows.append(plain)
    return rows, False


def _plain(value: object) -> object:
    """As text, a number or None."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (uuid.UUID, datetime.timedelta)):
        return str(value)
    return repr(value)


class _Watch:
    """Interrupts a statement that takes too long or too much memory, and knows why."""

    def __init__(self, cursor: Cursor, limits: Limits, stop: threading.Event) -> None:
        self._cursor = cursor
        self._stop = stop
        self._limits = limits
        self._over = threading.Event()
        self._why = ''
        self._thread = threading.Thread(target=self._look, name='analytics-watch', daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def judged(self, error: Exception) -> Exception:
        """What a person should read of it; the error itself when the file may be broken."""
        kind = type(error).__name__
        if isinstance(error, errors.AnalyticsError):
            return error
        if self._why:
            return errors.Refused(self._why)
        if kind == 'OutOfMemoryException':
            return errors.Refused(
                'The statement was stopped: it takes more memory than there is. Ask for less at once.'
            )
        if kind in _MISTAKES:
            return sandbox.explained(str(error), prefix='DESCRIBE ')
        return error

    def _look(self) -> None:
        process = psutil.Process()
        ends_at = time.monotonic() + self._limits.timeout_s
        most = process.memory_info().rss + MOST_MEMORY
        while not self._over.wait(LOOK_S):
            if self._stop.is_set():
                self._why = 'The statement was stopped.'
            elif time.monotonic() > ends_at:
                self._why = f'The statement was stopped after {self._limits.timeout_s:g} s. Ask for a shorter time.'
            elif process.memory_info().rss > most:
                self._why = 'The statement was stopped: it takes more memory than there is. Ask for less at once.'
            if self._why:
                self._cursor.interrupt()  # again and again: it may be between two steps just now


_MISTAKES = {
    'BinderException', 'CatalogException', 'ParserException', 'SyntaxException', 'ConversionException',
    'InvalidInputException', 'OutOfRangeException', 'InvalidTypeException', 'TypeMismatchException',
    'NotImplementedException', 'ConstraintException', 'PermissionException', 'TransactionException', 'DataError',
    'ProgrammingError', 'DependencyException', 'SequenceException', 'NotSupportedError', 'OperationalError',
}  # fmt: skip


@contextlib.contextmanager
def _watched(cursor: Cursor, limits: Limits, stop: threading.Event) -> Iterator[_Watch]:
    watch = _Watch(cursor, limits, stop)
    watch.start()
    try:
        yield watch
    finally:
        watch.stop()
