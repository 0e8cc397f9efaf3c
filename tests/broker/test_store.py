"""Both stores keep what they are given; the one on disk keeps it for good, or says why it cannot."""

import stat

import apsw
import msgspec
import pytest

from broker import errors, facts, protocol
from broker.actions import Persist
from broker.job import Job, State
from broker.memory_store import MemoryStore
from broker.store import MIGRATIONS, Store
from tests.broker.desk import Desk, finished, job_id, tokens


@pytest.fixture(params=['disk', 'memory'])
def store(request, tmp_path):
    made = Store(tmp_path / 'queue.db') if request.param == 'disk' else MemoryStore()
    yield made
    made.close()


def some_history():
    """The changes of four jobs: one done, one cancelled, one running, one waiting."""
    desk = Desk()
    changes = []
    commit = desk.store.commit
    desk.store.commit = lambda batch: (changes.extend(batch), commit(batch))
    worker = desk.join('w')
    for number in (1, 2, 3):
        desk.submit(number, body=b'{"n": %d}' % number, user='Zoë', priority=number)
    desk.tell(worker, tokens(1, 1, 0, '{"a":"你好"}'.encode(), b'{}'))
    desk.tell(worker, finished(1, 1, 2))
    desk.ask(protocol.Cancel(job_id=job_id(2)))
    desk.submit(4)
    return changes


def test_what_was_committed_is_there(store):
    changes = some_history()
    for change in changes:
        store.commit([change])
    assert [job.job_id for job in store.alive()] == [job_id(3), job_id(4)]
    assert next(store.alive()).worker == 'w'
    assert store.job(job_id(1)).usage.output_tokens == 2
    assert store.job(job_id(1)).user == 'Zoë'
    assert store.answer(job_id(1)) == ['{"a":"你好"}'.encode(), b'{}']
    assert store.answer(job_id(2)) == []
    assert store.body(job_id(3)) == b'{"n": 3}'
    assert store.last_seq() == changes[-1].fact.seq
    assert store.last_order() == 4
    assert store.facts_after(0, 1000) == [change.fact for change in changes]
    assert store.facts_after(3, 2) == [change.fact for change in changes[3:5]]
    assert store.stored([job_id(1), job_id(9)]) == {job_id(1)}
    assert store.job(job_id(9)) is None


def test_one_batch_for_everything_leaves_the_same(store):
    one_by_one = MemoryStore()
    changes = some_history()
    one_by_one.commit(changes)
    store.commit(changes)
    assert [store.job(job_id(n)) for n in (1, 2, 3, 4)] == [one_by_one.job(job_id(n)) for n in (1, 2, 3, 4)]
    assert list(store.alive()) == list(one_by_one.alive())


def test_an_empty_store_begins_at_zero(store):
    assert (store.last_seq(), store.last_order(), list(store.alive())) == (0, 0, [])


def test_a_store_opened_again_has_it_all(tmp_path):
    changes = some_history()
    first = Store(tmp_path / 'queue.db')
    first.commit(changes)
    alive = list(first.alive())
    first.close()
    second = Store(tmp_path / 'queue.db')
    assert list(second.alive()) == alive
    assert second.facts_after(0, 1000) == [change.fact for change in changes]
    second.close()


def test_a_batch_that_fails_leaves_nothing_behind(tmp_path):
    store = Store(tmp_path / 'queue.db')
    change = Persist(facts.JobDue(seq=1, at=1.0, job_id=job_id(1)))
    with pytest.raises(apsw.ConstraintError):
        store.commit([change, change])
    assert store.last_seq() == 0
    store.close()


def test_only_the_owner_can_read_the_file(tmp_path):
    store = Store(tmp_path / 'queue.db')
    store.commit(some_history())
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes and set(modes.values()) == {0o600}, modes
    store.close()


def test_a_file_from_a_newer_version_is_refused(tmp_path):
    path = tmp_path / 'queue.db'
    Store(path).close()
    db = apsw.Connection(str(path))
    db.execute(f'PRAGMA user_version = {len(MIGRATIONS) + 1}')
    db.close()
    before = path.read_bytes()
    with pytest.raises(errors.NewerSchema, match='newer Corral'):
        Store(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ('version', 'otherwise', 'strange'),
    [
        (len(MIGRATIONS), 'DROP TABLE retired', 'has no table retired'),
        (len(MIGRATIONS), 'ALTER TABLE batches DROP COLUMN dead', 'table batches has no column dead'),
        (2, 'ALTER TABLE jobs DROP COLUMN runner', 'table jobs has no column runner'),
        (0, 'CREATE TABLE notes (text)', 'a table notes and no schema version'),
        (-1, '', 'its schema version is -1'),
    ],
)
def test_a_file_that_no_release_wrote_is_refused_and_left_as_it_is(tmp_path, version, otherwise, strange):
    path = tmp_path / 'queue.db'
    db = apsw.Connection(str(path))
    db.execute(f'{"".join(MIGRATIONS[: max(0, version)])}; {otherwise}; PRAGMA user_version = {version}').fetchall()
    db.close()
    before = path.read_bytes()
    with pytest.raises(errors.OtherSchema, match=rf'queue\.db was written .*{strange}.* move it away'):
        Store(path)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ['queue.db']


@pytest.mark.parametrize('version', range(1, len(MIGRATIONS)))
def test_a_file_of_each_earlier_version_becomes_one_of_today(tmp_path, version):
    path = tmp_path / 'queue.db'
    db = apsw.Connection(str(path))
    db.execute(f'{"".join(MIGRATIONS[:version])}; PRAGMA user_version = {version}').fetchall()
    db.close()
    store = Store(path)
    store.commit(some_history())
    assert [job.job_id for job in store.alive()] == [job_id(3), job_id(4)]
    assert (store.open_batches(), store.retired(), store.settings()) == ([], [], {})
    store.close()


def test_a_file_that_is_no_database_is_left_alone_and_named(tmp_path):
    path = tmp_path / 'queue.db'
    path.write_bytes(b'these are my notes, not a database' * 100)
    with pytest.raises(errors.StoreError, match=r'queue\.db is damaged'):
        Store(path)
    assert path.read_bytes().startswith(b'these are my notes')


def test_a_damaged_page_is_noticed_at_the_start(tmp_path):
    path = tmp_path / 'queue.db'
    store = Store(path)
    store.commit(some_history())
    ((page,),) = store._db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'jobs'").fetchall()
    store.close()
    data = bytearray(path.read_bytes())
    data[(page - 1) * 4096 : page * 4096] = b'\xff' * 4096
    path.write_bytes(data)
    with pytest.raises(errors.StoreError, match=r'queue\.db is damaged'):
        Store(path)


def test_a_second_broker_on_the_same_file_is_refused(tmp_path):
    first = Store(tmp_path / 'queue.db')
    first.commit(some_history())
    with pytest.raises(errors.StoreError, match='in use'):
        Store(tmp_path / 'queue.db')
    first.close()


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(errors.StoreError, match='cannot be opened'):
        Store(tmp_path / 'nowhere' / 'queue.db')


def test_facts_come_in_pages_that_fit_a_message(tmp_path, monkeypatch):
    monkeypatch.setattr(protocol, 'MAX_BATCH_BYTES', 1000)
    store = Store(tmp_path / 'queue.db')
    store.commit([Persist(facts.JobDue(seq=seq, at=1.0, job_id=job_id(seq))) for seq in range(1, 101)])
    page = store.facts_after(0, 1000)
    assert 0 < len(page) < 100
    assert [fact.seq for fact in page] == list(range(1, len(page) + 1))
    store.close()


def test_the_sqlite_in_use_has_no_wal_reset_bug():
    assert tuple(map(int, apsw.sqlite_lib_version().split('.'))) >= (3, 51, 3)


def find(store, **wanted):
    return [int(job.job_id, 16) for job in store.find(protocol.FindJobs(**wanted), 50)]


def test_jobs_are_found_by_state_model_and_user_newest_first(store):
    store.commit(some_history())
    assert find(store) == [4, 3, 2, 1]
    assert find(store, states=(State.WAITING, State.RUNNING)) == [4, 3]
    assert find(store, states=(State.COMPLETED,)) == [1]
    assert find(store, user='Zoë') == [3, 2, 1]
    assert find(store, user='Zoë', model='other') == []
    assert find(store, before_order=3) == [2, 1]
    assert [job.order for job in store.find(protocol.FindJobs(), 2)] == [4, 3]


def test_the_facts_of_one_job_are_its_history(store):
    store.commit(some_history())
    assert [type(fact).__name__ for fact in store.history(job_id(1))] == ['JobQueued', 'JobStarted', 'JobCompleted']
    assert store.history(job_id(9)) == []


def a_dead_job(ended_at=5.0):
    job = Job(job_id=job_id(1), order=1, kind='chat', model='m', priority=5, queued_at=1.0)
    dead = Job(**{**msgspec.structs.asdict(job), 'state': State.DEAD, 'ended_at': ended_at})
    queued = facts.JobQueued(seq=1, at=1.0, job_id=job.job_id, kind='chat', model='m', priority=5)
    return [Persist(queued, job, b'{"secret": 1}'), Persist(facts.JobDue(seq=2, at=2.0, job_id=job.job_id), dead)]


def test_only_dead_jobs_are_purged_and_their_facts_stay(store):
    store.commit(a_dead_job())
    assert store.purge('', 5.0) == 0
    assert store.purge(job_id(9), 0.0) == 0
    assert store.purge(job_id(1), 0.0) == 1
    assert (store.job(job_id(1)), store.body(job_id(1))) == (None, b'')
    assert len(store.history(job_id(1))) == 2
    assert store.purge('', 1e9) == 0


def test_old_dead_jobs_are_purged_together_and_others_never(store):
    store.commit(some_history())
    assert store.purge('', 1e12) == 0
    assert find(store) == [4, 3, 2, 1]


@pytest.mark.parametrize('lines', [(b'{}',), (b'x\x9c', b'', b'\0'), (b'{"a":1}' * 1000, b'end')])
def test_an_answer_comes_back_byte_for_byte_however_short_or_long(store, lines):
    job = Job(job_id=job_id(1), order=1, kind='chat', model='m', priority=5, queued_at=1.0)
    queued = facts.JobQueued(seq=1, at=1.0, job_id=job.job_id, kind='chat', model='m', priority=5)
    ended = msgspec.structs.replace(job, state=State.COMPLETED, started_at=2.0, ended_at=3.0, lines=len(lines))
    done = facts.JobDue(seq=2, at=3.0, job_id=job.job_id)
    store.commit([Persist(queued, job, b'{"a": 1}'), Persist(done, ended, answer=lines)])
    assert store.answer(job.job_id) == list(lines)
    assert store.body(job.job_id) == b'{"a": 1}'
    assert store.stored([job_id(2), job.job_id]) == {job.job_id}


def test_starts_are_found_of_jobs_that_run_and_of_jobs_that_ended(store):
    changes = []
    for number, (state, started_at, ended_at) in enumerate(
        [('running', 5.0, 0.0), ('completed', 6.0, 7.0), ('completed', 1.0, 8.0), ('waiting', 0.0, 0.0)], 1
    ):
        job = Job(job_id=job_id(number), order=number, kind='chat', model='m', priority=5, queued_at=0.5)
        job.state, job.started_at, job.ended_at = State(state), started_at, ended_at
        fact = facts.JobQueued(seq=number, at=0.5, job_id=job.job_id, kind='chat', model='m', priority=5)
        changes.append(Persist(fact, job, b'{}'))
    store.commit(changes)
    assert [start.at for start in store.starts_since(2.0)] == [5.0, 6.0]
    assert [start.at for start in store.starts_since(0.0)] == [1.0, 5.0, 6.0]


def test_who_was_asked_to_leave_is_kept_until_it_left_or_is_another_process(store):
    about = {'engine': 'demo', 'engine_version': '1', 'slots': 1, 'models': (), 'host': 'h', 'pid': 1}
    asked = [facts.WorkerRetired(seq=s, at=1.0, worker=w, session='s', grace_s=9.0) for s, w in enumerate('abc', 1)]
    store.commit([Persist(fact) for fact in asked])
    store.commit([Persist(facts.WorkerLeft(seq=4, at=2.0, worker='a', reason='drained'))])
    store.commit([Persist(facts.WorkerJoined(seq=5, at=2.0, worker='b', session='s', **about))])
    store.commit([Persist(facts.WorkerJoined(seq=6, at=2.0, worker='c', session='t', **about))])
    assert store.retired() == [asked[1]]


def test_pauses_are_kept_until_they_end(store):
    for seq, kind in enumerate((facts.Paused, facts.Paused, facts.Resumed), 1):
        store.commit([Persist(kind(seq=seq, at=1.0, scope='model', name='m' if seq != 2 else 'n'))])
    assert [(pause.scope, pause.name) for pause in store.pauses()] == [('model', 'n')]


def test_jobs_are_found_from_either_end(store):
    store.commit(some_history())

    def numbers(**wanted):
        return [int(job.job_id, 16) for job in store.find(protocol.FindJobs(**wanted), 2)]

    assert numbers() == [4, 3]
    assert numbers(before_order=3) == [2, 1]
    assert numbers(oldest_first=True) == [1, 2]
    assert numbers(oldest_first=True, after_order=2) == [3, 4]
    assert numbers(oldest_first=True, after_order=1, before_order=3) == [2]


def test_batches_and_keys_are_found_without_a_look_at_every_job(tmp_path):
    store = Store(tmp_path / 'queue.db')
    asked = []
    store._db.trace_v2(apsw.SQLITE_TRACE_STMT, lambda event: asked.append(event['sql']))
    store.by_key('u', 'k')
    store.find(protocol.FindJobs(parent='b', oldest_first=True), 5)
    store.commit([Persist(facts.BatchOpened(seq=1, at=1.0, batch_id='b', name='', user='u', total=1))])
    store.batch('b')
    store._db.trace_v2(0, None)
    of_jobs = [query for query in asked if query.startswith('SELECT') and 'FROM jobs' in query]
    assert len(of_jobs) == 3
    for query in of_jobs:
        values = ('x',) * query.count('?')
        plan = [str(row[3]) for row in store._db.execute(f'EXPLAIN QUERY PLAN {query}', values)]
        assert plan[0].startswith('SEARCH jobs USING') and 'SCAN' not in ' '.join(plan), query
        assert 'count(*)' not in query or 'COVERING' in plan[0]
    store.close()
