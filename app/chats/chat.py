"""Conversations at work: what people say becomes questions, and each question a job that becomes its answer.

What is sent to the model is made in ``chat_request``, what becomes of the jobs is ``chat_jobs``, and how a message is
shown ``chat_view``.
"""

import logging
import time
import unicodedata
from collections.abc import Callable, Iterable
from copy import copy
from typing import Any, Self

from app.board import Board
from app.chats import chat_next, chat_options, chat_view
from app.chats.branches import Branches
from app.chats.chat_options import Options
from app.chats.chat_refusal import ChatError
from app.chats.presets import Presets
from app.chats.suggestions import Suggestions
from app.chats.talks import Talks
from app.chats.versions import Versions
from app.desk import Desk
from app.listeners import Listeners, Unsubscribe
from app.messages import ROOT, Conversation, Extras, Message
from app.settings import AppSettings
from broker import errors
from broker.client import BrokerClient, new_job_id
from broker.job import DEFAULT_PRIORITY

log = logging.getLogger(__name__)

TITLE_WIDTH = 72  # columns; a Chinese character takes two


class ChatService:
    """All conversations of the desk. Pages call it and hear of changes through ``on_change``."""

    def __init__(self, settings: AppSettings, broker: BrokerClient, board: Board, desk: Desk) -> None:
        self._settings = settings
        self._broker = broker
        self._board = board
        self._desk = desk
        self._deleted: dict[str, Conversation] = {}
        self._changed = Listeners()
        self._talks = Talks(settings, broker, board, desk, self._changed.call)
        self._jobs = self._talks.jobs
        self.attachments = self._talks.attachments
        self.next = chat_next.NextMessages(self._talks)
        self.versions = Versions(self._talks, self.next)
        self._jobs.after = self.next.go_on
        self.presets = Presets(desk)
        self.suggestions = Suggestions(broker, board)

    @classmethod
    async def open(cls, settings: AppSettings, broker: BrokerClient, board: Board) -> Self:
        """Open ``desk.db`` and pick up the answers that were on their way. Raises ``desk.DeskError``."""
        service = cls(settings, broker, board, await Desk.open(settings.data_dir / 'desk.db'))
        service._talks.headers = {header.id: header for header in await service._desk.conversations()}
        service.presets = await Presets.open(service._desk)
        left = await service.next.load()
        service._jobs.pick_up(await service._desk.open_messages())
        for conversation_id in left:  # the answer before them may have ended when nobody was there to send them
            service._jobs.later(service.next.resume(conversation_id))
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
        return sorted(self._talks.headers.values(), key=lambda header: -header.updated_at)

    def conversation(self, conversation_id: str) -> Conversation | None:
        """One header."""
        return self._talks.headers.get(conversation_id)

    def title_of(self, conversation_id: str) -> str | None:
        """A conversation's title."""
        header = self._talks.headers.get(conversation_id)
        return header.title if header else None

    async def messages(self, conversation_id: str) -> list[Message]:
        """A conversation's messages in the order they were stored, those of all branches."""
        return await self._desk.messages(conversation_id)

    async def branches(self, conversation_id: str) -> Branches:
        """A conversation's messages as a tree."""
        return await self._talks.branches(conversation_id)

    async def branch(self, conversation_id: str) -> list[Message]:
        """The messages of the branch that is shown."""
        header = self._talks.headers.get(conversation_id)
        return (await self.branches(conversation_id)).shown(header.shown) if header is not None else []

    def options(self, conversation_id: str) -> Options:
        """What its model is asked to observe; of a new conversation those of the default preset."""
        header = self._talks.headers.get(conversation_id)
        return chat_options.read(header.options) if header is not None else self.presets.default()

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

    async def send(
        self,
        conversation_id: str | None,
        text: str,
        model: str,
        priority: int,
        *,
        files: Iterable[str] = (),
        options: Options | None = None,
        beside: str = '',
    ) -> Conversation:
        """Say ``text``; without a conversation one begins, with ``options``. Raises ``ChatError``.

        While an answer is on its way the message waits for its end, in ``next``. With ``beside`` that model answers,
        too, and one of the two answers is to be kept. A no of the queue is kept in the answer.
        """
        attached = tuple(files)
        self._talks.check(text, model, attached)
        now = time.time()
        if conversation_id is None:
            header, last = self._begun(text, now, options if options is not None else self.presets.default()), None
        elif conversation_id in self._talks.headers:
            header = copy(self._talks.headers[conversation_id])
            last = await self._talks.last_of(header)
        else:
            raise ChatError('gone')
        if last is not None and last.extras.beside:
            raise ChatError('choose')
        if last is not None and beside and self._talks.alive(last):
            raise ChatError('busy')
        taken = await self.attachments.claim(attached, header.id)
        if not text.strip() and conversation_id is None:
            header.title = taken[0].name
        said = {'id': new_job_id(), 'conversation_id': header.id, 'content': text, 'created_at': now}
        if last is not None and self._talks.alive(last):
            await self._let_wait(
                chat_next.Next(**said, after=last.id, model=model, priority=priority, files=taken), last
            )
            return header
        header.updated_at, header.model, header.priority = now, model, priority
        parent = last.id if last is not None else ROOT
        question = Message(**said, role='user', parent=parent, extras=Extras(files=taken))
        await self._talks.ask(header, question, [model, beside] if beside else [model])
        return header

    def _begun(self, text: str, now: float, options: Options) -> Conversation:
        stored = chat_options.stored(options)
        times = {'created_at': now, 'updated_at': now}
        return Conversation(
            id=new_job_id(), title=title_from(text), **times, model='', priority=DEFAULT_PRIORITY, options=stored
        )

    async def _let_wait(self, message: chat_next.Next, last: Message) -> None:
        await self.next.add(message)
        self._changed.call(message.conversation_id)
        if not self._talks.alive(last):  # it ended meanwhile
            self._jobs.later(self.next.go_on(last))

    async def set_options(self, conversation_id: str, options: Options) -> None:
        """What the model is asked to observe from the next answer on."""
        if conversation_id in self._talks.headers:
            header = copy(self._talks.headers[conversation_id])
            header.options = chat_options.stored(options)
            await self._talks.store(header)

    # jobs

    async def use_instead(self, job_id: str, model: str) -> None:
        """Let another model answer what still waits: its job is cancelled, and a new one takes its place.

        Raises ``ChatError`` 'started' when a worker has the job by now: then it stays as it is. May raise
        ``errors.BrokerError``. Nothing happens when the answer has ended, or this was asked for already.
        """
        await self._jobs.use_instead(job_id, model, lambda message: message.conversation_id in self._talks.headers)

    async def stop(self, job_id: str) -> None:
        """Stop an answer, whether it waits or runs. May raise ``errors.BrokerError``."""
        await self._jobs.stop(job_id)

    async def set_priority(self, job_id: str, priority: int) -> None:
        """Move a waiting answer to another priority. May raise ``errors.BrokerError``."""
        await self._broker.set_priority(job_id, priority)

    async def adopt(self, whole: list[tuple[Conversation, list[Message]]]) -> None:
        """Take conversations over that were kept elsewhere, all or nothing."""
        await self._desk.put_all(whole)
        self._talks.headers.update({header.id: header for header, _ in whole})
        if whole:
            self._changed.call(whole[-1][0].id)  # for the lists; nobody shows one of them yet

    async def rename(self, conversation_id: str, title: str) -> None:
        """Give a conversation another title; an empty one changes nothing."""
        title = ' '.join(title.split())[:200]
        header = self._talks.headers.get(conversation_id)
        if header is not None and title and title != header.title:
            renamed = copy(header)
            renamed.title = title
            await self._desk.put(renamed)
            self._talks.headers[conversation_id] = renamed
            self._changed.call(conversation_id)

    async def delete(self, conversation_id: str) -> None:
        """Delete a conversation, and stop what it waits for. ``undelete`` works until the desk is started again."""
        if conversation_id not in self._talks.headers:
            return
        await self._desk.set_deleted(conversation_id, time.time())
        header = self._talks.headers.pop(conversation_id, None)
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
                self._talks.headers[conversation_id] = header
                self._changed.call(conversation_id)


def title_from(text: str) -> str:
    """A title out of the first line that says something, cut at ``TITLE_WIDTH`` columns."""
    line = next((line for line in (' '.join(line.split()) for line in text.splitlines()) if line), '')
    width = 0
    for place, character in enumerate(line):
        width += 2 if unicodedata.east_asian_width(character) in 'WF' else 1
        if width > TITLE_WIDTH:
            return line[:place].rstrip() + '…'
    return line
