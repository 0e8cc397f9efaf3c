"""Rows as a Parquet file, written by DuckDB. It has nothing to do with the analytics file."""

import contextlib
from collections.abc import Mapping
from pathlib import Path

import duckdb

from analytics import errors


def write(source: Path, target: Path, columns: Mapping[str, str]) -> None:
    """Write the objects of ``source``, one a line in JSON, as Parquet; ``columns`` are names and DuckDB's types.

    It blocks: in a thread, please. Raises ``errors.AnalyticsError``.
    """
    with contextlib.closing(duckdb.connect(':memory:', config={'threads': 2, 'memory_limit': '512MB'})) as connection:
        try:
            rows = connection.read_json(str(source), columns=dict(columns), format='newline_delimited')
            rows.write_parquet(str(target), compression='zstd')
        except duckdb.Error as error:
            raise errors.AnalyticsError(f'the Parquet file cannot be written: {error}') from error
