"""What Prometheus reads: right, and never more series than there are models and kinds."""

import json
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

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


ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture
def seen():
    return Desk()


def fill(seen):
    """One of everything that makes a series."""
    seen.meters.version, seen.meters.recorded = '1.2', lambda: 1
    usage = facts.Usage(prompt_tokens=7, output_tokens=11, first_token_s=0.2)
    seen.say(seen.news.queued('a'), seen.news.started('a'), seen.news.completed('a', 1, usage=usage, started_at=5.0))
    seen.say(seen.news.queued('b'), seen.news.died('b', code='idle_timeout'), seen.news.queued('c'))
    seen.meters.deliveries.labels('delivered').inc()


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
    assert found['corral_job_response_seconds_count{kind="chat"}'] == 1
    assert found['corral_first_token_seconds_sum{kind="chat"}'] == 0.2
    assert found['corral_attempts_failed_total{code="idle_timeout",retried="no"}'] == 1


def test_what_has_not_happened_yet_is_zero_where_its_names_are_known(seen):
    found = seen.series()
    for outcome in ('delivered', 'retried', 'failed'):
        assert found[f'corral_webhook_deliveries_total{{outcome="{outcome}"}}'] == 0
    for outcome in ('held', 'early', 'late'):
        assert found[f'corral_wait_predictions_total{{outcome="{outcome}"}}'] == 0


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


def test_starts_are_counted_by_whether_the_prediction_held(seen):
    for job_id, since, until in (('a', 0.0, 1e12), ('b', 1e11, 1e12), ('c', 0.5, 1.0), ('d', 0.0, 0.0)):
        seen.say(seen.news.queued(job_id), seen.news.started(job_id, predicted_from=since, predicted_until=until))
    told = {name: value for name, value in seen.series().items() if name.startswith('corral_wait_predictions')}
    assert told == {f'corral_wait_predictions_total{{outcome="{how}"}}': 1 for how in ('held', 'early', 'late')}


def test_the_page_is_as_prometheus_wants_it(seen):
    fill(seen)
    for family in text_string_to_metric_families(seen.meters.text('')[1].decode()):
        assert family.documentation and family.type != 'unknown', family.name
        samples = [(sample.name, tuple(sorted(sample.labels.items()))) for sample in family.samples]
        assert len(samples) == len(set(samples)), f'{family.name} has the same series twice'
        if not family.name.startswith('corral'):
            continue
        assert family.documentation.endswith('.') and family.documentation != family.name
        assert re.fullmatch(r'[a-z][a-z0-9]*(_[a-z0-9]+)*', family.name), family.name
        assert not re.search(
            r'_(milliseconds|ms|minutes|hours|kilobytes|mb|percent|gauge|counter|histogram)$', family.name
        )
        for name, labels in samples:
            assert name.endswith('_total') == (family.type == 'counter'), name
            assert not {'job', 'instance', 'job_id', 'user'} & {label for label, _ in labels}, name
            assert len(labels) <= 4, name
        if family.type == 'histogram':
            assert family.name.endswith('_seconds'), family.name
            check_buckets(family)


def check_buckets(family):
    rows: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}
    for sample in family.samples:
        if sample.name.endswith('_bucket'):
            labels = tuple(sorted((name, value) for name, value in sample.labels.items() if name != 'le'))
            rows.setdefault(labels, []).append((float(sample.labels['le']), sample.value))
    assert rows, family.name
    for row in rows.values():
        assert [edge for edge, _ in row] == sorted(edge for edge, _ in row) and row[-1][0] == float('inf')
        assert [count for _, count in row] == sorted(count for _, count in row)


def test_the_dashboard_for_grafana_asks_for_series_and_labels_that_there_are(seen):
    fill(seen)
    labels: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(seen.meters.text('')[1].decode()):
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
    dashboard = json.loads((ROOT / 'docs' / 'grafana.json').read_text())
    panels = [panel for panel in dashboard['panels'] if panel['type'] != 'row']
    asked = [target['expr'] for panel in panels for target in panel['targets']]
    used: set[str] = set()
    for query in asked:
        names = set(re.findall(r'\b(?:corral|process|python)_\w+', query))
        assert names and names <= labels.keys(), f'{query}: there is no {names - labels.keys()}'
        wanted = set(re.findall(r'\bby \(([^)]*)\)', query)) | set(re.findall(r'\{(\w+)[=!]', query))
        wanted = {label.strip() for group in wanted for label in group.split(',')} - {'job', 'instance'}
        assert wanted <= set().union(*(labels[name] for name in names)), query
        for name in names:
            assert bool(re.search(rf'(rate|increase)\({name}', query)) == name.endswith(('_total', '_bucket')), query
        used |= {re.sub(r'_(bucket|sum|count)$', '', name) for name in names}
    ours = {re.sub(r'_(bucket|sum|count)$', '', name) for name in labels if name.startswith('corral')}
    assert ours - used <= {'corral_info', 'corral_facts_seq'}, 'the dashboard does not show these'
    assert len({panel['id'] for panel in dashboard['panels']}) == len(dashboard['panels'])
    assert all(panel['title'] and panel['datasource']['uid'] == '${datasource}' for panel in panels)
    assert all(panel['gridPos']['x'] + panel['gridPos']['w'] <= 24 for panel in dashboard['panels'])


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
