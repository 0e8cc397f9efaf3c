"""Conversations leave as JSON and Markdown and come back whole; what others export is understood, or refused."""

import io
import json
import math
import zipfile
from types import SimpleNamespace

import httpx
import msgspec
import pytest
from fastapi import FastAPI

from app.messages import ROOT, Extras, File, Stats
from app.shelf import shelf_import, shelf_routes
from app.shelf.shelf import ALL, Shelf
from app.shelf.shelf_export import file_name
from app.shelf.shelf_import import Importer, ImportRefused
from tests.app.shelf.test_shelf import header, ids, opened, said

PNG = b'\x89PNG\r\n\x1a\n' + bytes(20)
TALK = '0' * 31 + '1'
CHATGPT = {
    'title': 'Trees',
    'create_time': 1736209400.5,
    'update_time': 1736209800,
    'conversation_id': '8f3a',
    'current_node': 'a2',
    'default_model_slug': 'gpt-4o',
    'mapping': {
        'root': {'id': 'root', 'parent': None, 'children': ['sys'], 'message': None},
        'sys': {'parent': 'root', 'message': {'author': {'role': 'system'}, 'content': {'parts': ['be nice']}}},
        'q': {
            'parent': 'sys',
            'message': {
                'author': {'role': 'user'},
                'create_time': 1736209401,
                'content': {'content_type': 'multimodal_text', 'parts': [{'asset_pointer': 'x'}, '什么是树？']},
            },
        },
        'a1': {
            'parent': 'q',
            'message': {'author': {'role': 'assistant'}, 'content': {'content_type': 'text', 'parts': ['A plant.']}},
        },
        'tool': {'parent': 'q', 'message': {'author': {'role': 'tool'}, 'content': {'parts': ['{}']}}},
        'a2': {
            'parent': 'tool',
            'message': {
                'author': {'role': 'assistant'},
                'content': {'content_type': 'text', 'parts': ['A graph.']},
                'metadata': {'model_slug': 'o9'},
            },
        },
    },
}
OPEN_WEBUI = {
    'id': 'w1',
    'title': 'Soup',
    'created_at': 1700000000,
    'updated_at': 1700000100,
    'pinned': True,
    'archived': False,
    'chat': {
        'title': 'Soup',
        'models': ['llama3'],
        'history': {
            'currentId': 'b',
            'messages': {
                'a': {'parentId': None, 'role': 'user', 'content': 'How?', 'timestamp': 1700000000},
                'b': {'parentId': 'a', 'role': 'assistant', 'content': 'Slowly.', 'model': 'llama3', 'timestamp': 2},
            },
        },
    },
}  # fmt: skip
OLD_WEBUI = {
    'id': 'w0',
    'chat': {
        'title': 'Old', 'timestamp': 1700000000123,
        'messages': [{'role': 'user', 'content': 'x'}, {'role': 'assistant', 'content': 'y'}],
    },
}  # fmt: skip
CLAUDE = {
    'uuid': 'u',
    'name': 'Haiku',
    'created_at': '2024-01-15T10:30:00.000Z',
    'updated_at': '2024-01-15T11:45:00+00:00',
    'chat_messages': [
        {'uuid': '1', 'sender': 'human', 'text': 'Write', 'created_at': '2024-01-15T10:30:00Z'},
        {'uuid': '2', 'sender': 'assistant', 'text': '', 'content': [{'type': 'text', 'text': 'Old pond'}]},
    ],
}


class Desk:
    """Chats, their shelf, and the routes over both."""

    def __init__(self, chat, shelf, folder):
        self.chat, self.shelf = chat, shelf
        self.importer = Importer(chat, shelf)
        app = FastAPI()
        parts = SimpleNamespace(chat=chat, shelf=shelf, settings=SimpleNamespace(data_dir=folder))
        app.include_router(shelf_routes.router(lambda: parts))
        transport = httpx.ASGITransport(app)
        self.http = httpx.AsyncClient(transport=transport, base_url='http://desk', headers={'accept-language': 'en'})

    async def close(self):
        await self.http.aclose()
        await self.chat.close()

    async def take(self, *conversations):
        return await self.importer.take(msgspec.json.encode(conversations))

    async def shown(self, conversation):
        branches = await self.chat.branches(conversation.id)
        return [(each.role, each.content) for each in branches.shown(conversation.shown)]


async def desk_in(folder):
    chat = await opened(folder)
    return Desk(chat, await Shelf.open(chat), folder)


@pytest.fixture
async def desk(tmp_path):
    made = await desk_in(tmp_path)
    yield made
    await made.close()


@pytest.fixture
async def full(desk):
    """One with branches, a picture, a text, thinking, options and a folder."""
    files = (File(id='f1', name='dot.png', media_type='image/png', size=len(PNG), width=2, height=2),)
    texts = (File(id='f2', name='n.txt', media_type='text/plain', size=9),)
    talk = [
        said(TALK, 'q1', '**第一** 问\n\n```py\nx = 1\n```', parent=ROOT, extras=Extras(files=files + texts)),
        said(TALK, 'a1', 'old', 'assistant', state='completed', model='m', parent='q1'),
        said(TALK, 'a2', 'new *answer*\n', 'assistant', state='completed', model='m', parent='q1', thinking='Hm.',
             stats=Stats(output_tokens=7, waited_s=0.5)),
        said(TALK, 'q2', 'and?', parent='a2'),
        said(TALK, 'a3', '', 'assistant', state='dead', model='m', parent='q2', code='oom', detail='out of memory'),
    ]  # fmt: skip
    await desk.chat.adopt([(header(TALK, title='树/Trees: "a"', options='{"temperature":0.5}', shown='a3'), talk)])

    def keep(db):
        for name, kind, data in (('f1', 'image/png', PNG), ('f2', 'text/plain', b'a ``` b\n')):
            db.execute('INSERT INTO files VALUES (?, ?, ?, ?, 2, 2, 1.0, ?)', (name, TALK, name, kind, data))

    await desk.chat.desk.run(keep)
    await desk.shelf.move(TALK, (await desk.shelf.add_folder('植物')).id)
    await desk.shelf.pin(TALK, True)
    return desk


async def test_what_was_exported_comes_back_whole_and_only_once(full, tmp_path, monkeypatch):
    exported = (await full.http.get(f'/shelf/{TALK}.json')).content
    told = await full.importer.take(exported)
    assert (told.done, told.known, told.broken) == (0, 1, 0)
    (tmp_path / 'other').mkdir()
    other = await desk_in(tmp_path / 'other')
    with monkeypatch.context() as little_room:
        little_room.setattr(other.chat.attachments, '_most_bytes', len(PNG))
        refused = await other.http.post('/shelf/import', content=exported)
        assert (refused.status_code, refused.json()) == (507, {'code': 'room'})
    assert (await other.importer.take(exported)).done == 1
    again = (await other.http.get('/shelf/conversations.json')).json()['conversations'][0]
    [first] = msgspec.json.decode(exported)['conversations']
    for name in ('id', 'title', 'created_at', 'updated_at', 'model', 'options', 'folder', 'pinned', 'archived'):
        assert again[name] == first[name], name
    for old, new in zip(first['messages'], again['messages'], strict=True):
        for name in ('role', 'content', 'thinking', 'state', 'model', 'stats', 'code', 'detail', 'created_at'):
            assert new[name] == old[name], name
    assert list(again['files'].values()) == list(first['files'].values())
    assert await other.shown(other.chat.conversation(TALK)) == await full.shown(full.chat.conversation(TALK))
    assert (await other.http.get(f'/shelf/{TALK}.md')).text == (await full.http.get(f'/shelf/{TALK}.md')).text
    await other.close()


async def test_markdown_tells_the_branch_that_is_shown_word_for_word(full):
    response = await full.http.get(f'/shelf/{TALK}.md')
    assert response.headers['content-type'] == 'text/markdown; charset=utf-8'
    assert response.headers['content-disposition'].endswith("filename*=UTF-8''%E6%A0%91%20Trees%20a.md")
    text = response.text
    assert text.startswith('# 树/Trees: "a"\n') and '**第一** 问\n\n```py\nx = 1\n```' in text
    assert 'new *answer*\n' in text and '<summary>Thoughts</summary>\n\nHm.\n' in text and '\nold\n' not in text
    assert '![dot.png](data:image/png;base64,iVBOR' in text and '````\na ``` b\n````' in text
    assert '*There is no answer. out of memory*' in text
    chinese = await full.http.get(f'/shelf/{TALK}.md', headers={'cookie': 'corral_lang=zh'})
    assert '## 你\n' in chinese.text


async def test_all_are_exported_in_parts_and_folders_are_folders(full):
    await full.take(CHATGPT, OPEN_WEBUI)
    response = await full.http.get('/shelf/conversations.zip')
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        assert archive.testzip() is None
        names = sorted(archive.namelist())
        assert names[-1].startswith('植物/') and names[-1].endswith(' 树 Trees a.md') and len(names) == 3
        assert archive.read(names[-1]).decode() == (await full.http.get(f'/shelf/{TALK}.md')).text
    folder = full.shelf.folders()[0][0]
    one = (await full.http.get(f'/shelf/conversations.json?folder={folder.id}')).json()
    assert [each['title'] for each in one['conversations']] == ['树/Trees: "a"']
    assert (await full.http.get('/shelf/nothing.md')).status_code == 404
    assert (await full.http.get('/shelf/nothing.json')).text == 'This conversation was deleted.\n'


async def test_exports_of_others_become_conversations(desk):
    told = await desk.take(CHATGPT, OPEN_WEBUI, OLD_WEBUI, CLAUDE, {'what': 'else'}, 5)
    assert (told.done, told.known, told.broken) == (4, 0, 2)
    by_title = {each.title: each for each in desk.chat.conversations()}
    trees, soup, old, haiku = (by_title[name] for name in ('Trees', 'Soup', 'Old', 'Haiku'))
    assert await desk.shown(trees) == [('user', '什么是树？'), ('assistant', 'A graph.')]
    assert [each.content for each in await desk.chat.messages(trees.id)] == ['什么是树？', 'A plant.', 'A graph.']
    assert (trees.model, trees.updated_at) == ('o9', 1736209800)
    assert await desk.shown(soup) == [('user', 'How?'), ('assistant', 'Slowly.')]
    assert soup.model == 'llama3' and desk.shelf.place_of(soup.id).pinned_at and ids(desk.shelf, ALL)[0] == soup.id
    assert await desk.shown(old) == [('user', 'x'), ('assistant', 'y')] and old.created_at == 1700000000.123
    assert await desk.shown(haiku) == [('user', 'Write'), ('assistant', 'Old pond')]
    assert (await desk.take(CHATGPT, CLAUDE)).known == 2
    await desk.chat.delete(trees.id)
    assert (await desk.take(CHATGPT)).done == 1, 'what was deleted can be imported anew'


@pytest.mark.parametrize(
    ('body', 'code'),
    [
        (b'', 'broken'),
        (b'not json', 'broken'),
        (b'\xff\xfe', 'broken'),
        (b'[' * 100_000, 'broken'),
        (b'PK\x03\x04rest', 'zip'),
        (b'[]', 'unknown'),
        (b'{}', 'unknown'),
        (b'5', 'unknown'),
        (b'[1, "x", null]', 'unknown'),
        (b'{"conversations": []}', 'unknown'),
        (b'[{"mapping": {}}]', 'unknown'),
        (b'[' + b'{"chat":' * 5000 + b'1' + b'}' * 5000 + b']', 'broken'),
    ],
)
async def test_what_is_no_export_is_refused_and_leaves_nothing(desk, body, code):
    with pytest.raises(ImportRefused, match=code):
        await desk.importer.take(body)
    response = await desk.http.post('/shelf/import', content=body)
    assert (response.status_code, response.json()) == (400, {'code': code})
    assert desk.chat.conversations() == []


@pytest.mark.parametrize(
    'changed',
    [
        {'mapping': {'a': {'parent': 'b', 'message': None}, 'b': {'parent': 'a'}}},
        {'mapping': {'a': {'message': {'author': {'role': 'user'}, 'content': {'content_type': 'text', 'parts': []}}}}},
        {'create_time': 'yesterday'},
        {'create_time': 1e300},
        {'create_time': -5},
        {'conversation_id': None, 'id': None},
        {'mapping': {'a': 5}},
    ],
)
async def test_a_conversation_that_cannot_be_read_is_counted_and_the_others_come(desk, changed):
    told = await desk.take(CHATGPT | changed, OPEN_WEBUI)
    assert (told.done, told.broken) == (1, 1)


QUESTION = {'id': 'q', 'role': 'user', 'content': 'hi', 'created_at': 1}
OURS = {'id': 'x1', 'title': 't', 'created_at': 1, 'updated_at': 2, 'messages': [QUESTION]}
SAID = {'uuid': 'a', 'sender': 'human', 'text': 'x'}
TWICE = {'uuid': 'c', 'name': 'n', 'created_at': 1, 'chat_messages': [SAID, SAID]}


@pytest.mark.parametrize(
    ('talk', 'read'),
    [
        (OURS | {'priority': 2**70, 'messages': [QUESTION | {'priority': 2**70}]}, True),
        (OURS | {'messages': [QUESTION | {'extras': {'tools': [{'name': 'half \ud83d', 'arguments': '{'}]}}]}, True),
        (OURS | {'messages': [QUESTION, QUESTION]}, False),
        (OURS | {'messages': [QUESTION | {'stats': {'waited_s': math.nan}}]}, False),
        (OURS | {'messages': [QUESTION | {'extras': {'thought_s': math.inf}}]}, False),
        (TWICE, False),
    ],
)
async def test_an_odd_conversation_neither_stops_the_others_nor_breaks_the_desk(desk, talk, read):
    response = await desk.http.post('/shelf/import', content=json.dumps([talk, OPEN_WEBUI]).encode())
    assert (response.status_code, response.json()['done'], response.json()['broken']) == (200, 1 + read, 1 - read)
    assert len((await desk.http.get('/shelf/conversations.json')).json()['conversations']) == 1 + read
    for each in desk.chat.conversations():
        assert all(message.priority == 5 for message in await desk.chat.messages(each.id))


async def test_an_import_tells_how_far_it_is_to_those_who_know_its_name(desk, monkeypatch):
    monkeypatch.setattr(shelf_import, 'AT_ONCE_BYTES', len(msgspec.json.encode(CLAUDE)))
    body = msgspec.json.encode([CLAUDE | {'uuid': f'{n}'} for n in range(4)])
    shares = []
    await desk.importer.take(body, shares.append)
    assert shares == sorted(shares) and len(shares) == 4 and shares[-1] == 1
    name, adopt, told = '0123456789abcdef' * 2, desk.chat.adopt, []

    async def adopted(talks):
        told.append((await desk.http.get(f'/shelf/import/{name}')).json())
        await adopt(talks)

    monkeypatch.setattr(desk.chat, 'adopt', adopted)
    more = msgspec.json.encode([CLAUDE | {'uuid': f'more {n}'} for n in range(4)])
    await desk.http.post('/shelf/import', params={'name': name}, content=more)
    assert [each['what'] for each in told] == ['storing'] * 4
    assert told[0]['share'] == 0 and 0.7 < told[-1]['share'] < 0.8
    assert (await desk.http.get(f'/shelf/import/{name}')).json()['what'] == ''  # it is over


async def test_a_large_file_is_stored_in_parts_and_others_are_served_in_between(desk, monkeypatch):
    monkeypatch.setattr(shelf_import, 'AT_ONCE_BYTES', 2 * len(msgspec.json.encode(CLAUDE)))
    adopt, parts = desk.chat.adopt, []

    async def adopted(talks):
        parts.append(len(talks))
        await adopt(talks)

    monkeypatch.setattr(desk.chat, 'adopt', adopted)
    assert (await desk.take(*(CLAUDE | {'uuid': f'{n}'} for n in range(7)))).done == 7
    assert len(parts) > 2 and sum(parts) == 7
    assert len(desk.chat.conversations()) == 7


async def test_a_forged_export_cannot_reach_beyond_its_own_conversation(full):
    forged = {
        'id': '../../etc', 'title': 'x' * 999, 'created_at': 1, 'updated_at': 2, 'shown': 'q1', 'priority': 99,
        'options': {'temperature': 'hot'}, 'files': {'f1': 'PHNjcmlwdD4='},
        'messages': [{'id': 'q1', 'role': 'user', 'content': 'half \ud83d', 'parent': 'nowhere', 'state': 'pending',
                      'extras': {'files': [{'id': 'f1', 'name': 'a.svg', 'media_type': 'image/svg+xml', 'size': 1}]}}],
    }  # fmt: skip
    assert (await full.importer.take(json.dumps([forged]).encode())).done == 1
    [made] = [each for each in full.chat.conversations() if each.id != TALK]
    assert len(made.id) == 32 and made.id.isalnum() and len(made.title) == 200 and made.priority == 5
    [message] = await full.chat.messages(made.id)
    assert (message.state, message.parent) == ('', ROOT)
    assert message.id != 'q1' and message.extras.files[0].media_type == 'text/plain'
    assert (await full.chat.messages(TALK))[0].content.startswith('**第一**')


@pytest.mark.parametrize(
    ('title', 'name'),
    [
        ('../../etc/passwd', 'etc passwd'),
        ('a\x00b\r\nc', 'a b c'),
        ('...', 'conversation'),
        ('什么？', '什么？'),
        ('x' * 300, 'x' * 80),
        ('\u202egpj.exe', 'gpj.exe'),
    ],
)
def test_a_title_becomes_a_name_that_every_system_takes(title, name):
    assert file_name(title) == name
