"""Analytics under load: ``python -m tests.bench.bench_analytics [facts] [jobs] [file]``. Read the ratios.

How fast facts land, beside ``executemany``; then, with so many jobs (ten million without a number) in the file, how
long each question of the desk takes over short and long times, while jobs go on to end and land; and the memory.
"""

import asyncio
import os
import pathlib
import random
import statistics
import sys
import tempfile
import time

import duckdb
import psutil

from analytics import curves, ledger, misses, quantiles, queries, recorder, rollups, spread, store, timekeeper, versions
from analytics.answers import Filter
from app.charts.question import step_of
from tests.analytics import made

BATCH = 1000
DAYS = 365
SINCE = made.T0 - DAYS * 86_400
PER_SECOND = 1000  # jobs that end while the questions are asked


async def main(facts: int, jobs: int, path: pathlib.Path | None) -> None:
    """Both parts."""
    with tempfile.TemporaryDirectory() as folder:
        await _landing(pathlib.Path(folder), facts)
        target = path or pathlib.Path(folder) / 'many.duckdb'
        if not target.exists():
            begun = time.perf_counter()
            generate(target, jobs)
            print(f'{jobs:,} jobs made in {time.perf_counter() - begun:.0f} s, {target.stat().st_size / 1e6:,.0f} MB')
        await _questions(target)


async def _landing(folder: pathlib.Path, count: int) -> None:
    story = made.life(count // 3)
    sink = await recorder.Recorder.open(folder / 'analytics.duckdb')
    begun = time.perf_counter()
    for n in range(0, len(story), BATCH):
        assert await sink.record(story[n : n + BATCH])
    columns = len(story) / (time.perf_counter() - begun)
    print(f'columns, {BATCH} facts per transaction: {columns:,.0f} facts/s ({len(story):,} facts)')
    await sink.close()
    rows = _by_rows(folder / 'rows.duckdb', story[:3000])
    print(f'executemany: {rows:,.0f} facts/s, so columns are {columns / rows:.0f}x as fast')
    queue, done = made.Queue(story), asyncio.Event()
    begun = time.perf_counter()
    book = await ledger.Ledger.open(folder / 'rebuilt.duckdb', queue.facts_after)
    book.watch(lambda: done.set() if book.last_seq() == len(story) else None)
    await done.wait()
    rate = len(story) / (time.perf_counter() - begun)
    print(f'rebuild from pages of {queue.limit}: {rate:,.0f} facts/s, so {3_000_000 / rate:.0f} s for a million jobs')
    await book.close()


def _by_rows(path: pathlib.Path, story: list[made.facts.AnyFact]) -> float:
    schema = pathlib.Path(recorder.__file__).with_name('schema.sql').read_text(encoding='utf-8')
    with duckdb.connect(path) as connection:
        connection.execute(schema)
        begun = time.perf_counter()
        connection.execute('BEGIN')
        for table, columns in recorder.rows(story).items():
            names, marks = ', '.join(f'"{name}"' for name in columns), ', '.join('?' for _ in columns)
            insert = f'INSERT INTO {table} ({names}) VALUES ({marks})'
            connection.executemany(insert, list(zip(*columns.values(), strict=True)))
        connection.execute('COMMIT')
        return len(story) / (time.perf_counter() - begun)


_JOBS = """
INSERT INTO jobs_ended BY NAME
SELECT
    n AS seq, round(ended, 6) AS happened_at, printf('%032x', n) AS job_id,
    CASE WHEN r1 < 0.9 THEN 'chat' ELSE 'embed' END AS kind,
    'model-' || CAST(floor(20 * r2 * r2) AS INT) AS model,
    CASE WHEN r3 < 0.7 THEN 5 ELSE CAST(floor(r3 * 50) AS INT) % 16 END AS priority,
    'user-' || CAST(floor(200 * r4 * r4) AS INT) AS "user", '' AS conversation_id,
    round(ended - wait - run, 6) AS queued_at, round(ended - run, 6) AS started_at, wait AS waited_s, run AS ran_s,
    1 AS epoch, 1 AS starts, 0 AS failures, 0 AS losses,
    'worker-' || CAST(floor(8 * r1) AS INT) AS worker, 'ollama' AS engine, 20 AS lines,
    CAST(100 * r2 AS INT) AS prompt_tokens, CAST(run * 30 AS INT) AS output_tokens,
    0.0 AS load_s, round(run * 0.1, 6) AS prompt_s,
    round(run * 0.8, 6) AS decode_s, round(run * 0.15, 6) AS first_token_s, run AS total_s, 'stop' AS done_reason,
    false AS truncated,
    CASE WHEN r3 < 0.93 THEN 'completed' WHEN r3 < 0.97 THEN 'failed' ELSE 'cancelled' END AS outcome,
    CASE WHEN r3 BETWEEN 0.93 AND 0.97 THEN 'timeout' ELSE '' END AS code, '' AS detail, '' AS trace, '' AS parent,
    'chat' AS source, '' AS schedule, '' AS runner, 500 AS body_bytes, 0.0 AS due_at, true AS resident,
    round(ended - run - 1, 6) AS predicted_from, round(ended - run + r4, 6) AS predicted_until,
    wait AS behind_s, 0.0 AS limited_s, 0.0 AS paused_s, 0.0 AS no_worker_s, 0.0 AS delayed_s, 0.0 AS blocked_s,
    0.0 AS retry_s, run AS gpu_s, round(run * 0.1, 6) AS energy_wh,
    CAST(greatest(0, ceil(ln((wait + run) / $least) / ln($ratio))) AS SMALLINT) AS response_b,
    CAST(greatest(0, ceil(ln(wait / $least) / ln($ratio))) AS SMALLINT) AS wait_b,
    CAST(greatest(0, ceil(ln(run * 0.15 / $least) / ln($ratio))) AS SMALLINT) AS first_token_b
FROM (
    SELECT range + 1 AS n, $since + range * $gap_s AS ended, random() AS r1, random() AS r2, random() AS r3,
        random() AS r4, round(exp(random() * 6 - 3), 6) AS wait, round(exp(random() * 5 - 2), 6) AS run
    FROM range($from, $until)
)
"""
_CURVES = """
INSERT INTO depth SELECT $since + range * 60, 60, '', 600 * random(), 20 FROM range($days * 1440);
INSERT INTO slots SELECT $since + range * 60, 60, '', 480, 300 FROM range($days * 1440);
"""


def generate(path: pathlib.Path, jobs: int) -> None:
    """A file with a year of so many jobs, spread evenly."""
    schema = pathlib.Path(recorder.__file__).with_name('schema.sql').read_text(encoding='utf-8')
    with duckdb.connect(path, config={'threads': 2, 'memory_limit': '1GB'}) as connection:
        connection.execute(schema + rollups.schema())
        clock = timekeeper.Timekeeper(timekeeper.State(seq=jobs)).to_bytes()
        connection.execute('INSERT INTO meta VALUES (?, ?, ?, ?)', [versions.SCHEMA_VERSION, jobs, clock, jobs])
        for first in range(0, jobs, 1_000_000):
            values = {
                'since': SINCE,
                'gap_s': DAYS * 86_400 / jobs,
                'from': first,
                'until': min(first + 1_000_000, jobs),
            }
            connection.execute(_JOBS, {**values, 'least': quantiles.LEAST_S, 'ratio': quantiles.RATIO})
        for statement in _CURVES.split(';')[:-1]:
            known = {'since': SINCE, 'days': DAYS}
            connection.execute(statement, {name: value for name, value in known.items() if f'${name}' in statement})
        connection.execute('CHECKPOINT')


async def _questions(path: pathlib.Path) -> None:
    sink = await recorder.Recorder.open(path)
    begun = time.perf_counter()
    await sink.store.roll_up()
    print(f'rolled up in {time.perf_counter() - begun:.1f} s, {os.stat(path).st_size / 1e6:,.0f} MB')
    process = psutil.Process()
    for loaded in (False, True):
        lags: list[float] = []
        feeding = asyncio.create_task(_feed(sink, lags)) if loaded else None
        print(f'with {PER_SECOND} jobs/s that end meanwhile:' if loaded else 'with nothing else going on:')
        await _ask(sink.store)
        if feeding is not None:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
            print(f'landing lag: mean {statistics.mean(lags):.2f} s, worst {max(lags):.2f} s of {len(lags)} batches')
        print(f'memory of this process: {process.memory_info().rss / 1e6:.0f} MB')
    await sink.close()


async def _feed(sink: recorder.Recorder, lags: list[float]) -> None:
    """Jobs that end now, in batches of a quarter of a second; the lag is from the first fact to the disk."""
    seq = sink.last_seq()
    while True:
        begun = time.perf_counter()
        await asyncio.sleep(0.25)
        story = made.life(PER_SECOND // 4, first_seq=seq + 1)
        assert await sink.record(story)
        seq += len(story)
        lags.append(time.perf_counter() - begun)


async def _ask(source: store.Store) -> None:
    """Each question over random ranges of several lengths; a page asks most of them at once.

    CPU is what the worst one took of all processors together: on two free ones it needs half of that time. On a machine
    that does something else, too, only that says anything.
    """
    chance = random.Random(7)
    worst = 0.0
    for name, question in QUESTIONS.items():
        times, worked = [], []
        for days in (1, 7, 30, 90, 365):
            for _ in range(4):
                until = made.T0 - chance.random() * (DAYS - days) * 86_400
                span = {'since': until - days * 86_400, 'until': until}
                begun, cpu = time.perf_counter(), time.process_time()
                await question(source, span, step_of(days * 86_400))
                times.append((time.perf_counter() - begun) * 1000)
                worked.append((time.process_time() - cpu) * 1000)
        p50, p95, work = statistics.median(times), statistics.quantiles(times, n=20)[-1], max(worked)
        worst = max(worst, p95)
        print(f'  {name:33} p50 {p50:6.1f} ms   p95 {p95:6.1f} ms   worst {max(times):6.1f} ms   CPU {work:6.1f} ms')
    begun = time.perf_counter()
    span = {'since': SINCE, 'until': made.T0}
    await asyncio.gather(*(QUESTIONS[name](source, span, step_of(DAYS * 86_400)) for name in PAGE))
    took_s = time.perf_counter() - begun
    print(f'  a page of {len(PAGE)} questions over the year: {took_s:.2f} s; worst p95 {worst:.0f} ms')


USER = Filter(users=('user-7',))
MODEL = Filter(models=('model-1',))
BOTH = Filter(users=('user-7', 'user-8'), models=('model-1',), priorities=(5,))
BROAD = {  # filters that each fit very many jobs
    'model and priority': Filter(models=('model-1',), priorities=(5,)),
    'user and model': Filter(users=('user-7',), models=('model-1',)),
    'user and priority': Filter(users=('user-7',), priorities=(5,)),
    'worker and priority': Filter(workers=('worker-1',), priorities=(5,)),
    'kind and priority': Filter(kinds=('chat',), priorities=(5,)),
    'three of them': Filter(models=('model-1',), priorities=(5,), workers=('worker-1',)),
}
QUESTIONS = {
    'summary': lambda s, span, step: queries.summary(s, **span),
    'summary of a model': lambda s, span, step: queries.summary(s, **span, only=MODEL),
    'summary of a user': lambda s, span, step: queries.summary(s, **span, only=USER),
    'summary, three filters': lambda s, span, step: queries.summary(s, **span, only=BOTH),
    'compare': lambda s, span, step: queries.compare(s, **span),
    'per_minute': lambda s, span, step: curves.per_minute(s, **span, step_s=step),
    'spread': lambda s, span, step: spread.spread(s, **span, step_s=step),
    'spread of a user': lambda s, span, step: spread.spread(s, **span, step_s=step, only=USER),
    'per_minute of a user': lambda s, span, step: curves.per_minute(s, **span, step_s=step, only=USER),
    'groups by model': lambda s, span, step: queries.groups(s, 'model', **span),
    'groups by worker': lambda s, span, step: queries.groups(s, 'worker', **span),
    'groups by user': lambda s, span, step: queries.groups(s, 'user', **span),
    'groups by priority': lambda s, span, step: queries.groups(s, 'priority', **span),
    'by_hour_of_week': lambda s, span, step: curves.by_hour_of_week(s, **span, zone='Europe/Berlin'),
    'failures': lambda s, span, step: queries.failures(s, **span),
    'queue_depth': lambda s, span, step: curves.queue_depth(s, **span, step_s=step),
    'saturation': lambda s, span, step: curves.saturation(s, **span, step_s=step),
    'eta': lambda s, span, step: curves.eta(s, **span, step_s=step),
    'misses': lambda s, span, step: misses.misses(s, **span),
    'model_speed': lambda s, span, step: curves.model_speed(s, **span, step_s=step),
    'usage': lambda s, span, step: queries.usage(s, **span),
    'usage by model': lambda s, span, step: queries.usage(s, **span, models=True),
    'waits': lambda s, span, step: queries.waits(s, **span),
    'choices': lambda s, span, step: queries.choices(s, **span),
    'users of a priority': lambda s, span, step: queries.groups(s, 'user', **span, only=Filter(priorities=(5,))),
    'models of a kind': lambda s, span, step: queries.groups(s, 'model', **span, only=Filter(kinds=('chat',))),
} | {
    f'{name} of {filters}': lambda s, span, step, ask=ask, only=only: ask(s, span, step, only)
    for filters, only in BROAD.items()
    for name, ask in {
        'summary': lambda s, span, step, only: queries.summary(s, **span, only=only),
        'users': lambda s, span, step, only: queries.groups(s, 'user', **span, only=only),
        'per_minute': lambda s, span, step, only: curves.per_minute(s, **span, step_s=step, only=only),
    }.items()
}
PAGE = (
    'compare', 'per_minute', 'spread', 'groups by model', 'groups by worker', 'groups by user', 'groups by priority',
    'by_hour_of_week', 'failures', 'queue_depth', 'saturation', 'eta', 'misses', 'model_speed', 'usage', 'waits',
)  # fmt: skip


if __name__ == '__main__':
    numbers = [int(text) for text in sys.argv[1:3]]
    asyncio.run(
        main(
            numbers[0] if numbers else 100_000,
            numbers[1] if len(numbers) > 1 else 10_000_000,
            pathlib.Path(sys.argv[3]) if len(sys.argv) > 3 else None,
        )
    )
