"""Versions of questions and answers, answers that go on, two models side by side, and messages that wait their turn."""

import asyncio
import json

import pytest

from app.chats.chat_options import Options
from app.chats.chat_refusal import ChatError
from broker import facts, protocol
from tests.app.chats.chatting import Setup, lines


class Talk(Setup):
    """A conversation with a worker that answers."""

    peer = None

    async def say(self, text, **fields):
        header = await self.service.send(getattr(self, 'id', None), text, 'm', 5, **fields)
        self.id = header.id
        await self.settle()
        return header

    async def answer(self, *texts, job=None, cut=False):
        """The worker writes this as the answer to ``job``, else to the last one that is shown."""
        job = job or (await self.shown())[-1].job_id
        name = {'job_id': job, 'epoch': 1}
        self.peer = self.peer or self.broker.worker(slots=4, models=('m', 'n'))
        self.broker.say(self.peer, protocol.Tokens(**name, index=0, lines=lines(*texts)))
        usage = facts.Usage(output_tokens=8, decode_s=2.0, done_reason='length' if cut else 'stop')
        self.broker.say(self.peer, protocol.Finished(**name, lines=len(texts), usage=usage))
        await self.settle()

    async def stop(self, *texts):
        name = {'job_id': (await self.shown())[-1].job_id, 'epoch': 1}
        self.peer = self.peer or self.broker.worker(slots=4, models=('m', 'n'))
        self.broker.say(self.peer, protocol.Tokens(**name, index=0, lines=lines(*texts)))
        await self.service.stop(name['job_id'])
        self.broker.say(self.peer, protocol.Stopped(**name))
        await self.settle()

    async def shown(self):
        return await self.service.branch(self.id)

    async def texts(self):
        return [each.content for each in await self.shown()]

    def asked(self, message):
        return [each['content'] for each in self.broker.bodies[message.job_id]['messages']]


@pytest.fixture
async def talk(tmp_path):
    made = Talk(tmp_path)
    await made.open()
    made.peer = made.broker.worker(slots=4, models=('m', 'n'))
    yield made
    await made.service.close()


async def test_an_edited_question_is_a_branch_and_the_model_sees_only_that(talk):
    await talk.say('one')
    await talk.answer('two')
    await talk.say('three')
    await talk.answer('four')
    first, _, question, _ = await talk.shown()
    await talk.service.versions.edit(talk.id, question.id, 'other')
    await talk.settle()
    assert await talk.texts() == ['one', 'two', 'other', '']
    assert talk.asked((await talk.shown())[-1]) == ['one', 'two', 'other']
    await talk.answer('five')
    await talk.service.versions.edit(talk.id, first.id, 'anew')
    await talk.settle()
    assert talk.asked((await talk.shown())[-1]) == ['anew']
    await talk.answer('six')
    await talk.service.versions.turn(talk.id, (await talk.shown())[0].id, -1)
    assert await talk.texts() == ['one', 'two', 'other', 'five']
    await talk.service.versions.turn(talk.id, question.id, 0)
    assert await talk.texts() == ['one', 'two', 'three', 'four']
    await talk.reopen()
    assert await talk.texts() == ['one', 'two', 'three', 'four'], 'remembered, and nothing is lost'
    assert len(await talk.service.messages(talk.id)) == 8


async def test_a_cut_answer_goes_on_where_it_ended(talk):
    await talk.say('count')
    await talk.answer('one, two,', cut=True)
    answer = (await talk.shown())[-1]
    await talk.service.versions.go_on(answer.id, talk.id)
    await talk.settle()
    going = (await talk.shown())[-1]
    assert (going.id, going.content) == (answer.id, 'one, two,')
    assert talk.asked(going) == ['count', 'one, two,']
    name = {'job_id': going.job_id, 'epoch': 1}
    talk.broker.say(talk.peer, protocol.Tokens(**name, index=0, lines=lines(' three')))
    assert talk.service.view(going)['text'] == 'one, two, three'
    talk.broker.say(talk.peer, protocol.Finished(**name, lines=1, usage=facts.Usage()))
    await talk.settle()
    assert await talk.texts() == ['count', 'one, two, three']


async def test_an_answer_that_goes_on_is_whole_after_a_restart(talk):
    await talk.say('count')
    await talk.stop('one,')
    await talk.service.versions.go_on((await talk.shown())[-1].id, talk.id)
    await talk.settle()
    name = {'job_id': (await talk.shown())[-1].job_id, 'epoch': 1}
    await talk.service.close()
    talk.broker.queue.tell(talk.peer, protocol.Tokens(**name, index=0, lines=lines(' two')))
    talk.broker.queue.tell(talk.peer, protocol.Finished(**name, lines=1, usage=facts.Usage()))
    await talk.open()
    assert await talk.texts() == ['count', 'one, two']


async def test_two_models_answer_beside_each_other_and_one_is_kept(talk):
    await talk.say('which?', beside='n')
    left = (await talk.shown())[-1]
    right = (await talk.service.branches(talk.id)).message(left.extras.beside)
    assert (left.model, right.model, right.extras.beside) == ('m', 'n', left.id)
    with pytest.raises(ChatError, match='choose'):
        await talk.say('more')
    await talk.answer('mine', job=left.job_id)
    await talk.answer('yours', job=right.job_id)
    await talk.service.versions.keep(talk.id, right.id)
    assert await talk.texts() == ['which?', 'yours']
    await talk.say('more')
    assert talk.asked((await talk.shown())[-1]) == ['which?', 'yours', 'more']
    branches = await talk.service.branches(talk.id)
    assert branches.turn(left.id) == (1, 2) and branches.message(left.id).content == 'mine'
    assert not branches.message(left.id).extras.beside


async def test_the_answer_that_is_not_kept_is_stopped(talk):
    await talk.say('which?', beside='n')
    left = (await talk.shown())[-1]
    right = left.extras.beside
    await talk.answer('mine', job=left.job_id)
    await talk.service.versions.keep(talk.id, left.id)
    other = (await talk.service.branches(talk.id)).message(right)
    assert talk.board.job(other.job_id).state == 'cancelling'
    talk.broker.say(talk.peer, protocol.Stopped(job_id=other.job_id, epoch=1))
    await talk.settle()
    other = (await talk.service.branches(talk.id)).message(right)
    assert (other.state, other.extras.beside) == ('cancelled', '')


async def test_messages_wait_for_the_answer_before_them_and_go_in_their_order(talk):
    await talk.say('one')
    for text in ('two', 'three', 'four'):
        await talk.say(text)
    two, three, four = talk.service.next.of(talk.id)
    await talk.service.next.reword(talk.id, two.id, 'second')
    await talk.service.next.move(talk.id, four.id, -1)
    await talk.service.next.drop(talk.id, three.id)
    with pytest.raises(ChatError, match='empty'):
        await talk.service.next.reword(talk.id, two.id, ' ')
    await talk.service.close()
    await talk.open()
    assert [each.content for each in talk.service.next.of(talk.id)] == ['second', 'four']
    await talk.answer('1')
    assert await talk.texts() == ['one', '1', 'second', '']
    assert [each.content for each in talk.service.next.of(talk.id)] == ['four']
    await talk.answer('2')
    await talk.answer('3')
    assert await talk.texts() == ['one', '1', 'second', '2', 'four', '3']
    assert talk.service.next.of(talk.id) == []
    assert talk.asked((await talk.shown())[-1]) == ['one', '1', 'second', '2', 'four']


async def test_what_waits_is_held_when_the_answer_was_stopped_until_somebody_sends_it(talk):
    await talk.say('one')
    await talk.say('two')
    await talk.stop('so far')
    assert await talk.texts() == ['one', 'so far']
    assert [each.content for each in talk.service.next.of(talk.id)] == ['two']
    await talk.service.next.send(talk.id)
    await talk.settle()
    assert await talk.texts() == ['one', 'so far', 'two', '']
    assert talk.service.next.of(talk.id) == []


async def test_what_waits_follows_the_answer_that_is_made_anew(talk):
    await talk.say('one')
    await talk.say('two')
    await talk.stop('so far')
    await talk.service.versions.retry((await talk.shown())[-1].id, talk.id)
    await talk.settle()
    await talk.answer('whole')
    assert await talk.texts() == ['one', 'whole', 'two', '']


async def test_an_answer_that_ended_while_the_desk_was_away_lets_the_next_message_go(talk):
    await talk.say('one')
    await talk.say('two')
    name = {'job_id': (await talk.shown())[-1].job_id, 'epoch': 1}
    await talk.service.close()
    talk.broker.queue.tell(talk.peer, protocol.Tokens(**name, index=0, lines=lines('1')))
    talk.broker.queue.tell(talk.peer, protocol.Finished(**name, lines=1, usage=facts.Usage()))
    await talk.open()
    assert await talk.texts() == ['one', '1', 'two', '']
    assert [each.role for each in await talk.service.messages(talk.id)].count('user') == 2, 'once, not twice'


async def test_turning_to_another_branch_does_not_lead_what_waits_astray(talk):
    await talk.say('one')
    await talk.answer('1')
    await talk.service.versions.retry((await talk.shown())[-1].id, talk.id)
    await talk.settle()
    await talk.say('two')
    running = (await talk.shown())[-1]
    await talk.service.versions.turn(talk.id, running.id, -1)
    await talk.answer('again', job=running.job_id)
    assert await talk.texts() == ['one', '1'], 'what one looks at stays'
    await talk.service.versions.turn(talk.id, (await talk.shown())[-1].id, 1)
    assert await talk.texts() == ['one', 'again', 'two', '']


async def test_a_conversation_keeps_its_options_and_files_go_to_the_model(talk):
    file = await talk.service.attachments.add('notes.txt', b'remember the milk')
    await talk.say('', files=[file.id], options=Options(system='Be brief.', temperature=0.3))
    assert talk.service.title_of(talk.id) == 'notes.txt'
    answer = (await talk.shown())[-1]
    body = talk.broker.bodies[answer.job_id]
    assert body['messages'][0] == {'role': 'system', 'content': 'Be brief.'}
    assert 'remember the milk' in body['messages'][1]['content']
    assert body['options'] == {'temperature': 0.3}
    await talk.answer('ok')
    await talk.service.set_options(talk.id, Options(seed=7))
    await talk.reopen()
    assert talk.service.options(talk.id) == Options(seed=7)
    await talk.say('more')
    body = talk.broker.bodies[(await talk.shown())[-1].job_id]
    assert body['options'] == {'seed': 7} and body['messages'][0]['role'] == 'user'
    assert 'remember the milk' in body['messages'][0]['content'], 'the file stays part of what was said'


async def test_a_new_conversation_begins_with_the_default_preset(talk):
    await talk.service.presets.save('mine', Options(seed=3))
    await talk.service.presets.set_default('mine')
    await talk.say('hi')
    assert talk.broker.bodies[(await talk.shown())[-1].job_id]['options'] == {'seed': 3}


async def test_tools_and_thinking_are_kept_with_the_answer(talk):
    await talk.say('weather?')
    answer = (await talk.shown())[-1]
    name = {'job_id': answer.job_id, 'epoch': 1}
    call = b'{"message":{"content":"","tool_calls":[{"function":{"name":"f","arguments":{"city":"\xe5\x8c\x97"}}}, 3]}}'
    thought = b'{"message":{"content":"","thinking":"hm"}}'
    talk.broker.say(talk.peer, protocol.Tokens(**name, index=0, lines=(thought,)))
    talk.broker.queue.now += 2.0
    talk.broker.say(talk.peer, protocol.Tokens(**name, index=1, lines=(*lines('it'), call)))
    talk.broker.say(talk.peer, protocol.Finished(**name, lines=3, usage=facts.Usage()))
    await talk.settle()
    view = talk.service.view((await talk.shown())[-1])
    assert view['tools'] == [{'name': 'f', 'arguments': '{\n  "city": "北"\n}'}]
    assert (view['thinking'], view['thought']) == ('hm', 2.0)


async def test_another_model_goes_on_with_what_was_kept(tmp_path):
    talk = Talk(tmp_path)
    await talk.open()
    await talk.say('count')
    await talk.stop('one,')
    talk.broker._perform(talk.broker.queue.core.peer_gone(talk.peer, talk.broker.queue.now))
    await talk.service.versions.go_on((await talk.shown())[-1].id, talk.id)
    await talk.settle()
    await talk.service.use_instead((await talk.shown())[-1].job_id, 'n')
    await talk.settle()
    going = (await talk.shown())[-1]
    assert (going.model, going.content, going.extras.kept) == ('n', 'one,', 'one,')
    assert json.loads(talk.broker.queue.store.body(going.job_id))['messages'][-1]['content'] == 'one,'
    await talk.service.close()


async def test_a_question_is_suggested_and_one_that_failed_or_was_cancelled_is_none(talk):
    suggestions = talk.service.suggestions
    for number, (lines_, question) in enumerate([(lines('“Why', '?”'), 'Why?'), (None, '')]):
        job = await suggestions.ask('m', await talk.service.branch(''), 'en', 'local')
        asked = asyncio.create_task(suggestions.question(job))
        name = {'job_id': job, 'epoch': 1}
        if lines_ is None:
            await suggestions.cancel(job)
            talk.broker.say(talk.peer, protocol.Stopped(**name))
        else:
            talk.broker.say(talk.peer, protocol.Tokens(**name, index=0, lines=lines_))
            talk.broker.say(talk.peer, protocol.Finished(**name, lines=len(lines_), usage=facts.Usage()))
        assert await asked == question, number
    assert talk.service.conversations() == [], 'a suggestion is no conversation'
    await suggestions.cancel('never heard of')


async def test_what_is_reworded_while_it_is_being_sent_does_not_come_twice(talk):
    await talk.say('one')
    await talk.say('two')
    [two] = talk.service.next.of(talk.id)
    await talk.stop('so far')
    await asyncio.gather(
        talk.service.next.send(talk.id),
        talk.service.next.send(talk.id),
        talk.service.next.reword(talk.id, two.id, 'second'),
    )
    await talk.settle()
    assert talk.service.next.of(talk.id) == []
    assert [each.role for each in await talk.service.messages(talk.id)].count('user') == 2
