"""How fast facts land in the analytics file: ``python -m tests.bench.bench_analytics [facts]``. Read the ratio."""

import asyncio
import pathlib
import sys
import tempfile
import time

import duckdb

from analytics import ledger, queries, recorder
from tests.analytics import made

BATCH = 1000


async def main(count: int) -> None:
    """Record ``count`` facts by columns, a few by rows, and ask the page's questions."""
    story = made.life(count // 3)
    with tempfile.TemporaryDirectory() as folder:
        sink = await recorder.Recorder.open(pathlib.Path(folder) / 'analytics.duckdb')
        begun = time.perf_counter()
        for n in range(0, len(story), BATCH):
            assert await sink.record(story[n : n + BATCH])
        columns = len(story) / (time.perf_counter() - begun)
        print(f'columns, {BATCH} facts per transaction: {columns:,.0f} facts/s ({len(story):,} facts)')
        rows = _by_rows(pathlib.Path(folder) / 'rows.duckdb', story[:3000])
        print(f'executemany: {rows:,.0f} facts/s, so columns are {columns / rows:.0f}x as fast')
        span = {'since': made.T0, 'until': made.T0 + len(story)}
        for question in (queries.summary, queries.per_minute, queries.by_model):
            begun = time.perf_counter()
            await question(sink.store, **span)
            print(f'{question.__name__}: {(time.perf_counter() - begun) * 1000:.1f} ms over {len(story) // 3:,} jobs')
        await sink.close()
        await _rebuild(pathlib.Path(folder) / 'rebuilt.duckdb', story)


async def _rebuild(path: pathlib.Path, story: list[made.facts.AnyFact]) -> None:
    queue, done = made.Queue(story), asyncio.Event()
    begun = time.perf_counter()
    book = await ledger.Ledger.open(path, queue.facts_after)
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


if __name__ == '__main__':
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000))
