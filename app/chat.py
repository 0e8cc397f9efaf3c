"""Conversations at work: a message becomes a job, and the job's end becomes the answer.

The message and its answer-to-be are on disk before the job is submitted, and the job's id is in them; so after a crash
of anything the two find each other again.
"""

import asyncio
import json
import logging
import time
import unicodedata
from collections.abc import Callable, Coroutine
from copy import copy
from typing import Any, Self

from app.answer import Answer
from app.board import Board
from app.desk import Conversation, Desk, DeskError, Message, Stats
from app.listeners import Listeners, Unsubscribe
from app.settings import AppSettings
from app.views import END_STATES, JobView
from broker import errors, facts, protocol
from broker.client import BrokerClient, new_job_id
from broker.job import FINAL, State

log = logging.getLogger(__name__)

TITLE_WIDTH = 48  # columns; a Chinese character takes two
RESUBMIT_S = 3600.0  # a message that did not get through before a crash is sent again if it is not older than this
ASK_AGAIN_S = 2.0
STORE_AGAIN_S = 5.0
USER = 'local'


class ChatError(Exception):
    """The wish cannot be granted. ``code`` is 'empty', 'too_long' (with size and limit), 'no_model', 'gone' or
    'started'.
    """

    def __init__(self, code: str, **values: object) -> None:
        super().__init__(code)
        self.code = code
        self.values = values


class ChatService:
    """All conversations of the desk. Pages call it and hear of changes through ``on_change``."""

    def __init__(self, settings: AppSettings, broker: BrokerClient, board: Board, desk: Desk) -> None:
        self._settings = settings
        self._broker = broker
        self._board = board
        self._desk = desk
        self._headers: dict[str, Conversation] = {}
        self._deleted: dict[str, Conversation] = {}
        self._awaited: dict[str, Message] = {}  # by job id
        self._changed = Listeners()
        self._stop_listening: Unsubscribe = lambda: None
        self._tasks: set[asyncio.Task[None]] = set()
        self._submitting: dict[str, asyncio.Task[None]] = {}  # by job id
        self._giving_way: set[str] = set()  # jobs that are being replaced by those of another model
        self._retry_after_s: dict[str, float] = {}  # of jobs that were refused, where the queue said when to ask again

    @classmethod
    async def open(cls, settings: AppSettings, broker: BrokerClient, board: Board) -> Self:
        """Open ``desk.db`` and pick up the answers that were on their way. Raises ``desk.DeskError``."""
        service = cls(settings, broker, board, await Desk.open(settings.data_dir / 'desk.db'))
        service._headers = {header.id: header for header in await service._desk.conversations()}
        service._stop_listening = board.on_ended(service._ended)
        for message in await service._desk.open_messages():
            service._awaited[message.job_id] = message
            service._later(service._reconcile(message))
        return service

    async def close(self) -> None:
        """Finish what is being written, and close."""
        self._stop_listening()
        for task in self._tasks:
            if task.get_name() != 'store':
                task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1.0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
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
        for job_id, message in self._awaited.items():
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
        shown = {
            'id': message.id,
            'role': message.role,
            'text': message.content,
            'thinking': message.thinking,
            'at': message.created_at,
            'state': 'sending' if message.state == 'pending' else message.state,
            'job': message.job_id,
            'model': message.model,
            'priority': message.priority,
            'code': message.code,
            'detail': message.detail,
            'retry_after': self._retry_after_s.get(message.job_id, 0.0),
            **_figures(message.stats),
            **_IDLE,
        }
        job = self._board.job(message.job_id) if message.state in ('pending', 'unsent') else None
        if job is not None and job.final and job.job_id in self._giving_way:
            return shown  # not that it was cancelled: it is about to be sent again
        return {**shown, **_live(job)} if job is not None else shown

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
        self._begin(answer)
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
        await self._again(old, model or old.model, old.priority)

    async def use_instead(self, job_id: str, model: str) -> None:
        """Let another model answer what still waits: its job is cancelled, and a new one takes its place.

        Raises ``ChatError`` 'started' when a worker has the job by now: then it stays as it is. May raise
        ``errors.BrokerError``. Nothing happens when the answer has ended, or this was asked for already.
        """
        message = self._awaited.get(job_id)
        if message is None or job_id in self._giving_way:
            return
        self._giving_way.add(job_id)
        try:
            if await self._withdraw(job_id) and message.conversation_id in self._headers:
                await self._again(message, model, self._priority_of(message))
        finally:
            self._giving_way.discard(job_id)
            job = self._board.job(job_id)
            if job is not None and job.complete:
                self._ended(job)  # what was not stored meanwhile, if it still has to be

    async def stop(self, job_id: str) -> None:
        """Stop an answer, whether it waits or runs. May raise ``errors.BrokerError``."""
        try:
            await self._broker.cancel(job_id)
        except errors.Refused as refused:
            if refused.code == 'not_found' and job_id in self._submitting:
                await asyncio.wait([self._submitting[job_id]])  # the wish overtook the message
                await self.stop(job_id)
            elif refused.code != 'final':
                raise

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
        for job_id, message in list(self._awaited.items()):
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

    # jobs

    async def _withdraw(self, job_id: str) -> bool:
        """Cancel a job that waits; whether it is cancelled now."""
        try:
            await self._broker.cancel(job_id, waiting=True)
        except errors.Refused as refused:
            if refused.code == 'not_waiting':
                raise ChatError('started') from None
            if refused.code != 'final':
                raise
            return (await self._broker.get(job_id)).job.state is State.CANCELLED  # the first reply may have been lost
        return True

    def _priority_of(self, message: Message) -> int:
        """What its job has now; what was to be guessed and was not changed since is guessed again."""
        job = self._board.job(message.job_id)
        return job.priority if job is not None and (job.moved or message.priority >= 0) else message.priority

    async def _again(self, old: Message, model: str, priority: int) -> None:
        """A new job for an answer, in the place of the old one."""
        answer = Message(
            id=old.id,
            conversation_id=old.conversation_id,
            role='assistant',
            job_id=new_job_id(),
            state='pending',
            model=model,
            priority=priority,
            created_at=time.time(),
        )
        if await self._desk.change(answer, only_job=old.job_id):
            self._awaited.pop(old.job_id, None)
            self._retry_after_s.pop(old.job_id, None)
            self._begin(answer)

    def _begin(self, answer: Message) -> None:
        self._awaited[answer.job_id] = answer
        self._changed.call(answer.conversation_id)
        self._submitting[answer.job_id] = task = self._later(self._submit(answer))
        task.add_done_callback(lambda _: self._submitting.pop(answer.job_id, None))

    async def _submit(self, answer: Message) -> None:
        try:
            job = protocol.Submit(
                job_id=answer.job_id,
                kind='chat',
                model=answer.model,
                body=await self._body(answer),
                priority=answer.priority,
                user=USER,
                conversation_id=answer.conversation_id,
            )
            await self._broker.submit(job)
        except DeskError as error:
            await self._unsent(answer, 'interrupted', str(error))
        except errors.Refused as refused:
            if refused.retry_after_s:
                self._retry_after_s[answer.job_id] = refused.retry_after_s
            await self._unsent(answer, refused.code, refused.detail)
        except errors.BrokerError as error:
            await self._unsent(answer, 'broker_away', str(error))
        else:
            if answer.state == 'unsent':
                answer.state, answer.code, answer.detail = 'pending', '', ''
                await self._desk.change(answer, only_job=answer.job_id)

    async def _unsent(self, answer: Message, code: str, detail: str) -> None:
        if self._awaited.get(answer.job_id) is answer:  # else it got through after all, and has ended
            answer.state, answer.code, answer.detail = 'unsent', code, detail
            try:
                await self._desk.change(answer, only_job=answer.job_id)
            finally:
                self._changed.call(answer.conversation_id)

    async def _body(self, answer: Message) -> bytes:
        """The request for the engine: the conversation up to this answer."""
        said: list[dict[str, str]] = []
        for message in await self.messages(answer.conversation_id):
            if message.id == answer.id:
                break
            if message.content:  # an answer that failed before its first word says nothing
                said.append({'role': message.role, 'content': message.content})
        return json.dumps({'model': answer.model, 'messages': said, 'stream': True}, ensure_ascii=False).encode()

    def _ended(self, job: JobView) -> None:
        message = self._awaited.get(job.job_id)
        if message is not None and job.ended is not None and job.job_id not in self._giving_way:
            self._later(self._store(message, job.ended, job.text, job.thinking), name='store')

    async def _store(self, message: Message, end: facts.JobEnded, text: str, thinking: str) -> None:
        """The answer as it ended. Doing it twice changes nothing."""
        message.content, message.thinking = text, thinking
        message.state = str(END_STATES[type(end)])
        message.code, message.detail = (end.code, end.detail) if isinstance(end, facts.JobDied) else ('', '')
        message.priority = end.priority
        message.stats = _stats(end)
        while True:
            try:
                await self._desk.change(message, only_job=end.job_id)
                break
            except DeskError:  # a full disk, say; what cannot be stored now is read from the queue after a restart
                log.exception('an answer could not be stored yet', extra={'action': 'store', 'job_id': end.job_id})
                await asyncio.sleep(STORE_AGAIN_S)
        self._awaited.pop(end.job_id, None)
        self._changed.call(message.conversation_id)

    async def _reconcile(self, message: Message) -> None:
        """After a start: what became of an answer that was on its way."""
        while True:
            try:
                job = (await self._broker.get(message.job_id)).job
                if job.state in FINAL:
                    await self._fetch(message)
                elif message.state == 'unsent':
                    message.state, message.code, message.detail = 'pending', '', ''
                    await self._desk.change(message, only_job=message.job_id)
                return
            except errors.Refused:  # it never got there
                if message.state == 'pending' and time.time() - message.created_at < RESUBMIT_S:
                    await self._submit(message)
                elif message.state == 'pending':
                    await self._unsent(message, 'interrupted', '')
                return
            except errors.BrokerUnreachable:
                await asyncio.sleep(ASK_AGAIN_S)

    async def _fetch(self, message: Message) -> None:
        """Store an answer that ended while the desk was away."""
        job = (await self._broker.get(message.job_id)).job
        answer = Answer(job.epoch)
        answer.take(0, (await self._broker.read_all(message.job_id)).lines, None)
        message.content, message.thinking = answer.text, answer.thinking
        message.state, message.priority = str(job.state), job.priority
        dead = job.state is State.DEAD
        message.code, message.detail = (job.code, job.detail) if dead else ('', '')
        message.stats = _stats_from(
            job.usage,
            waited_s=max(0.0, (job.started_at or job.ended_at) - job.queued_at),
            ran_s=max(0.0, job.ended_at - (job.started_at or job.ended_at)),
            starts=job.starts,
            losses=job.losses,
            worker=job.worker,
        )
        await self._desk.change(message, only_job=message.job_id)
        self._awaited.pop(message.job_id, None)
        self._changed.call(message.conversation_id)

    def _later(self, work: Coroutine[Any, Any, None], name: str = 'chat') -> 'asyncio.Task[None]':
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return task

    def _over(self, task: 'asyncio.Task[None]') -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error('a message could not be handled', exc_info=error, extra={'action': 'chat'})


def title_from(text: str) -> str:
    """A title out of the first line that says something, cut at ``TITLE_WIDTH`` columns."""
    line = next((line for line in (' '.join(line.split()) for line in text.splitlines()) if line), '')
    width = 0
    for place, character in enumerate(line):
        width += 2 if unicodedata.east_asian_width(character) in 'WF' else 1
        if width > TITLE_WIDTH:
            return line[:place].rstrip() + '…'
    return line


_IDLE: dict[str, Any] = {
    'ahead': None,
    'limit': protocol.STANDING_LIMIT,
    'reason': '',
    'due': 0.0,
    'queued': 0.0,
    'earliest': 0.0,
    'latest': 0.0,
    'will_load': 0.0,
    'other': '',
    'other_at': 0.0,
    'hint': '',
    'after': 0,
    'started': 0.0,
    'note': '',
    'failures': 0,
    'engine': '',
    'epoch': 0,
}


def _figures(stats: Stats) -> dict[str, Any]:
    return {
        'tokens': stats.output_tokens,
        'rate': stats.tokens_per_s,
        'starts': stats.starts,
        'losses': stats.losses,
        'worker': stats.worker,
        'waited': stats.waited_s,
        'first': stats.first_token_s,
        'ran': stats.ran_s,
        'prompt': stats.prompt_s,
        'load': stats.load_s,
        'truncated': stats.truncated,
        'done_reason': stats.done_reason,
    }


def _live(job: JobView) -> dict[str, Any]:
    usage = job.usage
    return {
        'text': job.text,
        'thinking': job.thinking,
        'state': 'dead' if job.state is State.DEAD else str(job.state),
        'priority': job.priority,
        'ahead': job.ahead,
        'reason': job.reason,
        'due': job.due_at or job.not_before,
        'queued': job.queued_at,
        'earliest': job.earliest_at,
        'latest': job.latest_at,
        'will_load': job.load_s,
        'other': job.alternative,
        'other_at': job.alternative_at,
        'hint': job.hint,
        'after': job.after,
        'started': job.started_at,
        'tokens': job.tokens,
        'rate': round(job.tokens_per_s, 1),
        'note': job.requeue_reason,
        'starts': job.starts,
        'losses': job.losses,
        'failures': job.failures,
        'worker': job.worker,
        'engine': job.engine,
        'epoch': job.epoch,
        'code': job.code,
        'detail': job.detail,
        'waited': job.waited_s,
        'first': usage.first_token_s,
        'ran': job.ran_s,
        'prompt': usage.prompt_s,
        'load': usage.load_s,
        'truncated': usage.truncated,
        'done_reason': usage.done_reason,
    }


def _stats(end: facts.JobEnded) -> Stats:
    return _stats_from(
        end.usage, waited_s=end.waited_s, ran_s=end.ran_s, starts=end.starts, losses=end.losses, worker=end.worker
    )


def _stats_from(usage: facts.Usage, **known: Any) -> Stats:
    return Stats(
        first_token_s=usage.first_token_s,
        tokens_per_s=usage.output_tokens / usage.decode_s if usage.decode_s > 0 else 0.0,
        prompt_s=usage.prompt_s,
        load_s=usage.load_s,
        prompt_tokens=usage.prompt_tokens,
        output_tokens=usage.output_tokens,
        truncated=usage.truncated,
        done_reason=usage.done_reason,
        **known,
    )
