"""Long look-ups go in short steps, find what is there, and say how far they have looked."""

import itertools
import json

import pytest

from broker import facts, listing, protocol
from broker.actions import Peer, Persist
from broker.job import Job, State
from broker.memory_store import MemoryStore
from broker.needle import Needle, excerpt
from broker.store import Store

WHO = Peer('client', b'1')


def fill(store, count, **fields):
    """Jobs 1 … count; every third is dead, every tenth is Zoë's."""
    changes = []
    for n in range(1, count + 1):
        body = json.dumps({'messages': [{'role': 'user', 'content': f'Frage {n}: 为什么天是蓝的'}]}).encode()
        job = Job(
            job_id=f'{n:032x}',
            order=n,
            kind='chat',
            body_bytes=len(body),
            model=f'm{n % 2}',
            priority=n % 16,
            queued_at=1000.0 + n,
            user='Zoë' if n % 10 == 0 else 'bob',
            state=State.DEAD if n % 3 == 0 else State.COMPLETED,
            started_at=2000.0 + n,
            ended_at=2000.0 + n + n % 7,
            code='oom' if n % 3 == 0 else '',
        )
        queued = facts.JobQueued(
            seq=n,
            at=job.queued_at,
            job_id=job.job_id,
            kind='chat',
            model=job.model,
            priority=job.priority,
            user=job.user,
            conversation_id='',
        )
        said = [f'Ant{n}', 'wort'] if n % 50 else ['结', '尾']
        answer = tuple(json.dumps({'message': {'content': part}}, ensure_ascii=False).encode() for part in said)
        changes.append(Persist(queued, job, body=body, answer=answer))
    store.commit(changes)


@pytest.fixture(params=['disk', 'memory'])
def store(request, tmp_path):
    made = Store(tmp_path / 'queue.db') if request.param == 'disk' else MemoryStore()
    fill(made, 300)
    yield made
    made.close()


class Asking:
    """A client that asks until it has it; every look at the clock takes a moment."""

    def __init__(self, store):
        self.store = store
        self.listings = listing.Listings()
        self.clock = itertools.count(0.0, 0.001).__next__
        self.steps = 0

    def ask(self, wanted):
        self.listings.ask(WHO, wanted, self.store, 0.0)
        while True:
            self.steps += 1
            for peer, reply in self.listings.step(self.store, self.clock):
                assert peer == WHO and not self.listings.busy
                return reply

    def whole(self, **fields):
        fields = {'whole': True, **fields}
        reply = self.ask(protocol.ListJobs(**fields))
        while not reply.complete:
            reply = self.ask(protocol.ListJobs(**{**fields, 'until_order': reply.until_order}))
        return reply


def orders(reply):
    return [job.order for job in reply.jobs]


def test_a_page_comes_as_soon_as_it_is_known_and_the_number_when_it_is_asked_for(store, monkeypatch):
    monkeypatch.setattr(listing, 'RANGE', 50)
    asking = Asking(store)
    first = asking.ask(protocol.ListJobs(limit=5))
    assert orders(first) == [300, 299, 298, 297, 296] and not first.complete
    assert asking.whole(limit=5).total == 300
    assert orders(asking.whole(offset=150, limit=3)) == [150, 149, 148]
    assert orders(asking.whole(limit=3, oldest_first=True)) == [1, 2, 3]


def test_requests_too_long_for_an_excerpt_are_not_even_read(store, monkeypatch):
    read = []
    monkeypatch.setattr(store, 'body', lambda job_id: read.append(job_id) or b'{"prompt": "why"}')
    assert Asking(store).whole(limit=2).excerpts == ('why', 'why') and len(read) == 2
    monkeypatch.setattr(listing, 'MOST_EXCERPT_BYTES', -1)
    assert Asking(store).whole(limit=2).excerpts == ('', '') and len(read) == 2


def test_filters_work_together(store):
    asking = Asking(store)
    found = asking.whole(states=(State.DEAD,), user='Zoë')
    assert found.total == 10 and orders(found)[:2] == [300, 270]
    assert asking.whole(model='m1', priorities=(3,), since=1100.0, until=1200.0).total == 6
    assert asking.whole(code='oom', kinds=('embed',)).total == 0
    assert asking.whole(worker='nobody').total == 0


@pytest.mark.parametrize('sort', protocol.SORTS)
def test_any_order_holds_and_the_newest_of_equals_comes_first(store, sort):
    asking = Asking(store)
    jobs = {job.order: job for job in store.at([*range(1, 301)])}
    keys = {
        'queued': lambda job: job.order,
        'waited': lambda job: job.started_at - job.queued_at,
        'ran': lambda job: job.ended_at - job.started_at,
        'tokens': lambda job: job.usage.output_tokens,
        'started': lambda job: job.started_at,
        'ended': lambda job: job.ended_at,
    }
    key = keys.get(sort, lambda job: getattr(job, sort))
    down = orders(asking.whole(sort=sort, limit=300))
    assert down == sorted(jobs, key=lambda order: (key(jobs[order]), order), reverse=True)
    up = orders(asking.whole(sort=sort, limit=300, oldest_first=True))
    newest_first = sorted(jobs, reverse=sort != 'queued')
    assert up == sorted(newest_first, key=lambda order: key(jobs[order]))


def test_rows_keep_their_places_while_jobs_come_and_go(store):
    asking = Asking(store)
    first = asking.ask(protocol.ListJobs(limit=2))
    newer = Job(job_id='f' * 32, order=301, kind='chat', model='m', priority=1, queued_at=9.0)
    fact = facts.JobQueued(
        seq=301, at=9.0, job_id=newer.job_id, kind='chat', model='m', priority=1, user='', conversation_id=''
    )
    store.commit([Persist(fact, newer, body=b'{}')])
    store.purge(f'{300:032x}', 0.0)
    again = asking.ask(protocol.ListJobs(limit=4, until_order=first.until_order))
    assert orders(again) == [299, 298, 297]  # 300 is gone, 301 is not of this list
    assert orders(asking.ask(protocol.ListJobs(limit=2))) == [301, 299]


def test_text_is_found_in_questions_answers_and_errors(store):
    asking = Asking(store)
    assert orders(asking.whole(text='FRAGE 77:')) == [77]
    assert asking.whole(text='天是蓝').total == 300
    assert orders(asking.whole(text='ant123wort')) == [123]  # the answer came in pieces
    assert orders(asking.whole(text='结尾')) == [300, 250, 200, 150, 100, 50]
    assert asking.whole(text='content').total == 0  # that is a name in JSON, nobody said it
    assert asking.whole(text='oom').total == 100
    assert asking.whole(text='zoë', states=(State.DEAD,)).total == 10
    assert orders(asking.whole(text=f'{42:032x}')) == [42]


def test_a_search_stops_where_it_was_told_and_goes_on_from_there(store, monkeypatch):
    monkeypatch.setattr(listing, 'PATIENCE_S', 100.0)
    asking = Asking(store)
    first = asking.ask(protocol.ListJobs(text='frage 7:', look=100))
    assert (first.total, first.looked, first.complete) == (0, 100, False)
    more = asking.ask(protocol.ListJobs(text='frage 7:', look=200, until_order=first.until_order))
    assert more.looked == 200
    last = asking.whole(text='frage 7:', until_order=first.until_order)
    assert (orders(last), last.looked) == ([7], 300)


def test_no_step_takes_longer_than_it_may_and_two_who_ask_take_turns(store, monkeypatch):
    monkeypatch.setattr(listing, 'RANGE', 20)
    asking = Asking(store)
    other = Peer('client', b'2')
    asking.listings.ask(WHO, protocol.ListJobs(rid=1, whole=True), store, 0.0)
    asking.listings.ask(WHO, protocol.ListJobs(rid=1, whole=True), store, 0.0)  # sent again: the same question
    asking.listings.ask(other, protocol.FindJobs(rid=1, user='Zoë', limit=1000), store, 0.0)
    told = []
    while asking.listings.busy:
        before = asking.clock()
        told += asking.listings.step(store, asking.clock)
        assert asking.clock() - before < 3 * listing.STEP_S
    assert [peer for peer, _ in told].count(WHO) == 1 and len(told) == 2
    assert next(reply for peer, reply in told if peer == other).jobs[0].order == 300


def test_what_many_jobs_ask_is_read_a_little_in_every_step(store, monkeypatch):
    monkeypatch.setattr(listing, 'STEP_BYTES', 1000)
    read, steps = [0], []
    body, step = store.body, listing.Listings.step
    monkeypatch.setattr(store, 'body', lambda job_id: read.__setitem__(0, read[0] + 1) or body(job_id))

    def noted(*about):
        before = read[0]
        answers = step(*about)
        steps.append(read[0] - before)
        return answers

    monkeypatch.setattr(listing.Listings, 'step', noted)
    found = Asking(store).ask(protocol.ListJobs(rid=1, limit=300))
    assert sum(steps) == len(found.jobs) == len(found.excerpts) == 300 and max(steps) < 20
    assert [excerpt(body(job.job_id)) for job in found.jobs] == list(found.excerpts)


def test_an_order_that_only_the_newest_are_put_in_says_so(store, monkeypatch):
    monkeypatch.setattr(listing, 'MOST_SORTED', 120)
    monkeypatch.setattr(listing, 'RANGE', 50)
    asking = Asking(store)
    found = asking.whole(sort='ended', limit=5)
    assert (found.total, found.cut, orders(found)[0]) == (120, True, 300)
    assert not asking.whole(sort='ended', user='Zoë').cut and not asking.whole(limit=5).cut


def test_a_list_that_nobody_asks_for_is_forgotten(store):
    asking = Asking(store)
    asking.ask(protocol.ListJobs())
    asking.listings.forget(listing.KEPT_S + 1)
    assert not asking.listings._kept


@pytest.mark.parametrize('before', [0, 200])
def test_a_find_in_steps_gives_what_a_find_at_once_gives(store, before):
    asking = Asking(store)
    for wanted in (
        protocol.FindJobs(states=(State.DEAD,), limit=7, before_order=before),
        protocol.FindJobs(user='Zoë', limit=7, oldest_first=True, after_order=before),
        protocol.FindJobs(user='nobody', limit=7),
    ):
        reply = asking.ask(wanted)
        expected = store.find(wanted, 8)
        assert orders(reply) == [job.order for job in expected[:7]]
        assert reply.more == (len(expected) > 7)


def test_an_empty_store_has_an_empty_list():
    reply = Asking(MemoryStore()).whole(whole=True)
    assert (reply.jobs, reply.total, reply.complete) == ((), 0, True)


def test_a_needle_reads_only_what_people_read():
    needle = Needle('Bild')
    assert needle.in_body(b'{"messages":[{"content":[{"type":"text","text":"Ein BILD"}]}]}')
    assert not needle.in_body(b'{"messages":[{"role":"bild","content":"x","images":["bild"]}]}')
    assert Needle('蓝').in_body(b'{"prompt": "\\u84dd"}')
    assert Needle('🐎').in_body(json.dumps({'prompt': '🐎'}).encode())
    assert Needle('say "so"').in_body(json.dumps({'prompt': 'I say "so"'}).encode())
    assert Needle('abc').in_body(b'{"prompt": "' + b'x' * 10 + b'abc' + b'x' * 2_000_000)
    assert Needle('bro').in_answer('chat', b'{"message":{"content":"bro"}}\n{"mess')
    assert not Needle('1').in_answer('embed', b'{"embeddings":[[1]]}')


@pytest.mark.parametrize(
    ('body', 'said'),
    [
        (b'{"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": " b\\n c "}]}', 'b c'),
        (b'{"messages": [{"role": "user", "content": [{"type": "text", "text": "look"}]}]}', 'look'),
        (b'{"prompt": "once"}', 'once'),
        (b'{"input": ["one", "two"]}', 'one two'),
        (b'[1]', ''),
        (b'{"messages": 7}', ''),
        (b'{"prompt": "' + b'x' * 1000 + b'"}', 'x' * 140),
    ],
)
def test_an_excerpt_is_the_beginning_of_what_a_person_asked(body, said):
    assert excerpt(body) == said
