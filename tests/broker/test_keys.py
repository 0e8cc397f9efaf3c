"""The same request twice: what counts as the same, and for how long it is known."""

import msgspec
import pytest

from broker import protocol
from broker.actions import Peer
from broker.job import Job, State, Terms
from broker.keys import REMEMBERED, Keys, Known, fingerprint
from tests.broker.desk import job_id

SUBMIT = protocol.Submit(job_id=job_id(1), kind='chat', model='m', body=b'{"a": 1}')


def a_job(number, key='', attach=False, user='u'):
    terms = Terms(fingerprint='f', attach=attach)
    values = {'job_id': job_id(number), 'order': number, 'kind': 'chat', 'model': 'm', 'priority': 5, 'queued_at': 1.0}
    return Job(**values, user=user, idempotency_key=key, terms=terms)


@pytest.mark.parametrize(
    'change',
    [
        {'kind': 'generate'},
        {'model': 'n'},
        {'body': b'{"a":1}'},
        {'path': '/x'},
        {'after': (job_id(7),)},
        {'after': (job_id(7), job_id(8))},
        {'after': (job_id(8), job_id(7))},
        {'parent': 'p'},
        {'conversation_id': 'p'},
    ],
    ids=str,
)
def test_another_request_has_another_fingerprint(change):
    others = [SUBMIT, msgspec.structs.replace(SUBMIT, after=(job_id(7) + job_id(8),))]
    assert fingerprint(msgspec.structs.replace(SUBMIT, **change)) not in map(fingerprint, others)


@pytest.mark.parametrize(
    'change',
    [{'job_id': job_id(2)}, {'priority': 9}, {'due_at': 9.0}, {'deadline_at': 9.0}, {'max_failures': 1}, {'rid': 4}],
    ids=str,
)
def test_when_and_how_urgently_is_no_part_of_what_is_asked(change):
    assert fingerprint(msgspec.structs.replace(SUBMIT, **change)) == fingerprint(SUBMIT)


def test_a_key_is_known_until_its_job_is_forgotten():
    keys, job = Keys(), a_job(1, 'k')
    keys.add(job)
    assert keys.by_key('u', 'k') == Known(job_id(1), 'f')
    assert keys.by_key('other', 'k') is None
    keys.ended(job)
    assert keys.by_key('u', 'k') == Known(job_id(1), 'f')
    keys.forget(job_id(1))
    keys.forget(job_id(1))
    assert keys.by_key('u', 'k') is None


def test_only_an_alive_job_that_allows_it_is_shared():
    keys, first, second = Keys(), a_job(1, attach=True), a_job(2, attach=True)
    keys.add(a_job(3))
    assert keys.to_share('u', 'f') == ''
    keys.add(first)
    assert keys.to_share('u', 'f') == job_id(1)
    assert keys.to_share('v', 'f') == ''
    keys.ended(first)
    keys.add(second)
    keys.ended(first)
    assert keys.to_share('u', 'f') == job_id(2)
    keys.check({job_id(2): second})
    second.state = State.CANCELLING
    with pytest.raises(AssertionError):
        keys.check({job_id(2): second})


def test_claims_and_releases_that_are_repeated_are_known_for_repeated():
    keys, peer = Keys(), Peer('client', b'c')
    keys.claim('b', 'a')
    assert (keys.claimed('b'), keys.claimed('a')) == ('a', '')
    assert [keys.released_before(peer, rid) for rid in (1, 2, 1, 0, 0)] == [False, False, True, False, False]
    assert not keys.released_before(Peer('client', b'd'), 1)
    for number in range(REMEMBERED):
        keys.claim(str(number), 'a')
        keys.released_before(peer, number + 10)
    assert keys.claimed('b') == '' and keys.claimed('0') == 'a'
    assert not keys.released_before(peer, 1)
