"""The analytics file: one DuckDB connection on one thread of its own.

The file is a cache of the queue's facts. One of an earlier version is brought up to date, see ``versions``. Whatever is
wrong with it, damage, an unknown version, deleted while open, it is renamed aside and a new one begins with
``last_seq`` 0; whoever feeds it then starts over.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn, Self, TypeVar

import duckdb

from analytics import box, errors, file, parts, rollups, upkeep
from analytics.answers import Result

log = logging.getLogger('corral.analytics')
READERS = 2  # questions at a time
LOG_BYTES = 8_000_000  # DuckDB's log is written into the file when it is longer
LAST_WORDS_S = 10.0  # a question that was interrupted ends within
T = TypeVar('T')
Columns = Mapping[str, Sequence[object]]

# Our own mistakes and passing trouble: the file is fine. All other errors of DuckDB mean that it is not.
_HARMLESS = (
    duckdb.ProgrammingError,
    duckdb.DataError,
    duckdb.InterruptException,
    duckdb.OutOfMemoryException,
    duckdb.TransactionException,
)
_FULL = ('No space left', 'Disk quota', 'File too large')


class _Broken(Exception):
    """A reader found something that is not its own mistake."""

    def __init__(self, error: duckdb.Error, opened: int) -> None:
        super().__init__(str(error))
        self.error = error
        self.opened = opened


class Store:
    """Writes columns and answers queries. Use ``await Store.open(path)``, and ``await close()`` at the end."""

    def __init__(self, path: Path, *, keep_s: float = 0.0) -> None:
        self.path = path
        self._keep_s = keep_s
        self._kept_up_at = 0.0  # when old rows were looked after last, by the clock of the facts
        self.last_seq = 0  # of the newest recorded fact, 0 in a new file
        self.rebuilds = 0  # how often a file was set aside since the start
        self.on_rebuild: Callable[[], None] = lambda: None  # called on the event loop when a query finds it broken
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._closed = False
        self._inode = 0
        self._types: dict[str, dict[str, str]] = {}
        self._rolled: dict[str, float] = {}  # by batch of rollups.py: until when
        self._newest_at = 0.0  # end of a job
        self._upkeep: asyncio.Task[None] | None = None  # what follows the last insert
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix='analytics')
        self._readers = ThreadPoolExecutor(max_workers=READERS, thread_name_prefix='analytics-reader')
        self._box = ThreadPoolExecutor(max_workers=1, thread_name_prefix='analytics-box')
        self._gate = threading.Condition()  # around the two below
        self._cursors: set[duckdb.DuckDBPyConnection] = set()  # of readers that are at work
        self._opened = 0  # how often the file was opened: what a reader says of another opening means nothing

    @classmethod
    async def open(cls, path: Path, *, keep_s: float = 0.0) -> Self:
        """The store in the file ``path``, made anew when it is missing or unusable. Single jobs stay for ``keep_s``.

        Raises ``errors.Locked`` when another process has it open and ``errors.Unavailable`` when none can be made.
        """
        store = cls(path, keep_s=keep_s)
        try:
            await store._run(store._ensure_open)
        except BaseException:
            store._shut_down()
            raise
        return store

    async def reopen(self) -> None:
        """Open the file again after ``Unavailable``; does nothing when it is open. Raises as ``open`` does."""
        await self._run(self._ensure_open)

    async def insert(
        self, tables: Mapping[str, Columns], *, after: int, last_seq: int, clock: tuple[int, bytes] | None = None
    ) -> None:
        """Append the facts ``after + 1`` … ``last_seq`` and remember ``last_seq``, all in one transaction.

        ``clock`` is where the timekeeper stands, and after which fact; it is kept beside.

        Raises ``errors.Gap`` when ``after`` is not the newest recorded fact any more.
        Raises ``errors.Rebuilding`` when the file turned out broken: nothing was written, ``last_seq`` is 0 again.
        Raises ``errors.Unavailable`` when nothing could be written but the file may be fine (a full disk, say).
        """
        await self._run(lambda: self._insert(tables, after, last_seq, clock))
        if self._upkeep is None or self._upkeep.done():
            self._upkeep = asyncio.create_task(self._look_after(), name='analytics-upkeep')

    async def read(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[tuple[Any, ...]]:
        """All rows of a query. Raises ``errors.Rebuilding`` or ``errors.Unavailable`` as ``insert`` does."""
        return await self._look(self._readers, lambda cursor: cursor.execute(sql, parameters).fetchall())

    async def query(self, sql: str, *, limit_rows: int, limit_bytes: int, timeout_s: float) -> Result:
        """What a statement of the SQL box gives. Raises ``errors.Refused``, besides what ``read`` raises.

        Whoever waits for it may be cancelled: then the statement stops, too.
        """
        limits, stop = box.Limits(limit_rows, limit_bytes, timeout_s), threading.Event()
        try:
            return await self._look(self._box, lambda cursor: box.run(cursor, sql, limits, stop))
        except asyncio.CancelledError:
            stop.set()
            raise

    async def clock(self) -> tuple[int, bytes]:
        """Where the timekeeper stood when that was kept last, and after which fact. Raises as ``insert`` does."""
        [(seq, data)] = await self.read('SELECT clock_seq, clock FROM meta')
        return seq, data

    async def roll_up(self) -> None:
        """Roll up all that is old enough at once; otherwise it goes a step at a time with what is recorded."""
        await self._run(self._roll_all)

    async def roll_on(self) -> bool:
        """Roll up the next step of what is old enough; False when there is none. Raises as ``insert`` does."""
        return await self._run(self._roll_on)

    def rolled(self) -> parts.Rolled:
        """What is rolled up."""
        return rollups.rolled(self._rolled)

    async def start_over(self, reason: str) -> None:
        """Set the file aside and begin a new one. Raises ``errors.Unavailable`` when that cannot be done."""
        await self._run(lambda: self._rebuild(reason))

    async def close(self) -> None:
        """Write everything into the one file and let go of it."""
        await self._run(self._close)
        self._closed = True
        if self._upkeep is not None:
            await self._upkeep
        self._shut_down()

    def _shut_down(self) -> None:
        for pool in (self._thread, self._readers, self._box):
            pool.shutdown(wait=False)

    async def _run(self, work: Callable[[], T]) -> T:
        if self._closed:
            raise errors.Unavailable('The analytics file is closed.')
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _look_after(self) -> None:
        """Nobody waits for this but the facts that come meanwhile."""
        try:
            await self._run(self._tidy)
        except errors.Rebuilding:
            self.on_rebuild()
        except errors.AnalyticsError as error:  # whoever writes next finds out more
            log.warning('%s', error, extra={'action': 'look_after'})

    # --- on the threads of readers -----------------------------------------------------------------------------------

    async def _look(self, pool: ThreadPoolExecutor, work: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        """Do this with a cursor of its own, beside the recording. What broke is judged by the thread that records."""
        if self._connection is None or self._closed:
            rebuilds = self.rebuilds
            await self._run(self._ensure_open)
            if self.rebuilds != rebuilds:
                self.on_rebuild()
                raise errors.Rebuilding()
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, lambda: self._with_cursor(work))
        except _Broken as error:
            broken = error
        try:
            await self._run(lambda: self._judge_later(broken))
        except errors.Rebuilding:
            self.on_rebuild()
            raise
        raise errors.Rebuilding() from broken

    def _with_cursor(self, work: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        with self._gate:
            opened, connection = self._opened, self._connection
            if connection is None:
                raise errors.Unavailable()
            cursor = connection.cursor()
            self._cursors.add(cursor)
        try:
            return work(cursor)
        except duckdb.Error as error:
            if self._connection is not connection:
                raise errors.Unavailable('The analytics file was closed meanwhile.') from error
            if isinstance(error, duckdb.InternalError) or not isinstance(error, _HARMLESS):
                raise _Broken(error, opened) from error
            if isinstance(error, duckdb.OutOfMemoryException):
                raise errors.Unavailable(f'This takes more memory than there is: {file.first_line(error)}') from error
            raise  # a mistake in the query
        finally:
            cursor.close()
            with self._gate:
                self._cursors.discard(cursor)
                self._gate.notify_all()

    # --- on the thread -----------------------------------------------------------------------------------------------

    def _insert(
        self, tables: Mapping[str, Columns], after: int, last_seq: int, clock: tuple[int, bytes] | None
    ) -> None:
        self._ensure_open()
        if not self._file_is_ours():
            self._rebuild('it was deleted or replaced')
            raise errors.Rebuilding()
        if after != self.last_seq:
            raise errors.Gap(self.last_seq + 1, after + 1)
        connection = self._alive()
        try:
            connection.execute('BEGIN')
            for table, columns in tables.items():
                connection.execute(*self._append(table, columns))
            connection.execute('UPDATE meta SET last_seq = ?', [last_seq])
            if clock is not None:
                connection.execute('UPDATE meta SET clock_seq = ?, clock = ?', clock)
            self._roll_late(connection, tables.get('jobs_ended', {}), after)
            connection.execute('COMMIT')
        except duckdb.Error as error:
            self._roll_back()
            self._judge(error)
        except Exception:
            self._roll_back()
            raise
        self.last_seq = last_seq
        file.protect(self.path)

    def _tidy(self) -> None:
        connection = self._connection
        if connection is None:
            return
        self._roll(connection)
        if self._newest_at >= self._kept_up_at + upkeep.EVERY_S:
            self._keep_up(connection)
        self._shorten_log(connection)

    def _shorten_log(self, connection: duckdb.DuckDBPyConnection) -> None:
        try:
            if file.log_of(self.path).stat().st_size > LOG_BYTES:
                connection.execute('CHECKPOINT')
        except FileNotFoundError:
            return
        except duckdb.TransactionException:  # questions are being answered; after the next facts, then
            return
        except duckdb.Error as error:
            if not isinstance(error, _HARMLESS):
                self._judge(error)
            log.warning('the log stays for now: %s', file.first_line(error), extra={'action': 'checkpoint'})

    def _keep_up(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Look after old rows."""
        try:
            connection.execute('BEGIN')
            rolled = min(self._rolled.get(batch, 0.0) for batch in rollups.BATCHES)
            before = min(self._newest_at - self._keep_s, rolled) if self._keep_s else 0.0
            for sql, parameters in upkeep.statements(self._newest_at, self._kept_up_at, before):
                connection.execute(sql, parameters)
            connection.execute('COMMIT')
        except duckdb.Error as error:
            self._roll_back()
            if not isinstance(error, _HARMLESS):
                self._judge(error)
            log.warning('old rows stay for now: %s', file.first_line(error), extra={'action': 'keep_up'})
        self._kept_up_at = self._newest_at

    def _roll_late(self, connection: duckdb.DuckDBPyConnection, ended: Columns, after: int) -> None:
        """Ends that lie in a time that is rolled up already: the clock was put back."""
        times = [float(at) for at in ended.get('happened_at', ())]  # type: ignore[arg-type]
        if not times:
            return
        self._newest_at = max(self._newest_at, *times)
        for batch, until in self._rolled.items():
            if min(times) < until:
                for sql in rollups.statements(batch, 'seq > $after AND happened_at < $until'):
                    connection.execute(sql, {'after': after, 'until': until})

    def _roll_all(self) -> None:
        self._ensure_open()
        connection = self._alive()
        [(self._newest_at,)] = connection.execute('SELECT coalesce(max(happened_at), 0.0) FROM jobs_ended').fetchall()
        while self._roll_on():
            pass

    def _roll_on(self) -> bool:
        connection = self._connection
        if connection is None or not self._roll(connection):
            return False
        self._shorten_log(connection)
        return True

    def _roll(self, connection: duckdb.DuckDBPyConnection) -> bool:
        """Roll up one step of what is old enough, so that nothing waits long for it. Whether there was one."""
        for batch, level_s in rollups.BATCHES.items():
            if self._newest_at - rollups.LATE_S < self._rolled.get(batch, 0.0) + level_s:
                continue
            try:
                connection.execute('BEGIN')
                self._roll_step(connection, batch, level_s)
                connection.execute('COMMIT')
                return True
            except duckdb.Error as error:
                self._roll_back()
                self._rolled = file.rolled(connection)
                if not isinstance(error, _HARMLESS):
                    self._judge(error)
                log.warning('not rolled up yet: %s', file.first_line(error), extra={'action': 'roll'})
        return False

    def _roll_step(self, connection: duckdb.DuckDBPyConnection, batch: str, level_s: float) -> None:
        since = self._rolled.get(batch, 0.0)
        sql = 'SELECT min(happened_at) FROM jobs_ended WHERE happened_at >= ?'
        [(first_at,)] = connection.execute(sql, [since]).fetchall()
        step = rollups.next_step(level_s, since, first_at, self._newest_at)
        if step is None:
            return
        for sql in rollups.statements(batch, 'happened_at >= $since AND happened_at < $until'):
            connection.execute(sql, {'since': step[0], 'until': step[1]})
        connection.execute('DELETE FROM rolled WHERE batch = ?', [batch])
        connection.execute('INSERT INTO rolled (batch, until) VALUES (?, ?)', [batch, step[1]])
        self._rolled = {**self._rolled, batch: step[1]}

    def _judge_later(self, broken: '_Broken') -> None:
        if broken.opened == self._opened and self._connection is not None:
            self._judge(broken.error)

    def _append(self, table: str, columns: Columns) -> tuple[str, list[Sequence[object]]]:
        """One statement for all rows; per row (executemany) takes over a hundred times as long."""
        names = ', '.join(f'"{name}"' for name in columns)
        values = ', '.join(f'unnest(?::{self._types[table][name]}[])' for name in columns)
        return f'INSERT INTO {table} ({names}) SELECT {values}', list(columns.values())

    def _alive(self) -> duckdb.DuckDBPyConnection:
        if self._connection is None:
            raise errors.Unavailable()
        return self._connection

    def _judge(self, error: duckdb.Error) -> NoReturn:
        """Raise what ``error`` means, after setting a broken file aside."""
        text = str(error)
        if isinstance(error, _HARMLESS) or any(word in text for word in _FULL):
            self._drop_connection()  # whatever state it is in, the next write opens the file anew
            raise errors.Unavailable(f'The analytics file cannot be written: {file.first_line(text)}') from error
        self._rebuild(file.first_line(text))
        raise errors.Rebuilding() from error

    def _rebuild(self, reason: str) -> None:
        self._drop_connection()
        self._set_aside(reason)
        self._ensure_open()

    def _ensure_open(self) -> None:
        if self._connection is not None:
            return
        if not self.path.exists():
            self._set_aside('a log without its file')
        try:
            self._take_up(file.connect(self.path))
        except errors.Locked:
            raise
        except (duckdb.Error, errors.AnalyticsError) as error:
            self._drop_connection()
            self._set_aside(file.first_line(error))
            try:
                self._take_up(file.connect(self.path))
            except duckdb.Error as again:
                self._drop_connection()
                raise errors.Unavailable(f'No analytics file can be made: {file.first_line(again)}') from again

    def _take_up(self, opened: file.Opened) -> None:
        self.last_seq = opened.last_seq
        self._types = opened.types
        self._rolled = opened.rolled
        self._newest_at = max(opened.rolled.values(), default=0.0)
        self._inode = opened.inode
        with self._gate:
            self._connection = opened.connection
            self._opened += 1

    def _set_aside(self, reason: str) -> None:
        self.last_seq = 0
        self.rebuilds += file.set_aside(self.path, reason)

    def _file_is_ours(self) -> bool:
        try:
            return self.path.stat().st_ino == self._inode
        except OSError:
            return False

    def _roll_back(self) -> None:
        with contextlib.suppress(duckdb.Error):  # the connection may be past that
            self._alive().execute('ROLLBACK')

    def _drop_connection(self) -> None:
        with self._gate:  # a cursor that is still at work would keep the file open, also under another name
            connection, self._connection = self._connection, None
            for cursor in self._cursors:
                with contextlib.suppress(duckdb.Error):
                    cursor.interrupt()
            if not self._gate.wait_for(lambda: not self._cursors, LAST_WORDS_S):
                log.warning('a question to the analytics file goes on', extra={'action': 'close'})
        if connection is not None:
            with contextlib.suppress(duckdb.Error):
                connection.close()

    def _close(self) -> None:
        try:
            if self._connection is not None and self._file_is_ours():
                self._connection.execute('CHECKPOINT')
        except duckdb.Error as error:
            log.warning('analytics file not tidied: %s', file.first_line(error), extra={'action': 'close'})
        self._drop_connection()
