"""Conversations at work: what people say becomes questions, and each question a job that becomes its answer.

What is sent to the model is made in ``chat_request``, what becomes of the jobs is ``chat_jobs``, and how a message is
shown ``chat_view``.
"""

import logging
import time
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from typing import Any, Self

import msgspec

from app import chat_next, chat_options, chat_request, chat_view
from app.attachments import Attachments
from app.board import Board
from app.branches import Branches
from app.chat_jobs import AnswerJobs
from app.chat_options import Options
from app.chat_refusal import ChatError
from app.desk import ROOT, Conversation, Desk, Extras, Message
from app.listeners import Listeners, Unsubscribe
from app.presets import Presets
from app.settings import AppSettings
from app.suggestions import Suggestions
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
        self._jobs = AnswerJobs(broker, board, desk, request=self._body, tell=self._changed.call, ended=self._go_on)
        self._next = chat_next.NextMessages(desk)
        self._sending_next: set[str] = set()
        self.attachments = Attachments(desk)
        self.presets = Presets(desk)
        self.suggestions = Suggestions(broker, board)

    @classmethod
    async def open(cls, settings: AppSettings, broker: BrokerClient, board: Board) -> Self:
        """Open ``desk.db`` and pick up the answers that were on their way. Raises ``desk.DeskError``."""
        service = cls(settings, broker, board, await Desk.open(settings.data_dir / 'desk.db'))
        service._headers = {header.id: header for header in await service._desk.conversations()}
        service.presets = await Presets.open(service._desk)
        left = await service._next.load()
        service._jobs.pick_up(await service._desk.open_messages())
        for conversation_id in left:  # the answer before them may have ended when nobody was there to send them
            service._jobs.later(service._resume(conversation_id))
        return service

    async def close(self) -> None:
        """Finish what is being written, and close."""
        await self._jobs.close()
        await self._desk.close()

    @property
    def desk(self) -> Desk:
        """The database, for what programs keep in it."""
        return self._desk

    async def _resume(self, conversation_id: str) -> None:
        waiting = self.next_of(conversation_id)
        branches = await self.branches(conversation_id)
        ended = branches.message(waiting[0].after) if waiting else None
        if ended is not None:
            await self._go_on(ended)

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
        """A conversation's messages in the order they were stored, those of all branches."""
        return await self._desk.messages(conversation_id)

    async def branches(self, conversation_id: str) -> Branches:
        """A conversation's messages as a tree."""
        return Branches(await self.messages(conversation_id))

    async def branch(self, conversation_id: str) -> list[Message]:
        """The messages of the branch that is shown."""
        header = self._headers.get(conversation_id)
        return (await self.branches(conversation_id)).shown(header.shown) if header is not None else []

    def options(self, conversation_id: str) -> Options:
        """What its model is asked to observe; of a new conversation those of the default preset."""
        header = self._headers.get(conversation_id)
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

        While an answer is on its way the message waits for its end, in ``next_of``. With ``beside`` that model answers,
        too, and one of the two answers is to be kept. A no of the queue is kept in the answer.
        """
        attached = tuple(files)
        self._check(text, model, attached)
        now = time.time()
        if conversation_id is None:
            header = Conversation(
                id=new_job_id(), title=title_from(text), created_at=now, updated_at=now, model=model, priority=priority
            )
            header.options = chat_options.stored(options if options is not None else self.presets.default())
            last = None
        elif conversation_id in self._headers:
            header = copy(self._headers[conversation_id])
            last = await self._last_of(header)
        else:
            raise ChatError('gone')
        if last is not None and last.extras.beside:
            raise ChatError('choose')
        if last is not None and beside and self._alive(last):
            raise ChatError('busy')
        taken = await self.attachments.claim(attached, header.id)
        if not text.strip() and conversation_id is None:
            header.title = taken[0].name
        if last is not None and self._alive(last):
            await self._next.add(
                chat_next.Next(
                    id=new_job_id(),
                    conversation_id=header.id,
                    after=last.id,
                    content=text,
                    model=model,
                    priority=priority,
                    files=taken,
                    created_at=now,
                )
            )
            self._changed.call(header.id)
            if not self._alive(last):  # it ended meanwhile
                self._jobs.later(self._go_on(last))
            return header
        header.updated_at, header.model, header.priority = now, model, priority
        question = Message(
            id=new_job_id(),
            conversation_id=header.id,
            role='user',
            content=text,
            created_at=now,
            parent=last.id if last is not None else ROOT,
            extras=Extras(files=taken),
        )
        await self._ask(header, question, [model, beside] if beside else [model])
        return header

    async def edit(self, conversation_id: str, message_id: str, text: str) -> None:
        """Ask a question anew in other words, as a branch beside the old one. Raises ``ChatError``."""
        header, branches = await self._tree(conversation_id)
        old = branches.message(message_id)
        if old is None or old.role != 'user':
            raise ChatError('gone')
        self._check(text, header.model, [file.id for file in old.extras.files])
        question = Message(
            id=new_job_id(),
            conversation_id=header.id,
            role='user',
            content=text,
            created_at=time.time(),
            parent=branches.parent_of(message_id),
            extras=Extras(files=old.extras.files),
        )
        await self._ask(header, question, [header.model])
        await self._next.follow(conversation_id, self._headers[conversation_id].shown)

    async def retry(self, message_id: str, conversation_id: str, model: str | None = None) -> None:
        """Answer again, beside the old answer; one without a word is replaced. One on its way stays as it is."""
        header, branches = await self._tree(conversation_id)
        old = branches.message(message_id)
        if old is None or old.role != 'assistant':
            raise ChatError('gone')
        if self._alive(old):
            return
        if not old.content and not old.thinking and not branches.followed(old.id):
            await self._jobs.again(old, model or old.model, old.priority)
            return
        parent = branches.parent_of(old.id)
        answer = _answer(header.id, parent, model or old.model, header.priority)
        header.shown, header.updated_at = answer.id, answer.created_at
        await self._store(header, answer)
        await self._next.follow(conversation_id, answer.id)

    async def go_on(self, message_id: str, conversation_id: str) -> None:
        """Let an answer that was cut short go on where it ended. Nothing happens while it is on its way."""
        _, branches = await self._tree(conversation_id)
        old = branches.message(message_id)
        if old is None or old.role != 'assistant':
            raise ChatError('gone')
        if not self._alive(old) and old.content and not branches.followed(old.id):
            await self._jobs.again(old, old.model, old.priority, go_on=True)

    async def turn(self, conversation_id: str, message_id: str, step: int) -> None:
        """Show the branch so many steps beside the one that goes over this message."""
        header, branches = await self._tree(conversation_id)
        if branches.message(message_id) is not None:
            header.shown = branches.turned(message_id, step)
            await self._store(header)

    async def keep(self, conversation_id: str, message_id: str) -> None:
        """Of two answers that are compared go on with this one; the other stays as a branch, and stops."""
        header, branches = await self._tree(conversation_id)
        kept = branches.message(message_id)
        other = branches.message(kept.extras.beside) if kept is not None else None
        if kept is None or other is None:
            return
        for each in (kept, other):
            known = self._jobs.awaited.get(each.job_id, each)
            known.extras = msgspec.structs.replace(known.extras, beside='')
            await self._desk.change(known)
        header.shown = kept.id
        await self._store(header)
        if self._alive(other):
            await self.stop(other.job_id)

    async def set_options(self, conversation_id: str, options: Options) -> None:
        """What the model is asked to observe from the next answer on."""
        if conversation_id in self._headers:
            header = copy(self._headers[conversation_id])
            header.options = chat_options.stored(options)
            await self._store(header)

    # messages that wait for the answer before them

    def next_of(self, conversation_id: str) -> list[chat_next.Next]:
        """What is sent next, in this order."""
        return self._next.of(conversation_id)

    async def edit_next(self, conversation_id: str, message_id: str, text: str) -> None:
        """Say it in other words; raises ``ChatError``."""
        waiting = next((each for each in self.next_of(conversation_id) if each.id == message_id), None)
        if waiting is not None:
            self._check(text, waiting.model, [file.id for file in waiting.files])
            await self._next.edit(conversation_id, message_id, text)
            self._changed.call(conversation_id)

    async def move_next(self, conversation_id: str, message_id: str, step: int) -> None:
        """Let it go so many places later (or sooner, below 0)."""
        await self._next.move(conversation_id, message_id, step)
        self._changed.call(conversation_id)

    async def drop_next(self, conversation_id: str, message_id: str) -> None:
        """Do not send it."""
        await self._next.drop(conversation_id, message_id)
        self._changed.call(conversation_id)

    async def send_next(self, conversation_id: str) -> None:
        """Send the next one although the answer before it is not complete; raises ``ChatError``."""
        header, branches = await self._tree(conversation_id)
        shown = branches.shown(header.shown)
        last = shown[-1] if shown else None
        if last is not None and last.extras.beside:
            raise ChatError('choose')
        if last is not None and self._alive(last):
            await self._next.follow(conversation_id, last.id)
        elif self.next_of(conversation_id):
            await self._send_next(header, last.id if last is not None else ROOT, show=True)

    async def _go_on(self, ended: Message) -> None:
        """After an answer: send what waits for it, if it is complete."""
        waiting = self.next_of(ended.conversation_id)
        header = self._headers.get(ended.conversation_id)
        if not waiting or waiting[0].after != ended.id or header is None:
            return
        branches = Branches(await self.messages(ended.conversation_id))
        answer = branches.message(ended.id)
        if answer is not None and answer.state == 'completed' and not self._alive(answer):
            shown = branches.shown(header.shown)
            await self._send_next(copy(header), ended.id, show=bool(shown) and shown[-1].id == ended.id)

    async def _send_next(self, header: Conversation, parent: str, *, show: bool) -> None:
        head, before = self.next_of(header.id)[0], header.shown
        if head.id in self._sending_next:
            return
        self._sending_next.add(head.id)
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
            answer = await self._ask(header, question, [head.model], show=show, before=before)
            await self._next.drop(header.id, head.id)
            await self._next.follow(header.id, answer)
        finally:
            self._sending_next.discard(head.id)
        self._changed.call(header.id)

    # jobs

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

    async def adopt(self, whole: list[tuple[Conversation, list[Message]]]) -> None:
        """Take conversations over that were kept elsewhere, all or nothing."""
        await self._desk.put_all(whole)
        self._headers.update({header.id: header for header, _ in whole})
        if whole:
            self._changed.call(whole[-1][0].id)  # for the lists; nobody shows one of them yet

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

    def _check(self, text: str, model: str, files: Sequence[str]) -> None:
        size = len(text.encode(errors='replace'))
        if not text.strip() and not files:
            raise ChatError('empty')
        if size > self._settings.max_prompt_bytes:
            raise ChatError('too_long', size=size, limit=self._settings.max_prompt_bytes)
        if not model:
            raise ChatError('no_model')

    def _alive(self, answer: Message) -> bool:
        job = self._board.job(answer.job_id)
        known = self._jobs.awaited.get(answer.job_id, answer)
        return known.state == 'pending' or (known.state == 'unsent' and job is not None and not job.final)

    async def _tree(self, conversation_id: str) -> tuple[Conversation, Branches]:
        header = self._headers.get(conversation_id)
        if header is None:
            raise ChatError('gone')
        return copy(header), await self.branches(conversation_id)

    async def _last_of(self, header: Conversation) -> Message | None:
        shown = (await self.branches(header.id)).shown(header.shown)
        return shown[-1] if shown else None

    async def _ask(
        self, header: Conversation, question: Message, models: Sequence[str], *, show: bool = True, before: str = ''
    ) -> str:
        """Store a question and begin its answers; the id of the first one."""
        answers = [_answer(header.id, question.id, model, header.priority) for model in models]
        if len(answers) > 1:
            for each, other in (answers, answers[::-1]):
                each.extras = Extras(beside=other.id)
        header.shown = answers[0].id if show else before
        await self._store(header, question, *answers)
        return answers[0].id

    async def _store(self, header: Conversation, *messages: Message) -> None:
        """Keep a header and new messages, and begin the answers among them."""
        await self._desk.put(header, *messages)
        self._headers[header.id] = header
        for message in messages:
            if message.state == 'pending':
                self._jobs.begin(message)
        self._changed.call(header.id)

    async def _body(self, answer: Message) -> bytes:
        branches = await self.branches(answer.conversation_id)
        stored = branches.message(answer.id)
        said = branches.path(branches.parent_of(answer.id)) if stored is not None else []
        files = await self.attachments.read(file for message in said for file in message.extras.files)
        header = self._headers.get(answer.conversation_id)
        return chat_request.body(answer, said, chat_options.read(header.options if header else ''), files)


def _answer(conversation_id: str, parent: str, model: str, priority: int) -> Message:
    return Message(
        id=new_job_id(),
        conversation_id=conversation_id,
        role='assistant',
        job_id=new_job_id(),
        state='pending',
        model=model,
        priority=priority,
        created_at=time.time(),
        parent=parent,
    )


def title_from(text: str) -> str:
    """A title out of the first line that says something, cut at ``TITLE_WIDTH`` columns."""
    line = next((line for line in (' '.join(line.split()) for line in text.splitlines()) if line), '')
    width = 0
    for place, character in enumerate(line):
        width += 2 if unicodedata.east_asian_width(character) in 'WF' else 1
        if width > TITLE_WIDTH:
            return line[:place].rstrip() + '…'
    return line
