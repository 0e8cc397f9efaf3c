"""Files and batches, with the official client, against a queue that goes on while the desk comes and goes."""

import json
import shutil
import stat

import openai
import pytest
import pytest_asyncio

from app.api.openai_shelf import Shelf
from app.api.trouble import Trouble
from broker import errors, protocol
from run import Corral
from tests.app.api.office import USER, Office, until

pytestmark = pytest.mark.asyncio(loop_scope='module')
CHAT = '/v1/chat/completions'
QUICK = {'demo_chars_per_s': 1e6}


@pytest.fixture(scope='module')
def queue(tmp_path_factory):
    folder = tmp_path_factory.mktemp('queue')
    with Corral(folder, engine='demo', worker=QUICK):
        yield folder


@pytest_asyncio.fixture(scope='module', loop_scope='module')
async def desk(queue, tmp_path_factory):
    async with Office(queue, tmp_path_factory.mktemp('desk')) as made:
        yield made


@pytest_asyncio.fixture(loop_scope='module')
async def office(desk):
    yield desk
    await desk.broker.resume('user', USER)


def line(name, body=None, url=CHAT, **script):
    asked = {'messages': [{'role': 'user', 'content': name}], 'options': {'demo': {'text': f'to {name}', **script}}}
    body = {'model': 'demo', **(asked if body is None else body)}
    return json.dumps({'custom_id': name, 'method': 'POST', 'url': url, 'body': body}).encode() + b'\n'


async def submitted(office, name, count):
    try:
        return (await office.broker.batch(name)).submitted >= count
    except errors.Refused:  # it is not there yet
        return False


def read(data):
    return {found['custom_id']: found for found in map(json.loads, data.splitlines())}


async def test_each_line_has_its_answer_or_its_error(office):
    fail = {'code': 'engine_error', 'detail': 'it broke'}
    refused = {'code': 'refused_401', 'detail': 'unauthorized'}
    several = {'messages': [{'role': 'user', 'content': 'x'}], 'n': 2, 'options': {'demo': {'text': 'twice'}}}
    lines = line('a') + b'\n' + line('b', fail=fail) + line('c', several) + line('d', fail=refused)
    batch = await office.batch(lines, metadata={'mark': 'x'})
    assert batch.status == 'validating' and batch.expires_at == batch.created_at + 86400
    batch = await office.batch_when(batch.id, 'completed')
    assert (batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed) == (4, 2, 2)
    assert batch.metadata == {'mark': 'x'} and batch.model == 'demo' and batch.usage.total_tokens > 0
    answers = read(await office.content(batch.output_file_id))
    body = answers['a']['response']['body']
    assert answers['a']['response']['status_code'] == 200 and answers['a']['error'] is None
    assert body['choices'][0]['message']['content'] == 'to a' and body['object'] == 'chat.completion'
    assert [choice['message']['content'] for choice in answers['c']['response']['body']['choices']] == ['twice'] * 2
    failed = read(await office.content(batch.error_file_id))
    assert failed['b']['response']['status_code'] == 500 and failed['d']['response']['status_code'] == 401
    assert failed['b']['response']['body']['error']['message'] == 'it broke'


@pytest.mark.parametrize(
    ('endpoint', 'body', 'kind'),
    [
        ('/v1/completions', {'prompt': ['x', 'y']}, 'text_completion'),
        ('/v1/embeddings', {'input': 'x'}, 'list'),
        ('/v1/responses', {'input': 'x', 'instructions': 'y'}, 'response'),
    ],
)
async def test_every_kind_of_request_may_be_a_line(office, endpoint, body, kind):
    batch = await office.batch(line('a', body, endpoint), endpoint)
    batch = await office.batch_when(batch.id, 'completed')
    answer = read(await office.content(batch.output_file_id))['a']['response']['body']
    assert answer['object'] == kind and answer['model'] == 'demo'


async def test_a_batch_goes_on_after_the_desk_was_begun_again(queue, tmp_path):
    lines = b''.join(line(f'{number}') for number in range(30))
    async with Office(queue, tmp_path) as first:
        await first.broker.pause('user', USER)
        batch = await first.batch(lines)
        name = batch.id.removeprefix('batch_')

        await until(lambda: submitted(first, name, 30))
        for half in ('file-half.part', 'file-nobodys'):
            (tmp_path / 'files' / half).write_bytes(b'x')
    async with Office(queue, tmp_path) as second:
        assert [path.name for path in (tmp_path / 'files').iterdir()] == [batch.input_file_id]
        assert (await second.client.batches.retrieve(batch.id)).status == 'in_progress'
        with pytest.raises(openai.BadRequestError, match='goes on'):
            await second.client.files.delete(batch.input_file_id)
        await second.broker.resume('user', USER)
        done = await second.batch_when(batch.id, 'completed')
        assert (done.request_counts.total, done.request_counts.completed) == (30, 30)
        answers = read(await second.content(done.output_file_id))
        assert {
            name: each['response']['body']['choices'][0]['message']['content'] for name, each in answers.items()
        } == {f'{number}': f'to {number}' for number in range(30)}
        assert (await second.broker.batch(name)).submitted == 30
        await second.client.files.delete(batch.input_file_id)


async def test_a_large_batch_leaves_room_for_others(office, monkeypatch):
    monkeypatch.setattr('app.api.openai_batch_run.ALIVE', 30)
    await office.broker.pause('user', USER)
    batch = await office.batch(b''.join(line(f'{number}') for number in range(100)))
    name = batch.id.removeprefix('batch_')
    await until(lambda: submitted(office, name, 30))
    assert (await office.broker.batch(name)).submitted == 40
    await office.broker.resume('user', USER)
    done = await office.batch_when(batch.id, 'completed')
    assert done.request_counts.completed == 100


async def test_a_disk_that_is_full_for_a_while_only_delays_a_batch(office, monkeypatch):
    monkeypatch.setattr('app.api.openai_batch_run.AGAIN_S', 0.01)
    kept, refused = Shelf.keep, set()

    async def keep(self, kind, name, value, **more):
        what = value.batch.status if kind == 'batch' else value.purpose
        if what not in {'validating', 'batch', *refused}:
            refused.add(what)
            raise Trouble('disk_full', 'no room')
        await kept(self, kind, name, value, **more)

    monkeypatch.setattr(Shelf, 'keep', keep)
    done = await office.batch_when((await office.batch(line('a'))).id, 'completed')
    assert done.request_counts.completed == 1 and list(read(await office.content(done.output_file_id))) == ['a']
    assert await office.client.batches.retrieve(done.id) == done
    assert refused == {'in_progress', 'finalizing', 'batch_output', 'completed'}


async def test_lines_wait_behind_everybody_else(office):
    await office.broker.pause('user', USER)
    batch = await office.batch(line('a'))

    async def job():
        found = await office.broker.find(protocol.FindJobs(parent=batch.id.removeprefix('batch_')))
        return found.jobs

    (found,) = await until(job)
    assert (found.priority, found.user, found.deadline_at) == (0, USER, float(batch.expires_at))
    await office.client.batches.cancel(batch.id)


async def test_a_cancelled_batch_keeps_what_it_has(office):
    batch = await office.batch(line('a') + line('b', hang_after=0))

    async def one_done():
        return (await office.client.batches.retrieve(batch.id)).request_counts.completed

    await until(one_done)
    assert (await office.client.batches.cancel(batch.id)).status == 'cancelling'
    done = await office.batch_when(batch.id, 'cancelled')
    assert done.cancelling_at and done.cancelled_at and done.request_counts.completed == 1
    assert list(read(await office.content(done.output_file_id))) == ['a']
    assert read(await office.content(done.error_file_id))['b']['error']['code'] == 'batch_cancelled'
    with pytest.raises(openai.BadRequestError, match='cannot be cancelled'):
        await office.client.batches.cancel(batch.id)


async def test_what_did_not_run_in_time_is_expired(office, monkeypatch):
    monkeypatch.setitem(office.entrance._papers.batches.windows_s, '24h', 1.0)
    await office.broker.pause('user', USER)
    done = await office.batch_when((await office.batch(line('a') + line('b'))).id, 'expired')
    assert done.expired_at and done.output_file_id is None and done.request_counts.failed == 2
    failed = read(await office.content(done.error_file_id))
    assert {each['error']['code'] for each in failed.values()} == {'batch_expired'}
    assert all(each['response'] is None for each in failed.values())


BAD = [
    (b'nonsense\n', 'invalid_json_line', None),
    (line('a') + line('a'), 'duplicate_custom_id', 'custom_id'),
    (line('a', url='/v1/embeddings'), 'invalid_url', 'url'),
    (line('a').replace(b'"POST"', b'"GET"'), 'invalid_method', 'method'),
    (line('a', {'messages': []}), 'invalid_request', 'messages'),
    (line('a') + line('b', {'messages': [{'role': 'user'}], 'n': 99}), 'invalid_request', 'n'),
    (line('a', {'messages': [{'role': 'user'}], 'stream': True}), 'invalid_request', 'body.stream'),
    (line('a').replace(b'"demo", "mess', b'"nobody", "mess'), 'model_not_found', 'model'),
    (line(''), 'invalid_custom_id', 'custom_id'),
    (b'\n\n', 'empty_file', None),
]


async def test_a_file_with_a_wrong_line_says_which_and_makes_no_job(office):
    for batch, (lines, code, param) in zip([await office.batch(lines) for lines, _, _ in BAD], BAD, strict=True):
        done = await office.batch_when(batch.id, 'failed')
        (problem,) = done.errors.data
        assert (problem.code, problem.param) == (code, param) and problem.message and done.failed_at
        assert problem.line == (None if code == 'empty_file' else len(lines.splitlines()))
        with pytest.raises(errors.Refused) as refused:
            await office.broker.batch(done.id.removeprefix('batch_'))
        assert refused.value.code == 'not_found'


async def test_batches_are_listed_newest_first(office):
    names = [(await office.batch(line(f'{number}'))).id for number in range(3)]
    page = await office.client.batches.list(limit=2)
    assert [batch.id for batch in page.data] == names[:0:-1] and page.has_more
    found = [batch.id async for batch in await office.client.batches.list(limit=2)]
    assert found[:3] == names[::-1] and len(found) == len(set(found))


async def test_a_batch_that_cannot_be_is_refused_at_once(office):
    file = await office.client.files.create(file=('x', line('a')), purpose='batch')
    for more, param in (
        ({'endpoint': '/v1/models'}, 'endpoint'),
        ({'completion_window': '1h'}, 'completion_window'),
        ({'input_file_id': 'file-x'}, 'file_id'),
        ({'output_expires_after': {'anchor': 'created_at', 'seconds': 1}}, 'output_expires_after'),
    ):
        asked = {'input_file_id': file.id, 'endpoint': CHAT, 'completion_window': '24h', **more}
        with pytest.raises(openai.APIStatusError) as raised:
            await office.client.batches.create(**asked)
        assert raised.value.status_code in (400, 404) and raised.value.param == param
    with pytest.raises(openai.NotFoundError):
        await office.client.batches.retrieve('batch_x')


async def test_a_file_is_kept_listed_read_and_deleted(office):
    before = [file async for file in await office.client.files.list(order='asc', purpose='batch')]
    made = [await office.client.files.create(file=(f'{n}.jsonl', b'%d' % n), purpose='batch') for n in range(3)]
    assert (made[0].bytes, made[0].filename, made[0].purpose) == (1, '0.jsonl', 'batch')
    assert made[0].expires_at - made[0].created_at == 30 * 86400
    found = [file async for file in await office.client.files.list(limit=10, order='asc', purpose='batch')]
    assert found == before + made
    assert made[0].id not in [file.id async for file in await office.client.files.list(purpose='batch_output')]
    assert await office.content(made[1].id) == b'1' and await office.client.files.retrieve(made[1].id) == made[1]
    path = office.folder / 'files' / made[1].id
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert (await office.client.files.delete(made[1].id)).deleted and not path.exists()
    for lost in (office.client.files.retrieve, office.client.files.content, office.client.files.delete):
        with pytest.raises(openai.NotFoundError):
            await lost(made[1].id)


async def test_what_is_no_file_for_a_batch_is_refused(office, monkeypatch):
    monkeypatch.setattr(office.entrance._papers.shelf, 'max_file_bytes', 3_000_000)
    await until(office.no_batch_runs)  # it would write files, too
    before = sorted((office.folder / 'files').iterdir())
    for content, purpose, status in ((b'x', 'vision', 400), (b'', 'batch', 400), (b'x' * 3_000_001, 'batch', 413)):
        with pytest.raises(openai.APIStatusError) as raised:
            await office.client.files.create(file=('x', content), purpose=purpose)
        assert raised.value.status_code == status and set(raised.value.body) == {'message', 'type', 'param', 'code'}
    answer = await office.http.post('/v1/files', json={'purpose': 'batch'})
    assert answer.status_code == 400 and 'multipart' in answer.json()['error']['message']
    assert sorted((office.folder / 'files').iterdir()) == before


async def test_files_have_a_total_which_is_said_and_what_is_deleted_counts_no_more(office, monkeypatch):
    shelf = office.entrance._papers.shelf
    await shelf.expire()
    before, files = shelf.used_bytes, office.client.files
    assert before == sum(path.stat().st_size for path in (office.folder / 'files').iterdir())
    monkeypatch.setattr(shelf, 'max_uploads_bytes', before + 100_000)
    first = await files.create(file=('x', b'x' * 90_000), purpose='batch')
    for size in (10_001, 200_000):  # as its bytes are counted, and before they have come
        with pytest.raises(openai.APIStatusError, match='delete some') as raised:
            await files.create(file=('x', b'x' * size), purpose='batch')
        assert (raised.value.status_code, raised.value.body['code']) == (507, 'storage_full')
        assert raised.value.response.headers['x-should-retry'] == 'false'
    assert shelf.used_bytes == before + 90_000
    await files.delete(first.id)
    assert shelf.used_bytes == before
    await files.delete((await files.create(file=('x', b'x' * 100_000), purpose='batch')).id)
    monkeypatch.setattr('app.api.openai_shelf.shutil.disk_usage', lambda _: shutil._ntuple_diskusage(0, 0, 1000))
    refused = await office.http.post('/v1/files', files={'file': b'x' * 1001}, data={'purpose': 'batch'})
    assert (refused.status_code, refused.json()['error']['code']) == (503, 'disk_full')


async def test_a_file_whose_time_is_over_is_gone(office, monkeypatch):
    short = {'anchor': 'created_at', 'seconds': 3600}
    file = await office.client.files.create(file=('x', b'x'), purpose='batch', expires_after=short)
    assert file.expires_at == file.created_at + 3600
    monkeypatch.setattr('app.api.openai_shelf.time.time', lambda: file.created_at + 3601.0)
    with pytest.raises(openai.NotFoundError, match='time is over'):
        await office.client.files.retrieve(file.id)
    assert file.id not in [each.id async for each in await office.client.files.list()]
    await office.entrance._papers.shelf.expire()
    assert not (office.folder / 'files' / file.id).exists()
