"""The tables of the queue, and how a file of an earlier version becomes one of today."""

from pathlib import Path

import apsw

from broker import errors

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
_PRAGMAS = (
    'auto_vacuum = INCREMENTAL',  # counts for a new file, and only before anything is written
    'journal_mode = WAL',
    'synchronous = FULL',
    'secure_delete = ON',  # what is deleted cannot be read out of the file any more
    'journal_size_limit = 67108864',
)
_INCREMENTAL = 2


def prepare(db: apsw.Connection, path: Path) -> None:
    """Make the file one of today, and look whether it is sound.

    Raises ``errors.NewerSchema`` or ``errors.OtherSchema`` before anything is written, or what apsw does.
    """
    db.execute('PRAGMA locking_mode = EXCLUSIVE').fetchall()
    version = _recognised(db, path)
    for pragma in _PRAGMAS:
        db.execute(f'PRAGMA {pragma}').fetchall()
    _migrate(db, version)
    _check(db)


def shrinks(db: apsw.Connection) -> bool:
    """Whether room that is free can be given back; files of old cannot."""
    return number(db, 'PRAGMA auto_vacuum') == _INCREMENTAL


def number(db: apsw.Connection, query: str) -> int:
    """The one number that ``query`` asks for, 0 for NULL."""
    return int(db.execute(query).fetchall()[0][0] or 0)


def _recognised(db: apsw.Connection, path: Path) -> int:
    """The schema version of the file, when it is one of ours that can be brought to today's."""
    version = number(db, 'PRAGMA user_version')
    if version > SCHEMA:
        raise errors.NewerSchema(
            f'{path} was written by a newer Corral (schema {version}, this one knows {SCHEMA}); '
            'start the newer version, or choose another --data-dir.'
        )
    if strange := _strange(db, version):
        raise errors.OtherSchema(
            f'{path} was written by another program, or by a Corral from before the first release ({strange}), and was '
            'left as it is; move it away to begin with an empty queue, or choose another --data-dir.'
        )
    return version


def _strange(db: apsw.Connection, version: int) -> str:
    """How the file differs from one of this version, '' when it has all that is needed to go on from there."""
    if version < 0:
        return f'its schema version is {version}'
    found, twin = _columns(db), apsw.Connection(':memory:')
    for statements in MIGRATIONS[:version]:
        twin.execute(statements).fetchall()
    needed = _columns(twin)
    twin.close()
    if version == 0 and found:
        return f'it has a table {min(found)} and no schema version'
    for table, columns in needed.items():
        if table not in found:
            return f'it says schema {version} and has no table {table}'
        if missing := columns - found[table]:
            return f'it says schema {version} and its table {table} has no column {min(missing)}'
    return ''


def _columns(db: apsw.Connection) -> dict[str, set[str]]:
    """The names of all columns, by table."""
    tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name"
    return {
        str(table): {str(column) for (column,) in db.execute('SELECT name FROM pragma_table_info(?)', (table,))}
        for (table,) in db.execute(tables).fetchall()
    }


def _migrate(db: apsw.Connection, version: int) -> None:
    for reached, statements in enumerate(MIGRATIONS[version:], version + 1):
        with db:
            db.execute(f'{statements}; PRAGMA user_version = {reached}').fetchall()


def _check(db: apsw.Connection) -> None:
    """Look through what the queue lives on. (Not the bodies and answers: a damaged one costs that job only.)"""
    for table in ('jobs', 'pauses'):
        ((found,), *_) = db.execute(f'PRAGMA quick_check({table})').fetchall()
        if found != 'ok':
            raise apsw.CorruptError(str(found))
