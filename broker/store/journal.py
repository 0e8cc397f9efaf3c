"""The queue's file: opened, written, closed."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import apsw
import msgspec

from broker import errors, facts, retention
from broker.actions import Persist
from broker.store import schema, tables, trouble
from broker.store.pruning import Pruning
from broker.store.records import Records

_LATELY = 2_000  # short bodies that are kept in memory


class Store(Records):
    """The queue's database. Not for more than one thread."""

    def __init__(self, path: Path, *, vfs: str | None = None) -> None:
        """Open or create ``path``. Raises ``errors.NewerSchema``, ``errors.OtherSchema`` or ``errors.StoreError``."""
        self.path = path
        try:
            if vfs is None:
                os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            super().__init__(apsw.Connection(str(path), vfs=vfs))
        except (OSError, apsw.Error) as error:
            raise errors.StoreError(f'{path} cannot be opened: {getattr(error, "strerror", error)}') from error
        try:
            schema.prepare(self._db, path)
            self._pruning = Pruning(self._db, forget=lambda job_id: self._lately.pop(job_id, None))
        except (errors.StoreError, apsw.Error) as error:
            self._db.close(True)
            raise trouble.plain(error, path) from error

    def close(self) -> None:
        """Close the file; the write-ahead log is folded in."""
        self._db.close()

    def commit(self, changes: Sequence[Persist]) -> None:
        """Put all ``changes`` on disk, or none of them. Raises ``errors.StoreFull`` or ``errors.StoreError``."""
        rows = tables.Rows(changes)
        with trouble.told(self.path), self._db:
            for statement, values in rows.tables():
                if values:
                    self._db.executemany(statement, values)
            for change in rows.others:
                self._keep(change)
        self._remember(rows.bodies)
        for job in rows.last.values():
            self._pruning.note(job)

    def _remember(self, bodies: Sequence[tuple[str, bytes]]) -> None:
        """The newest bodies stay at hand: most are asked for soon, when their job starts."""
        for job_id, body in bodies:
            if len(body) <= tables.SHORT:
                self._lately[job_id] = body
        while len(self._lately) > _LATELY:
            del self._lately[next(iter(self._lately))]

    def _keep(self, change: Persist) -> None:
        """What is neither a job nor a fact."""
        match change.fact:
            case facts.Paused(scope=scope, name=name, draining=draining):
                self._db.execute('INSERT OR REPLACE INTO pauses VALUES (?, ?, ?)', (scope, name, draining))
            case facts.Drained(scope=scope, name=name):
                self._db.execute('UPDATE pauses SET draining = 0 WHERE scope = ? AND name = ?', (scope, name))
            case facts.Resumed(scope=scope, name=name):
                self._db.execute('DELETE FROM pauses WHERE scope = ? AND name = ?', (scope, name))
            case facts.WorkerRetired(worker=worker, session=session) as retired:
                asked = (worker, session, facts.encode(retired))
                self._db.execute('INSERT OR REPLACE INTO retired VALUES (?, ?, ?)', asked)
            case facts.WorkerLeft(worker=worker):
                self._db.execute('DELETE FROM retired WHERE worker = ?', (worker,))
            case facts.WorkerJoined(worker=worker, session=session):
                self._db.execute('DELETE FROM retired WHERE worker = ? AND session != ?', (worker, session))
            case facts.BatchOpened() as opened:
                row = (opened.batch_id, opened.name, opened.user, opened.total, opened.at, 0.0)
                self._db.execute('INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?, 0, 0, 0)', row)
            case facts.BatchEnded() as ended:
                self._db.execute(
                    'UPDATE batches SET ended_at = ?, completed = ?, dead = ?, cancelled = ? WHERE batch_id = ?',
                    (ended.at, ended.completed, ended.dead, ended.cancelled, ended.batch_id),
                )
            case facts.ScheduleRemoved(schedule_id=schedule_id):
                self._db.execute('DELETE FROM schedules WHERE schedule_id = ?', (schedule_id,))
        if (schedule := change.schedule) is not None:
            self._db.execute(
                'INSERT OR REPLACE INTO schedules VALUES (?, ?, ?)',
                (schedule.schedule_id, schedule.last_tick, msgspec.msgpack.encode(schedule)),
            )

    def set_settings(self, settings: Mapping[str, str]) -> None:
        """Keep these instead. Raises as ``commit`` does."""
        with trouble.told(self.path), self._db:
            self._db.execute('DELETE FROM settings')
            self._db.executemany('INSERT INTO settings VALUES (?, ?)', list(settings.items()))

    def purge(self, job_id: str, before: float, limit: int = 1_000_000) -> int:
        """Delete dead jobs, one or ``limit`` that ended before a time, with body and answer; the facts stay. How many.

        Raises as ``commit`` does.
        """
        with trouble.told(self.path):
            return self._pruning.purge(job_id, before, limit)

    def prune(self, portion: retention.Portion) -> retention.Pruned:
        """Delete what ``portion`` says, only so much that it does not take long. Raises as ``commit`` does."""
        with trouble.told(self.path):
            return self._pruning.prune(portion)
