"""What brings a file of an earlier version up to this one, with all that it holds.

Pure. Whoever changes ``schema.sql`` or the tables of ``rollups.py`` counts ``SCHEMA_VERSION`` up and says in ``STEPS``
what makes a file of the version before one of the new one, for example ``ALTER TABLE starts ADD COLUMN …``. The queue
has pruned facts of long ago, so a file that is set aside and rebuilt has lost them.
"""

from collections.abc import Iterator

SCHEMA_VERSION = 7
_SUMS_6 = """
    jobs BIGINT, started BIGINT, retries BIGINT, response_s DOUBLE, wait_s DOUBLE, started_wait_s DOUBLE, run_s DOUBLE,
    first_token_s DOUBLE, first_tokens BIGINT, prompt_tokens HUGEINT, output_tokens HUGEINT, timed_tokens HUGEINT,
    decode_s DOUBLE, load_s DOUBLE, prompt_s DOUBLE, behind_s DOUBLE, limited_s DOUBLE, paused_s DOUBLE,
    no_worker_s DOUBLE, delayed_s DOUBLE, blocked_s DOUBLE, retry_s DOUBLE, gpu_s DOUBLE, energy_wh DOUBLE, told BIGINT,
    hits BIGINT, early BIGINT, eta_error_s DOUBLE, eta_distance_s DOUBLE
"""
_COLUMNS_6 = {
    'user': '"user" VARCHAR',
    'model': '"model" VARCHAR',
    'priority': '"priority" BIGINT',
    'kind': '"kind" VARCHAR',
    'worker': '"worker" VARCHAR',
}
_OF_USERS_6 = (('worker', 'kind', 'user'), ('priority', 'kind', 'user'), ('model', 'kind', 'user'))
_OF_FEW_6 = (('worker', 'priority', 'kind'), ('worker', 'model', 'kind'), ('priority', 'model', 'kind'))
_MOST_6 = ('worker', 'priority', 'model', 'kind')
_ALL_6 = 'sums_by_user_worker_priority_model_kind'
_SEVERAL_7 = (('worker', 'priority'), ('worker', 'model'), ('priority', 'model'), ('worker', 'priority', 'model'))


def _several_7() -> Iterator[str]:
    """Users and two or three more: sums in an order in which few rows are read, and lists for their quantiles."""
    names = [column.split()[0] for column in _SUMS_6.split(',')]
    for by in ((*several, 'kind', 'user') for several in _SEVERAL_7):
        table, keys = f'_by_{"_".join(by)}', ', '.join(f'"{name}"' for name in by)
        columns = ', '.join(_COLUMNS_6[name] for name in by)
        yield f'CREATE TABLE sums{table} (bucket DOUBLE, {columns}, outcome VARCHAR, {_SUMS_6})'
        yield (
            f'CREATE TABLE lists{table} (at_s DOUBLE, {columns}, outcome VARCHAR, '
            'response SMALLINT[], wait SMALLINT[], first_token SMALLINT[])'
        )
        first = ', '.join(str(n + 1) for n in range(len(by) + 2))
        yield (
            f'INSERT INTO sums{table} SELECT bucket, {keys}, outcome, {", ".join(f"sum({name})" for name in names)} '
            f'FROM {_ALL_6} GROUP BY {first} ORDER BY {first}'
        )
        yield f"INSERT INTO rolled (batch, until) SELECT 'sums{table}', until FROM rolled WHERE batch = 'all'"
    yield f'DROP TABLE {_ALL_6}'
    for few in _OF_USERS_6:
        for what in ('sums', 'counts'):
            table = f'{what}_by_{"_".join(few)}'
            yield f"INSERT INTO rolled (batch, until) SELECT '{table}', until FROM rolled WHERE batch = '{few[0]}_user'"
    yield "DELETE FROM rolled WHERE batch IN ('worker_user', 'priority_user', 'model_user', 'all')"


# By version: the statements that make a file of it one of the next version.
STEPS: dict[int, tuple[str, ...]] = {
    # Sums and histograms by several dimensions at once. They are empty, and made from the jobs while the file is used.
    5: (
        *(
            f'CREATE TABLE sums_by_{"_".join(by)} '
            f'(bucket DOUBLE, {", ".join(_COLUMNS_6[name] for name in by)}, outcome VARCHAR, {_SUMS_6})'
            for by in (*_OF_USERS_6, _MOST_6, ('user', *_MOST_6))
        ),
        *(
            f'CREATE TABLE counts_by_{"_".join(by)} (at_s DOUBLE, {", ".join(_COLUMNS_6[name] for name in by)}, '
            'outcome VARCHAR, measure VARCHAR, bucket SMALLINT, n BIGINT)'
            for by in (*_OF_USERS_6, *_OF_FEW_6)
        ),
        'ALTER TABLE rolled ADD COLUMN batch VARCHAR',
        "UPDATE rolled SET batch = CASE level_s WHEN 3600 THEN 'hour' WHEN 86400 THEN 'day' ELSE 'month' END",
        'ALTER TABLE rolled DROP COLUMN level_s',
    ),
    6: tuple(_several_7()),
}


def statements(found: int) -> list[str] | None:
    """What makes a file of version ``found`` one of ``SCHEMA_VERSION``; None when there is no way."""
    if found > SCHEMA_VERSION or any(version not in STEPS for version in range(found, SCHEMA_VERSION)):
        return None
    return [statement for version in range(found, SCHEMA_VERSION) for statement in STEPS[version]]
