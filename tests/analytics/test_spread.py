"""Medians and 95 % over time, worked out by hand."""

import pytest

from analytics import spread
from analytics.answers import Filter
from tests.analytics.made import T0, cancelled, completed

JOBS = [(10, 1.0), (20, 3.0), (30, 2.0), (130, 9.0)]  # ended so long after T0, and waited so long


@pytest.fixture
async def source(opened):
    batch = [
        completed(n, T0 + at, f'j{n}', queued_at=T0 + at - 2 * wait, waited_s=wait)
        for n, (at, wait) in enumerate(JOBS, 1)
    ]
    batch.append(cancelled(5, T0 + 40, 'j5', queued_at=T0, started_at=0.0, starts=0, waited_s=40.0, model='other'))
    await opened.record(batch)
    return opened.store


@pytest.mark.parametrize('exact', [10, 0])
async def test_each_step_has_the_median_and_the_95_percent_of_its_jobs(source, monkeypatch, exact):
    monkeypatch.setattr(spread, 'EXACT', exact)
    steps = await spread.spread(source, since=T0, until=T0 + 180, step_s=60.0)
    assert [step.at for step in steps] == [T0, T0 + 60, T0 + 120]
    assert steps[0].p50_wait_s == pytest.approx(2.0, rel=0.04)
    assert steps[0].p50_response_s == pytest.approx(4.0, rel=0.04)
    assert steps[2].p95_wait_s == pytest.approx(9.0, rel=0.04)
    assert steps[0].p50_first_token_s == pytest.approx(0.25, rel=0.04)
    assert steps[1] == spread.Spread(at=T0 + 60)


async def test_a_job_that_never_started_counts_nowhere_and_filters_hold(source):
    [step] = await spread.spread(source, since=T0, until=T0 + 60, step_s=60.0)
    assert step.p95_wait_s == pytest.approx(2.9)
    [none] = await spread.spread(source, since=T0, until=T0 + 60, step_s=60.0, only=Filter(models=('other',)))
    assert none.p95_wait_s is None and none.p50_response_s is None
