"""The analytics file on the disk: opened, brought up to date, for its owner alone, and set aside when it is no good."""

import contextlib
import logging
import os
import time
from pathlib import Path
from typing import NamedTuple

import duckdb

from analytics import errors, rollups, versions

KEEP_BROKEN = 3  # files set aside; older ones are deleted, since they hold nothing that the queue has not

log = logging.getLogger('corral.analytics')
_SCHEMA = Path(__file__).with_name('schema.sql').read_text(encoding='utf-8') + rollups.schema()
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    'threads': 2,
    'memory_limit': '300MB',
    'max_temp_directory_size': '2GB',  # for what does not fit, beside the file
    'checkpoint_threshold': '256MB',  # not in a commit that somebody waits for: see store.LOG_BYTES
    'python_enable_replacements': False,  # a table of this name is a table, not a variable of ours
    'autoinstall_known_extensions': False,  # it would try to download
    'autoload_known_extensions': False,
    'enable_external_access': False,
    'lock_configuration': True,
}


class Opened(NamedTuple):
    """A connection to a file of this version, and what the file said: its newest fact and until when it is rolled up,
    by batch of ``rollups``; the types of its columns, by table; and which file it is, to know it again.
    """

    connection: duckdb.DuckDBPyConnection
    last_seq: int
    rolled: dict[str, float]
    types: dict[str, dict[str, str]]
    inode: int


def connect(path: Path) -> Opened:
    """Open the file, or make it. Raises ``errors.Locked`` when another process has it open, and ``duckdb.Error`` or
    ``errors.AnalyticsError`` when it is no good or none can be made.
    """
    new = not path.exists()
    try:
        connection = duckdb.connect(path, config=_CONFIG)
    except duckdb.IOException as error:
        if 'lock' in str(error) and 'Conflicting' in str(error):
            raise errors.Locked(f'Another program has the analytics file open: {first_line(error)}') from error
        raise
    try:
        if new:
            connection.execute('BEGIN')
            connection.execute(_SCHEMA)
            connection.execute("INSERT INTO meta VALUES (?, 0, ''::BLOB, 0)", [versions.SCHEMA_VERSION])
            connection.execute('COMMIT')
        meta = connection.execute('SELECT schema_version, last_seq FROM meta').fetchall()
        if not meta or meta[0][0] is None:
            raise errors.AnalyticsError('it does not say its version')
        _bring_up(connection, meta[0][0])
        protect(path)
        return Opened(connection, meta[0][1], rolled(connection), _types(connection), path.stat().st_ino)
    except BaseException:
        with contextlib.suppress(duckdb.Error):
            connection.close()
        raise


def rolled(connection: duckdb.DuckDBPyConnection) -> dict[str, float]:
    """Until when it is rolled up, by batch."""
    return dict(connection.execute('SELECT batch, until FROM rolled').fetchall())


def set_aside(path: Path, reason: str) -> bool:
    """Rename it and its log; whether there was a file. Raises ``errors.Unavailable`` when that cannot be done."""
    stamp, found = time.strftime('%Y%m%d-%H%M%S'), False
    for each in (path, log_of(path)):
        target = each.with_name(each.name.replace('.duckdb', f'.duckdb.broken-{stamp}', 1))
        try:
            os.replace(each, target)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise errors.Unavailable(f'The analytics file is damaged and cannot be renamed: {error}') from error
        found = found or each == path
        log.warning('analytics file set aside as %s: %s', target.name, reason, extra={'action': 'set_aside'})
    for old in sorted(path.parent.glob(f'{path.name}.broken-*[0-9]'))[:-KEEP_BROKEN]:
        old.unlink(missing_ok=True)
        log_of(old).unlink(missing_ok=True)
    return found


def protect(path: Path) -> None:
    """Nobody but its owner may read it, nor its log."""
    for each in (path, log_of(path)):
        with contextlib.suppress(FileNotFoundError):
            if each.stat().st_mode & 0o077:
                each.chmod(0o600)


def log_of(path: Path) -> Path:
    """Where DuckDB writes first what is to come into the file."""
    return path.with_name(path.name + '.wal')


def first_line(error: Exception | str) -> str:
    """What DuckDB says, without the query."""
    return str(error).partition('\n')[0]


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


def _types(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, str]]:
    tables: dict[str, dict[str, str]] = {}
    rows = connection.execute('SELECT table_name, column_name, data_type FROM duckdb_columns()').fetchall()
    for table, column, kind in rows:
        tables.setdefault(table, {})[column] = kind
    return tables
