"""What can be looked up in the queue's database."""

from collections.abc import Iterator, Sequence

import apsw
import msgspec

from broker import facts, listing, protocol
from broker.job import HELD_BY_WORKER, Job, State
from broker.limits import Started
from broker.needle import MOST_BYTES, Needle
from broker.share import Work
from broker.store import schema, tables

_OF_BATCH = ('batch_id', 'name', 'user', 'total', 'opened_at', 'ended_at', 'completed', 'dead', 'cancelled')
_SORTS = {
    'queued': '0',  # the place says it
    'started': 'started_at',
    'ended': 'ended_at',
    'waited': 'CASE WHEN started_at > 0 THEN started_at - queued_at ELSE -1 END',
    'ran': 'CASE WHEN started_at > 0 AND ended_at > 0 THEN ended_at - started_at ELSE -1 END',
    'tokens': "coalesce(json_extract(usage, '$.output_tokens'), 0)",
    **{name: name for name in ('state', 'kind', 'model', 'user', 'priority', 'worker', 'code', 'failures')},
}


class Records:
    """Reads what is stored; nothing here changes the file."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        self._lately: dict[str, bytes] = {}  # short bodies that came last

    def alive(self) -> Iterator[Job]:
        """All jobs that are not final, in order of arrival."""
        return (tables.job_of(row) for row in self._db.execute(f'{tables.SELECT} WHERE ended_at = 0 ORDER BY "order"'))

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
        return schema.number(self._db, 'SELECT max(seq) FROM facts')

    def last_order(self) -> int:
        """The newest job's place, also when that job is gone."""
        return schema.number(self._db, 'SELECT max((SELECT coalesce(max("order"), 0) FROM jobs), "order") FROM highest')

    def stored(self, job_ids: Sequence[str]) -> frozenset[str]:
        """Those of these ids of which there is or was a job."""
        rows = self._db.execute(
            'SELECT job_id FROM jobs WHERE job_id IN (SELECT value FROM json_each(?))',
            (msgspec.json.encode(job_ids).decode(),),
        )
        return frozenset(str(job_id) for (job_id,) in rows)

    def job(self, job_id: str) -> Job | None:
        """The job as last stored."""
        rows = self._db.execute(f'{tables.SELECT} WHERE job_id = ?', (job_id,)).fetchall()
        return tables.job_of(rows[0]) if rows else None

    def body(self, job_id: str) -> bytes:
        """What the job asks of the engine."""
        if (lately := self._lately.get(job_id)) is not None:
            return lately
        rows = self._db.execute('SELECT body FROM bodies WHERE job_id = ?', (job_id,)).fetchall()
        return tables.blob(rows[0][0]) if rows else b''

    def answer(self, job_id: str) -> list[bytes]:
        """The lines of a job that ended."""
        rows = self._db.execute('SELECT lines FROM answers WHERE job_id = ?', (job_id,)).fetchall()
        return tables.unpack(tables.blob(rows[0][0])) if rows else []

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
        found = [facts.decode(tables.blob(row[0])) for row in rows]
        return [fact for fact in found if isinstance(fact, facts.WorkerRetired)]

    def schedules(self) -> list[protocol.Schedule]:
        """All schedules, by id."""
        rows = self._db.execute('SELECT schedule FROM schedules ORDER BY schedule_id')
        return [msgspec.msgpack.decode(tables.blob(row[0]), type=protocol.Schedule) for row in rows]

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
        rows = self._db.execute(f'{tables.SELECT} WHERE {condition}', (user, key)).fetchall()
        return tables.job_of(rows[0]) if rows else None

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
        query = f'{tables.SELECT} WHERE {" AND ".join(conditions)} ORDER BY "order" {direction} LIMIT ?'
        return [tables.job_of(row) for row in self._db.execute(query, (*values, limit))]

    def settings(self) -> dict[str, str]:
        """What was changed while the broker ran, by name."""
        return {str(name): str(value) for name, value in self._db.execute('SELECT name, value FROM settings')}

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
            f'{tables.SELECT} WHERE "order" IN (SELECT value FROM json_each(?))',
            (msgspec.json.encode(orders).decode(),),
        )
        found = {job.order: job for job in map(tables.job_of, rows)}
        return [found[order] for order in orders if order in found]

    def mentions(self, order: int, wanted: protocol.ListJobs, needle: Needle) -> bool:
        """Whether the text is in the job, in what it asks, or in the beginning of its answer."""
        rows = self._db.execute(f'{tables.SELECT} WHERE "order" = ?', (order,)).fetchall()
        if not rows:
            return False
        job = tables.job_of(rows[0])
        if needle.in_words(*listing.words(job)) or job.conversation_id in wanted.conversations:
            return True
        if needle.in_body(self.body(job.job_id)):
            return True
        rows = self._db.execute('SELECT lines FROM answers WHERE job_id = ?', (job.job_id,)).fetchall()
        return bool(rows) and needle.in_answer(job.kind, tables.beginning(tables.blob(rows[0][0]), MOST_BYTES))

    def _batches(self, condition: str, values: 'tuple[apsw.SQLiteValue, ...]') -> list[protocol.Batch]:
        query = f'SELECT {", ".join(_OF_BATCH)} FROM batches WHERE {condition}'
        return [self._batch(row) for row in self._db.execute(query, values).fetchall()]

    def _batch(self, row: 'tuple[apsw.SQLiteValue, ...]') -> protocol.Batch:
        """How one ended is kept with it, for its jobs do not stay. One that goes on is counted from its jobs, and those
        that were deleted meanwhile are kept with it.
        """
        batch = msgspec.convert(dict(zip(_OF_BATCH, row, strict=True)), protocol.Batch)
        kept = batch.completed + batch.dead + batch.cancelled
        if batch.ended_at:
            return msgspec.structs.replace(batch, submitted=kept)
        query = "SELECT state, count(*) FROM jobs WHERE parent = ? AND parent != '' GROUP BY state"
        by_state = {str(state): int(str(count)) for state, count in self._db.execute(query, (batch.batch_id,))}
        return msgspec.structs.replace(
            batch,
            submitted=kept + sum(by_state.values()),
            running=sum(by_state.get(state, 0) for state in HELD_BY_WORKER),
            completed=batch.completed + by_state.get(State.COMPLETED, 0),
            dead=batch.dead + by_state.get(State.DEAD, 0),
            cancelled=batch.cancelled + by_state.get(State.CANCELLED, 0),
        )


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
