"""ai-task-system's clients: a prompt becomes a task of a conversation, whose history can be read."""

from datetime import datetime

from app.api.seeds import ai_task
from broker import errors
from tests.app.api.seeds.conftest import Yard

PATH = '/v1/chat/completions'
ASK = {'prompt': '你好，请用一句话介绍你自己，并且告诉我今天应该做什么事情才好', 'model': 'm'}


async def test_a_prompt_is_queued_and_gives_its_answer(yard):
    told = await yard.post(PATH, ASK)
    assert told == {
        'task_id': told['task_id'],
        'status': 0,
        'conversation_id': told['conversation_id'],
        'message': '对话请求已入队',
    }
    path = f'/v1/tasks/{told["task_id"]}'
    waiting = await yard.get(path)
    assert (waiting['status'], waiting['response_text'], waiting['cost_time']) == (0, None, None)
    run = await yard.run()
    assert run.body == {'model': 'm:latest', 'messages': [{'role': 'user', 'content': ASK['prompt']}], 'stream': True}
    await yard.held(run.job_id)
    assert (await yard.get(path))['status'] == 0
    await run.say('我是', '助手')
    await run.end()
    task = await yard.get(path)
    assert (task['task_id'], task['status'], task['response_text']) == (told['task_id'], 1, '我是助手')
    assert (task['conversation_id'], task['task_type']) == (told['conversation_id'], 'TEXT')
    assert (task['prompt'], task['model'], task['error_msg']) == (ASK['prompt'], 'm:latest', None)
    assert 0 <= task['cost_time'] < 60
    made = datetime.fromisoformat(task['created_at'])
    assert made.tzinfo is None and abs((datetime.now() - made).total_seconds()) < 60


async def test_the_history_tells_what_was_said_and_leaves_out_what_is_not_answered(yard):
    first = await yard.post(PATH, ASK)
    name = first['conversation_id']
    await yard.answer('我是助手')
    again = await yard.post(PATH, {'prompt': 'Two?', 'model': 'm', 'conversation_id': name})
    run = await yard.run()
    assert [message['content'] for message in run.body['messages']] == [ASK['prompt'], '我是助手', 'Two?']
    await run.fail('它坏了')
    await yard.post(PATH, {'prompt': 'Three?', 'model': 'm', 'conversation_id': f'conv_{name}'})
    assert again['conversation_id'] == name
    told = await yard.get(f'/v1/conversations/{name}/history')
    assert told['conversation_id'] == name
    assert all(datetime.fromisoformat(message.pop('created_at')).tzinfo is None for message in told['messages'])
    assert told['messages'] == [
        {'role': 'user', 'content': ASK['prompt']},
        {'role': 'assistant', 'status': 1, 'type': 'text', 'content': '我是助手'},
        {'role': 'user', 'content': 'Two?'},
        {'role': 'assistant', 'status': 2, 'type': 'text', 'content': '任务失败: 它坏了'},
        {'role': 'user', 'content': 'Three?'},
    ]
    dashed = f'{name[:8]}-{name[8:12]}-{name[12:16]}-{name[16:20]}-{name[20:]}'
    assert len((await yard.get(f'/v1/conversations/{dashed}/history'))['messages']) == 5
    assert (await yard.desk.conversation(name)).title == ASK['prompt'][:30]


async def test_an_unknown_conversation_is_a_new_one_with_a_new_id(yard):
    told = await yard.post(PATH, ASK | {'conversation_id': 'nobody-knows-this'})
    assert told['conversation_id'] != 'nobody-knows-this'
    assert (await yard.get(f'/v1/conversations/{told["conversation_id"]}/history'))['messages'][0]['role'] == 'user'


async def test_what_is_not_there_is_said_in_its_own_words(yard):
    assert await yard.refused('GET', '/v1/tasks/x', 404) == {'detail': 'Task not found'}
    assert await yard.refused('GET', '/v1/conversations/x/history', 404) == {'detail': 'Conversation not found'}
    assert await yard.refused('GET', '/ai-task/nothing', 404) == {'detail': 'Not found'}
    assert await yard.refused('POST', PATH, 404, {'prompt': 'x', 'model': 'y'}) == {'detail': "model 'y' not found"}


async def test_a_wrong_request_is_told_as_its_framework_does(yard):
    assert await yard.refused('POST', PATH, 422, {'prompt': 'x', 'model': 5}) == {
        'detail': [
            {'type': 'string_type', 'loc': ['body', 'model'], 'msg': 'Input should be a valid string', 'input': 5}
        ]
    }
    told = await yard.refused('POST', f'/ai-task{PATH}', 422, {'model': 'm'})
    assert told['detail'] == [
        {'type': 'missing', 'loc': ['body', 'prompt'], 'msg': 'Field required', 'input': {'model': 'm'}}
    ]
    told = await yard.refused('POST', f'/ai-task{PATH}', 422, b'{')
    assert told['detail'][0]['type'] == 'json_invalid' and told['detail'][0]['loc'] == ['body', 0]
    told = await yard.refused('POST', f'/ai-task{PATH}', 422, {'prompt': ' '})
    assert told == {'detail': 'prompt must not be empty'}


async def test_what_cannot_be_queued_is_a_fault_of_the_server(yard, monkeypatch):
    async def full(_: object) -> None:
        raise errors.Refused('queue_full', '9 jobs are waiting, which is the limit; try again later', 5.0)

    monkeypatch.setattr(yard.broker, 'submit', full)
    answer = await yard.http.post(PATH, json=ASK)
    assert (answer.status_code, answer.headers['retry-after']) == (500, '5')
    assert answer.json() == {'detail': '9 jobs are waiting, which is the limit; try again later'}


async def test_priority_and_user_come_from_the_headers(yard):
    headers = {'x-queue-priority': 'low', 'x-queue-user': 'ann'}
    told = await yard.post(PATH, ASK, **headers)
    job = (await yard.broker.get(told['task_id'])).job
    assert (job.priority, job.user, job.conversation_id) == (1, 'ann', told['conversation_id'])


async def test_a_name_it_is_used_to_can_mean_a_model_of_this_desk(broker, tmp_path):
    async with Yard(broker, tmp_path, **{ai_task.USUAL_MODEL: 'qwen3', 'm': 'qwen3'}) as yard:
        for asked, model in ((ai_task.USUAL_MODEL, 'qwen3:latest'), (None, 'qwen3:latest'), ('m', 'm:latest')):
            told = await yard.post(PATH, {'prompt': 'x', 'model': asked})
            assert (await yard.get(f'/v1/tasks/{told["task_id"]}'))['model'] == model


async def test_who_names_no_model_gets_the_default(broker, tmp_path):
    async with Yard(broker, tmp_path, default_model='qwen3') as yard:
        told = await yard.post(PATH, {'prompt': 'x'})
        assert (await yard.get(f'/v1/tasks/{told["task_id"]}'))['model'] == 'qwen3:latest'
        assert await yard.refused('POST', PATH, 404, {'prompt': 'x', 'model': ai_task.USUAL_MODEL})
    async with Yard(broker, tmp_path, default_model='gone') as yard:
        assert await yard.refused('POST', PATH, 404, {'prompt': 'x'}) == {'detail': "model 'gone' not found"}
