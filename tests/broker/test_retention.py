"""What is old goes, in portions; what anybody still needs stays. On both stores, and when the power goes."""

import math
import random

import apsw
import msgspec
import pytest
from pydantic import ValidationError

from broker import facts, protocol, retention
from broker.actions import Persist
from broker.endpoints import Endpoints
from broker.job import Job, State, Terms
from broker.memory_store import MemoryStore
from broker.retention import FreePages, Keep, OldFacts, OldJobs, Sweep
from broker.settings import BrokerSettings
from broker.store import MIGRATIONS, Store
from tests.broker.desk import job_id

DAY = 86_400.0
NOW = 1_000 * DAY
SECRET = b'what nobody is to read again'


@pytest.fixture(params=['disk', 'memory'])
def store(request, tmp_path):
    made = Store(tmp_path / 'queue.db') if request.param == 'disk' else MemoryStore()
    yield made
    made.close()


def changes(first_seq, number, state, ended_at, body=SECRET, **fields):
    """A job as it came and, when its state is a final one, as it ended."""
    common = {'job_id': job_id(number), 'kind': 'chat', 'model': 'm', 'priority': 5}
    job = Job(order=number, queued_at=1.0, **common, **fields)
    made = [Persist(facts.JobQueued(seq=first_seq, at=ended_at, **common), job, body)]
    if state in (State.COMPLETED, State.CANCELLED, State.DEAD):
        done = Job(order=number, queued_at=1.0, state=state, started_at=1.0, ended_at=ended_at, **common, **fields)
        due = facts.JobDue(seq=first_seq + 1, at=ended_at, job_id=job.job_id)
        return [*made, Persist(due, done, answer=(SECRET,))]
    still = Job(order=number, queued_at=1.0, state=state, **common, **fields)
    return [*made, Persist(facts.JobDue(seq=first_seq + 1, at=ended_at, job_id=job.job_id), still)]


def put(store, *jobs):
    """Commit jobs, each ``(number, state, ended_at)`` and perhaps further fields."""
    for number, state, ended_at, *more in jobs:
        store.commit(changes(store.last_seq() + 1, number, state, ended_at, **(more[0] if more else {})))


def numbers(store):
    return [int(job.job_id, 16) for job in store.find(protocol.FindJobs(), 1_000_000)][::-1]


def sweep(store, keep, now=NOW):
    """One round; what each portion did."""
    going, done = Sweep(keep), []
    while True:
        done.append(store.prune(going.portion(now)))
        assert len(done) < 10_000, 'it does not end'
        going.did(done[-1], now)
        if going.due_at > now + retention.PAUSE_S:
            return done


@pytest.mark.parametrize(
    ('text', 'seconds'),
    [('30 d', 30 * DAY), ('12h', 43_200.0), ('1.5 min', 90.0), (' 10  s ', 10.0), ('0', 0.0), ('', math.inf)],
)
def test_a_period_is_written_as_people_write_it(text, seconds):
    assert retention.parse(text) == seconds


@pytest.mark.parametrize('text', ['30', 'd', '-1 d', '30 days', '1 d 2 h', 'for ever'])
def test_a_period_that_is_none_is_refused_with_the_form(text):
    with pytest.raises(ValueError, match=r"written like '30 d', '12 h' or '45 min'"):
        retention.parse(text)
    with pytest.raises(ValidationError, match='keep_dead'):
        BrokerSettings(data_dir='.', endpoints=Endpoints(client='c', worker='w', facts='f'), keep_dead=text)


def test_the_settings_say_how_long_and_a_rate_limit_makes_it_longer():
    places = Endpoints(client='c', worker='w', facts='f')
    assert BrokerSettings(data_dir='.', endpoints=places).keep() == Keep(
        completed_s=30 * DAY, cancelled_s=7 * DAY, dead_s=90 * DAY, facts_s=400 * DAY, jobs=1_000_000, at_least_s=60.0
    )
    limited = BrokerSettings(data_dir='.', endpoints=places, keep_completed='0', keep_dead='', user_rate='10 per d')
    assert limited.keep().at_least_s >= DAY
    assert limited.keep().ended_before(State.COMPLETED, NOW) <= NOW - DAY
    assert limited.keep().ended_before(State.DEAD, NOW) == -math.inf


def test_jobs_go_by_state_and_age_with_all_that_is_theirs(store):
    put(
        store,
        (1, State.COMPLETED, NOW - 31 * DAY),
        (2, State.COMPLETED, NOW - 29 * DAY),
        (3, State.CANCELLED, NOW - 8 * DAY),
        (4, State.DEAD, NOW - 8 * DAY),
        (5, State.WAITING, NOW - 999 * DAY),
        (6, State.RUNNING, NOW - 999 * DAY),
        (7, State.COMPLETED, NOW - 31 * DAY, {'idempotency_key': 'k', 'user': 'u'}),
    )
    sweep(store, Keep(completed_s=30 * DAY, cancelled_s=7 * DAY, dead_s=90 * DAY))
    assert numbers(store) == [2, 4, 5, 6]
    assert (store.body(job_id(1)), store.answer(job_id(1))) == (b'', [])
    assert store.by_key('u', 'k') is None
    assert (store.body(job_id(2)), store.answer(job_id(2))) == (SECRET, [SECRET])
    assert store.last_seq() == 14 and len(store.facts_after(0, 100)) == 14, 'facts have a time of their own'
    assert store.last_order() == 7


def test_a_number_is_never_given_twice(store):
    put(store, (1, State.COMPLETED, 1.0), (2, State.COMPLETED, 2.0))
    sweep(store, Keep(completed_s=0.0, facts_s=0.0))
    assert (numbers(store), store.last_order(), store.last_seq()) == ([], 2, 4)
    put(store, (3, State.DEAD, 3.0))
    assert store.purge(job_id(3), 0.0) == 1
    assert (store.last_order(), store.last_seq()) == (3, 6)


def test_a_minute_is_left_to_read_the_answer(store):
    put(store, (1, State.COMPLETED, NOW - 59), (2, State.COMPLETED, NOW - 61))
    sweep(store, Keep(completed_s=0.0, jobs=1))
    assert numbers(store) == [1]


def test_of_too_many_jobs_the_ones_that_ended_first_go(store):
    put(store, *((n, State.COMPLETED, NOW - 100 * n) for n in range(1, 9)), (9, State.WAITING, 0.0))
    sweep(store, Keep(jobs=3))
    assert numbers(store) == [1, 2, 3, 9]
    put(store, (10, State.DEAD, NOW - 99))
    sweep(store, Keep(jobs=3))
    assert numbers(store) == [1, 2, 9, 10]


def test_without_a_limit_everything_stays(store):
    put(store, (1, State.COMPLETED, 1.0), (2, State.DEAD, 1.0), (3, State.CANCELLED, 1.0))
    sweep(store, Keep())
    assert (numbers(store), len(store.facts_after(0, 100))) == ([1, 2, 3], 6)


def test_jobs_of_an_open_batch_stay_until_it_ends_and_then_the_batch_goes_with_them(store):
    opened = facts.BatchOpened(seq=1, at=1.0, batch_id='b', name='n', user='u', total=2)
    store.commit([Persist(opened)])
    put(store, (1, State.COMPLETED, 1.0, {'parent': 'b'}), (2, State.COMPLETED, 2.0, {'parent': 'b'}))
    sweep(store, Keep(completed_s=DAY, jobs=1))
    assert numbers(store) == [1, 2]
    store.commit([Persist(facts.BatchEnded(seq=6, at=2.0, batch_id='b', completed=2, dead=0, cancelled=0))])
    put(store, (3, State.COMPLETED, NOW, {'parent': 'b'}))
    sweep(store, Keep(completed_s=DAY))
    assert numbers(store) == [3]
    assert (store.batch('b').submitted, store.batch('b').completed) == (2, 2), 'how it ended is kept with it'
    sweep(store, Keep(completed_s=DAY), NOW + 2 * DAY)
    assert (numbers(store), store.batch('b')) == ([], None)


def test_how_a_batch_ended_is_told_as_it_was_when_some_of_its_jobs_are_gone(store):
    store.commit([Persist(facts.BatchOpened(seq=1, at=1.0, batch_id='b', name='n', user='u', total=5))])
    states = (State.COMPLETED, State.COMPLETED, State.DEAD, State.CANCELLED)
    put(store, *((number, state, 1.0, {'parent': 'b'}) for number, state in enumerate(states, 1)))
    ended = facts.BatchEnded(seq=store.last_seq() + 1, at=2.0, batch_id='b', completed=2, dead=1, cancelled=1)
    store.commit([Persist(ended)])
    before = store.batch('b')
    sweep(store, Keep(completed_s=DAY, cancelled_s=DAY))
    assert numbers(store) == [3]
    assert [store.batch('b'), *store.find_batches('u', 5)] == [before, before]
    assert (before.submitted, before.completed, before.dead, before.cancelled, before.running) == (4, 2, 1, 1, 0)


def test_batches_that_ended_in_a_file_of_an_earlier_version_keep_their_counts(tmp_path):
    path = tmp_path / 'queue.db'
    db = apsw.Connection(str(path))
    db.execute('; '.join(MIGRATIONS[:6]) + '; PRAGMA user_version = 6').fetchall()
    opened = "INSERT INTO batches VALUES (?, 'n', 'u', 3, 1.0, ?)"
    db.executemany(opened, [('over', 9.0), ('open', 0.0)])
    columns = ', '.join(f'"{row[1]}"' for row in db.execute('PRAGMA table_info(jobs)').fetchall())
    for number, state in enumerate(('completed', 'dead', 'cancelling'), 1):
        for order, parent in ((number, 'over'), (number + 10, 'open')):
            job = Job(job_id=job_id(order), order=order, kind='chat', model='m', priority=5, queued_at=1.0)
            known = {'parent': parent, 'state': state, 'ended_at': 0.0 if state == 'cancelling' else 2.0}
            values = {**msgspec.structs.asdict(job), **known, 'terms': '{}', 'usage': '{}'}
            row = [values[name.strip('"')] for name in columns.split(', ')]
            db.execute(f'INSERT INTO jobs ({columns}) VALUES ({", ".join("?" * len(row))})', row)
    db.close()
    store = Store(path)
    over, going = store.batch('over'), store.batch('open')
    assert (over.submitted, over.completed, over.dead, over.cancelled, over.running) == (3, 1, 1, 1, 0)
    assert (going.submitted, going.completed, going.dead, going.cancelled, going.running) == (3, 1, 1, 0, 1)
    store.close()


def chained(*after):
    return {'terms': Terms(after=tuple(map(job_id, after)))}


@pytest.mark.parametrize('reopened', [False, True], ids=['', 'after a restart'])
def test_what_a_blocked_job_waits_for_stays_until_that_has_ended(tmp_path, reopened):
    store = Store(tmp_path / 'queue.db')
    put(store, (1, State.COMPLETED, 1.0), (2, State.COMPLETED, 2.0), (3, State.BLOCKED, 3.0, chained(1)))
    if reopened:
        store.close()
        store = Store(tmp_path / 'queue.db')
    it_stays_until_that_has_ended(store)
    store.close()


def test_the_store_without_a_disk_keeps_it_too():
    store = MemoryStore()
    put(store, (1, State.COMPLETED, 1.0), (2, State.COMPLETED, 2.0), (3, State.BLOCKED, 3.0, chained(1)))
    it_stays_until_that_has_ended(store)


def it_stays_until_that_has_ended(store):
    sweep(store, Keep(completed_s=DAY))
    assert numbers(store) == [1, 3]
    store.commit(changes(store.last_seq(), 3, State.COMPLETED, 4.0, **chained(1))[1:])
    sweep(store, Keep(completed_s=DAY))
    assert numbers(store) == []


def test_facts_go_from_the_oldest_on_and_the_newest_stays(store):
    put(store, *((n, State.COMPLETED, NOW - (20 - n) * DAY) for n in range(1, 11)))
    sweep(store, Keep(facts_s=15.5 * DAY))
    assert [fact.seq for fact in store.facts_after(0, 100)] == list(range(9, 21))
    assert numbers(store) == list(range(1, 11)), 'jobs have a time of their own'
    sweep(store, Keep(facts_s=0.0))
    assert [fact.seq for fact in store.facts_after(0, 100)] == [20]


def test_a_batch_without_jobs_goes_with_the_facts_of_its_time(store):
    for place, (name, ended) in enumerate([('old', True), ('open', False), ('new', True)]):
        at = NOW if name == 'new' else 1.0
        opened = facts.BatchOpened(seq=2 * place + 1, at=at, batch_id=name, name=name, user='u', total=0)
        end = facts.BatchEnded(seq=2 * place + 2, at=at, batch_id=name, completed=0, dead=0, cancelled=0)
        store.commit([Persist(opened)] + [Persist(end)] * ended)
    sweep(store, Keep(completed_s=DAY))
    assert store.batch('old') is not None
    sweep(store, Keep(facts_s=DAY))
    assert [batch.batch_id for batch in store.find_batches('', 10)] == ['new', 'open']


def test_a_miscount_costs_no_job(tmp_path):
    store = Store(tmp_path / 'queue.db')
    put(store, *((n, State.COMPLETED, float(n)) for n in range(1, 6)))
    store._pruning.ended += 3
    sweep(store, Keep(jobs=5))
    assert numbers(store) == [1, 2, 3, 4, 5]
    store.close()


def many(store, count, ended_at):
    """Jobs that ended long ago, put into the database as the store would."""
    batch = []
    for number in range(1, count + 1):
        batch += changes(2 * number - 1, number, State.COMPLETED, ended_at(number))
        if len(batch) >= 20_000:
            store.commit(batch)
            batch = []
    store.commit(batch)


def test_forty_thousand_old_jobs_go_a_few_at_a_turn(tmp_path):
    store = Store(tmp_path / 'queue.db')
    many(store, 40_000, lambda number: 1.0 + number // 5_000)  # many ended at the same time
    size = (tmp_path / 'queue.db').stat().st_size
    done = sweep(store, Keep(completed_s=DAY, facts_s=DAY))
    assert numbers(store) == [] and [fact.seq for fact in store.facts_after(0, 100)] == [80_000]
    assert sum(each.gone for each in done) > 120_000  # jobs, facts, and pages of the file
    assert max(each.looked_at for each in done) <= max(retention.ROWS, retention.PAGES)
    assert (tmp_path / 'queue.db').stat().st_size < size / 5
    assert (tmp_path / 'queue.db-wal').stat().st_size == 0
    assert store._db.execute('PRAGMA integrity_check').fetchall() == [('ok',)]
    store.close()


def test_what_has_to_stay_does_not_make_a_turn_long(tmp_path):
    store = Store(tmp_path / 'queue.db')
    store.commit([Persist(facts.BatchOpened(seq=1_000_000, at=1.0, batch_id='b', name='n', user='u', total=0))])
    put(store, *((n, State.COMPLETED, float(n), {'parent': 'b'}) for n in range(1, 1_001)))
    put(store, (1_001, State.COMPLETED, 5_000.0))
    done = sweep(store, Keep(completed_s=DAY))
    assert max(each.looked_at for each in done) == retention.ROWS
    assert len(numbers(store)) == 1_000
    store.close()


def test_large_answers_go_fewer_at_a_turn(tmp_path, monkeypatch):
    monkeypatch.setattr(retention, 'BYTES', 10_000)
    store = Store(tmp_path / 'queue.db')
    put(store, *((n, State.COMPLETED, float(n), {'body': bytes(4_000)}) for n in range(1, 7)))
    done = sweep(store, Keep(completed_s=DAY))
    assert [each.gone for each in done[:4]] == [2, 2, 2, 0]
    store.close()


def test_what_went_cannot_be_read_out_of_the_files(tmp_path):
    store = Store(tmp_path / 'queue.db')
    put(store, *((n, State.COMPLETED, 1.0, {'body': SECRET * 300}) for n in range(1, 40)), (50, State.WAITING, 1.0))
    assert SECRET in b''.join(path.read_bytes() for path in tmp_path.iterdir())
    store.purge(job_id(50), 0.0)
    sweep(store, Keep(completed_s=DAY))
    left = b''.join(path.read_bytes() for path in tmp_path.iterdir())
    assert left.count(SECRET) == 1, 'the one that waits'
    store.close()


def test_the_log_of_the_database_stays_small_under_load(tmp_path):
    store = Store(tmp_path / 'queue.db')
    sizes = []
    for number in range(1, 400):
        put(store, (number, State.COMPLETED, NOW, {'body': random.randbytes(100_000)}))
        sizes.append((tmp_path / 'queue.db-wal').stat().st_size)
    assert max(sizes) < 8_000_000
    assert (tmp_path / 'queue.db').stat().st_size > 20_000_000, 'it was folded in on the way'
    store.close()


def test_a_file_of_an_earlier_version_keeps_its_size_and_everything_else_works(tmp_path):
    path = tmp_path / 'queue.db'
    db = apsw.Connection(str(path))
    db.execute(f'{MIGRATIONS[0]}; {MIGRATIONS[1]}; PRAGMA user_version = 2').fetchall()
    db.close()
    store = Store(path)
    many(store, 5_000, float)
    store.close()
    size = path.stat().st_size
    store = Store(path)
    sweep(store, Keep(completed_s=0.0))
    assert (numbers(store), store.last_order()) == ([], 5_000)
    assert path.stat().st_size == size
    store.close()


def test_rounds_follow_each_other_and_portions_too():
    going = Sweep(Keep(completed_s=DAY, jobs=5, facts_s=DAY))
    assert going.due_at == 0.0
    expected = (OldJobs(NOW - DAY, State.COMPLETED), OldJobs(NOW - 60, keep=5), OldFacts(NOW - DAY), FreePages())
    first = retention.Pruned(looked_at=200, gone=200, more=True, after=retention.Place(7.0, 200))
    assert going.portion(NOW) == expected[0]
    assert going.did(first, NOW) == 0
    assert going.portion(NOW + 1) == expected[0]._replace(after=first.after)
    results = []
    for portion in expected:
        assert going.portion(NOW + 1)[0:1] == portion[0:1]
        results.append(going.did(retention.Pruned(gone=1), NOW + 1))
    assert results == [0, 0, 0, 203], 'told once, at the end of the round, without the pages'
    assert going.due_at == NOW + 1 + retention.ROUND_S
    going.portion(NOW + 100)
    going.failed(NOW + 100)
    assert going.due_at == NOW + 100 + retention.ROUND_S
    assert going.portion(NOW + 200) == OldJobs(NOW + 200 - DAY, State.COMPLETED)
