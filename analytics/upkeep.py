"""What becomes of old rows: the curves get coarser, and single jobs go after a while. Sums by hour and day stay.

Pure: SQL from fixed pieces, which the store runs in one transaction.
"""

from analytics import dictionary

EVERY_S = 3600.0
MINUTE_S, HOUR_S, DAY_S = 60.0, 3600.0, 86_400.0
COARSER = ((MINUTE_S, DAY_S), (HOUR_S, 14 * DAY_S))  # rows of a curve cover so much when they are so old
_SUMS = {
    'depth': ('model', 'sum(waited_job_s) AS waited_job_s, max(most) AS most'),
    'slots': ('worker', 'sum(slot_s) AS slot_s, sum(busy_s) AS busy_s'),
}

Statement = tuple[str, dict[str, object]]


def statements(now: float, since: float, before: float) -> list[Statement]:
    """What is to be done at ``now`` when it was done at ``since`` last (0: never); rows from ``before`` a time go."""
    found: list[Statement] = []
    for table, (key, sums) in _SUMS.items():
        for grain_s, age_s in COARSER:
            begin = max(0.0, since - age_s) // grain_s * grain_s
            end = (now - age_s) // grain_s * grain_s
            which = f'happened_at >= {begin} AND happened_at < {end} AND span_s < {grain_s}'
            found += [
                (
                    f'CREATE OR REPLACE TEMP TABLE coarser AS SELECT floor(happened_at / {grain_s}) * {grain_s} '
                    f'AS happened_at, sum(span_s) AS span_s, {key}, {sums} FROM {table} WHERE {which} '
                    f'GROUP BY 1, {key} ORDER BY 1, {key}',
                    {},
                ),
                (f'DELETE FROM {table} WHERE {which}', {}),
                (f'INSERT INTO {table} BY NAME SELECT * FROM coarser', {}),
                ('DROP TABLE coarser', {}),
            ]
    if before:
        found += [
            (f'DELETE FROM {table} WHERE happened_at < $before', {'before': before}) for table in dictionary.TABLES
        ]
    return found
