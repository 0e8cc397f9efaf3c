"""What every engine does. The same tests run against the demo and against Ollama (its stand-in)."""

import asyncio
import json
import math

import pytest

from tests.workers.benches import DemoBench, OllamaBench, collect, text_of


@pytest.fixture(params=['demo', 'ollama'])
async def bench(request, ollama):
    return DemoBench() if request.param == 'demo' else OllamaBench(ollama)


@pytest.fixture
async def engine(bench):
    made = bench.engine()
    yield made
    await made.aclose()


async def failure_of(engine, kind, model, asked):
    _, _, failure = await collect(engine, kind, model, asked)
    assert failure is not None
    return failure.code, failure.retryable


async def test_it_names_its_models(bench, engine):
    bench.ask()
    state = await engine.describe()
    assert state.engine == type(bench).__name__.removesuffix('Bench').lower()
    assert state.version and state.problem == ''
    assert bench.model in [model.name for model in state.models]
    assert all(model.engine == state.engine for model in state.models)


@pytest.mark.parametrize('kind', ['chat', 'generate'])
async def test_an_answer_is_ollama_lines_that_say_the_text_and_end_done(bench, engine, kind):
    text = '# 标题\n\n```python\nprint("hi\\n")\n```\n\n| a | b |\n|---|---|\n| 1 | 二 |\n'
    lines, usage, failure = await collect(engine, kind, bench.model, bench.ask(kind, text=text))
    assert failure is None
    assert text_of(lines) == text
    *parts, last = [json.loads(line) for line in lines]
    assert len(parts) > 5 and not any(part['done'] for part in parts)
    assert last['done'] is True and last['done_reason'] == 'stop'
    assert all(chunk['model'] == bench.model and chunk['created_at'].endswith('Z') for chunk in (*parts, last))
    assert not any(b'\n' in line for line in lines)
    if (said := bench.said()) is not None:
        assert lines == said
    assert usage.output_tokens == last['eval_count'] == len(parts)
    assert usage.prompt_tokens == last['prompt_eval_count'] > 0
    assert usage.decode_s == last['eval_duration'] / 1e9
    assert usage.prompt_s == last['prompt_eval_duration'] / 1e9
    assert usage.load_s == last['load_duration'] / 1e9
    assert 0 < usage.first_token_s <= usage.total_s
    assert usage.done_reason == 'stop' and not usage.truncated


async def test_an_embedding_is_one_line_with_a_unit_vector_for_each_text(bench, engine):
    lines, usage, failure = await collect(engine, 'embed', bench.model, bench.ask('embed'))
    assert failure is None
    (line,) = lines
    reply = json.loads(line)
    assert [round(math.hypot(*vector), 4) for vector in reply['embeddings']] == [1.0, 1.0]
    assert reply['embeddings'][0] != reply['embeddings'][1]
    again, _, _ = await collect(engine, 'embed', bench.model, bench.ask('embed'))
    assert json.loads(again[0])['embeddings'] == reply['embeddings']
    assert usage.prompt_tokens == reply['prompt_eval_count'] > 0
    assert usage.output_tokens == 0 and usage.total_s > 0


async def test_embedding_nothing_gives_no_vectors(bench, engine):
    lines, _, failure = await collect(engine, 'embed', bench.model, bench.ask('embed', fields={'input': []}))
    assert failure is None and json.loads(lines[0])['embeddings'] == []


async def test_it_streams_even_where_the_body_asks_not_to(bench, engine):
    lines, _, failure = await collect(engine, 'chat', bench.model, bench.ask(fields={'stream': False}))
    assert failure is None and len(lines) > 5


@pytest.mark.parametrize(('kind', 'nothing'), [('chat', {'messages': []}), ('generate', {'prompt': ''})])
async def test_a_request_without_a_question_only_loads_or_unloads(bench, engine, kind, nothing):
    for more, reason in (({}, 'load'), ({'keep_alive': 0}, 'unload')):
        lines, usage, failure = await collect(engine, kind, bench.model, bench.ask(kind, fields=nothing | more))
        assert failure is None and len(lines) == 1
        assert json.loads(lines[0])['done_reason'] == usage.done_reason == reason


async def test_num_predict_cuts_the_answer(bench, engine):
    lines, usage, _ = await collect(engine, 'chat', bench.model, bench.ask(fields={'options': {'num_predict': 3}}))
    assert len(lines) == 4 and usage.done_reason == 'length' and usage.output_tokens == 3


async def test_an_unknown_model_is_not_worth_a_retry(bench, engine):
    lines, _, failure = await collect(engine, 'chat', 'nobody', bench.ask(fields={'model': 'nobody'}))
    assert lines == []
    assert (failure.code, failure.detail, failure.retryable) == ('model_not_found', "model 'nobody' not found", False)


@pytest.mark.parametrize('asked', [b'', b'{', b'\xff\xfe', b'[1]', b'"x"'])
@pytest.mark.parametrize('kind', ['chat', 'generate', 'embed'])
async def test_a_body_that_is_no_object_is_a_bad_request(bench, engine, kind, asked):
    assert await failure_of(engine, kind, bench.model, asked) == ('bad_request', False)


async def test_embedding_something_else_than_text_is_a_bad_request(bench, engine):
    assert await failure_of(engine, 'embed', bench.model, bench.ask('embed', fields={'input': [1]})) == (
        'bad_request',
        False,
    )


async def test_an_unknown_kind_is_a_bad_request(bench, engine):
    assert await failure_of(engine, 'dance', bench.model, bench.ask()) == ('bad_request', False)


async def test_a_failure_in_mid_answer_comes_after_the_lines_before_it(bench, engine):
    lines, usage, failure = await collect(engine, 'chat', bench.model, bench.ask(fail_after=4))
    assert len(lines) == 4
    assert (failure.code, failure.detail) == ('engine_error', 'it broke')
    assert usage.output_tokens == 4 and usage.done_reason == ''


async def test_an_answer_that_ends_without_done_gets_its_closing_line(bench, engine):
    for kind in ('chat', 'generate'):
        lines, usage, failure = await collect(engine, kind, bench.model, bench.ask(kind, end_after=4))
        assert failure is None and len(lines) == 5
        last = json.loads(lines[-1])
        assert (last['done'], last['done_reason'], last['model'], last['eval_count']) == (True, 'stop', bench.model, 4)
        assert text_of(lines[-1:]) == '' and last['created_at'].endswith('Z')
        assert usage.truncated and usage.output_tokens == 4 and usage.done_reason == 'stop'


@pytest.mark.parametrize(
    ('script', 'deadlines', 'expected', 'lines_before'),
    [
        ({'first_token_s': 60}, {'first_token_s': 0.05}, ('first_token_timeout', True), 0),
        ({'hang_after': 0}, {'first_token_s': 0.05, 'idle_s': 9}, ('first_token_timeout', True), 0),
        ({'hang_after': 3}, {'idle_s': 0.05}, ('idle_timeout', True), 3),
        ({'hang_after': 3}, {'total_s': 0.2}, ('total_timeout', False), 3),
    ],
)
async def test_deadlines_end_an_answer(bench, script, deadlines, expected, lines_before):
    engine = bench.engine(**deadlines)
    lines, _, failure = await collect(engine, 'chat', bench.model, bench.ask(**script))
    assert (failure.code, failure.retryable) == expected and len(lines) == lines_before
    await engine.aclose()


async def test_an_answer_that_never_pauses_still_ends_at_the_total_deadline(bench):
    engine = bench.engine(total_s=0.15)
    asked = bench.ask(text='word ' * 200_000, chars_per_s=1e9)
    _, _, failure = await collect(engine, 'chat', bench.model, asked)
    assert failure.code == 'total_timeout'
    await engine.aclose()


async def test_an_answer_can_be_left_at_any_time(bench, engine):
    async with engine.run('chat', bench.model, bench.ask(hang_after=2)) as answer:
        async for _ in answer:
            break
    if isinstance(bench, OllamaBench):
        await bench.standin.until(lambda s: s.closes_seen == 1 and s.in_flight == 0)


async def test_cancelling_in_mid_answer_closes_upstream(bench, engine):
    asked = asyncio.create_task(collect(engine, 'chat', bench.model, bench.ask(first_token_s=60)))
    if isinstance(bench, OllamaBench):
        await bench.standin.until(lambda s: s.in_flight == 1)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    if isinstance(bench, OllamaBench):
        await bench.standin.until(lambda s: s.closes_seen == 1 and s.in_flight == 0)


async def test_many_answers_at_once_do_not_mix(bench, engine):
    asked = bench.ask()
    answers = await asyncio.gather(*(collect(engine, 'chat', bench.model, asked) for _ in range(8)))
    assert len({text_of(lines) for lines, _, _ in answers}) == 1
    assert all(failure is None for _, _, failure in answers)
