"""The numbers, worked out by hand."""

import pytest

from analytics import answers, curves, errors, queries, store
from broker import facts
from tests.analytics import made

T0 = made.T0
assert T0 % 7200 == 0, 'the tests below count on steps that begin at T0'


@pytest.fixture
async def told(opened):
    """Six ends: four in the first minute of the range, none in the second, two in the third.

    Response times 2, 4, 6, 8 s of the completed ones; waits 1, 1, 2, 5 and 3 s of the five that started.
    """

    def usage(first_token_s=0.0, tokens=0, decode_s=0.0):
        return facts.Usage(first_token_s=first_token_s, output_tokens=tokens, decode_s=decode_s)

    def times(at, response_s, wait_s):
        ran_s = response_s - wait_s
        return {'queued_at': at - response_s, 'started_at': at - ran_s, 'waited_s': wait_s, 'ran_s': ran_s}

    never = {'queued_at': T0 + 20, 'started_at': 0, 'waited_s': 20.0, 'starts': 0, 'worker': '', 'usage': usage()}
    await opened.record([
        made.queued(1, T0),
        made.completed(2, T0, 'a', model='m', usage=usage(0.2, 100, 2.0), **times(T0, 2, 1)),
        made.completed(3, T0 + 10, 'b', model='m', usage=usage(0.4, 50, 1.0), **times(T0 + 10, 4, 1)),
        made.died(4, T0 + 30, 'c', model='n', usage=usage(), **times(T0 + 30, 7, 2)),
        made.cancelled(5, T0 + 40, 'd', model='n', **never),
        made.completed(6, T0 + 120, 'e', model='m', usage=usage(0.6, 30, 1.0), **times(T0 + 120, 6, 5)),
        made.completed(7, T0 + 149, 'f', model='n', usage=usage(0.8, 20, 0.0), **times(T0 + 149, 8, 3)),
    ])  # fmt: skip
    return opened.store


async def test_the_summary_counts_outcomes_and_means(told):
    found = await queries.summary(told, since=T0, until=T0 + 150)
    assert (found.total, found.completed, found.failed, found.cancelled) == (6, 4, 1, 1)
    assert found.success_rate == 4 / 5  # the cancelled one is neither
    assert found.mean_response_s == pytest.approx((2 + 4 + 6 + 8) / 4)
    assert found.p50_response_s == pytest.approx(5.0)
    assert found.p95_response_s == pytest.approx(6 + 0.85 * 2)  # at rank 2.85 of 0…3
    assert found.mean_wait_s == pytest.approx((1 + 1 + 2 + 5 + 3) / 5)  # not the one that never started
    assert found.per_minute_now == 4 / 5  # four completed in the last five minutes


async def test_a_range_has_its_beginning_and_not_its_end(told):
    found = await queries.summary(told, since=T0 + 10, until=T0 + 120)
    assert (found.total, found.completed, found.failed, found.cancelled) == (3, 1, 1, 1)


async def test_throughput_now_forgets_what_is_older_than_five_minutes(told):
    found = await queries.summary(told, since=T0, until=T0 + 120 + 300)
    assert found.per_minute_now == 2 / 5
    assert (await queries.summary(told, since=T0, until=T0 + 3600)).per_minute_now == 0


async def test_the_series_has_every_minute_and_rates_by_outcome(told):
    first, second, third = await curves.per_minute(told, since=T0, until=T0 + 150)
    assert [point.at for point in (first, second, third)] == [T0, T0 + 60, T0 + 120]
    assert (first.completed, first.failed, first.cancelled) == (2, 1, 1)
    assert first.mean_wait_s == pytest.approx((1 + 1 + 2) / 3)
    assert first.mean_first_token_s == pytest.approx(0.3)  # unknown ones do not count
    assert first.mean_response_s == pytest.approx(3)
    assert first.output_tokens == 150
    empty = {'completed': 0, 'failed': 0, 'cancelled': 0, 'output_tokens': 0}
    unknown = {'mean_wait_s': None, 'mean_first_token_s': None, 'mean_response_s': None}
    assert second == answers.Point(at=T0 + 60, **empty, **unknown)
    assert (third.completed, third.mean_first_token_s, third.output_tokens) == (2, pytest.approx(0.7), 50)


async def test_longer_steps_give_rates_per_minute_of_the_time_that_has_passed(told):
    [hour] = await curves.per_minute(told, since=T0 + 5, until=T0 + 150, step_s=3600)
    assert hour.at == T0  # the step that contains the beginning, from its own beginning
    assert hour.completed == pytest.approx(4 / 2.5)
    whole, begun = await curves.per_minute(told, since=T0, until=T0 + 3601, step_s=3600)
    assert whole.completed == pytest.approx(4 / 60)
    assert (begun.at, begun.completed) == (T0 + 3600, 0)


async def test_models_are_told_apart_the_busiest_first(told):
    m, n = await queries.by_model(told, since=T0, until=T0 + 150)
    assert (m.model, m.total, m.completed, m.failed, m.cancelled) == ('m', 3, 3, 0, 0)
    assert m.mean_response_s == pytest.approx(4)
    assert m.mean_wait_s == pytest.approx(7 / 3)
    assert m.output_tokens == 180
    assert m.tokens_per_s == pytest.approx(180 / 4)
    assert (n.model, n.total, n.completed, n.failed, n.cancelled) == ('n', 3, 1, 1, 1)
    assert n.mean_wait_s == pytest.approx(2.5)
    assert (n.output_tokens, n.tokens_per_s) == (20, None)  # no decode time known


async def test_priorities_are_told_apart_the_highest_first(told):
    found = await queries.by_priority(told, since=T0, until=T0 + 150)
    assert [each.priority for each in found] == sorted({each.priority for each in found}, reverse=True)
    assert sum(each.total for each in found) == 6 and sum(each.completed for each in found) == 4
    assert sum(each.failed for each in found) == 1 and sum(each.cancelled for each in found) == 1
    assert all(each.mean_wait_s is not None and each.mean_run_s is not None for each in found)


async def test_an_empty_file_answers_with_zeros_and_unknowns(opened):
    found = await queries.summary(opened.store, since=T0, until=T0 + 900)
    assert found == answers.Summary(
        total=0, completed=0, failed=0, cancelled=0, success_rate=None, mean_response_s=None, p50_response_s=None,
        p95_response_s=None, mean_wait_s=None, per_minute_now=0,
    )  # fmt: skip
    points = await curves.per_minute(opened.store, since=T0, until=T0 + 900)
    assert len(points) == 15
    assert not any(point.completed or point.mean_wait_s is not None for point in points)
    assert await queries.by_model(opened.store, since=T0, until=T0 + 900) == []


async def test_a_closed_store_says_so(path):
    closed = await store.Store.open(path)
    await closed.close()
    with pytest.raises(errors.Unavailable, match='closed'):
        await queries.summary(closed, since=T0, until=T0 + 1)


async def test_the_runs_of_a_range_come_as_they_could_start_and_the_last_where_there_are_too_many(told):
    found = await queries.runs(told, since=T0 + 1, until=T0 + 149, limit=10)
    assert [run.ready_at - T0 for run in found] == pytest.approx([6, 23, 114])  # the cancelled one never ran
    assert [run.waited_s for run in found] == pytest.approx([1, 2, 5])
    assert [run.model for run in found] == ['m', 'n', 'm']
    assert await queries.runs(told, since=T0 + 1, until=T0 + 149, limit=2) == found[1:]
