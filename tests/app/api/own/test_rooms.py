"""Batches, schedules, workers, pauses, models and statistics through our own API, against the running desk."""

import json
import time
from datetime import UTC, datetime

import pytest

from tests.app.api.own.conftest import problem
from tests.conftest import wait_for

pytestmark = pytest.mark.whole
NOBODY = '0' * 32


def prompts(*texts, **fields):
    return [{'model': 'qwen3', 'prompt': text} | fields for text in texts]


def test_a_batch_with_its_jobs_goes_through_and_gives_results_in_order(http):
    reply = http.post('/api/batches', json={'name': 'three', 'user': 'bea', 'jobs': prompts('a', 'b', 'c')})
    batch = reply.json()
    assert reply.status_code == 202 and reply.headers['location'] == f'/api/batches/{batch["batch_id"]}'
    assert batch['total'] == 3 and [item['error'] for item in batch['items']] == [None] * 3
    lines = http.get(f'/api/batches/{batch["batch_id"]}/results').text.splitlines()
    found = [json.loads(line) for line in lines]
    assert [each['job']['id'] for each in found] == [item['id'] for item in batch['items']]
    assert all(each['result']['complete'] and 'Markdown' in each['result']['text'] for each in found)
    assert all(each['job']['batch'] == batch['batch_id'] and each['job']['user'] == 'bea' for each in found)
    over = http.get(f'/api/batches/{batch["batch_id"]}').json()
    assert over['completed'] == 3 and over['ended_at'] > 0
    listed = http.get('/api/batches', params={'user': 'bea'}).json()['batches']
    assert [each['batch_id'] for each in listed] == [batch['batch_id']]


def test_a_batch_is_filled_little_by_little_and_cancelled(http, paused):
    batch_id = http.post('/api/batches', json={'total': 3}).json()['batch_id']
    first = http.post(f'/api/batches/{batch_id}/jobs', json={'jobs': prompts('a', 'b')}).json()
    assert first['submitted'] == 2 and len(first['items']) == 2
    assert http.get(f'/api/batches/{batch_id}/results', params={'wait': False}).text == ''
    chained = prompts('c', after=[NOBODY])
    item = http.post(f'/api/batches/{batch_id}/jobs', json={'jobs': chained}).json()['items'][0]
    assert item['error']['code'] == 'unknown_job' and not item['duplicate']
    assert http.post(f'/api/batches/{batch_id}/cancel').json()['cancelled'] == 2
    assert http.delete(f'/api/batches/{batch_id}').json()['ended_at'] > 0
    results = http.get(f'/api/batches/{batch_id}/results', params={'wait': False}).text.splitlines()
    assert [json.loads(line)['job']['state'] for line in results] == ['cancelled'] * 2
    refused = http.post(f'/api/batches/{batch_id}/jobs', json={'jobs': prompts('d')}).json()['items'][0]
    assert refused['error']['code'] == 'bad_batch'


@pytest.mark.parametrize(
    'body',
    [{}, {'total': 0}, {'jobs': []}, {'total': 1, 'jobs': [{}, {}]}, {'jobs': [{'model': 'm'}]}, {'jobs': [3]}],
)
def test_what_is_no_batch_is_refused(http, body):
    assert problem(http.post('/api/batches', json=body)) == (422, 'invalid')


@pytest.mark.parametrize(('method', 'path'), [('GET', ''), ('DELETE', ''), ('GET', '/results'), ('POST', '/cancel')])
def test_an_unknown_batch_is_not_found(http, method, path):
    assert problem(http.request(method, f'/api/batches/{NOBODY}{path}')) == (404, 'not_found')
    assert problem(http.post(f'/api/batches/{NOBODY}/jobs', json={'jobs': prompts('x')})) == (404, 'not_found')


NEWS = {'name': 'news', 'cron': '0 7 * * *', 'timezone': 'Asia/Shanghai', 'model': 'qwen3', 'prompt': 'News?'}


def test_a_schedule_is_made_shown_switched_replaced_and_removed(http):
    made = http.put('/api/schedules/own-news', json=NEWS | {'priority': 'low', 'user': 'cy'}).json()
    assert made['id'] == 'own-news' and made['priority'] == 1 and made['model'] == 'qwen3:latest'
    assert made['body'] == {'model': 'qwen3:latest', 'prompt': 'News?'} and len(made['next_runs']) == 3
    assert {datetime.fromtimestamp(at, UTC).hour for at in made['next_runs']} == {23}  # 7 in Shanghai
    off = http.patch('/api/schedules/own-news', json={'enabled': False}).json()
    assert not off['enabled'] and off['name'] == 'news' and off['user'] == 'cy'
    http.put('/api/schedules/own-news', json=NEWS | {'cron': '*/5 * * * *', 'missed': 'once'})
    again = http.get('/api/schedules/own-news', params={'runs': 5}).json()
    assert again['enabled'] and again['missed'] == 'once' and len(again['next_runs']) == 5
    other = http.post('/api/schedules', json=NEWS)
    assert other.status_code == 201 and other.headers['location'].endswith(other.json()['id'])
    page = http.get('/api/schedules', params={'limit': 1}).json()
    rest = http.get('/api/schedules', params={'cursor': page['next_cursor']}).json()
    assert {each['id'] for each in page['schedules'] + rest['schedules']} == {'own-news', other.json()['id']}
    for schedule_id in ('own-news', other.json()['id']):
        assert http.delete(f'/api/schedules/{schedule_id}').status_code == 204
    assert http.get('/api/schedules').json() == {'schedules': [], 'next_cursor': None}


@pytest.mark.parametrize(
    'wrong', [{'cron': 'every day'}, {'timezone': 'Mars/Base'}, {'cron': '61 * * * *'}, {'prompt': None}, {'after': []}]
)
def test_a_schedule_that_cannot_be_is_refused(http, wrong):
    assert problem(http.put('/api/schedules/wrong', json=NEWS | wrong)) == (422, 'invalid')


def test_an_unknown_schedule_is_not_found(http):
    assert problem(http.get('/api/schedules/none')) == (404, 'not_found')
    assert problem(http.patch('/api/schedules/none', json={'enabled': True})) == (404, 'not_found')
    assert problem(http.delete('/api/schedules/none')) == (404, 'not_found')
    assert problem(http.put('/api/schedules/a b', json=NEWS)) == (422, 'invalid')


def test_workers_are_told_paused_drained_and_resumed(http):
    (worker,) = http.get('/api/workers').json()['workers']
    name = worker['worker']
    assert worker['slots'] == 8 and worker['engine'] == 'ollama' and worker['models']
    assert http.get(f'/api/workers/{name}').json()['pid'] == worker['pid']
    for action in ('pause', 'drain'):
        assert http.post(f'/api/workers/{name}/{action}').status_code == 200
        pauses = http.get('/api/pauses').json()['pauses']
        assert [(each['scope'], each['name']) for each in pauses] == [('worker', name)]
    http.post(f'/api/workers/{name}/resume').raise_for_status()
    assert http.get('/api/pauses').json() == {'pauses': []}
    for action in ('pause', 'resume', 'drain', 'retire'):
        assert problem(http.post(f'/api/workers/nobody/{action}')) == (404, 'not_found')
    assert problem(http.post(f'/api/workers/{name}/retire', json={'grace_s': -1})) == (422, 'invalid')


def test_a_pause_of_a_model_holds_its_jobs_until_it_is_over(http):
    asked = {'scope': 'model', 'name': 'llama3.2'}
    pauses = http.put('/api/pauses', json=asked).json()['pauses']
    assert pauses == [{'scope': 'model', 'name': 'llama3.2:latest', 'draining': False}]
    job = http.post('/api/jobs', params={'wait': 0.3}, json={'model': 'llama3.2', 'prompt': 'x'}).json()
    assert job['state'] == 'waiting' and job['result'] is None
    assert http.delete('/api/pauses', params=asked).json() == {'pauses': []}
    assert http.get(f'/api/jobs/{job["id"]}/result', params={'wait': 10}).json()['state'] == 'completed'


@pytest.mark.parametrize('body', [{}, {'scope': 'planet'}, {'scope': 'all', 'name': 'x'}, {'scope': 'model'}])
def test_a_pause_of_nothing_is_refused(http, body):
    assert problem(http.put('/api/pauses', json=body)) == (422, 'invalid')
    assert problem(http.delete('/api/pauses', params=body)) == (422, 'invalid')


def test_models_are_told(http):
    models = {model['name']: model for model in http.get('/api/models').json()['models']}
    assert models['qwen3:latest']['slots'] == 8 and models['qwen3:latest']['engine'] == 'ollama'


def test_the_statistics_tell_of_jobs(http, ask):
    began = time.time() - 60
    ask(user='stats')

    def told():
        found = http.get('/api/stats/summary', params={'since': began}).json()
        return found['completed'] and found

    summary = wait_for(told, 40, 'a job in the statistics')
    assert summary['total'] >= summary['completed'] >= 1 and summary['mean_response_s'] > 0
    models = http.get('/api/stats/by_model').json()['models']
    assert 'qwen3:latest' in {each['model'] for each in models}
    points = http.get('/api/stats/per_minute', params={'since': began, 'step_s': 60}).json()['points']
    assert sum(point['completed'] for point in points) > 0 and len(points) in (2, 3)
    for wrong in ({'since': 5, 'until': 1}, {'since': 1, 'step_s': 1}, {'step_s': 0}, {'since': 'nan'}):
        assert problem(http.get('/api/stats/per_minute', params=wrong)) == (422, 'invalid')
