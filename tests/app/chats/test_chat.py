"""A message becomes a job, and the job's end the answer; with the real queue core behind a client that can fail."""

import asyncio

import pytest

from app.board import Board
from app.chats.chat import TITLE_WIDTH, ChatError, title_from
from app.desk import DeskError
from broker import errors, facts, protocol
from tests.app.chats.chatting import lines


async def test_a_question_is_asked_answered_and_kept(setup):
    heard = []
    setup.service.on_change(heard.append)
    talk = await setup.service.send(None, '队列是什么？', 'm', 10)
    await setup.settle()
    view = await setup.view(talk)
    assert (view['state'], view['priority'], view['text']) == ('waiting', 10, '')
    assert setup.service.active() == {talk.id: 'waiting'}
    await setup.run(talk, '一条', '队伍')
    question, answer = await setup.service.messages(talk.id)
    assert (question.role, question.content) == ('user', '队列是什么？')
    assert (answer.state, answer.content) == ('completed', '一条队伍')
    assert (answer.stats.tokens_per_s, answer.stats.first_token_s, answer.stats.output_tokens) == (4.0, 0.5, 8)
    assert setup.service.active() == {}
    assert set(heard) == {talk.id} and len(heard) >= 2
    assert setup.broker.bodies[answer.job_id]['messages'] == [{'role': 'user', 'content': '队列是什么？'}]


async def test_the_whole_conversation_goes_to_the_engine(setup):
    talk = await setup.service.send(None, 'one', 'm', 5)
    await setup.settle()
    await setup.run(talk, 'two')
    assert (await setup.service.send(talk.id, 'three', 'm', 5)).id == talk.id
    await setup.settle()
    body = setup.broker.bodies[(await setup.answer_of(talk)).job_id]
    assert [each['content'] for each in body['messages']] == ['one', 'two', 'three']
    assert (body['model'], body['stream']) == ('m', True)


async def test_the_text_grows_with_the_tokens(setup):
    talk = await setup.service.send(None, 'hi', 'm', 5)
    await setup.settle()
    worker = setup.broker.worker()
    job = {'job_id': (await setup.answer_of(talk)).job_id, 'epoch': 1}
    setup.broker.say(worker, protocol.Tokens(**job, index=0, lines=lines('Hel')))
    assert ((await setup.view(talk))['state'], (await setup.view(talk))['text']) == ('running', 'Hel')
    assert setup.service.active() == {talk.id: 'running'}
    setup.broker.say(worker, protocol.Tokens(**job, index=1, lines=lines('lo')))
    assert (await setup.view(talk))['text'] == 'Hello'


@pytest.mark.parametrize(
    ('text', 'model', 'code'),
    [('', 'm', 'empty'), (' \n ', 'm', 'empty'), ('字' * 400, 'm', 'too_long'), ('a', '', 'no_model')],
)
async def test_a_bad_message_is_refused_and_nothing_is_stored(setup, text, model, code):
    with pytest.raises(ChatError) as refused:
        await setup.service.send(None, text, model, 5)
    assert refused.value.code == code
    assert setup.service.conversations() == []
    if code == 'too_long':
        assert refused.value.values == {'size': 1200, 'limit': 1000}


async def test_a_message_to_a_conversation_that_is_gone_is_refused(setup):
    with pytest.raises(ChatError, match='gone'):
        await setup.service.send('nowhere', 'hi', 'm', 5)


async def test_what_the_queue_refuses_is_kept_with_the_reason_and_can_be_tried_again(setup):
    setup.broker.refusal = errors.Refused('queue_full', 'too many', 5.0)
    talk = await setup.service.send(None, 'hi', 'm', 5)
    await setup.settle()
    view = await setup.view(talk)
    assert (view['state'], view['code'], view['detail']) == ('unsent', 'queue_full', 'too many')
    assert setup.service.active() == {}
    setup.broker.refusal = None
    await setup.service.versions.retry(view['id'], talk.id)
    await setup.settle()
    await setup.run(talk, 'there you are')
    assert (await setup.view(talk))['text'] == 'there you are'


async def test_without_a_broker_the_message_says_so(setup):
    setup.broker.away = True
    talk = await setup.service.send(None, 'hi', 'm', 5)
    await setup.settle()
    assert ((await setup.view(talk))['state'], (await setup.view(talk))['code']) == ('unsent', 'broker_away')


async def test_stopping_keeps_the_text_so_far(setup):
    talk = await setup.service.send(None, 'hi', 'm', 5)
    await setup.settle()
    worker = setup.broker.worker()
    job = {'job_id': (await setup.answer_of(talk)).job_id, 'epoch': 1}
    setup.broker.say(worker, protocol.Tokens(**job, index=0, lines=lines('so far')))
    await setup.service.stop(job['job_id'])
    assert (await setup.view(talk))['state'] == 'cancelling'
    setup.broker.say(worker, protocol.Stopped(**job))
    await setup.settle()
    answer = await setup.answer_of(talk)
    assert (answer.state, answer.content) == ('cancelled', 'so far')
    await setup.service.stop(job['job_id'])  # once more does no harm


async def test_a_failed_answer_says_why(setup):
    talk = await setup.service.send(None, 'hi', 'm', 5)
    await setup.settle()
    worker = setup.broker.worker()
    job_id = (await setup.answer_of(talk)).job_id
    setup.broker.say(
        worker,
        protocol.Failed(job_id=job_id, epoch=1, code='model_not_found', detail="model 'm' not found", retryable=False),
    )
    await setup.settle()
    answer = await setup.answer_of(talk)
    assert (answer.state, answer.code, answer.detail) == ('dead', 'model_not_found', "model 'm' not found")


async def test_asking_again_makes_another_answer_beside_the_old_one(setup):
    talk = await setup.service.send(None, 'hi', 'm', 5)
    await setup.settle()
    await setup.run(talk, 'first')
    old = await setup.answer_of(talk)
    await setup.service.versions.retry(old.id, talk.id, 'other')
    await setup.settle()
    new = await setup.answer_of(talk)
    assert (new.state, new.content, new.model) == ('pending', '', 'other')
    assert new.id != old.id and new.job_id != old.job_id
    await setup.service.versions.retry(new.id, talk.id)
    assert (await setup.answer_of(talk)).job_id == new.job_id, 'one at a time'
    branches = await setup.service.branches(talk.id)
    assert [each.id for each in branches.shown(setup.service.conversation(talk.id).shown)][-1] == new.id
    assert (branches.turn(old.id), branches.turn(new.id)) == ((1, 2), (2, 2))
    assert branches.message(old.id).content == 'first'


async def test_after_a_restart_of_the_desk_an_answer_that_ended_meanwhile_is_there(setup):
    talk = await setup.service.send(None, 'hi', 'm', 5)
    await setup.settle()
    await setup.service.close()
    worker = setup.broker.queue.join('w')
    job = {'job_id': next(iter(setup.broker.queue.store._jobs)), 'epoch': 1}
    setup.broker.queue.tell(worker, protocol.Tokens(**job, index=0, lines=lines('while', ' away')))
    setup.broker.queue.tell(worker, protocol.Finished(**job, lines=2, usage=facts.Usage()))
    setup.board = setup.broker.board = Board()
    await setup.open()
    answer = await setup.answer_of(talk)
    assert (answer.state, answer.content) == ('completed', 'while away')


async def test_a_message_stored_but_never_sent_is_sent_after_a_restart(setup):
    setup.broker._ask = _never
    talk = await setup.service.send(None, 'hi', 'm', 5)
    del setup.broker._ask
    await setup.reopen()
    assert (await setup.view(talk))['state'] == 'waiting'


async def _never(request):
    await asyncio.Event().wait()


async def test_an_answer_that_cannot_be_stored_yet_is_stored_later(setup, monkeypatch):
    talk = await setup.service.send(None, 'hi', 'm', 5)
    await setup.settle()
    change, tries = setup.service._desk.change, []

    async def full_at_first(*args, **fields):
        tries.append(args)
        if len(tries) < 3:
            raise DeskError
        return await change(*args, **fields)

    monkeypatch.setattr('app.chats.chat_jobs.STORE_AGAIN_S', 0.0)
    monkeypatch.setattr(setup.service._desk, 'change', full_at_first)
    await setup.run(talk, 'kept')
    answer = await setup.answer_of(talk)
    assert (answer.state, answer.content, len(tries)) == ('completed', 'kept', 3)


async def test_a_message_that_cannot_be_stored_changes_nothing(setup, monkeypatch):
    talk = await setup.service.send(None, 'hi', 'm', 5)
    await setup.settle()
    await setup.run(talk, 'hello')

    async def full(*_):
        raise DeskError

    monkeypatch.setattr(setup.service._desk, 'put', full)
    with pytest.raises(DeskError):
        await setup.service.send(talk.id, 'again', 'other', 15)
    with pytest.raises(DeskError):
        await setup.service.rename(talk.id, 'other')
    header = setup.service.conversation(talk.id)
    assert (header.title, header.model, header.priority) == ('hi', 'm', 5)


async def test_a_stop_that_overtakes_its_message_still_stops_it(setup, monkeypatch):
    sent, submit = asyncio.Event(), setup.broker.submit

    async def slow(job):
        await sent.wait()
        await submit(job)

    monkeypatch.setattr(setup.broker, 'submit', slow)
    talk = await setup.service.send(None, 'q', 'm', 5)
    stopping = asyncio.create_task(setup.service.stop((await setup.answer_of(talk)).job_id))
    for _ in range(5):
        await asyncio.sleep(0)
    sent.set()
    await stopping
    await setup.settle()
    assert (await setup.view(talk))['state'] == 'cancelled'


async def test_a_conversation_that_cannot_be_deleted_or_brought_back_stays_where_it_is(setup, monkeypatch):
    talk = await setup.service.send(None, 'q', 'm', 5)
    await setup.settle()

    async def full(*_):
        raise DeskError('full')

    with monkeypatch.context() as patch:
        patch.setattr(setup.service._desk, 'set_deleted', full)
        with pytest.raises(DeskError):
            await setup.service.delete(talk.id)
    assert setup.service.conversation(talk.id) is not None
    await setup.service.delete(talk.id)
    with monkeypatch.context() as patch:
        patch.setattr(setup.service._desk, 'set_deleted', full)
        with pytest.raises(DeskError):
            await setup.service.undelete(talk.id)
    await setup.service.undelete(talk.id)
    assert setup.service.conversation(talk.id) is not None


async def test_renaming_and_deleting(setup):
    talk = await setup.service.send(None, 'hi', 'm', 5)
    await setup.settle()
    await setup.service.rename(talk.id, '  Ein   Titel ')
    await setup.service.rename(talk.id, '   ')
    assert setup.service.title_of(talk.id) == 'Ein Titel'
    await setup.service.delete(talk.id)
    assert setup.service.conversations() == [] and setup.service.title_of(talk.id) is None
    assert setup.broker.queue.history is not None and not list(setup.broker.queue.store.alive()), 'its job is cancelled'
    await setup.service.undelete(talk.id)
    assert [each.title for each in setup.service.conversations()] == ['Ein Titel']
    await setup.reopen()
    assert setup.service.title_of(talk.id) == 'Ein Titel'


@pytest.mark.parametrize(
    ('text', 'title'),
    [
        ('Hello', 'Hello'),
        ('\n\n  first   line \nsecond', 'first line'),
        ('字' * 60, '字' * (TITLE_WIDTH // 2) + '…'),
        ('word ' * 30, ('word ' * 30)[:TITLE_WIDTH].rstrip() + '…'),
    ],
)
def test_a_title_is_the_first_line_cut_to_fit(text, title):
    assert title_from(text) == title


async def test_another_model_answers_in_the_place_of_the_one_that_waits(setup):
    talk = await setup.service.send(None, 'hi', 'm', 10)
    await setup.settle()
    old = await setup.answer_of(talk)
    states = []
    stop = setup.board.subscribe(old.job_id, lambda: states.append(setup.service.view(old)['state']))
    await setup.service.use_instead(old.job_id, 'quick')
    stop()
    await setup.settle()
    assert states == ['sending'], 'nobody sees that it was cancelled'
    question, new = await setup.service.messages(talk.id)
    assert (question.content, new.id, new.model, new.priority) == ('hi', old.id, 'quick', 10)
    assert new.job_id != old.job_id and setup.board.job(old.job_id).state == 'cancelled'
    assert (await setup.view(talk))['state'] == 'waiting'
    await setup.service.use_instead(old.job_id, 'quick')
    await setup.settle()
    assert (await setup.answer_of(talk)).job_id == new.job_id, 'once is enough'


async def test_an_answer_that_starts_in_that_moment_goes_on_and_is_the_only_one(setup):
    talk = await setup.service.send(None, 'hi', 'm', 5)
    await setup.settle()
    old = await setup.answer_of(talk)
    swap = asyncio.create_task(setup.service.use_instead(old.job_id, 'quick'))
    await asyncio.sleep(0)  # the wish is on its way
    worker = setup.broker.worker()  # and overtaken
    with pytest.raises(ChatError, match='started'):
        await swap
    job = {'job_id': old.job_id, 'epoch': 1}
    setup.broker.say(worker, protocol.Tokens(**job, index=0, lines=lines('it is me')))
    setup.broker.say(worker, protocol.Finished(**job, lines=1, usage=facts.Usage()))
    await setup.settle()
    answer = await setup.answer_of(talk)
    assert (answer.job_id, answer.state, answer.content) == (old.job_id, 'completed', 'it is me')
    assert list(setup.broker.bodies) == [old.job_id]


async def test_an_answer_that_ends_while_it_was_to_be_replaced_is_stored(setup):
    talk = await setup.service.send(None, 'hi', 'm', 5)
    await setup.settle()
    old = await setup.answer_of(talk)
    swap = asyncio.create_task(setup.service.use_instead(old.job_id, 'quick'))
    await asyncio.sleep(0)
    worker = setup.broker.worker()
    job = {'job_id': old.job_id, 'epoch': 1}
    setup.broker.say(worker, protocol.Tokens(**job, index=0, lines=lines('quick work')))
    setup.broker.say(worker, protocol.Finished(**job, lines=1, usage=facts.Usage()))
    await swap
    await setup.settle()
    answer = await setup.answer_of(talk)
    assert (answer.job_id, answer.state, answer.content) == (old.job_id, 'completed', 'quick work')


async def test_when_the_queue_is_away_a_waiting_answer_stays_as_it_is(setup):
    talk = await setup.service.send(None, 'hi', 'm', 5)
    await setup.settle()
    old = await setup.answer_of(talk)
    setup.broker.away = True
    with pytest.raises(errors.BrokerUnreachable):
        await setup.service.use_instead(old.job_id, 'quick')
    setup.broker.away = False
    await setup.run(talk, 'still here')
    answer = await setup.answer_of(talk)
    assert (answer.job_id, answer.content) == (old.job_id, 'still here')


@pytest.mark.parametrize(('moved', 'priority'), [(False, -1), (True, 1)])
async def test_what_was_guessed_is_guessed_again_for_another_model_unless_somebody_changed_it(setup, moved, priority):
    talk = await setup.service.send(None, 'hi', 'm', -1)
    await setup.settle()
    old = await setup.answer_of(talk)
    if moved:
        await setup.service.set_priority(old.job_id, 1)
    await setup.service.use_instead(old.job_id, 'quick')
    assert (await setup.answer_of(talk)).priority == priority
    await setup.settle()


async def test_a_full_queue_says_when_to_ask_again(setup):
    setup.broker.refusal = errors.Refused('queue_full', 'too many', 5.0)
    talk = await setup.service.send(None, 'hi', 'm', 5)
    await setup.settle()
    assert (await setup.view(talk))['retry_after'] == 5.0
    setup.broker.refusal = None
    await setup.service.versions.retry((await setup.answer_of(talk)).id, talk.id)
    await setup.settle()
    assert (await setup.view(talk))['retry_after'] == 0.0


async def test_nothing_is_asked_again_in_a_conversation_that_is_deleted_meanwhile(setup, monkeypatch):
    talk = await setup.service.send(None, 'hi', 'm', 5)
    await setup.settle()
    old, answered, cancel = await setup.answer_of(talk), asyncio.Event(), setup.broker.cancel

    async def slow(job_id, *, waiting=False):
        await cancel(job_id, waiting=waiting)
        if waiting:
            await answered.wait()

    monkeypatch.setattr(setup.broker, 'cancel', slow)
    swap = asyncio.create_task(setup.service.use_instead(old.job_id, 'quick'))
    await setup.service.delete(talk.id)
    answered.set()
    await swap
    await setup.settle()
    answer = await setup.answer_of(talk)
    assert (answer.job_id, answer.state) == (old.job_id, 'cancelled')
