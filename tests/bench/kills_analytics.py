"""Fifty random kills of the desk and the broker: ``python -m tests.bench.kills_analytics [kills] [seed]``.

Jobs go on all the while. At the end DuckDB has to count exactly what the queue did.
"""

import asyncio
import pathlib
import random
import sys
import tempfile
import time

from broker import client, errors
from tests import conftest
from tests.whole import test_analytics_totals as totals

JOBS = 12  # for each kill


async def main(kills: int, seed: int) -> None:
    """Kill, submit, and compare."""
    chance = random.Random(seed)
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, conftest.starter(pathlib.Path(folder)) as start:
        desk = start('--engine', 'demo')
        async with totals.connect(desk) as broker:
            for _ in range(kills):
                name = chance.choice(('app', 'broker'))
                submitting = asyncio.create_task(_submit(broker))
                await asyncio.sleep(chance.random() * 0.5)
                old = desk.kill(name)
                await submitting
                await asyncio.to_thread(desk.wait_restarted, name, old, 60)
                print(name, end=' ', flush=True)
            await asyncio.to_thread(conftest.wait_for, lambda: totals.healthy(desk), 60, 'the desk is back')
            story = await totals.all_facts(broker, kills * JOBS)
        assert desk.stop() == 0
        await totals.check(desk, story)
        broken = list(desk.data_dir.glob('analytics.duckdb.broken-*'))
    print(
        f'\n{kills} kills, {kills * JOBS} jobs, {len(story)} facts in {time.perf_counter() - begun:.0f} s: all equal;'
    )
    print(f'the file was set aside and rebuilt {len(broken)} times; seed {seed}')


async def _submit(broker: client.BrokerClient) -> None:
    """Jobs, each exactly once; where the broker is just not there, again."""
    for request in totals.requests(JOBS):
        while True:
            try:
                await broker.submit(request)
                break
            except (errors.BrokerError, TimeoutError):
                await asyncio.sleep(0.1)


if __name__ == '__main__':
    numbers = [int(text) for text in sys.argv[1:3]]
    asyncio.run(main(numbers[0] if numbers else 50, numbers[1] if len(numbers) > 1 else 1))
