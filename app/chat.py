"""Conversations at work: what people say becomes questions, and each question a job that becomes its answer.

What is sent to the model is made in ``chat_request``, what becomes of the jobs is ``chat_jobs``, and how a message is
shown ``chat_view``.
"""

import logging
import time
import unicodedata
from collections.abc import Callable
from copy import copy
from typing import Any, Self

from app import chat_request, chat_view
from app.board import Board
from app.chat_jobs import AnswerJobs
from app.chat_refusal import ChatError
from app.desk import Conversation, Desk, Message
from app.listeners import Listeners, Unsubscribe
from app.settings import AppSettings
from broker import errors
from broker.client import BrokerClient, new_job_id

log = logging.getLogger(__name__)

TITLE_WIDTH = 48  # columns; a Chinese character takes two


class ChatService:
    """All conversations of the desk. Pages call it and hear of changes through ``on_change``."""

    def __init__(self, settings: AppSettings, broker: BrokerClient, board: Board, desk: Desk) -> None:
        self._settings = settings
        self._broker = broker
        self._board = board
        self._desk = desk
        self._headers: dict[str, Conversation] = {}
        self._deleted: dict[str, Conversation] = {}
        self._changed = Listeners()
        self._jobs = AnswerJobs(broker, board, desk, request=self._body, tell=self._changed.call)

    @classmethod
    async def open(cls, settings: AppSettings, broker: BrokerClient, board: Board) -> Self:
        """Open ``desk.db`` and pick up the answers that were on their way. Raises ``desk.DeskError``."""
        service = cls(settings, broker, board, await Desk.open(settings.data_dir / 'desk.db'))
        service._headers = {header.id: header for header in await service._desk.conversations()}
        service._jobs.pick_up(await service._desk.open_messages())
        return service

    async def close(self) -> None:
        """Finish what is being written, and close."""
        await self._jobs.close()
        await self._desk.close()

    @property
    def desk(self) -> Desk:
        """The database, for what programs keep in it."""
        return self._desk

    # what pages ask

    def conversations(self) -> list[Conversation]:
        """All headers, newest first."""
        return sorted(self._headers.values(), key=lambda header: -header.updated_at)

    def conversation(self, conversation_id: str) -> Conversation | None:
        """One header."""
        return self._headers.get(conversation_id)

    def title_of(self, conversation_id: str) -> str | None:
        """A conversation's title."""
        header = self._headers.get(conversation_id)
        return header.title if header else None

    async def messages(self, conversation_id: str) -> list[Message]:
        """A conversation's messages in order."""
        return await self._desk.messages(conversation_id)

    def active(self) -> dict[str, str]:
        """Conversations with an answer on its way: 'running' or 'waiting'."""
        found: dict[str, str] = {}
        for job_id, message in self._jobs.awaited.items():
            job = self._board.job(job_id)
            if message.state == 'pending' and (job is None or not job.final):
                running = job is not None and job.held
                if running or message.conversation_id not in found:
                    found[message.conversation_id] = 'running' if running else 'waiting'
        return found

    def on_change(self, callback: Callable[[str], object]) -> Unsubscribe:
        """Call back with a conversation's id after its header or messages changed, in whatever tab."""
        return self._changed.add(callback)

    def view(self, message: Message) -> dict[str, Any]:
        """A message as the transcript shows it, with what the board knows of its job now."""
        job = self._board.job(message.job_id) if message.state in ('pending', 'unsent') else None
        if job is not None and job.final and job.job_id in self._jobs.giving_way:
            job = None  # not that it was cancelled: it is about to be sent again
        return chat_view.of(message, job, retry_after_s=self._jobs.retry_after_s.get(message.job_id, 0.0))

    # what people do

    async def send(self, conversation_id: str | None, text: str, model: str, priority: int) -> Conversation:
        """Say ``text``; without a conversation one begins. Raises ``ChatError``; the answer keeps a no of the queue."""
        size = len(text.encode())
        if not text.strip():
            raise ChatError('empty')
        if size > self._settings.max_prompt_bytes:
            raise ChatError('too_long', size=size, limit=self._settings.max_prompt_bytes)
        if not model:
            raise ChatError('no_model')
        now = time.time()
        if conversation_id is None:
            header = Conversation(
                id=new_job_id(), title=title_from(text), created_at=now, updated_at=now, model=model, priority=priority
            )
        elif conversation_id in self._headers:
            header = copy(self._headers[conversation_id])
            header.updated_at, header.model, header.priority = now, model, priority
        else:
            raise ChatError('gone')
        question = Message(id=new_job_id(), conversation_id=header.id, role='user', content=text, created_at=now)
        answer = Message(
            id=new_job_id(),
            conversation_id=header.id,
            role='assistant',
            job_id=new_job_id(),
            state='pending',
            model=model,
            priority=priority,
            created_at=now,
        )
        await self._desk.put(header, question, answer)
        self._headers[header.id] = header
        self._jobs.begin(answer)
        return header

    async def retry(self, message_id: str, conversation_id: str, model: str | None = None) -> None:
        """Answer again with a new job; the old answer is replaced. Nothing happens while one is on its way."""
        header = self._headers.get(conversation_id)
        found = [message for message in await self.messages(conversation_id) if message.id == message_id]
        if header is None or not found or found[0].role != 'assistant':
            raise ChatError('gone')
        old = found[0]
        job = self._board.job(old.job_id)
        if old.state == 'pending' or (old.state == 'unsent' and job is not None and not job.final):
            return
        await self._jobs.again(old, model or old.model, old.priority)

    async def use_instead(self, job_id: str, model: str) -> None:
        """Let another model answer what still waits: its job is cancelled, and a new one takes its place.

        Raises ``ChatError`` 'started' when a worker has the job by now: then it stays as it is. May raise
        ``errors.BrokerError``. Nothing happens when the answer has ended, or this was asked for already.
        """
        await self._jobs.use_instead(job_id, model, lambda message: message.conversation_id in self._headers)

    async def stop(self, job_id: str) -> None:
        """Stop an answer, whether it waits or runs. May raise ``errors.BrokerError``."""
        await self._jobs.stop(job_id)

    async def set_priority(self, job_id: str, priority: int) -> None:
        """Move a waiting answer to another priority. May raise ``errors.BrokerError``."""
        await self._broker.set_priority(job_id, priority)

    async def rename(self, conversation_id: str, title: str) -> None:
        """Give a conversation another title; an empty one changes nothing."""
        title = ' '.join(title.split())[:200]
        header = self._headers.get(conversation_id)
        if header is not None and title and title != header.title:
            renamed = copy(header)
            renamed.title = title
            await self._desk.put(renamed)
            self._headers[conversation_id] = renamed
            self._changed.call(conversation_id)

    async def delete(self, conversation_id: str) -> None:
        """Delete a conversation, and stop what it waits for. ``undelete`` works until the desk is started again."""
        if conversation_id not in self._headers:
            return
        await self._desk.set_deleted(conversation_id, time.time())
        header = self._headers.pop(conversation_id, None)
        if header is None:  # deleted in another tab meanwhile
            return
        self._deleted[conversation_id] = header
        self._changed.call(conversation_id)
        for job_id, message in list(self._jobs.awaited.items()):
            if message.conversation_id == conversation_id and message.state == 'pending':
                try:
                    await self.stop(job_id)
                except errors.BrokerError as error:
                    log.warning('%s', error, extra={'action': 'stop', 'job_id': job_id})

    async def undelete(self, conversation_id: str) -> None:
        """Take a delete back."""
        if conversation_id in self._deleted:
            await self._desk.set_deleted(conversation_id, 0.0)
            header = self._deleted.pop(conversation_id, None)
            if header is not None:
                self._headers[conversation_id] = header
                self._changed.call(conversation_id)

    async def _body(self, answer: Message) -> bytes:
        said = []
        for message in await self.messages(answer.conversation_id):
            if message.id == answer.id:
                break
            said.append(message)
        return chat_request.body(answer, said)


def title_from(text: str) -> str:
    """A title out of the first line that says something, cut at ``TITLE_WIDTH`` columns."""
    line = next((line for line in (' '.join(line.split()) for line in text.splitlines()) if line), '')
    width = 0
    for place, character in enumerate(line):
        width += 2 if unicodedata.east_asian_width(character) in 'WF' else 1
        if width > TITLE_WIDTH:
            return line[:place].rstrip() + '…'
    return line
