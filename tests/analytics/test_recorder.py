"""Every fact becomes exactly one row."""

import asyncio
import subprocess
import sys
import typing

import pytest

from analytics import errors, recorder
from broker import facts
from tests.analytics import made


async def totals(sink):
    """Rows and different seqs over all tables, and the rows by outcome."""
    union = ' UNION ALL '.join(f'SELECT seq FROM {table}' for table in sorted(set(recorder.TABLES.values())))
    [(rows, seqs)] = await sink.store.read(f'SELECT count(*), count(DISTINCT seq) FROM ({union})')
    ends = await sink.store.read('SELECT outcome, count(*) FROM jobs_ended GROUP BY 1 ORDER BY 1')
    return rows, seqs, ends


async def test_every_kind_of_fact_becomes_one_row_with_all_that_it_says(opened):
    story = made.one_of_each()
    assert {type(fact) for fact in story} == set(typing.get_args(facts.AnyFact))
    assert await opened.record(story)
    assert (await totals(opened))[:2] == (len(story), len(story))
    [row] = await opened.store.read(
        'SELECT happened_at, outcome, code, waited_s, output_tokens, first_token_s FROM jobs_ended WHERE seq = 10'
    )
    assert row == (made.T0, 'failed', 'boom', 1.0, 20, 0.25)
    assert await opened.store.read('SELECT models FROM worker_joins') == [('m, m',)]
    assert await opened.store.read('SELECT reason, failures FROM requeues') == [('retry', 1)]


async def test_the_same_facts_again_change_nothing(opened):
    story = made.life(50)
    await opened.record(story[:100])
    await opened.record(story[60:])
    await opened.record(story)
    assert opened.last_seq() == 150
    assert (await totals(opened))[:2] == (150, 150)


async def test_facts_out_of_order_inside_what_is_known_are_ignored_and_a_repeat_in_one_batch_too(opened):
    story = made.life(2)
    await opened.record([story[0], story[0], story[1], story[0], story[2]])
    assert (await totals(opened))[:2] == (3, 3)


async def test_the_same_facts_from_two_sides_at_once_are_recorded_once(opened):
    story = made.life(100)
    await asyncio.gather(*(opened.record(story) for _ in range(5)), return_exceptions=True)
    assert (await totals(opened))[:2] == (300, 300)


async def test_a_cancelled_recording_is_done_or_not_but_never_twice(opened):
    story = made.life(1000)
    for end in range(100, 3001, 100):
        task = asyncio.create_task(opened.record(story[:end]))
        await opened.store.read('SELECT 1')
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await opened.record(story)
    assert (await totals(opened))[:2] == (3000, 3000)


async def test_a_gap_is_refused_and_nothing_of_the_batch_is_recorded(opened):
    story = made.life(4)
    await opened.record(story[:3])
    with pytest.raises(errors.Gap, match='expected the fact with seq 4, got 5'):
        await opened.record(story[4:])
    with pytest.raises(errors.Gap):
        await opened.record([story[3], story[5]])
    assert opened.last_seq() == 3
    assert (await totals(opened))[:2] == (3, 3)


async def test_a_restart_in_the_middle_goes_on_where_it_was(path):
    story = made.life(40)
    for end in (10, 11, 75, 120):
        sink = await recorder.Recorder.open(path)
        await sink.record(story[sink.last_seq() : end])
        await sink.close()
    sink = await recorder.Recorder.open(path)
    assert sink.last_seq() == 120
    assert await totals(sink) == (120, 120, [('cancelled', 10), ('completed', 20), ('failed', 10)])
    await sink.close()


async def test_a_kill_between_batches_loses_nothing_and_doubles_nothing(path):
    story = made.life(400)
    for _ in range(3):
        sink = await recorder.Recorder.open(path)
        start = sink.last_seq()
        await sink.close()
        _record_and_die(path, start, start + 250)
    sink = await recorder.Recorder.open(path)
    assert sink.last_seq() == 750
    assert sink.store.rebuilds == 0
    await sink.record(story)
    assert (await totals(sink))[:2] == (1200, 1200)
    await sink.close()


async def test_numbers_that_no_engine_should_say_do_not_stop_the_others(opened):
    usage = facts.Usage(output_tokens=2**64 - 1, decode_s=float('inf'), first_token_s=float('nan'))
    assert await opened.record([made.completed(1, usage=usage), made.completed(2)])
    assert await opened.store.read('SELECT output_tokens, decode_s FROM jobs_ended WHERE seq = 1') == [(2**63 - 1, 0.0)]


async def test_texts_of_any_kind_come_back_as_they_were(opened):
    text = 'a\x00\'"; DROP TABLE jobs_ended; -- 中文 🙂'
    await opened.record([made.died(1, detail=text)])
    assert await opened.store.read('SELECT detail FROM jobs_ended') == [(text,)]


def _record_and_die(path, start, end):
    """Another process records these facts, one batch of 50 after the other, and is gone without closing."""
    code = f"""
import asyncio, os, pathlib
from analytics import recorder
from tests.analytics import made
async def main():
    sink = await recorder.Recorder.open(pathlib.Path({str(path)!r}))
    story = made.life(400)[{start}:{end}]
    for n in range(0, len(story), 50):
        await sink.record(story[n:n + 50])
    os._exit(9)
asyncio.run(main())
"""
    assert subprocess.run([sys.executable, '-c', code], check=False).returncode == 9
