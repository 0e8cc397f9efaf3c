"""How commands say where a job stands, and how many there are."""

import pytest

from app.commands.views import counted, fact_text, why_waiting
from broker.protocol import Place
from tests.app.news import T0, News


@pytest.mark.parametrize(
    ('where', 'said'),
    [
        ({'ahead': 0}, 'it is next'),
        ({'ahead': 1}, '1 goes first'),
        ({'ahead': 2, 'earliest_at': T0 + 4, 'latest_at': T0 + 75}, '2 go first, starts in about 4.0 s to 1 min 15 s'),
        ({'ahead': 0, 'earliest_at': T0 - 1, 'latest_at': T0 + 3}, 'it is next, starts within 3.0 s'),
        ({'ahead': 3, 'earliest_at': T0 - 9, 'latest_at': T0 - 1}, '3 go first'),
        ({'ahead': 0, 'reason': 'paused'}, 'it is paused'),
        ({'ahead': 0, 'reason': 'limited'}, 'a limit holds it back'),
        ({'ahead': 0, 'reason': 'no_worker'}, 'no worker is there'),
        ({'ahead': 0, 'reason': 'no_worker', 'hint': 'pull_model'}, 'no machine has this model'),
    ],
)
def test_where_a_job_stands_is_said_with_the_times_that_are_still_to_come(where, said):
    assert why_waiting(Place(job_id='a', **where), T0) == said


def test_one_is_not_many():
    assert [counted(number, 'job is', 'jobs are') for number in (0, 1, 2)] == ['0 jobs are', '1 job is', '2 jobs are']
    news = News()
    assert fact_text(news.queued('a', blocked_by=1).fact) == 'queued, waits for 1 other job'
    assert fact_text(news.queued('b', blocked_by=2).fact) == 'queued, waits for 2 other jobs'
