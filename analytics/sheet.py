"""Rows as a Parquet file."""

from pathlib import Path

from analytics import errors, store


def parquet(source: Path, target: Path, columns: dict[str, str]) -> None:
    """Write the objects of ``source``, one a line in JSON, as Parquet; ``columns`` are names and DuckDB's types.

    Blocks for as long as it takes; in a thread, please. Raises ``errors.AnalyticsError``.
    """
    with store.scratch() as database:
        try:
            rows = database.read_json(str(source), columns=columns, format='newline_delimited')
            rows.write_parquet(str(target), compression='zstd')
        except store.Trouble as error:
            raise errors.AnalyticsError(f'the file cannot be written: {error}') from error
