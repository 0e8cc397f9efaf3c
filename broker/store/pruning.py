"""What goes out of the queue's database: dead jobs that are purged, and what retention lets go."""

import itertools
from collections.abc import Callable, Sequence

import apsw

from broker import retention
from broker.job import Job
from broker.store import schema, tables

_SPARE_PAGES = 1_000  # free ones that stay in the file for what comes next


class Pruning:
    """Deletes jobs that ended, old facts and free room. ``forget`` is told each job that is gone."""

    def __init__(self, db: apsw.Connection, forget: Callable[[str], object]) -> None:
        self._db, self._forget = db, forget
        self._shrinks = schema.shrinks(db)
        self.ended = self._count_ended()  # jobs that ended
        self._needed = retention.Needed()
        chained = f"{tables.SELECT} INDEXED BY jobs_chained WHERE ended_at = 0 AND terms != '{{}}'"
        for row in db.execute(chained):
            self._needed.note(tables.job_of(row))

    def note(self, job: Job) -> None:
        """A job is new or has changed."""
        self.ended += job.ended_at > 0
        self._needed.note(job)

    def purge(self, job_id: str, before: float, limit: int) -> int:
        """Delete dead jobs, one or ``limit`` that ended before a time, with body and answer. How many.

        A batch that goes on still counts those that it had.
        """
        condition = 'job_id = ?' if job_id else 'ended_at < ?'
        query = f"SELECT job_id, parent FROM jobs WHERE state = 'dead' AND ended_at > 0 AND {condition} LIMIT ?"
        with self._db:
            rows = self._db.execute(query, (job_id or before, limit))
            gone = [(str(name), str(parent)) for name, parent in rows]
            counted = 'UPDATE batches SET dead = dead + 1 WHERE batch_id = ? AND ended_at = 0'
            self._db.executemany(counted, [(parent,) for _, parent in gone if parent])
            self._delete(gone)
        self.ended -= len(gone)
        return len(gone)

    def prune(self, portion: retention.Portion) -> retention.Pruned:
        """Delete what ``portion`` says, only so much that it does not take long."""
        match portion:
            case retention.OldJobs():
                return self._prune_jobs(portion)
            case retention.OldFacts():
                return self._prune_facts(portion)
            case retention.FreePages():
                return self._give_back()

    def _prune_jobs(self, portion: retention.OldJobs) -> retention.Pruned:
        if portion.keep and portion.after == retention.Place() and self.ended > portion.keep:
            self.ended = self._count_ended()  # what was counted on the way is not trusted with a deletion
        surplus = self.ended - portion.keep
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
            self.ended -= len(gone)
        return retention.Pruned(looked_at=len(rows), gone=len(gone), more=bool(rows), after=place)

    def _delete(self, jobs: Sequence[tuple[str, str]]) -> None:
        """Delete jobs that ended, given as id and parent, with all that goes with them. In a transaction."""
        highest = 'SELECT coalesce(max("order"), 0) FROM jobs'
        self._db.execute(f'UPDATE highest SET "order" = max("order", ({highest}))')
        for job_id, _ in jobs:
            self._forget(job_id)
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
        free = schema.number(self._db, 'PRAGMA freelist_count') - _SPARE_PAGES
        if self._shrinks and free > 0:
            pages = min(free, retention.PAGES)
            self._db.execute(f'PRAGMA incremental_vacuum({pages})').fetchall()
            return retention.Pruned(looked_at=pages, gone=pages, more=True)
        self._db.execute('PRAGMA wal_checkpoint(TRUNCATE)').fetchall()
        return retention.Pruned()

    def _count_ended(self) -> int:
        return schema.number(self._db, 'SELECT count(*) FROM jobs WHERE ended_at > 0')
