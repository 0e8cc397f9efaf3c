"""What another order would have done, through our own API, against the running desk."""

import time

import pytest

from tests.app.api.own.conftest import problem
from tests.conftest import wait_for

pytestmark = pytest.mark.whole


def test_the_jobs_of_a_time_are_played_under_each_order(http):
    began = time.time()
    for user in ('ann', 'bob', 'ann'):
        body = {'model': 'qwen3', 'prompt': 'hi', 'user': user}
        assert http.post('/api/jobs', json=body).status_code < 300

    def found():
        reply = http.post('/api/replay', json={'since': began, 'policies': ['fifo', 'fair'], 'resident': 2}).json()
        return reply if reply['jobs'] >= 3 else None

    reply = wait_for(found, 40, 'three jobs in the statistics')
    assert [each['policy'] for each in reply['outcomes']] == ['fifo', 'fair']
    for each in (reply['recorded'], *reply['outcomes']):
        assert each['waits']['jobs'] == reply['jobs'] == sum(user['jobs'] for user in each['by_user'].values())
        assert {'ann', 'bob'} <= each['by_user'].keys() and 0 <= each['busy'] <= 1


def test_a_time_without_jobs_has_nothing_to_play(http):
    reply = http.post('/api/replay', json={'since': 1.0, 'until': 2.0}).json()
    assert (reply['jobs'], reply['recorded'], reply['outcomes'], reply['cut']) == (0, None, [], False)


@pytest.mark.parametrize(
    'body', [{'since': 2, 'until': 1}, {'policies': []}, {'policies': ['best']}, {'slots': {'w': 0}}, {'resident': 0}]
)
def test_what_cannot_be_played_is_refused(http, body):
    assert problem(http.post('/api/replay', json=body)) == (422, 'invalid')
