"""A statement nobody waits for any more does not go on."""

import asyncio
import time

import pytest


async def test_a_statement_whose_asker_is_gone_stops_long_before_its_time_limit(opened):
    slow = 'SELECT count(*) FROM range(1000000000000) a WHERE a.range % 7 = 3'
    asked = asyncio.ensure_future(opened.store.query(slow, limit_rows=10, limit_bytes=1000, timeout_s=60.0))
    await asyncio.sleep(0.1)  # it has begun; that is no condition one could wait for
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    begun = time.monotonic()
    quick = await opened.store.query('SELECT 1', limit_rows=10, limit_bytes=1000, timeout_s=60.0)
    assert quick.rows == [(1,)]
    assert time.monotonic() - begun < 20, 'it waited for the one that was given up'
