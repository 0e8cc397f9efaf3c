"""What Prometheus reads: right, and never more series than there are models and kinds."""

import re

import pytest

from app.api.own import meters
from app.api.own.meters import Meters
from app.board import Board
from broker import facts
from tests.app import news as n
from tests.app.news import News


class Desk:
    """Meters over a board, fed alike."""

    def __init__(self) -> None:
        self.board, self.news = Board(), News()
        self.meters = Meters(self.board)
        self.say(self.news.joined(models=(n.model('m'),), slots=3))

    def say(self, *items):
        for item in items:
            self.board.apply(item, self.news.now)
            self.meters.learn(item.fact)

    def series(self):
        """Every sample of ours by its name with labels."""
        text = self.meters.text('')[1].decode()
        found = re.findall(r'^(corral_\S+(?:\{.*?\})?) (\S+)$', text, re.MULTILINE)
        return {name: float(value) for name, value in found}


@pytest.fixture
def seen():
    return Desk()


def test_jobs_are_counted_by_outcome_kind_and_model(seen):
    usage = facts.Usage(prompt_tokens=7, output_tokens=11, first_token_s=0.2)
    seen.say(seen.news.queued('a'), seen.news.queued('b', kind='embed'), seen.news.queued('c'))
    seen.say(seen.news.completed('a', 1, usage=usage, started_at=5.0, waited_s=3.0, ran_s=4.0))
    seen.say(seen.news.cancelled('b', kind='embed'), seen.news.died('c', code='idle_timeout'))
    found = seen.series()
    assert found['corral_jobs_queued_total{kind="chat"}'] == 2
    for outcome, kind in (('completed', 'chat'), ('cancelled', 'embed'), ('dead', 'chat')):
        assert found[f'corral_jobs_total{{kind="{kind}",model="m",outcome="{outcome}"}}'] == 1
    assert found['corral_tokens_total{direction="prompt",model="m"}'] == 7
    assert found['corral_tokens_total{direction="output",model="m"}'] == 11
    assert found['corral_job_wait_seconds_sum{kind="chat"}'] >= 3
    assert found['corral_job_run_seconds_bucket{kind="chat",le="2.5"}'] == 0
    assert found['corral_job_run_seconds_bucket{kind="chat",le="5.0"}'] == 1
    assert found['corral_first_token_seconds_sum{kind="chat"}'] == 0.2
    assert found['corral_attempts_failed_total{code="idle_timeout",retried="no"}'] == 1


def test_gauges_tell_what_is_now(seen):
    seen.meters.version = '1.2'
    seen.meters.recorded = lambda: 1
    seen.say(seen.news.queued('a', priority=9), seen.news.queued('b'), seen.news.queued('c'))
    seen.say(seen.news.started('c'))
    found = seen.series()
    assert (found['corral_jobs_waiting'], found['corral_jobs_running']) == (2, 1)
    assert (found['corral_workers'], found['corral_slots'], found['corral_broker_up']) == (1, 3, 1)
    assert found['corral_queue_jobs{priority="9"}'] == found['corral_queue_jobs{priority="5"}'] == 1
    assert found['corral_facts_lag'] == seen.board.seq - 1
    assert found['corral_info{version="1.2"}'] == 1
    seen.board.tick(seen.news.now + 60)
    assert seen.series()['corral_broker_up'] == 0


def test_names_that_somebody_makes_up_make_no_series(seen):
    for number in range(50):
        seen.say(seen.news.queued(f'j{number}', model=f'made up {number}', user=f'u{number}'))
        seen.say(seen.news.died(f'j{number}', model=f'made up {number}', user=f'u{number}', code=f'code {number}'))
    found = seen.series()
    assert found['corral_jobs_total{kind="chat",model="other",outcome="dead"}'] == 50
    assert found['corral_attempts_failed_total{code="other",retried="no"}'] == 50
    assert not [name for name in found if 'made up' in name or 'u1' in name or 'j1' in name]


def test_models_beyond_the_limit_are_counted_together(seen, monkeypatch):
    monkeypatch.setattr(meters, 'MAX_MODELS', 2)
    seen.say(seen.news.joined('w:2', models=tuple(n.model(f'm{number}') for number in range(5))))
    for number in range(5):
        seen.say(
            seen.news.queued(f'j{number}', model=f'm{number}'), seen.news.completed(f'j{number}', 1, model=f'm{number}')
        )
    ended = [name for name in seen.series() if name.startswith('corral_jobs_total')]
    assert len(ended) == 3


def test_every_metric_is_explained_and_has_a_good_name(seen):
    seen.say(seen.news.queued('a'), seen.news.completed('a', 1))
    text = seen.meters.text('')[1].decode()
    helped = dict(re.findall(r'^# HELP (corral\S*) (.+)$', text, re.MULTILINE))
    kinds = dict(re.findall(r'^# TYPE (corral\S*) (\w+)$', text, re.MULTILINE))
    assert helped.keys() == kinds.keys() and len(kinds) > 12
    for name, kind in kinds.items():
        assert name.endswith('_total') == (kind == 'counter'), name
        assert (kind == 'histogram') <= name.endswith('_seconds'), name


@pytest.mark.whole
def test_the_desk_serves_both_formats(http, ask):
    ask()
    plain = http.get('/metrics')
    assert plain.headers['content-type'].startswith('text/plain') and 'corral_broker_up 1.0' in plain.text
    assert plain.headers['cache-control'] == 'no-store'
    assert 'outcome="completed"' in plain.text and 'process_resident_memory_bytes' in plain.text
    accept = {'Accept': 'application/openmetrics-text; version=1.0.0'}
    metrics = http.get('/metrics', headers=accept)
    assert metrics.headers['content-type'].startswith('application/openmetrics-text')
    assert metrics.text.endswith('# EOF\n')
