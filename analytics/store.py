"""The analytics file: one DuckDB connection on one thread of its own. Nobody else imports duckdb.

The file is a cache of the queue's facts. One of an earlier version is brought up to date, see ``versions``. Whatever is
wrong with it, damage, an unknown version, deleted while open, it is renamed aside and a new one begins with
``last_seq`` 0; whoever feeds it then starts over.
"""

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn, Self, TypeVar

import duckdb

from analytics import box, errors, parts, rollups, upkeep, versions
from analytics.answers import Result

KEEP_BROKEN = 3  # files set aside; older ones are deleted, since they hold nothing that the queue has not

log = logging.getLogger('corral.analytics')
READERS = 2  # questions at a time
LOG_BYTES = 8_000_000  # DuckDB's log is written into the file when it is longer
LAST_WORDS_S = 10.0  # a question that was interrupted ends within
T = TypeVar('T')
Columns = Mapping[str, Sequence[object]]

_SCHEMA = Path(__file__).with_name('schema.sql').read_text(encoding='utf-8') + rollups.schema()
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    'threads': 2,
    'memory_limit': '300MB',
    'max_temp_directory_size': '2GB',  # for what does not fit, beside the file
    'checkpoint_threshold': '256MB',  # not in a commit that somebody waits for: see LOG_BYTES
    'python_enable_replacements': False,  # a table of this name is a table, not a variable of ours
    'autoinstall_known_extensions': False,  # it would try to download
    'autoload_known_extensions': False,
    'enable_external_access': False,
    'lock_configuration': True,
}
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
                raise errors.Unavailable(f'This takes more memory than there is: {_first_line(str(error))}') from error
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
        self._protect()

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
            if _log_of(self.path).stat().st_size > LOG_BYTES:
                connection.execute('CHECKPOINT')
        except FileNotFoundError:
            return
        except duckdb.TransactionException:  # questions are being answered; after the next facts, then
            return
        except duckdb.Error as error:
            if not isinstance(error, _HARMLESS):
                self._judge(error)
            log.warning('the log stays for now: %s', _first_line(str(error)), extra={'action': 'checkpoint'})

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
            log.warning('old rows stay for now: %s', _first_line(str(error)), extra={'action': 'keep_up'})
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
                self._rolled = _rolled(connection)
                if not isinstance(error, _HARMLESS):
                    self._judge(error)
                log.warning('not rolled up yet: %s', _first_line(str(error)), extra={'action': 'roll'})
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
            raise errors.Unavailable(f'The analytics file cannot be written: {_first_line(text)}') from error
        self._rebuild(_first_line(text))
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
            self._connect()
        except errors.Locked:
            raise
        except (duckdb.Error, errors.AnalyticsError) as error:
            self._drop_connection()
            self._set_aside(_first_line(str(error)))
            try:
                self._connect()
            except duckdb.Error as again:
                self._drop_connection()
                raise errors.Unavailable(f'No analytics file can be made: {_first_line(str(again))}') from again

    def _connect(self) -> None:
        new = not self.path.exists()
        try:
            connection = duckdb.connect(self.path, config=_CONFIG)
        except duckdb.IOException as error:
            if 'lock' in str(error) and 'Conflicting' in str(error):
                raise errors.Locked(
                    f'Another program has the analytics file open: {_first_line(str(error))}'
                ) from error
            raise
        try:
            self._take_up(connection, new=new)
        except BaseException:
            with contextlib.suppress(duckdb.Error):
                connection.close()
            raise
        with self._gate:
            self._connection = connection
            self._opened += 1

    def _take_up(self, connection: duckdb.DuckDBPyConnection, *, new: bool) -> None:
        if new:
            connection.execute('BEGIN')
            connection.execute(_SCHEMA)
            connection.execute("INSERT INTO meta VALUES (?, 0, ''::BLOB, 0)", [versions.SCHEMA_VERSION])
            connection.execute('COMMIT')
        meta = connection.execute('SELECT schema_version, last_seq FROM meta').fetchall()
        if not meta or meta[0][0] is None:
            raise errors.AnalyticsError('it does not say its version')
        _bring_up(connection, meta[0][0])
        self.last_seq = meta[0][1]
        self._types = _types(connection)
        self._rolled = _rolled(connection)
        self._newest_at = max(self._rolled.values(), default=0.0)
        self._inode = self.path.stat().st_ino
        self._protect()

    def _set_aside(self, reason: str) -> None:
        stamp = time.strftime('%Y%m%d-%H%M%S')
        self.last_seq = 0
        for path in (self.path, _log_of(self.path)):
            target = path.with_name(path.name.replace('.duckdb', f'.duckdb.broken-{stamp}', 1))
            try:
                os.replace(path, target)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise errors.Unavailable(f'The analytics file is damaged and cannot be renamed: {error}') from error
            self.rebuilds += path == self.path
            log.warning('analytics file set aside as %s: %s', target.name, reason, extra={'action': 'set_aside'})
        for old in sorted(self.path.parent.glob(f'{self.path.name}.broken-*[0-9]'))[:-KEEP_BROKEN]:
            old.unlink(missing_ok=True)
            _log_of(old).unlink(missing_ok=True)

    def _file_is_ours(self) -> bool:
        try:
            return self.path.stat().st_ino == self._inode
        except OSError:
            return False

    def _protect(self) -> None:
        for path in (self.path, _log_of(self.path)):
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mode & 0o077:
                    path.chmod(0o600)

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
            log.warning('analytics file not tidied: %s', _first_line(str(error)), extra={'action': 'close'})
        self._drop_connection()


def _bring_up(connection: duckdb.DuckDBPyConnection, version: int) -> None:
    """Make it a file of this version, all or nothing, and in the file itself: a log of it would be read anew."""
    statements = versions.statements(version)
    if statements is None:
        raise errors.AnalyticsError(f'nothing makes version {version} of it version {versions.SCHEMA_VERSION}')
    if version == versions.SCHEMA_VERSION:
        return
    connection.execute('BEGIN')
    for statement in statements:
        connection.execute(statement)
    connection.execute('UPDATE meta SET schema_version = ?', [versions.SCHEMA_VERSION])
    connection.execute('COMMIT')
    connection.execute('CHECKPOINT')
    log.info('analytics file brought from version %s to %s', version, versions.SCHEMA_VERSION, extra={'action': 'open'})


def _rolled(connection: duckdb.DuckDBPyConnection) -> dict[str, float]:
    return dict(connection.execute('SELECT batch, until FROM rolled').fetchall())


def _types(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, str]]:
    tables: dict[str, dict[str, str]] = {}
    rows = connection.execute('SELECT table_name, column_name, data_type FROM duckdb_columns()').fetchall()
    for table, column, kind in rows:
        tables.setdefault(table, {})[column] = kind
    return tables


def _log_of(path: Path) -> Path:
    return path.with_name(path.name + '.wal')


def _first_line(text: str) -> str:
    return text.partition('\n')[0]


def write_parquet(source: Path, target: Path, columns: Mapping[str, str]) -> None:
    """Write the objects of ``source``, one a line in JSON, as Parquet; ``columns`` are names and DuckDB's types.

    It has nothing to do with the analytics file, and blocks: in a thread, please. Raises ``errors.AnalyticsError``.
    """
    with contextlib.closing(duckdb.connect(':memory:', config={'threads': 2, 'memory_limit': '512MB'})) as connection:
        try:
            rows = connection.read_json(str(source), columns=dict(columns), format='newline_delimited')
            rows.write_parquet(str(target), compression='zstd')
        except duckdb.Error as error:
            raise errors.AnalyticsError(f'the Parquet file cannot be written: {error}') from error
