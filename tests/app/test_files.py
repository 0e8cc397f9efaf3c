"""Files come over HTTP, from our own pages only, and go out again as nothing that a browser would run."""

from types import SimpleNamespace

import httpx
import pytest
from fastapi import FastAPI

from app import guard
from app.chats.attachments import MOST_TEXT_BYTES, Attachments
from app.chats.chat_refusal import ChatError
from app.desk import Desk
from app.pages import files

PNG = b'\x89PNG\r\n\x1a\n' + bytes(20)
URL = 'http://127.0.0.1'


@pytest.fixture
async def client(tmp_path):
    desk = await Desk.open(tmp_path / 'desk.db')
    parts = SimpleNamespace(chat=SimpleNamespace(attachments=Attachments(desk)))
    api = FastAPI()
    api.include_router(files.router(lambda: parts))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(guard.Guard(api)), base_url=URL) as opened:
        yield opened
    await desk.close()


async def test_a_picture_comes_back_as_it_went(client):
    told = await client.post(f'{files.PATH}?name=图.png&width=4&height=2', content=PNG, headers={'origin': URL})
    file = told.json()
    assert (file['name'], file['picture'], file['size'], file['ratio']) == ('图.png', True, 28, 2.0)
    reply = await client.get(f'{files.PATH}/{file["id"]}')
    assert (reply.content, reply.headers['content-type']) == (PNG, 'image/png')
    assert (await client.get(f'{files.PATH}/nothing')).status_code == 404


async def test_a_page_in_disguise_is_a_text_and_runs_nothing(client):
    told = await client.post(f'{files.PATH}?name=a.html', content=b'<script>alert(1)</script>')
    reply = await client.get(f'{files.PATH}/{told.json()["id"]}')
    assert reply.headers['content-type'] == 'text/plain; charset=utf-8'
    assert reply.headers['x-content-type-options'] == 'nosniff'
    assert "default-src 'none'; sandbox" in reply.headers.get_list('content-security-policy')


async def test_what_cannot_be_taken_is_said_with_a_code(client):
    for data, status, code in (
        (b'', 400, 'file_empty'),
        (b'\x00\x01', 415, 'file_kind'),
        (b'a' * (MOST_TEXT_BYTES + 1), 413, 'file_large'),
    ):
        reply = await client.post(files.PATH, content=data)
        assert (reply.status_code, reply.json()['code']) == (status, code)


async def test_other_sites_can_put_nothing_here(client):
    reply = await client.post(files.PATH, content=PNG, headers={'origin': 'https://evil.example'})
    assert reply.status_code == 403
    reply = await client.post(files.PATH, content=bytes(9_000_000))
    assert reply.status_code == 413


async def test_where_there_is_no_room_for_a_file_it_is_said_so(client, monkeypatch):
    monkeypatch.setattr('app.chats.attachments.Attachments.make_room', no_room)
    told = await client.post(files.PATH, content=PNG, headers={'origin': URL})
    assert (told.status_code, told.json()) == (507, {'code': 'file_room', 'limit': 7})


async def no_room(self, size):
    raise ChatError('file_room', limit=7)
