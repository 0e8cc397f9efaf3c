"""The events of a response, one by one, as its lines make them."""

import json

from app.api.openai_responses_form import ResponseForm
from app.api.trouble import Trouble

JOB = 'a' * 32
SAID = [
    {'message': {'content': '', 'thinking': 'Hm'}},
    {'message': {'content': '', 'thinking': '!'}},
    {'message': {'content': 'Hi'}, 'logprobs': [{'token': 'Hi', 'logprob': -0.5, 'bytes': [72, 105]}]},
    {'message': {'content': '', 'tool_calls': [{'id': 'call_1', 'function': {'name': 'f', 'arguments': {'a': 1}}}]}},
    {'message': {'content': ''}, 'done': True, 'done_reason': 'stop', 'prompt_eval_count': 2, 'eval_count': 3},
]
LINES = [json.dumps(line).encode() for line in SAID]


def form(**more):
    return ResponseForm({'model': 'm'}, job_id=JOB, created=1, **more)


def events(data):
    found = [event.split('\n') for event in data.decode().split('\n\n')[:-1]]
    assert all(name == f'event: {json.loads(told[6:])["type"]}' for name, told in found)
    return [json.loads(told.removeprefix('data: ')) for _, told in found]


def test_thoughts_words_and_calls_are_items_of_their_own():
    made = form()
    told = events(made.part(0, LINES) + made.end())
    assert [event['sequence_number'] for event in told] == list(range(len(told)))
    assert [(event['type'].removeprefix('response.'), event.get('output_index')) for event in told] == [
        ('created', None), ('queued', None), ('in_progress', None),
        ('output_item.added', 0), ('reasoning_summary_part.added', 0), ('reasoning_summary_text.delta', 0),
        ('reasoning_summary_text.delta', 0), ('reasoning_summary_text.done', 0), ('reasoning_summary_part.done', 0),
        ('output_item.done', 0),
        ('output_item.added', 1), ('content_part.added', 1), ('output_text.delta', 1), ('output_text.done', 1),
        ('content_part.done', 1), ('output_item.done', 1),
        ('output_item.added', 2), ('function_call_arguments.delta', 2), ('function_call_arguments.done', 2),
        ('output_item.done', 2), ('completed', None),
    ]  # fmt: skip
    added = [event['item'] for event in told if event['type'] == 'response.output_item.added']
    done = [event['item'] for event in told if event['type'] == 'response.output_item.done']
    assert [item['status'] for item in added] == ['in_progress'] * 3 and added[1]['content'] == []
    last = told[-1]['response']
    assert last['output'] == done and last['status'] == 'completed' and last['usage']['total_tokens'] == 5
    assert done[0]['summary'] == [{'type': 'summary_text', 'text': 'Hm!'}]
    odds = [{'token': 'Hi', 'logprob': -0.5, 'bytes': [72, 105], 'top_logprobs': []}]
    assert done[1]['content'] == [{'type': 'output_text', 'text': 'Hi', 'annotations': [], 'logprobs': odds}]
    assert (done[2]['call_id'], done[2]['name'], json.loads(done[2]['arguments'])) == ('call_1', 'f', {'a': 1})
    assert all(event['item_id'] == done[event['output_index']]['id'] for event in told if 'item_id' in event)


def test_however_the_lines_come_the_events_are_the_same():
    one, other = form(), form()
    waited = other.beat(None)
    assert [event['type'] for event in events(waited)] == ['response.created', 'response.queued']
    apart = waited + b''.join(other.part(0, [line]) for line in LINES)
    assert apart == one.part(0, LINES)
    resumed = form(starting_after=4)
    assert events(resumed.part(0, LINES)) == events(apart)[5:]


def test_an_answer_without_a_word_has_an_empty_message():
    made = form()
    told = events(made.end())
    assert told[-1]['response']['output'][0]['content'][0]['text'] == '' and told[-1]['type'] == 'response.completed'


def test_a_stream_that_breaks_ends_with_what_it_had():
    made = form()
    told = events(made.part(0, LINES[:3]) + made.broken(Trouble('engine_error', 'it broke')))
    last = told[-1]
    assert last['type'] == 'response.failed' and last['response']['status'] == 'failed'
    assert last['response']['error'] == {'code': 'server_error', 'message': 'it broke'}
    assert [item['status'] for item in last['response']['output']] == ['completed', 'incomplete']


def test_what_was_said_goes_on_as_a_message_of_ollama():
    made = form()
    made.ended(LINES)
    (message,) = made.output.messages()
    called = message.pop('tool_calls')
    assert message == {'role': 'assistant', 'content': 'Hi', 'thinking': 'Hm!'}
    assert called[0]['id'] == 'call_1' and json.loads(bytes(called[0]['function']['arguments'])) == {'a': 1}
