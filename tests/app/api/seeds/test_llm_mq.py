"""llm-message-queue's clients: messages and conversations in one body that all of its three contracts can read."""

import asyncio
import json
import time
from datetime import datetime

from app.api.seeds import llm_mq_form
from app.api.trouble import Trouble
from broker import errors, protocol
from broker.admission import NOTHING, Admission
from tests.app.api.seeds.conftest import Yard

ASK = {'user_id': 'ann', 'content': 'Hi?', 'priority': 'high'}


async def test_a_message_is_accepted_in_the_words_of_all_three(yard):
    told = await yard.post('/api/v1/messages', ASK | {'metadata': {'source': 'web'}}, 202)
    data = told.pop('data')
    assert told == {
        'code': 202,
        'message': 'Message accepted',
        'timestamp': told['timestamp'],
        'id': data['id'],
        'message_id': data['id'],
        'conversation_id': data['conversation_id'],
        'priority': 'high',
        'queue_time': data['created_at'],
        'estimated_wait': told['estimated_wait'],
    }
    assert isinstance(told['estimated_wait'], int) and datetime.fromisoformat(told['timestamp']).tzinfo is not None
    named = ('user_id', 'content', 'priority', 'queue_name', 'retry_count', 'max_retries', 'timeout', 'metadata')
    assert [data[name] for name in named] == ['ann', 'Hi?', 'high', 'high_priority', 0, 3, '0s', {'source': 'web'}]
    assert data['status'] in ('pending', 'processing') and data['created_at'] <= data['updated_at']


async def test_a_message_is_followed_to_its_answer(yard):
    sent = await yard.post('/api/v1/messages', ASK, 202)
    run = await yard.run()
    assert run.body == {'model': 'm:latest', 'messages': [{'role': 'user', 'content': 'Hi?'}], 'stream': True}
    path = f'/api/v1/messages/{sent["id"]}'
    assert (await yard.get(path))['data']['status'] == 'processing'
    await run.say('Hel', 'lo')
    await run.end()
    told = await yard.get(path)
    assert told['id'] == told['message_id'] == sent['id'] and told['code'] == 200
    data = told['data']
    assert (data['status'], data['response'], data['progress']) == ('completed', 'Hello', 100)
    assert data['created_at'] <= data['scheduled_at'] <= data['completed_at'] == data['updated_at']


async def test_priorities_by_name_or_number_or_by_words_that_sound_urgent(yard):
    for asked, content, more, level, number in (
        ('realtime', 'x', {}, 'realtime', 15),
        ('High', 'x', {}, 'high', 10),
        ('low', 'urgent!', {}, 'low', 1),
        (1, 'x', {}, 'realtime', 15),
        (2, 'x', {}, 'high', 10),
        (3, 'x', {}, 'normal', 5),
        (4, 'x', {}, 'low', 1),
        ('4', 'x', {}, 'low', 1),
        (None, 'x', {}, 'normal', 5),
        (None, 'I need this ASAP', {}, 'realtime', 15),
        ('normal', 'an important question', {}, 'high', 10),
        (None, 'the unimportance of being soonish', {}, 'normal', 5),
        (None, 'emergency', {'user_priority': 'low'}, 'low', 1),
        ('high', 'x', {'user_priority': 'low'}, 'high', 10),
    ):
        told = await yard.post(
            '/api/v1/messages', {'user_id': 'u', 'content': content, 'priority': asked, 'metadata': more}, 202
        )
        assert told['priority'] == told['data']['priority'] == level, (asked, content)
        assert (await yard.get(f'/api/tasks/{told["id"]}'))['priority'] == number
    assert (await yard.get(f'/api/v1/messages/{told["id"]}'))['data']['metadata'] == {'user_priority': 'low'}


async def test_what_is_wrong_has_its_envelope_and_its_own_number(yard):
    for path, change, status, code, field in (
        ('/api/v1/messages', {'content': ' '}, 400, 1001, 'content'),
        ('/api/v1/messages', {'content': None}, 400, 1001, 'content'),
        ('/api/v1/messages', {'priority': 'soon'}, 400, 1003, 'priority'),
        ('/api/v1/messages', {'priority': 5}, 400, 1003, 'priority'),
        ('/api/v1/messages', {'user_id': ''}, 400, 1006, 'user_id'),
        ('/api/v1/messages', {'timeout': 'long'}, 400, None, 'timeout'),
        ('/api/v1/messages', {'model': 'x'}, 404, None, 'model'),
        ('/api/v1/conversations', {'user_id': ''}, 400, 1006, 'user_id'),
        ('/api/v1/conversations', {'state': 'odd'}, 400, None, 'state'),
        ('/api/v1/conversations/nothing/messages', {}, 404, 1005, 'conversation'),
    ):
        told = await yard.refused('POST', path, status, ASK | change)
        assert told.keys() == {'code', 'message', 'error', 'details', 'timestamp'} and told['code'] == status
        assert told['details'].get('code') == code and told['details']['field'] == field, (path, change)
        assert told['error'] == told['details']['reason']
    for path in ('/api/v1/messages/nothing', '/llm-mq/api/v1/messages/nothing'):
        told = await yard.refused('GET', path, 404)
        assert (told['error'], told['details']['code']) == ('Message not found', 1004)
    assert (await yard.refused('GET', '/api/v1/nothing', 404))['error'] == 'Not found'
    assert (await yard.refused('PATCH', '/api/v1/messages', 405))['code'] == 405
    assert (await yard.refused('POST', '/api/v1/messages', 400, b'{'))['error'] == 'unexpected EOF'


def test_a_full_queue_is_1007_and_one_users_limit_1009():
    queue = _Queue()
    for user, waiting, status, code in (('ann', 9, 503, 1007), ('bob', 1, 429, 1009)):
        queue.queued = waiting
        refused = Admission(queue).submit(_job(user), NOTHING, 0.0)
        assert isinstance(refused, protocol.Refused) and refused.code == 'queue_full'
        failure = Trouble(refused.code, refused.detail, retry_after_s=refused.retry_after_s)
        reply = llm_mq_form.refusal(failure)
        assert (reply.status_code, json.loads(reply.body)['details']['code']) == (status, code)
        assert reply.headers['retry-after'] == '5'


async def test_a_message_that_waits_too_long_is_told_as_timeout(yard):
    await yard.post('/api/v1/messages', ASK, 202)
    run = await yard.run()
    sent = await yard.post('/api/v1/messages', ASK | {'timeout': '500ms'}, 202)
    assert sent['data']['timeout'] == '0.5s'
    async with asyncio.timeout(40):
        while (told := await yard.get(f'/api/v1/messages/{sent["id"]}'))['data']['status'] == 'pending':
            await yard.until(lambda: True)
    assert told['data']['status'] == 'timeout' and told['data']['error']
    await run.end()


async def test_a_conversation_goes_on_with_what_was_said(yard):
    made = await yard.post('/api/v1/conversations', {'user_id': 'ann', 'title': 'T', 'context': 'Be short.'}, 201)
    name = made['conversation_id']
    assert made['code'] == 201 and made['id'] == made['data']['id'] == name and made['data']['message_count'] == 0
    assert (made['user_id'], made['state'], made['data']['context']) == ('ann', 'active', 'Be short.')
    path = f'/api/v1/conversations/{name}'
    for question, text in (('One?', '1'), ('Two?', '2')):
        sent = await yard.post(f'{path}/messages', {'content': question}, 202)
        assert sent['conversation_id'] == name and sent['data']['user_id'] == 'ann'
        run = await yard.answer(text)
    assert run.body['messages'] == [
        {'role': 'system', 'content': 'Be short.'},
        {'role': 'user', 'content': 'One?'},
        {'role': 'assistant', 'content': '1'},
        {'role': 'user', 'content': 'Two?'},
    ]
    told = await yard.get(path)
    assert [message['content'] for message in told['messages']] == ['One?', '1', 'Two?', '2']
    assert told['data']['message_count'] == 4 and told['data']['title'] == 'T'
    assert await yard.desk.conversations() == []  # not among the chats of people


async def test_a_message_begins_the_conversation_that_it_names_or_one_of_its_own(yard):
    named = await yard.post('/api/v1/messages', ASK | {'conversation_id': 'conv_123456'}, 202)
    again = await yard.post('/api/v1/messages', ASK | {'conversation_id': 'conv_123456'}, 202)
    other = await yard.post('/api/v1/messages', ASK, 202)
    assert named['conversation_id'] == again['conversation_id'] == 'conv_123456' != other['conversation_id']
    assert (await yard.get('/api/v1/conversations/conv_123456'))['data']['message_count'] == 4


async def test_conversations_are_listed_and_put_into_another_state(yard):
    names = [
        (await yard.post('/api/v1/conversations', {'user_id': user, 'title': user}, 201))['id']
        for user in ('ann', 'bob', 'ann')
    ]

    async def listed(path='/api/v1/conversations', **query):
        told = (await yard.get(path, **query))['data']
        return [names.index(each['id']) for each in told['conversations']], told['pagination']

    assert await listed() == ([2, 1, 0], {'page': 1, 'page_size': 20, 'total': 3, 'total_pages': 1})
    assert await listed(page_size=2, page=2, order='asc') == (
        [2],
        {'page': 2, 'page_size': 2, 'total': 3, 'total_pages': 2},
    )
    assert (await listed(user_id='bob'))[0] == [1] and (await listed('/api/v1/users/ann/conversations'))[0] == [2, 0]
    for path, body in (
        (f'/api/v1/conversations/{names[0]}/state', {'state': 'completed'}),
        (f'/api/v1/conversations/{names[1]}', {'state': 'archived', 'title': 'B', 'metadata': {'score': 5}}),
    ):
        told = (await yard.http.put(path, json=body)).json()
        assert told['data']['state'] == body['state'] and told['status'] == 'updated' and told['code'] == 200
    assert (await listed(state='active'))[0] == [2] and (await listed(state='archived'))[0] == [1]
    changed = (await yard.get(f'/api/v1/conversations/{names[1]}'))['data']
    assert (changed['title'], changed['metadata']) == ('B', {'score': 5})
    await yard.refused('PUT', f'/api/v1/conversations/{names[0]}/state', 400, {})
    assert (await yard.refused('GET', '/api/v1/conversations/x', 404))['details']['code'] == 1005


async def test_messages_are_listed_by_page_and_filter(yard):
    sent = [
        (await yard.post('/api/v1/messages', {'user_id': user, 'content': content, 'priority': level}, 202))['id']
        for user, content, level in (('ann', '1', 'high'), ('bob', '2', 'low'), ('ann', '3', 'low'))
    ]
    await yard.answer('x')
    await (await yard.run()).fail('no')

    async def listed(**query):
        told = (await yard.get('/api/v1/messages', **query))['data']
        return [sent.index(each['id']) for each in told['messages']], told['pagination']['total']

    assert await listed() == ([2, 1, 0], 3)
    assert await listed(user_id='ann', order='asc') == ([0, 2], 2)
    assert await listed(page_size=1, page=2) == ([1], 3) == await listed(limit=1, offset=1)
    assert await listed(priority='low') == ([2, 1], 2) and await listed(sort='priority') == ([0, 2, 1], 3)
    assert await listed(status='completed') == ([0], 1) and await listed(status='failed') == ([1], 1)
    assert await listed(status='processing') == ([2], 1) and await listed(status='timeout') == ([], 0)
    for query in ('status=odd', 'priority=odd', 'sort=odd', 'order=odd', 'page=x'):
        assert (await yard.refused('GET', f'/api/v1/messages?{query}', 400))['code'] == 400


async def test_the_queue_decides_what_becomes_of_a_message_but_one_may_give_it_up(yard):
    first, second, third = [(await yard.post('/api/v1/messages', ASK, 202))['id'] for _ in range(3)]
    run = await yard.run()
    await yard.held(run.job_id)
    assert (await yard.refused('PUT', f'/api/v1/messages/{second}/status', 409, {'status': 'completed'}))['code'] == 409
    told = (
        await yard.http.put(f'/api/v1/messages/{second}/status', json={'status': 'failed', 'metadata': {'a': 1}})
    ).json()
    assert told['data'] == {'id': second, 'status': 'failed', 'updated_at': told['data']['updated_at']}
    given_up = (await yard.get(f'/api/v1/messages/{second}'))['data']
    assert (given_up['status'], given_up['error'], given_up['metadata']) == ('failed', 'cancelled', {'a': 1})
    assert (await yard.http.delete(f'/api/v1/messages/{third}')).json()['data'] is None
    assert (await yard.get('/api/v1/messages'))['data']['pagination']['total'] == 2
    await run.end()
    assert (await yard.http.delete(f'/api/v1/messages/{first}')).json()['message'] == 'Message deleted successfully'
    assert (await yard.refused('DELETE', f'/api/v1/messages/{first}', 409))['code'] == 409


async def test_an_id_of_ones_own_is_a_message_once(yard):
    sent = [await yard.post('/api/v1/messages', ASK | {'id': 'msg 1', 'conversation_id': 'c'}, 202) for _ in range(2)]
    assert sent[0]['id'] == sent[1]['id'] == 'msg 1'
    assert (await yard.get('/api/v1/messages/msg 1'))['data']['content'] == 'Hi?'
    assert (await yard.get('/api/v1/conversations/c'))['data']['message_count'] == 2
    other = ASK | {'id': 'msg 1', 'content': 'other'}
    assert (await yard.refused('POST', '/api/v1/messages', 409, other))['code'] == 409


async def test_a_message_that_the_queue_does_not_take_leaves_nothing(yard, monkeypatch):
    async def full(_: object) -> None:
        raise errors.Refused('queue_full', '9 jobs are waiting, which is the limit; try again later', 5.0)

    monkeypatch.setattr(yard.broker, 'submit', full)
    told = await yard.refused('POST', '/api/v1/messages', 503, ASK | {'conversation_id': 'c'})
    assert told['details']['code'] == 1007
    await yard.refused('GET', '/api/v1/conversations/c', 404)
    assert (await yard.get('/api/v1/messages'))['data']['messages'] == []


async def test_what_died_is_tried_again_once(yard):
    sent = [(await yard.post('/api/v1/messages', ASK | {'conversation_id': 'c'}, 202))['id'] for _ in range(2)]
    for _ in sent:
        await (await yard.run()).fail('no')
    told = await yard.post(f'/api/v1/admin/dead-letter/requeue/{sent[0]}')
    assert told['message_id'] != sent[0] and told['data']['requeued'] == sent[0]
    assert (await yard.answer('late')).job_id == told['message_id']
    assert (await yard.post('/api/v1/admin/dead-letter/requeue-all'))['count'] == 1
    assert (await yard.post('/api/v1/admin/dead-letter/requeue-all'))['count'] == 0
    await yard.answer('later')
    contents = [message['content'] for message in (await yard.get('/api/v1/conversations/c'))['messages']]
    assert contents == ['Hi?', 'late', 'Hi?', 'later']
    assert (await yard.http.delete(f'/api/v1/admin/queues/dead_letter/{sent[0]}')).status_code == 200
    await yard.refused('GET', f'/api/v1/messages/{sent[0]}', 404)
    waiting = await yard.post('/api/v1/messages', ASK, 202)
    assert (await yard.http.delete(f'/api/v1/admin/queues/standard/{waiting["id"]}')).status_code == 200
    for path, status in (('odd/x', 400), ('standard/x', 404), (f'dead_letter/{waiting["id"]}', 409)):
        assert (await yard.refused('DELETE', f'/api/v1/admin/queues/{path}', status))['code'] == status
    assert (await yard.refused('POST', f'/api/v1/admin/dead-letter/requeue/{told["id"]}', 409))['code'] == 409


async def test_an_answer_that_nobody_stored_is_stored_when_it_is_asked_for(yard):
    yard._entrance._seeds._talks.close()  # as if the desk had been away
    sent = await yard.post('/api/v1/messages', ASK, 202)
    await yard.answer('kept')
    assert (await yard.desk.exchange(sent['id']))[1].state == 'pending'
    told = await yard.get(f'/api/v1/conversations/{sent["conversation_id"]}')
    assert [message['content'] for message in told['messages']] == ['Hi?', 'kept']
    assert (await yard.desk.exchange(sent['id']))[1].content == 'kept'


async def test_the_queue_level_by_level(broker, tmp_path):
    async with Yard(broker, tmp_path, with_figures=True) as yard:
        for level in ('realtime', 'low', 'low', 'high'):
            await yard.post('/api/v1/messages', {'user_id': 'u', 'content': 'x', 'priority': level}, 202)
        await yard.answer('x')
        await yard.run()
        await yard.until(lambda: yard.board.counts().waiting == 2)
        async with asyncio.timeout(40):
            while not (told := await yard.get('/api/v1/queues/status'))['data']['total_processed']:
                await yard.until(lambda: True)
        queues = {queue['name']: queue for queue in told['data']['queues']}
        assert list(queues) == ['realtime', 'high', 'normal', 'low']
        assert [queue['priority'] for queue in queues.values()] == [1, 2, 3, 4]
        assert (queues['realtime']['total_processed'], queues['low']['size']) == (1, 2)
        assert queues['high']['processing_count'] == 1 and told['data']['total_size'] == 2
        stats = await yard.get('/api/v1/queues/stats', time_range='24h')
        assert stats['data']['stats']['processed_messages'] == 1 and stats['workers'] == {'active': 1, 'total': 1}
        assert stats['data']['priority_breakdown']['realtime']['percentage'] == 100.0
        assert stats['standard'] == {'pending_count': 2} and stats['data']['stats']['avg_processing_time'].endswith('s')
        await yard.refused('GET', '/api/v1/queues/stats?time_range=2h', 400)
        figures = (await yard.get('/api/v1/metrics'))['data']['application']
        assert (figures['queue_depth'], figures['processing_messages']) == (2, 1)
        text = await yard.http.get('/api/v1/metrics', params={'format': 'prometheus'})
        assert 'llm_mq_queue_depth 2\n' in text.text and text.headers['content-type'].startswith('text/plain')
        await yard.refused('GET', '/api/v1/metrics?format=xml', 400)


async def test_health_config_and_machines(yard):
    health = await yard.get('/api/v1/health')
    assert health['message'] == 'System is healthy' and health['data']['status'] == 'healthy'
    assert health['data']['version'] == '1.2.3' and health['data']['components']['workers']['active_workers'] == 1
    assert (await yard.get('/api/v1/config'))['data']['queue']['priorities']['realtime'] == 15
    for name in ('resources', 'endpoints'):
        (machine,) = (await yard.get(f'/api/v1/{name}'))[name]
        assert (machine['id'], machine['capacity'], machine['status']) == ('w', 1, 'available')
        assert (await yard.get(f'/api/v1/{name}/stats'))['capacity'] == 1
        assert (await yard.refused('POST', f'/api/v1/{name}', 403, {}))['code'] == 403
    assert len((await yard.get('/api/v1/admin/preprocessor/rules'))['rules']) == 2
    for name in ('rules', 'user-priorities'):
        assert 'corral.toml' in (await yard.refused('POST', f'/api/v1/admin/preprocessor/{name}', 403, {}))['error']
    yard.board.tick(time.time() + 60)
    told = await yard.http.get('/api/v1/health')
    assert told.status_code == 503 and told.json()['code'] == 503
    assert told.json()['data']['components']['queue_manager']['status'] == 'unhealthy'


class _Queue:
    """As full as a test wants it."""

    def __init__(self) -> None:
        self.queued = 0
        self.waiting_bytes = 0
        self.backlog = {'ann': 0, 'bob': 3}
        self.keys = type('Keys', (), {'claimed': staticmethod(lambda _: '')})
        self.rules = type(
            'Rules',
            (),
            {'max_waiting': 9, 'max_waiting_per_user': 3, 'max_waiting_bytes': 0, 'priority_rules': ()},
        )

    def knows(self, _: str) -> bool:
        return False


def _job(user: str) -> protocol.Submit:
    return protocol.Submit(job_id='0' * 32, kind='chat', model='m', body=b'{}', user=user)
