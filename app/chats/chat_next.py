"""Messages that wait until the answer before them is there, in their order; they outlive a restart."""

import asyncio
import time
from collections.abc import Callable
from copy import copy
from typing import Any

import apsw
import msgspec

from app.chats.chat_refusal import ChatError
from app.chats.talks import Talks
from app.messages import ROOT, Conversation, Extras, File, Message

MOST = 20  # of one conversation
_COLUMNS = 'id, conversation_id, after, content, model, priority, files, created_at'


class Next(msgspec.Struct, kw_only=True):
    """A message that is sent when the answer ``after`` is complete."""

    id: str
    conversation_id: str
    after: str
    content: str
    model: str
    priority: int
    files: tuple[File, ...] = ()
    created_at: float = 0.0


class NextMessages:
    """All of them; every change is on disk before it counts."""

    def __init__(self, talks: Talks) -> None:
        self._talks = talks
        self._sending: set[str] = set()
        self._turn = asyncio.Lock()
        self._lines: dict[str, list[Next]] = {}

    async def load(self) -> list[str]:
        """Read what was left by the last run; the conversations that have some."""

        def read(db: apsw.Connection) -> list[Any]:
            db.execute('DELETE FROM next_messages WHERE id IN (SELECT id FROM messages)').fetchall()  # sent already
            return db.execute(f'SELECT {_COLUMNS} FROM next_messages ORDER BY conversation_id, place').fetchall()

        for row in await self._talks.desk.run(read):
            fields = dict(zip(_COLUMNS.split(', '), row, strict=True))
            files = msgspec.json.decode(fields['files'], type=tuple[File, ...])
            self._lines.setdefault(fields['conversation_id'], []).append(Next(**{**fields, 'files': files}))
        return list(self._lines)

    def of(self, conversation_id: str) -> list[Next]:
        """Those of a conversation, the next one first."""
        return list(self._lines.get(conversation_id, ()))

    async def add(self, message: Next) -> None:
        """One more at the end."""
        if len(self.of(message.conversation_id)) >= MOST:
            raise ChatError('too_many', limit=MOST)
        await self._change(message.conversation_id, lambda line: [*line, message])

    async def move(self, conversation_id: str, message_id: str, step: int) -> None:
        """So many places down (or up, below 0)."""

        def moved(line: list[Next]) -> list[Next]:
            place = next((at for at, each in enumerate(line) if each.id == message_id), None)
            if place is not None:
                line.insert(min(max(place + step, 0), len(line) - 1), line.pop(place))
            return line

        await self._change(conversation_id, moved)
        self._talks.tell(conversation_id)

    async def drop(self, conversation_id: str, message_id: str) -> None:
        """Do not send one."""
        await self._change(conversation_id, lambda line: [each for each in line if each.id != message_id])
        self._talks.tell(conversation_id)

    async def follow(self, conversation_id: str, after: str) -> None:
        """They wait for this answer now."""
        await self._change(conversation_id, lambda line: [msgspec.structs.replace(each, after=after) for each in line])

    async def reword(self, conversation_id: str, message_id: str, text: str) -> None:
        """Say it in other words; raises ``ChatError``."""
        waiting = next((each for each in self.of(conversation_id) if each.id == message_id), None)
        if waiting is not None:
            self._talks.check(text, waiting.model, [file.id for file in waiting.files])
            reworded = msgspec.structs.replace(waiting, content=text)
            await self._change(
                conversation_id,
                lambda line: [
                    msgspec.structs.replace(reworded, after=each.after) if each.id == message_id else each
                    for each in line
                ],
            )
            self._talks.tell(conversation_id)

    async def send(self, conversation_id: str) -> None:
        """Send the next one although the answer before it is not complete; raises ``ChatError``."""
        header, branches = await self._talks.tree(conversation_id)
        shown = branches.shown(header.shown)
        last = shown[-1] if shown else None
        if last is not None and last.extras.beside:
            raise ChatError('choose')
        if last is not None and self._talks.alive(last):
            await self.follow(conversation_id, last.id)
        elif self.of(conversation_id):
            await self._send(header, last.id if last is not None else ROOT, show=True)

    async def go_on(self, ended: Message) -> None:
        """After an answer: send what waits for it, if it is complete."""
        waiting = self.of(ended.conversation_id)
        header = self._talks.headers.get(ended.conversation_id)
        if not waiting or waiting[0].after != ended.id or header is None:
            return
        branches = await self._talks.branches(ended.conversation_id)
        answer = branches.message(ended.id)
        if answer is not None and answer.state == 'completed' and not self._talks.alive(answer):
            shown = branches.shown(header.shown)
            await self._send(copy(header), ended.id, show=bool(shown) and shown[-1].id == ended.id)

    async def _send(self, header: Conversation, parent: str, *, show: bool) -> None:
        head, before = self.of(header.id)[0], header.shown
        if head.id in self._sending:
            return
        self._sending.add(head.id)
        try:
            header.updated_at, header.model, header.priority = time.time(), head.model, head.priority
            question = Message(
                id=head.id,
                conversation_id=header.id,
                role='user',
                content=head.content,
                created_at=header.updated_at,
                parent=parent,
                extras=Extras(files=head.files),
            )
            answer = await self._talks.ask(header, question, [head.model], show=show, before=before)
            await self._change(
                header.id,
                lambda line: [msgspec.structs.replace(each, after=answer) for each in line if each.id != head.id],
            )
        finally:
            self._sending.discard(head.id)
        self._talks.tell(header.id)

    async def resume(self, conversation_id: str) -> None:
        """After a start: the answer before them may have ended when nobody was there to send them."""
        waiting = self.of(conversation_id)
        branches = await self._talks.branches(conversation_id)
        ended = branches.message(waiting[0].after) if waiting else None
        if ended is not None:
            await self.go_on(ended)

    async def _change(self, conversation_id: str, change: Callable[[list[Next]], list[Next]]) -> None:
        """One change after the other, so that none undoes another one."""
        async with self._turn:
            before = self.of(conversation_id)
            line = change(list(before))
            if line == before:
                return

            def write(db: apsw.Connection) -> None:
                with db:
                    db.execute('DELETE FROM next_messages WHERE conversation_id = ?', (conversation_id,))
                    for place, each in enumerate(line):
                        values = (*msgspec.structs.astuple(each)[:6], msgspec.json.encode(each.files).decode())
                        db.execute(
                            f'INSERT INTO next_messages ({_COLUMNS}, place) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)',
                            (*values, each.created_at, place),
                        )

            await self._talks.desk.run(write)
            self._lines[conversation_id] = line
