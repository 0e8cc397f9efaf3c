"""What only the Ollama engine has to do: talk to a server that may be wrong in many ways."""

import asyncio
import json
import socket

import pytest

from tests.standin import BUSY, CRASHED, Reply, Script, StandIn
from tests.workers.benches import body, collect
from workers.engines.address import base_url, place
from workers.engines.answer import MAX_LINE_BYTES, Deadlines
from workers.engines.ollama import OllamaEngine, streaming


@pytest.fixture
async def engine(ollama):
    made = OllamaEngine(ollama.url, deadlines=Deadlines(first_token_s=0.5, idle_s=0.2, total_s=5))
    yield made
    await made.aclose()


@pytest.mark.parametrize(
    ('model', 'expected', 'detail', 'lines_before'),
    [
        ('error-500', ('engine_error', False), 'failed to load model', 0),
        ('error-503', ('busy', True), BUSY, 0),
        ('crash', ('runner_crashed', True), CRASHED, 0),
        ('error-mid', ('engine_error', False), 'an error was encountered while running the model', 3),
        ('busy-mid', ('busy', True), BUSY, 3),
        ('crash-mid', ('runner_crashed', True), CRASHED, 3),
        ('garbage', ('garbage', False), 'not json', 3),
        ('reset', ('connection_lost', True), 'in mid-answer', 3),
        ('cut', ('connection_lost', True), 'in mid-answer', 3),
        ('hang', ('idle_timeout', True), '0.2 s', 3),
        ('hang-first', ('first_token_timeout', True), '0.5 s', 0),
        ('nobody', ('model_not_found', False), "model 'nobody' not found", 0),
    ],
)
async def test_each_fault_is_told_apart(engine, model, expected, detail, lines_before):
    lines, usage, failure = await collect(engine, 'chat', model, body('chat', model, {}))
    assert (failure.code, failure.retryable) == expected
    assert detail in failure.detail
    assert len(lines) == lines_before == usage.output_tokens


@pytest.mark.parametrize(
    ('status', 'code', 'retryable'),
    [
        (400, 'bad_request', False),
        (401, 'refused_401', False),
        (403, 'refused', False),
        (429, 'refused_429', False),
        (499, 'refused_499', False),
        (500, 'engine_error', False),
        (502, 'busy', True),
        (503, 'busy', True),
        (504, 'busy', True),
        (302, 'engine_error', False),
    ],
)
async def test_each_status_has_its_class(engine, ollama, status, code, retryable):
    ollama.models['m:latest'] = Script(status=status, error='its own words')
    _, _, failure = await collect(engine, 'generate', 'm', body('generate', 'm', {}))
    assert (failure.code, failure.retryable, failure.detail) == (code, retryable, 'its own words')


async def test_a_wrong_option_is_not_worth_a_retry(engine):
    asked = body('chat', 'qwen3', {'num_ctx': 'many'})
    _, _, failure = await collect(engine, 'chat', 'qwen3', asked)
    assert (failure.code, failure.retryable) == ('engine_error', False)
    assert failure.detail == 'option "num_ctx" must be of type integer'


async def test_no_server_is_unreachable_and_worth_a_retry():
    with socket.socket() as unused:  # bound but not listening: nobody else can have this port meanwhile
        unused.bind(('127.0.0.1', 0))
        engine = OllamaEngine(f'http://127.0.0.1:{unused.getsockname()[1]}', deadlines=Deadlines())
        _, _, failure = await collect(engine, 'chat', 'm', body('chat', 'm', {}))
        assert (failure.code, failure.retryable) == ('unreachable', True)
        assert (await engine.describe()).problem == 'unreachable'
        await engine.aclose()


async def test_the_body_travels_byte_for_byte(engine, ollama):
    asked = (
        b' { "stream":null ,"messages" : [ {"role":"user", "content":"\\u4f60 \xe5\xa5\xbd"}],"model":"llama3.2" }\n'
    )
    await collect(engine, 'chat', 'llama3.2', asked)
    assert ollama.served[-1].body == asked


@pytest.mark.parametrize(
    ('asked', 'sent'),
    [
        (b'{"stream": false}', b'{"stream":true}'),
        (b'{"a": 1.50, "Stream" : false, "b":{"stream":false}}', b'{"a":1.50,"Stream":true,"b":{"stream":false}}'),
        (b'{"stream":"false"}', b'{"stream":"false"}'),
        (b'{ "stream" : true }', b'{ "stream" : true }'),
        (b'not json', b'not json'),
    ],
)
def test_only_a_stream_that_is_off_is_turned_on(asked, sent):
    assert streaming(asked) == sent


async def test_headers_are_its_own(engine, ollama):
    await collect(engine, 'chat', 'qwen3', body('chat', 'qwen3', {}))
    headers = ollama.served[-1].headers
    assert headers['host'] == ollama.url.removeprefix('http://')
    assert headers['content-type'] == 'application/json'
    assert not {'origin', 'authorization', 'cookie', 'referer'} & headers.keys()


async def test_proxy_settings_of_the_environment_are_ignored(ollama, monkeypatch):
    for name in ('HTTP_PROXY', 'http_proxy', 'ALL_PROXY', 'all_proxy'):
        monkeypatch.setenv(name, 'http://127.0.0.1:1')
    engine = OllamaEngine(ollama.url, deadlines=Deadlines())
    assert (await engine.describe()).problem == ''
    await engine.aclose()


async def test_connections_are_used_again(engine, ollama):
    ollama.models['m:latest'] = Script()
    for _ in range(3):
        _, _, failure = await collect(engine, 'chat', 'm', body('chat', 'm', {}))
        assert failure is None
    assert ollama.connections_made == 1 and ollama.closes_seen == 0


async def test_what_an_encrypted_address_goes_by_does_the_same(engine, ollama):
    engine._wire = None  # as where the address begins with https
    ollama.models['m:latest'] = Script(text='one')
    for _ in range(2):
        lines, _, failure = await collect(engine, 'chat', 'm', body('chat', 'm', {}))
        assert failure is None and lines == ollama.served[-1].lines
    ollama.replies['/v1/rerank'] = Reply()
    _, _, failure = await collect(engine, 'raw', 'm', b'{"model":"m"}', '/v1/rerank?a=b%20c')
    assert failure is None and ollama.served[-1].path == '/v1/rerank?a=b%20c'
    assert ollama.connections_made == 1 and ollama.served[-1].headers['content-type'] == 'application/json'


async def test_a_deaf_server_does_not_hold_us(engine, ollama):
    async with engine.run('chat', 'deaf', body('chat', 'deaf', {})) as answer:
        async for _ in answer:
            break
    await ollama.until(lambda s: s.closes_seen == 1)
    assert ollama.in_flight == 1  # it goes on generating for nobody


async def test_text_in_the_final_chunk_and_thinking_are_kept(engine, ollama):
    ollama.models['m:latest'] = Script(text='one', done_text=' two', thinking='hm')
    lines, _, _ = await collect(engine, 'chat', 'm', body('chat', 'm', {}))
    assert json.loads(lines[-1])['message']['content'] == ' two'
    assert lines == ollama.served[-1].lines and b'"thinking":"hm"' in lines[0]


async def test_a_line_that_is_too_long_fails_the_answer(engine, ollama):
    ollama.models['m:latest'] = Script(text='x' * 10, done_text='y' * MAX_LINE_BYTES)
    _, _, failure = await collect(engine, 'chat', 'm', body('chat', 'm', {}))
    assert (failure.code, failure.retryable) == ('line_too_long', False)


async def test_models_are_described(engine, ollama):
    state = await engine.describe()
    assert (state.engine, state.version, state.problem) == ('ollama', '0.33.0', '')
    model = next(model for model in state.models if model.name == 'qwen3:latest')
    assert (model.size_bytes, model.parameter_size, model.quantization) == (5_225_388_164, '8.2B', 'Q4_K_M')
    assert model.capabilities == ('completion', 'tools') and model.modified_at.startswith('2026-11-01T08:00:00')
    assert (len(model.digest), model.format, model.family, model.context_length) == (64, 'gguf', 'standin', 0)
    async with engine.run('chat', 'qwen3', body('chat', 'qwen3', {'num_ctx': 2048})) as answer:
        assert [line async for line in answer]
    loaded = next(model for model in (await engine.describe()).models if model.resident)
    assert loaded.context_length == 2048


async def test_a_server_without_models_says_so(engine, ollama):
    ollama.models.clear()
    state = await engine.describe()
    assert (state.problem, state.models, state.version) == ('no_models', (), '0.33.0')


async def test_a_server_that_goes_and_comes_back_is_noticed(engine, ollama):
    assert (await engine.describe()).problem == ''
    seldom = engine.check_again_s()
    await ollama.__aexit__()
    assert (await engine.describe()).problem == 'unreachable'
    assert engine.check_again_s() < 4 < seldom
    async with StandIn(port=ollama.port):
        assert (await engine.describe()).problem == ''


async def test_one_slow_reply_is_no_outage(engine, ollama, monkeypatch):
    known = await engine.describe()
    ollama.slow_tags_s = 9
    with monkeypatch.context() as impatient:  # for the slow replies alone: a busy machine needs longer for a quick one
        impatient.setattr('workers.engines.ollama._DESCRIBE_S', 0.05)
        assert await engine.describe() == known
        assert (await engine.describe()).problem == 'unreachable'
    ollama.slow_tags_s = 0
    assert await engine.describe() == known


async def test_something_else_on_that_port_is_no_ollama():
    async def chatter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'220 mail ready\r\n')
        await reader.readline()
        writer.close()

    server = await asyncio.start_server(chatter, '127.0.0.1', 0)
    async with server:
        engine = OllamaEngine(f'http://127.0.0.1:{server.sockets[0].getsockname()[1]}', deadlines=Deadlines())
        await engine.describe()
        assert (await engine.describe()).problem == 'unreachable'
        _, _, failure = await collect(engine, 'chat', 'm', body('chat', 'm', {}))
        assert (failure.code, failure.retryable) == ('connection_lost', True)
        await engine.aclose()


@pytest.mark.parametrize(
    ('text', 'url'),
    [
        ('gpu', 'http://gpu:11434'),
        ('gpu:9', 'http://gpu:9'),
        ('http://gpu', 'http://gpu'),
        ('https://gpu/ollama/', 'https://gpu/ollama'),
        ('0.0.0.0', 'http://127.0.0.1:11434'),
        ('http://0.0.0.0:11434', 'http://127.0.0.1:11434'),
        ('[::]:11434', 'http://[::1]:11434'),
        (' "127.0.0.1" ', 'http://127.0.0.1:11434'),
        (':9', 'http://127.0.0.1:9'),
    ],
)
def test_addresses_are_read_as_ollama_reads_them(text, url):
    assert base_url(text) == url


@pytest.mark.parametrize('text', ['ftp://gpu', 'http://gpu:99999', 'gpu:port'])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ValueError):
        base_url(text)


@pytest.mark.parametrize(
    ('text', 'wanted'),
    [
        ('127.0.0.1:11434', '{here}:11434'),
        ('http://localhost:11434/', '{here}:11434'),
        ('0.0.0.0', '{here}:11434'),
        ('http://me:secret@gpu.lan:8000/ollama', 'gpu.lan:8000/ollama'),
        ('https://gpu.lan', 'gpu.lan:443'),
    ],
)
def test_the_place_of_an_engine_is_the_same_for_all_who_mean_it_and_holds_no_password(text, wanted):
    assert place(text) == wanted.format(here=socket.gethostname())
