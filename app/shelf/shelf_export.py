"""Conversations to take away: JSON with everything in it, which can be imported again, and Markdown to read.

Both are made conversation by conversation, so that a large desk is never in memory as a whole.
"""

import asyncio
import base64
import io
import re
import time
import zipfile
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any

import apsw
import msgspec

from app import i18n
from app.chats.branches import Branches
from app.chats.chat import ChatService
from app.messages import Conversation, File, Message
from app.shelf.shelf import Shelf

FORMAT, VERSION = 'corral-conversations', 1
NAME_CHARS = 80
_UNFIT = re.compile(r'[\x00-\x1f\x7f\\/:*?"<>|\u202a-\u202e\u2066-\u2069]+')  # for a file's name somewhere
_OPEN = ('pending', 'unsent')


class Exporter:
    """Writes conversations of ``chat`` as they stand on ``shelf``. Each method yields the parts of one file."""

    def __init__(self, chat: ChatService, shelf: Shelf) -> None:
        self._chat = chat
        self._shelf = shelf

    async def json(self, conversations: Sequence[Conversation]) -> AsyncIterator[bytes]:
        """All branches, figures and attached files of these."""
        head = {'format': FORMAT, 'version': VERSION, 'exported_at': time.time()}
        yield msgspec.json.encode(head)[:-1] + b',"conversations":['
        for number, header in enumerate(conversations):
            yield (b',\n' if number else b'\n') + msgspec.json.encode(await self._whole(header))
        yield b'\n]}\n'

    async def markdown(self, header: Conversation, lang: str) -> AsyncIterator[bytes]:
        """The branch that is shown."""
        yield (await self._told(header, lang)).encode()

    async def markdown_zip(self, conversations: Sequence[Conversation], lang: str) -> AsyncIterator[bytes]:
        """One Markdown file for each of these, in folders as on the shelf."""
        buffer = _Outlet()
        names: set[str] = set()
        with zipfile.ZipFile(buffer, 'w', zipfile.ZIP_DEFLATED) as archive:  # type: ignore[arg-type]
            for header in conversations:
                name = self._name_in_zip(header, names)
                await asyncio.to_thread(archive.writestr, name, (await self._told(header, lang)).encode())
                yield buffer.take()
        yield buffer.take()

    # JSON

    async def _whole(self, header: Conversation) -> dict[str, Any]:
        place = self._shelf.place_of(header.id)
        folder = self._shelf.folder(place.folder)
        messages = await self._chat.messages(header.id)
        branches = Branches(messages)
        attached = [file for each in messages for file in each.extras.files]
        data = await self._files(attached)
        return {
            'id': header.id,
            'title': header.title,
            'created_at': header.created_at,
            'updated_at': header.updated_at,
            'model': header.model,
            'priority': header.priority,
            'options': msgspec.json.decode(header.options or '{}'),
            'folder': folder.name if folder else '',
            'pinned': place.pinned_at > 0,
            'archived': place.archived_at > 0,
            'shown': header.shown,
            'messages': [self._message(each, branches) for each in messages],
            'files': {name: base64.b64encode(content).decode() for name, content in data.items()},
        }

    def _message(self, message: Message, branches: Branches) -> dict[str, Any]:
        text, thinking = self._said(message)
        return {
            'id': message.id,
            'parent': branches.parent_of(message.id),
            'role': message.role,
            'content': text,
            'thinking': thinking,
            'state': message.state,
            'model': message.model,
            'priority': message.priority,
            'created_at': message.created_at,
            'code': message.code,
            'detail': message.detail,
            'stats': message.stats,
            'extras': message.extras,
        }

    def _said(self, message: Message) -> tuple[str, str]:
        """An answer that is being written counts as far as it has come."""
        if message.state not in _OPEN:
            return message.content, message.thinking
        view = self._chat.view(message)
        return str(view['text']), str(view['thinking'])

    async def _files(self, files: Sequence[File]) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for file in files:
            query = 'SELECT data FROM files WHERE id = ?'

            def read(db: apsw.Connection, query: str = query, name: str = file.id) -> list[Any]:
                return db.execute(query, (name,)).fetchall()

            for (data,) in await self._chat.desk.run(read):
                found[file.id] = data
        return found

    # Markdown

    async def _told(self, header: Conversation, lang: str) -> str:
        messages = Branches(await self._chat.messages(header.id)).shown(header.shown)
        parts = [f'# {_line(header.title)}', f'*{_moment(header.created_at)}*']
        for message in messages:
            text, thinking = self._said(message)
            who = i18n.tr(lang, 'You') if message.role == 'user' else message.model or i18n.tr(lang, 'Answer')
            parts.append(f'## {_line(who)}')
            if thinking:
                parts.append(f'<details><summary>{i18n.tr(lang, "Thoughts")}</summary>\n\n{thinking}\n\n</details>')
            data = await self._files(message.extras.files)
            parts += [_attached(file, data[file.id]) for file in message.extras.files if file.id in data]
            if text:
                parts.append(text)
            if note := self._note(message, lang):
                parts.append(f'*{note}*')
        return '\n\n'.join(parts) + '\n'

    def _note(self, message: Message, lang: str) -> str:
        if message.state == 'cancelled':
            return i18n.tr(lang, 'Stopped.')
        if message.state in ('dead', 'unsent'):
            why = _line(message.detail or message.code)
            return f'{i18n.tr(lang, "There is no answer.")} {why}'.strip()
        return i18n.tr(lang, 'This answer was not complete when it was exported.') if message.state in _OPEN else ''

    def _name_in_zip(self, header: Conversation, taken: set[str]) -> str:
        folder = self._shelf.folder(self._shelf.place_of(header.id).folder)
        start = f'{file_name(folder.name)}/' if folder else ''
        stem = f'{start}{_moment(header.created_at)[:10]} {file_name(header.title)}'
        name, number = f'{stem}.md', 1
        while name.casefold() in taken:
            number += 1
            name = f'{stem} ({number}).md'
        taken.add(name.casefold())
        return name


def file_name(title: str) -> str:
    """A title as a file may be called everywhere."""
    return ' '.join(_UNFIT.sub(' ', title).split()).strip(' .')[:NAME_CHARS].rstrip(' .') or 'conversation'


class _Outlet(io.RawIOBase):
    """What a ZIP file is written to: parts are taken off as they come, so nothing can be sought."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        """What was written since the last time."""
        parts, self._parts = self._parts, []
        return b''.join(parts)


def _line(text: str) -> str:
    return ' '.join(text.split())


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at).strftime('%Y-%m-%d %H:%M')


def _attached(file: File, data: bytes) -> str:
    """A picture as itself, a text as a block whose fence is longer than any in it."""
    if file.picture:
        name = _line(file.name).replace('[', '(').replace(']', ')')
        return f'![{name}](data:{file.media_type};base64,{base64.b64encode(data).decode()})'
    text = data.decode('utf-8', 'replace')
    longest = max((len(each) for each in re.findall('`+', text)), default=0)
    fence = '`' * max(3, longest + 1)
    return f'{_line(file.name)}:\n\n{fence}\n{text.rstrip()}\n{fence}'
