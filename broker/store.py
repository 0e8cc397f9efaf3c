"""The queue on disk: SQLite in WAL mode with ``synchronous=FULL``, one connection, one commit per batch.

``NORMAL`` would be faster and lose acknowledged jobs with the power; a ``kill -9`` never shows it. SQLite comes with
apsw, because the one in many Pythons has the WAL-reset bug (all versions up to 3.51.2).
"""

import itertools
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path

import apsw
import msgspec

from broker import errors, facts, listing, protocol, retention
from broker.actions import Persist
from broker.job import FINAL, HELD_BY_WORKER, PLAIN, Job, State, Terms
from broker.limits import Started
from broker.needle import MOST_BYTES, Needle
from broker.share import Work

# One entry per schema version, never edited once released: a file of version n gets the entries from n on.
MIGRATIONS = (
    """
    CREATE TABLE jobs (
        job_id TEXT PRIMARY KEY, "order" INTEGER NOT NULL, kind TEXT NOT NULL, model TEXT NOT NULL,
        priority INTEGER NOT NULL, queued_at REAL NOT NULL, user TEXT NOT NULL, conversation_id TEXT NOT NULL,
        max_failures INTEGER NOT NULL, deadline_at REAL NOT NULL, state TEXT NOT NULL, epoch INTEGER NOT NULL,
        starts INTEGER NOT NULL, failures INTEGER NOT NULL, losses INTEGER NOT NULL, due_at REAL NOT NULL,
        started_at REAL NOT NULL, ended_at REAL NOT NULL, worker TEXT NOT NULL, engine TEXT NOT NULL,
        code TEXT NOT NULL, detail TEXT NOT NULL, lines INTEGER NOT NULL, usage TEXT NOT NULL
    );
    CREATE INDEX jobs_alive ON jobs ("order") WHERE ended_at = 0;
    CREATE INDEX jobs_order ON jobs ("order");
    CREATE INDEX jobs_ended ON jobs (ended_at) WHERE ended_at > 0;
    CREATE INDEX jobs_started ON jobs (started_at) WHERE started_at > 0;
    CREATE TABLE bodies (job_id TEXT PRIMARY KEY, body BLOB NOT NULL);
    CREATE TABLE answers (job_id TEXT PRIMARY KEY, lines BLOB NOT NULL);
    CREATE TABLE facts (seq INTEGER PRIMARY KEY, job_id TEXT, fact TEXT NOT NULL);
    CREATE INDEX facts_of_job ON facts (job_id) WHERE job_id IS NOT NULL;
    CREATE TABLE pauses (scope TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (scope, name));
    """,
    """
    ALTER TABLE jobs ADD COLUMN parent TEXT NOT NULL DEFAULT '';
    ALTER TABLE jobs ADD COLUMN idempotency_key TEXT NOT NULL DEFAULT '';
    ALTER TABLE jobs ADD COLUMN runner TEXT NOT NULL DEFAULT '';
    ALTER TABLE jobs ADD COLUMN body_bytes INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE jobs ADD COLUMN terms TEXT NOT NULL DEFAULT '{}';
    ALTER TABLE jobs ADD COLUMN claims INTEGER NOT NULL DEFAULT 1;
    ALTER TABLE pauses ADD COLUMN draining INTEGER NOT NULL DEFAULT 0;
    CREATE UNIQUE INDEX jobs_key ON jobs (user, idempotency_key) WHERE idempotency_key != '';
    CREATE INDEX jobs_parent ON jobs (parent) WHERE parent != '';
    CREATE TABLE batches (
        batch_id TEXT PRIMARY KEY, name TEXT NOT NULL, user TEXT NOT NULL, total INTEGER NOT NULL,
        opened_at REAL NOT NULL, ended_at REAL NOT NULL
    );
    CREATE INDEX batches_opened ON batches (opened_at);
    CREATE TABLE schedules (schedule_id TEXT PRIMARY KEY, last_tick REAL NOT NULL, schedule BLOB NOT NULL);
    """,
    """
    CREATE INDEX jobs_kept ON jobs (state, ended_at) WHERE ended_at > 0;
    CREATE INDEX jobs_chained ON jobs (job_id) WHERE ended_at = 0 AND terms != '{}';
    CREATE TABLE highest ("order" INTEGER NOT NULL);
    INSERT INTO highest VALUES (0);
    """,
    """
    DROP INDEX jobs_parent;
    CREATE INDEX jobs_parent ON jobs (parent, "order") WHERE parent != '';
    """,
    """
    CREATE INDEX jobs_of_batch ON jobs (parent, state) WHERE parent != '';
    """,
    # The place in the queue is the row's own number: every step of a job finds its row at once, with one index less.
    """
    CREATE TABLE numbered (
        "order" INTEGER PRIMARY KEY, job_id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, model TEXT NOT NULL,
        priority INTEGER NOT NULL, queued_at REAL NOT NULL, user TEXT NOT NULL, conversation_id TEXT NOT NULL,
        max_failures INTEGER NOT NULL, deadline_at REAL NOT NULL, state TEXT NOT NULL, epoch INTEGER NOT NULL,
        starts INTEGER NOT NULL, failures INTEGER NOT NULL, losses INTEGER NOT NULL, due_at REAL NOT NULL,
        started_at REAL NOT NULL, ended_at REAL NOT NULL, worker TEXT NOT NULL, engine TEXT NOT NULL,
        code TEXT NOT NULL, detail TEXT NOT NULL, lines INTEGER NOT NULL, usage TEXT NOT NULL, parent TEXT NOT NULL,
        idempotency_key TEXT NOT NULL, runner TEXT NOT NULL, body_bytes INTEGER NOT NULL, terms TEXT NOT NULL,
        claims INTEGER NOT NULL
    );
    INSERT INTO numbered SELECT "order", job_id, kind, model, priority, queued_at, user, conversation_id, max_failures,
        deadline_at, state, epoch, starts, failures, losses, due_at, started_at, ended_at, worker, engine, code, detail,
        lines, usage, parent, idempotency_key, runner, body_bytes, terms, claims FROM jobs;
    DROP TABLE jobs;
    ALTER TABLE numbered RENAME TO jobs;
    CREATE INDEX jobs_alive ON jobs ("order") WHERE ended_at = 0;
    CREATE INDEX jobs_ended ON jobs (ended_at) WHERE ended_at > 0;
    CREATE INDEX jobs_kept ON jobs (state, ended_at) WHERE ended_at > 0;
    CREATE INDEX jobs_chained ON jobs (job_id) WHERE ended_at = 0 AND terms != '{}';
    CREATE UNIQUE INDEX jobs_key ON jobs (user, idempotency_key) WHERE idempotency_key != '';
    CREATE INDEX jobs_started ON jobs (started_at) WHERE started_at > 0;
    CREATE INDEX jobs_parent ON jobs (parent, "order") WHERE parent != '';
    CREATE INDEX jobs_of_batch ON jobs (parent, state) WHERE parent != '';
    """,
    # How a batch ended stays, whatever becomes of its jobs.
    """
    ALTER TABLE batches ADD COLUMN completed INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE batches ADD COLUMN dead INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE batches ADD COLUMN cancelled INTEGER NOT NULL DEFAULT 0;
    UPDATE batches SET (completed, dead, cancelled) = (
        SELECT count(*) FILTER (WHERE state = 'completed'), count(*) FILTER (WHERE state = 'dead'),
            count(*) FILTER (WHERE state NOT IN ('completed', 'dead'))
        FROM jobs WHERE parent = batch_id AND parent != ''
    ) WHERE ended_at > 0;
    """,
    # Workers that were asked to leave and have not left yet.
    """
    CREATE TABLE retired (worker TEXT PRIMARY KEY, session TEXT NOT NULL, fact BLOB NOT NULL);
    """,
    # Settings that were changed while the broker ran.
    """
    CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
    """,
)
SCHEMA = len(MIGRATIONS)
_TROUBLE = (apsw.FullError, apsw.IOError, apsw.CorruptError, apsw.ReadOnlyError)  # of the disk, not of ours
_quoted = '"{}"'.format
_COLUMNS = Job.__struct_fields__
_NAMES = ', '.join(map(_quoted, _COLUMNS))
_CHANGING = _COLUMNS[_COLUMNS.index('state') :]
# ``usage`` is the last of them, and the only one that is JSON
_UPDATE = f'UPDATE jobs SET priority = ?, {", ".join(f"{name} = ?" for name in _CHANGING)} WHERE "order" = ?'
_SELECT = f'SELECT {_NAMES} FROM jobs'
_PLAINLY = [name for name in _COLUMNS if name not in ('terms', 'usage')]  # all but what is JSON
_plain_values = attrgetter(*_PLAINLY)
_INSERT = (
    f'INSERT INTO jobs ({", ".join(map(_quoted, (*_PLAINLY, "terms", "usage")))}) '
    f'VALUES ({", ".join("?" * len(_COLUMNS))})'
)
_changing_values = attrgetter('priority', *(name for name in _CHANGING if name != 'usage'))
_OF_BATCH = ('batch_id', 'name', 'user', 'total', 'opened_at', 'ended_at', 'completed', 'dead', 'cancelled')
_NO_USAGE = Job.__struct_defaults__[-1]  # what a job has until it is known
_PRAGMAS = (
    'locking_mode = EXCLUSIVE',
    'auto_vacuum = INCREMENTAL',  # counts for a new file, and only before anything is written
    'journal_mode = WAL',
    'synchronous = FULL',
    'secure_delete = ON',  # what is deleted cannot be read out of the file any more
    'journal_size_limit = 67108864',
)
_INCREMENTAL = 2
_SHORT = 300  # bytes: not worth packing, or to be kept in memory
_LATELY = 2_000  # short bodies that are kept in memory
_AS_IT_IS = b'\0'  # what is packed begins otherwise
_SPARE_PAGES = 1_000  # free ones that stay in the file for what comes next
_SORTS = {
    'queued': '0',  # the place says it
    'started': 'started_at',
    'ended': 'ended_at',
    'waited': 'CASE WHEN started_at > 0 THEN started_at - queued_at ELSE -1 END',
    'ran': 'CASE WHEN started_at > 0 AND ended_at > 0 THEN ended_at - started_at ELSE -1 END',
    'tokens': "coalesce(json_extract(usage, '$.output_tokens'), 0)",
    **{name: name for name in ('state', 'kind', 'model', 'user', 'priority', 'worker', 'code', 'failures')},
}
_Row = tuple[str | int | float | bytes | None, ...]


class Store:
    """The queue's database. Not for more than one thread."""

    def __init__(self, path: Path, *, vfs: str | None = None) -> None:
        """Open or create ``path``. Raises ``errors.NewerSchema`` or ``errors.StoreError``."""
        self.path = path
        self._lately: dict[str, bytes] = {}
        try:
            if vfs is None:
                os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._db = apsw.Connection(str(path), vfs=vfs)
        except (OSError, apsw.Error) as error:
            raise errors.StoreError(f'{path} cannot be opened: {getattr(error, "strerror", error)}') from error
        try:
            for pragma in _PRAGMAS:
                self._db.execute(f'PRAGMA {pragma}').fetchall()
            self._migrate()
            self._check()
            self._shrinks = self._number('PRAGMA auto_vacuum') == _INCREMENTAL  # files of old are not
            self._ended = self._count_ended()
            self._needed = retention.Needed()
            for row in self._db.execute(f"{_SELECT} INDEXED BY jobs_chained WHERE ended_at = 0 AND terms != '{{}}'"):
                self._needed.note(_job(row))
        except (errors.StoreError, apsw.Error) as error:
            self._db.close(True)
            raise _plain(error, path) from error

    def close(self) -> None:
        """Close the file; the write-ahead log is folded in."""
        self._db.close()

    def commit(self, changes: Sequence[Persist]) -> None:
        """Put all ``changes`` on disk, or none of them. Raises ``errors.StoreFull`` or ``errors.StoreError``."""
        rows = _Rows(changes)
        try:
            with self._db:
                for statement, values in rows.tables():
                    if values:
                        self._db.executemany(statement, values)
                for change in rows.others:
                    self._keep(change)
        except _TROUBLE as error:
            raise _plain(error, self.path) from error
        self._remember(rows.bodies)
        for job in rows.last.values():
            self._ended += job.ended_at > 0
            self._needed.note(job)

    def _remember(self, bodies: Sequence[tuple[str, bytes]]) -> None:
        """The newest bodies stay at hand: most are asked for soon, when their job starts."""
        for job_id, body in bodies:
            if len(body) <= _SHORT:
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

    def alive(self) -> Iterator[Job]:
        """All jobs that are not final, in order of arrival."""
        return (_job(row) for row in self._db.execute(f'{_SELECT} WHERE ended_at = 0 ORDER BY "order"'))

    def work_since(self, at: float) -> list[Work]:
        """What users' jobs that ended after this time took, oldest first."""
        rows = self._db.execute(
            'SELECT user, model, ended_at, ended_at - started_at FROM jobs '
            'WHERE ended_at > 0 AND ended_at > ? AND started_at > 0 ORDER BY ended_at',
            (at,),
        )
        return [Work(str(user), str(model), float(at), float(work_s)) for user, model, at, work_s in rows]

    def starts_since(self, at: float) -> list[Started]:
        """The starts after this time, oldest first. Those of a job before its last one are found in its facts."""
        rows = self._db.execute(
            'SELECT user, model, started_at AS at FROM jobs WHERE started_at > 0 AND started_at > ?1'
            ' UNION ALL'
            " SELECT user, model, json_extract(fact, '$.at') AS at FROM jobs JOIN facts USING (job_id)"
            ' WHERE started_at > 0 AND started_at > ?1 AND starts > 1'
            " AND json_extract(fact, '$.fact') = 'JobStarted' AND json_extract(fact, '$.epoch') < starts"
            " AND json_extract(fact, '$.at') > ?1"
            ' ORDER BY at',
            (at,),
        )
        return [Started(str(user), str(model), float(at)) for user, model, at in rows]

    def last_seq(self) -> int:
        """The newest fact's number, 0 when there is none."""
        return self._number('SELECT max(seq) FROM facts')

    def last_order(self) -> int:
        """The newest job's place, also when that job is gone."""
        return self._number('SELECT max((SELECT coalesce(max("order"), 0) FROM jobs), "order") FROM highest')

    def stored(self, job_ids: Sequence[str]) -> frozenset[str]:
        """Those of these ids of which there is or was a job."""
        rows = self._db.execute(
            'SELECT job_id FROM jobs WHERE job_id IN (SELECT value FROM json_each(?))',
            (msgspec.json.encode(job_ids).decode(),),
        )
        return frozenset(str(job_id) for (job_id,) in rows)

    def job(self, job_id: str) -> Job | None:
        """The job as last stored."""
        rows = self._db.execute(f'{_SELECT} WHERE job_id = ?', (job_id,)).fetchall()
        return _job(rows[0]) if rows else None

    def body(self, job_id: str) -> bytes:
        """What the job asks of the engine."""
        if (lately := self._lately.get(job_id)) is not None:
            return lately
        rows = self._db.execute('SELECT body FROM bodies WHERE job_id = ?', (job_id,)).fetchall()
        return _blob(rows[0][0]) if rows else b''

    def answer(self, job_id: str) -> list[bytes]:
        """The lines of a job that ended."""
        rows = self._db.execute('SELECT lines FROM answers WHERE job_id = ?', (job_id,)).fetchall()
        return _unpack(_blob(rows[0][0])) if rows else []

    def facts_after(self, seq: int, limit: int) -> list[facts.AnyFact]:
        """At most ``limit`` facts after ``seq``, fewer when they would not fit into one message."""
        found: list[facts.AnyFact] = []
        size = 0
        for (text,) in self._db.execute('SELECT fact FROM facts WHERE seq > ? ORDER BY seq LIMIT ?', (seq, limit)):
            size += len(text)
            if found and size > protocol.MAX_BATCH_BYTES:
                break
            found.append(facts.decode(text.encode()))
        return found

    def history(self, job_id: str) -> list[facts.AnyFact]:
        """All facts about one job, oldest first."""
        rows = self._db.execute('SELECT fact FROM facts WHERE job_id = ? ORDER BY seq', (job_id,))
        return [facts.decode(str(text).encode()) for (text,) in rows]

    def pauses(self) -> list[protocol.PauseInfo]:
        """The pauses in force."""
        rows = self._db.execute('SELECT scope, name, draining FROM pauses ORDER BY scope, name')
        return [
            protocol.PauseInfo(scope=str(scope), name=str(name), draining=bool(draining))
            for scope, name, draining in rows
        ]

    def retired(self) -> list[facts.WorkerRetired]:
        """The workers that were asked to leave and have not left yet."""
        rows = self._db.execute('SELECT fact FROM retired ORDER BY worker')
        found = [facts.decode(_blob(row[0])) for row in rows]
        return [fact for fact in found if isinstance(fact, facts.WorkerRetired)]

    def schedules(self) -> list[protocol.Schedule]:
        """All schedules, by id."""
        rows = self._db.execute('SELECT schedule FROM schedules ORDER BY schedule_id')
        return [msgspec.msgpack.decode(_blob(row[0]), type=protocol.Schedule) for row in rows]

    def open_batches(self) -> list[protocol.Batch]:
        """The batches that go on, oldest first."""
        return self._batches('ended_at = 0 ORDER BY opened_at', ())

    def batch(self, batch_id: str) -> protocol.Batch | None:
        """A batch as it stands."""
        return next(iter(self._batches('batch_id = ?', (batch_id,))), None)

    def find_batches(self, user: str, limit: int) -> list[protocol.Batch]:
        """Batches, of one user or of all, newest first."""
        return self._batches("? IN ('', user) ORDER BY opened_at DESC, batch_id LIMIT ?", (user, limit))

    def by_key(self, user: str, key: str) -> Job | None:
        """The job that this user submitted with this idempotency key."""
        condition = "user = ? AND idempotency_key = ? AND idempotency_key != ''"  # only so the index is used
        rows = self._db.execute(f'{_SELECT} WHERE {condition}', (user, key)).fetchall()
        return _job(rows[0]) if rows else None

    def find(self, wanted: protocol.FindJobs, limit: int) -> list[Job]:
        """Jobs that ``wanted`` describes, newest first unless it says otherwise."""
        conditions: list[str] = ["parent != ''" if wanted.parent else '1']  # only so the index is used
        values: list[apsw.SQLiteValue] = []
        if wanted.states:
            states = sorted(set(wanted.states))  # SQLite takes only so many question marks
            conditions.append(f'state IN ({", ".join("?" * len(states))})')
            values += states
        for column in ('model', 'user', 'parent'):
            if getattr(wanted, column):
                conditions.append(f'{column} = ?')
                values.append(getattr(wanted, column))
        if wanted.before_order:
            conditions.append('"order" < ?')
            values.append(wanted.before_order)
        if wanted.after_order:
            conditions.append('"order" > ?')
            values.append(wanted.after_order)
        direction = 'ASC' if wanted.oldest_first else 'DESC'
        query = f'{_SELECT} WHERE {" AND ".join(conditions)} ORDER BY "order" {direction} LIMIT ?'
        return [_job(row) for row in self._db.execute(query, (*values, limit))]

    def settings(self) -> dict[str, str]:
        """What was changed while the broker ran, by name."""
        return {str(name): str(value) for name, value in self._db.execute('SELECT name, value FROM settings')}

    def set_settings(self, settings: Mapping[str, str]) -> None:
        """Keep these instead. Raises as ``commit`` does."""
        try:
            with self._db:
                self._db.execute('DELETE FROM settings')
                self._db.executemany('INSERT INTO settings VALUES (?, ?)', list(settings.items()))
        except _TROUBLE as error:
            raise _plain(error, self.path) from error

    def ends(self) -> tuple[int, int]:
        """The places of the oldest and the newest job; (1, 0) when there is none."""
        rows = self._db.execute('SELECT (SELECT min("order") FROM jobs), (SELECT max("order") FROM jobs)').fetchall()
        lowest, highest = rows[0]
        return (int(str(lowest)), int(str(highest))) if lowest is not None else (1, 0)

    def scan(
        self, wanted: protocol.FindJobs | protocol.ListJobs, above: int, below: int
    ) -> list[tuple[str | int | float, int]]:
        """The jobs between these two places that match, texts aside: what they are sorted by, and their place."""
        conditions, values = _conditions(wanted)
        query = (
            f'SELECT {_SORTS[listing.sort_of(wanted)]}, "order" FROM jobs {"" if wanted.parent else "NOT INDEXED"} '
            f'WHERE "order" > ? AND "order" < ? {conditions} '
            f'ORDER BY "order" {"ASC" if wanted.oldest_first else "DESC"}'
        )
        return self._db.execute(query, (above, below, *values)).fetchall()  # type: ignore[return-value]

    def at(self, orders: Sequence[int]) -> list[Job]:
        """The jobs at these places, in this order; those that are gone are left out."""
        rows = self._db.execute(
            f'{_SELECT} WHERE "order" IN (SELECT value FROM json_each(?))', (msgspec.json.encode(orders).decode(),)
        )
        found = {job.order: job for job in map(_job, rows)}
        return [found[order] for order in orders if order in found]

    def mentions(self, order: int, wanted: protocol.ListJobs, needle: Needle) -> bool:
        """Whether the text is in the job, in what it asks, or in the beginning of its answer."""
        rows = self._db.execute(f'{_SELECT} WHERE "order" = ?', (order,)).fetchall()
        if not rows:
            return False
        job = _job(rows[0])
        if needle.in_words(*listing.words(job)) or job.conversation_id in wanted.conversations:
            return True
        if needle.in_body(self.body(job.job_id)):
            return True
        rows = self._db.execute('SELECT lines FROM answers WHERE job_id = ?', (job.job_id,)).fetchall()
        return bool(rows) and needle.in_answer(job.kind, _beginning(_blob(rows[0][0]), MOST_BYTES))

    def purge(self, job_id: str, before: float, limit: int = 1_000_000) -> int:
        """Delete dead jobs, one or ``limit`` that ended before a time, with body and answer; the facts stay. How many.

        Raises as ``commit`` does.
        """
        condition = 'job_id = ?' if job_id else 'ended_at < ?'
        query = f"SELECT job_id, parent FROM jobs WHERE state = 'dead' AND ended_at > 0 AND {condition} LIMIT ?"
        try:
            with self._db:
                rows = self._db.execute(query, (job_id or before, limit))
                gone = [(str(name), str(parent)) for name, parent in rows]
                self._delete(gone)
        except _TROUBLE as error:
            raise _plain(error, self.path) from error
        self._ended -= len(gone)
        return len(gone)

    def prune(self, portion: retention.Portion) -> retention.Pruned:
        """Delete what ``portion`` says, only so much that it does not take long. Raises as ``commit`` does."""
        try:
            match portion:
                case retention.OldJobs():
                    return self._prune_jobs(portion)
                case retention.OldFacts():
                    return self._prune_facts(portion)
                case retention.FreePages():
                    return self._give_back()
        except _TROUBLE as error:
            raise _plain(error, self.path) from error

    def _prune_jobs(self, portion: retention.OldJobs) -> retention.Pruned:
        if portion.keep and portion.after == retention.Place() and self._ended > portion.keep:
            self._ended = self._count_ended()  # what was counted on the way is not trusted with a deletion
        surplus = self._ended - portion.keep
        in_state, values = ('', ()) if portion.state is None else ('state = ? AND', (portion.state.value,))
        rows = self._db.execute(
            f"""SELECT rowid, ended_at, job_id, parent,
                parent != '' AND EXISTS (SELECT 1 FROM batches WHERE batch_id = parent AND batches.ended_at = 0),
                coalesce((SELECT length(body) FROM bodies WHERE bodies.job_id = jobs.job_id), 0)
                + coalesce((SELECT length(lines) FROM answers WHERE answers.job_id = jobs.job_id), 0)
            FROM jobs WHERE {in_state} ended_at > 0 AND (ended_at, rowid) > (?, ?) AND ended_at < ?
            ORDER BY ended_at, rowid LIMIT ?""",
            (*values, *portion.after, portion.before, max(0, min(retention.ROWS, surplus))),
        ).fetchall()
        gone: list[tuple[str, str]] = []
        size, place = 0, portion.after
        for rowid, ended_at, job_id, parent, goes_on, length in rows:
            size += int(str(length))
            if gone and size > retention.BYTES:
                break
            place = retention.Place(float(str(ended_at)), int(str(rowid)))
            if not goes_on and job_id not in self._needed:
                gone.append((str(job_id), str(parent)))
        if gone:
            with self._db:
                self._delete(gone)
            self._ended -= len(gone)
        return retention.Pruned(looked_at=len(rows), gone=len(gone), more=bool(rows), after=place)

    def _delete(self, jobs: Sequence[tuple[str, str]]) -> None:
        """Delete jobs that ended, given as id and parent, with all that goes with them. In a transaction."""
        highest = 'SELECT coalesce(max("order"), 0) FROM jobs'
        self._db.execute(f'UPDATE highest SET "order" = max("order", ({highest}))')
        for job_id, _ in jobs:
            self._lately.pop(job_id, None)
        for table in ('jobs', 'bodies', 'answers'):
            self._db.executemany(f'DELETE FROM {table} WHERE job_id = ?', [(job_id,) for job_id, _ in jobs])
        self._db.executemany(
            'DELETE FROM batches WHERE batch_id = ?1 AND ended_at > 0 AND NOT EXISTS '
            "(SELECT 1 FROM jobs WHERE parent = ?1 AND parent != '')",
            [(parent,) for parent in {parent for _, parent in jobs} if parent],
        )

    def _prune_facts(self, portion: retention.OldFacts) -> retention.Pruned:
        rows = self._db.execute(
            "SELECT seq, json_extract(fact, '$.at') FROM facts "
            'WHERE seq < (SELECT max(seq) FROM facts) ORDER BY seq LIMIT ?',
            (retention.ROWS,),
        ).fetchall()
        old = list(itertools.takewhile(lambda row: float(str(row[1])) < portion.before, rows))
        with self._db:
            if old:
                self._db.execute('DELETE FROM facts WHERE seq <= ?', (old[-1][0],))
            else:  # at last the batches that never had a job
                empty = "NOT EXISTS (SELECT 1 FROM jobs WHERE parent = batch_id AND parent != '')"
                found = f'SELECT batch_id FROM batches WHERE opened_at < ? AND ended_at > 0 AND {empty} LIMIT ?'
                values = (portion.before, retention.ROWS)
                self._db.execute(f'DELETE FROM batches WHERE batch_id IN ({found})', values)
        return retention.Pruned(looked_at=len(rows), gone=len(old), more=bool(old))

    def _give_back(self) -> retention.Pruned:
        """Make the file smaller, and in the end empty the write-ahead log, which still has what was deleted."""
        free = self._number('PRAGMA freelist_count') - _SPARE_PAGES
        if self._shrinks and free > 0:
            pages = min(free, retention.PAGES)
            self._db.execute(f'PRAGMA incremental_vacuum({pages})').fetchall()
            return retention.Pruned(looked_at=pages, gone=pages, more=True)
        self._db.execute('PRAGMA wal_checkpoint(TRUNCATE)').fetchall()
        return retention.Pruned()

    def _batches(self, condition: str, values: 'tuple[apsw.SQLiteValue, ...]') -> list[protocol.Batch]:
        query = f'SELECT {", ".join(_OF_BATCH)} FROM batches WHERE {condition}'
        return [self._batch(row) for row in self._db.execute(query, values).fetchall()]

    def _batch(self, row: 'tuple[apsw.SQLiteValue, ...]') -> protocol.Batch:
        """One that goes on is counted from its jobs; how one ended is kept with it, for its jobs do not stay."""
        batch = msgspec.convert(dict(zip(_OF_BATCH, row, strict=True)), protocol.Batch)
        if batch.ended_at:
            return msgspec.structs.replace(batch, submitted=batch.completed + batch.dead + batch.cancelled)
        query = "SELECT state, count(*) FROM jobs WHERE parent = ? AND parent != '' GROUP BY state"
        by_state = {str(state): int(str(count)) for state, count in self._db.execute(query, (batch.batch_id,))}
        return msgspec.structs.replace(
            batch,
            submitted=sum(by_state.values()),
            running=sum(by_state.get(state, 0) for state in HELD_BY_WORKER),
            completed=by_state.get(State.COMPLETED, 0),
            dead=by_state.get(State.DEAD, 0),
            cancelled=by_state.get(State.CANCELLED, 0),
        )

    def _migrate(self) -> None:
        version = self._number('PRAGMA user_version')
        if version > len(MIGRATIONS):
            raise errors.NewerSchema(
                f'{self.path} was written by a newer Corral (schema {version}, this one knows {len(MIGRATIONS)}); '
                'start the newer version, or choose another --data-dir.'
            )
        for number, statements in enumerate(MIGRATIONS[version:], version + 1):
            with self._db:
                self._db.execute(f'{statements}; PRAGMA user_version = {number}').fetchall()

    def _check(self) -> None:
        """Look through what the queue lives on. (Not the bodies and answers: a damaged one costs that job only.)"""
        for table in ('jobs', 'pauses'):
            ((found,), *_) = self._db.execute(f'PRAGMA quick_check({table})').fetchall()
            if found != 'ok':
                raise apsw.CorruptError(str(found))

    def _count_ended(self) -> int:
        return self._number('SELECT count(*) FROM jobs WHERE ended_at > 0')

    def _number(self, query: str) -> int:
        return int(self._db.execute(query).fetchall()[0][0] or 0)


def _plain(error: Exception, path: Path) -> errors.StoreError:
    """The error as one sentence that says what to do."""
    match error:
        case errors.StoreError():
            return error
        case apsw.FullError():
            return errors.StoreFull(f'the disk that holds {path} is full')
        case apsw.BusyError():
            return errors.StoreError(f'{path} is in use by another process')
        case apsw.NotADBError() | apsw.CorruptError():
            return errors.StoreError(
                f'{path} is damaged ({error}); move it away to begin with an empty queue, or restore a copy of it.'
            )
        case _:
            return errors.StoreError(f'{path} cannot be read or written: {error}')


class _Rows:
    """What a batch puts into the tables: a job that has gone several steps in it gets one row, as it is in the end."""

    def __init__(self, changes: Sequence[Persist]) -> None:
        self.last: dict[str, Job] = {}
        self.others: list[Persist] = []  # those that other tables have a part in
        new: set[str] = set()
        self.bodies: list[tuple[str, bytes]] = []
        self._answers, self._facts = list[_Row](), list[_Row]()
        for change in changes:
            fact, job = change.fact, change.job
            job_id = fact.job_id if isinstance(fact, facts.JobFact) else None
            self._facts.append((fact.seq, job_id, facts.encode(fact).decode()))
            if job is not None:
                self.last[job.job_id] = job
                if type(fact) is facts.JobQueued:
                    new.add(job.job_id)
                if change.body is not None:
                    self.bodies.append((job.job_id, change.body))
                if change.answer:
                    self._answers.append((job.job_id, _pack(change.answer)))
            if job_id is None or change.schedule is not None:
                self.others.append(change)
        self._new = [_row(job) for job_id, job in self.last.items() if job_id in new]
        self._changed = [_update(job) for job_id, job in self.last.items() if job_id not in new]

    def tables(self) -> Iterator[tuple[str, Sequence[_Row]]]:
        """Statements, and the values for each of their runs."""
        yield _INSERT, self._new
        yield _UPDATE, self._changed
        yield 'INSERT INTO bodies VALUES (?, ?)', self.bodies
        yield 'INSERT INTO answers VALUES (?, ?)', self._answers
        yield 'INSERT INTO facts VALUES (?, ?, ?)', self._facts


def _conditions(wanted: protocol.FindJobs | protocol.ListJobs) -> tuple[str, list[str | int | float]]:
    """What the columns have to be."""
    conditions: list[str] = []
    values: list[str | int | float] = []

    def among(column: str, allowed: Sequence[str | int]) -> None:
        if allowed:
            few = sorted(set(allowed))[:100]  # SQLite takes only so many question marks
            conditions.append(f'AND {column} IN ({", ".join("?" * len(few))})')
            values.extend(few)

    among('state', wanted.states)
    names: tuple[str, ...] = ('model', 'user', 'parent')
    if wanted.parent:
        conditions.append("AND parent != ''")  # only so the index is used
    if isinstance(wanted, protocol.ListJobs):
        names = (*names, 'worker', 'code')
        among('kind', wanted.kinds)
        among('priority', wanted.priorities)
        for bound, comparison in ((wanted.since, '>='), (wanted.until, '<')):
            if bound:
                conditions.append(f'AND queued_at {comparison} ?')
                values.append(bound)
    for column in names:
        if getattr(wanted, column):
            conditions.append(f'AND {column} = ?')
            values.append(getattr(wanted, column))
    return ' '.join(conditions), values


def _row(job: Job) -> _Row:
    terms = '{}' if job.terms is PLAIN else msgspec.json.encode(job.terms).decode()
    return (*_plain_values(job), terms, _usage(job.usage))


def _update(job: Job) -> _Row:
    return (*_changing_values(job), _usage(job.usage), job.order)


def _usage(usage: facts.Usage) -> str:
    return '{}' if usage is _NO_USAGE else msgspec.json.encode(usage).decode()


def _job(row: 'tuple[apsw.SQLiteValue, ...]') -> Job:
    values = dict(zip(_COLUMNS, row, strict=True))
    usage = msgspec.json.decode(str(values['usage']), type=facts.Usage)
    terms = msgspec.json.decode(str(values['terms']), type=Terms) if values['terms'] != '{}' else PLAIN
    job = Job(**{**values, 'usage': usage, 'terms': terms, 'state': State(str(values['state']))})  # type: ignore[arg-type]
    assert (job.ended_at > 0) == (job.state in FINAL), job
    return job


def _blob(value: 'apsw.SQLiteValue') -> bytes:
    assert isinstance(value, bytes)
    return value


def _pack(lines: tuple[bytes, ...]) -> bytes:
    text = b'\n'.join(lines)
    if len(text) < _SHORT:
        return _AS_IT_IS + text
    return zlib.compress(text, 1)  # NDJSON repeats itself: about a tenth is left


def _beginning(blob: bytes, most: int) -> bytes:
    """The first lines of an answer, so many bytes at most; none where the first line is longer."""
    text = blob[1 : most + 2] if blob.startswith(_AS_IT_IS) else zlib.decompressobj().decompress(blob, most + 1)
    return text if len(text) <= most else text[: text.rfind(b'\n', 0, most) + 1]


def _unpack(blob: bytes) -> list[bytes]:
    text = blob[1:] if blob.startswith(_AS_IT_IS) else zlib.decompress(blob)
    return text.split(b'\n')
