"""Versions of questions and answers: asked anew, answered anew, gone on with, compared. Nothing of it is lost."""

import time

import msgspec

from app.chats.chat_jobs import answer_to
from app.chats.chat_next import NextMessages
from app.chats.chat_refusal import ChatError
from app.chats.talks import Talks
from app.messages import Extras, Message
from broker.client import new_job_id


class Versions:
    """What people wish for a message; all of it raises ``ChatError``."""

    def __init__(self, talks: Talks, waiting: NextMessages) -> None:
        self._talks = talks
        self._next = waiting

    async def edit(self, conversation_id: str, message_id: str, text: str) -> None:
        """Ask a question anew in other words, as a branch beside the old one. Raises ``ChatError``."""
        header, branches = await self._talks.tree(conversation_id)
        old = branches.message(message_id)
        if old is None or old.role != 'user':
            raise ChatError('gone')
        self._talks.check(text, header.model, [file.id for file in old.extras.files])
        question = Message(
            id=new_job_id(),
            conversation_id=header.id,
            role='user',
            content=text,
            created_at=time.time(),
            parent=branches.parent_of(message_id),
            extras=Extras(files=old.extras.files),
        )
        await self._talks.ask(header, question, [header.model])
        await self._next.follow(conversation_id, self._talks.headers[conversation_id].shown)

    async def retry(self, message_id: str, conversation_id: str, model: str | None = None) -> None:
        """Answer again, beside the old answer; one without a word is replaced. One on its way stays as it is."""
        header, branches = await self._talks.tree(conversation_id)
        old = branches.message(message_id)
        if old is None or old.role != 'assistant':
            raise ChatError('gone')
        if self._talks.alive(old):
            return
        if not old.content and not old.thinking and not branches.followed(old.id):
            await self._talks.jobs.again(old, model or old.model, old.priority)
            return
        parent = branches.parent_of(old.id)
        answer = answer_to(header.id, parent, model or old.model, header.priority)
        header.shown, header.updated_at = answer.id, answer.created_at
        await self._talks.store(header, answer)
        await self._next.follow(conversation_id, answer.id)

    async def go_on(self, message_id: str, conversation_id: str) -> None:
        """Let an answer that was cut short go on where it ended. Nothing happens while it is on its way."""
        _, branches = await self._talks.tree(conversation_id)
        old = branches.message(message_id)
        if old is None or old.role != 'assistant':
            raise ChatError('gone')
        if not self._talks.alive(old) and old.content and not branches.followed(old.id):
            await self._talks.jobs.again(old, old.model, old.priority, go_on=True)

    async def turn(self, conversation_id: str, message_id: str, step: int) -> None:
        """Show the branch so many steps beside the one that goes over this message."""
        header, branches = await self._talks.tree(conversation_id)
        if branches.message(message_id) is not None:
            header.shown = branches.turned(message_id, step)
            await self._talks.store(header)

    async def keep(self, conversation_id: str, message_id: str) -> None:
        """Of two answers that are compared go on with this one; the other stays as a branch, and stops."""
        header, branches = await self._talks.tree(conversation_id)
        kept = branches.message(message_id)
        other = branches.message(kept.extras.beside) if kept is not None else None
        if kept is None or other is None:
            return
        for each in (kept, other):
            known = self._talks.jobs.awaited.get(each.job_id, each)
            known.extras = msgspec.structs.replace(known.extras, beside='')
            await self._talks.desk.change(known)
        header.shown = kept.id
        await self._talks.store(header)
        if self._talks.alive(other):
            await self._talks.jobs.stop(other.job_id)
