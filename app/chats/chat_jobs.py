"""Answers on their way: each is a job in the queue, and what became of it is stored.

A message and its answer-to-be are on disk before the job is submitted, and the job's id is in them; so after a crash of
anything the two find each other again.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any

import msgspec

from app.board import Board
from app.chats.answer import Answer, whole
from app.chats.chat_refusal import ChatError
from app.desk import Desk, DeskError
from app.messages import Message, Stats
from app.views import END_STATES, JobView
from broker import errors, facts, protocol
from broker.client import BrokerClient, new_job_id
from broker.job import FINAL, State

log = logging.getLogger(__name__)

RESUBMIT_S = 3600.0  # a message that did not get through before a crash is sent again if it is not older than this
ASK_AGAIN_S = 2.0
STORE_AGAIN_S = 5.0
USER = 'local'

Request = Callable[[Message], Awaitable[bytes]]  # what to ask the engine for this answer


class AnswerJobs:
    """The jobs of all answers that have not ended.

    ``tell`` hears the id of a conversation in which one changed; ``after`` is done when the
    end of an answer is stored.
    """

    def __init__(
        self,
        broker: BrokerClient,
        board: Board,
        desk: Desk,
        *,
        request: Request,
        tell: Callable[[str], object],
    ) -> None:
        self._broker = broker
        self._board = board
        self._desk = desk
        self._request = request
        self._tell = tell
        self.after: Callable[[Message], Coroutine[Any, Any, None]] = _nothing
        self.awaited: dict[str, Message] = {}  # by job id
        self.giving_way: set[str] = set()  # jobs that are being replaced by those of another model
        self.retry_after_s: dict[str, float] = {}  # of jobs that were refused, where the queue said when to ask again
        self.tasks: set[asyncio.Task[None]] = set()
        self._submitting: dict[str, asyncio.Task[None]] = {}  # by job id
        self._stop_listening = board.on_ended(self._ended)

    def pick_up(self, messages: Iterable[Message]) -> None:
        """After a start: find out what became of these."""
        for message in messages:
            self.awaited[message.job_id] = message
            self.later(self._reconcile(message))

    async def close(self) -> None:
        """Finish what is being written."""
        self._stop_listening()
        for task in self.tasks:
            if task.get_name() != 'store':
                task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=1.0)
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def begin(self, answer: Message) -> None:
        """Submit the job of an answer that is stored."""
        self.awaited[answer.job_id] = answer
        self._tell(answer.conversation_id)
        self._submitting[answer.job_id] = task = self.later(self._submit(answer))
        task.add_done_callback(lambda _: self._submitting.pop(answer.job_id, None))

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

    async def use_instead(self, job_id: str, model: str, wanted: Callable[[Message], bool]) -> None:
        """Let another model answer what still waits: its job is cancelled, and a new one takes its place.

        Raises ``ChatError`` 'started' when a worker has the job by now: then it stays as it is. May raise
        ``errors.BrokerError``. Nothing happens when the answer has ended, or this was asked for already.
        """
        message = self.awaited.get(job_id)
        if message is None or job_id in self.giving_way:
            return
        self.giving_way.add(job_id)
        try:
            if await self._withdraw(job_id) and wanted(message):
                await self.again(message, model, self._priority_of(message))
        finally:
            self.giving_way.discard(job_id)
            job = self._board.job(job_id)
            if job is not None and job.complete:
                self._ended(job)  # what was not stored meanwhile, if it still has to be

    async def again(self, old: Message, model: str, priority: int, *, go_on: bool = False) -> None:
        """A new job for an answer, in the place of the old one; with ``go_on`` its text follows the old one's."""
        extras = msgspec.structs.replace(old.extras, tools=(), thought_s=0.0)
        if go_on:
            extras = msgspec.structs.replace(old.extras, kept=old.content, kept_thinking=old.thinking)
        answer = answer_to(old.conversation_id, old.parent, model, priority)
        answer.id, answer.extras = old.id, extras
        answer.content, answer.thinking = extras.kept, extras.kept_thinking
        if await self._desk.change(answer, only_job=old.job_id):
            self.awaited.pop(old.job_id, None)
            self.retry_after_s.pop(old.job_id, None)
            self.begin(answer)

    def later(self, work: Coroutine[Any, Any, None], name: str = 'chat') -> 'asyncio.Task[None]':
        """Do something beside; it is waited for when the desk closes."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self.tasks.add(task)
        task.add_done_callback(self._over)
        return task

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

    async def _submit(self, answer: Message) -> None:
        try:
            job = protocol.Submit(
                job_id=answer.job_id,
                kind='chat',
                model=answer.model,
                body=await self._request(answer),
                priority=answer.priority,
                user=USER,
                conversation_id=answer.conversation_id,
            )
            await self._broker.submit(job)
        except DeskError as error:
            await self._unsent(answer, 'interrupted', str(error))
        except errors.Refused as refused:
            if refused.retry_after_s:
                self.retry_after_s[answer.job_id] = refused.retry_after_s
            await self._unsent(answer, refused.code, refused.detail)
        except errors.BrokerError as error:
            await self._unsent(answer, 'broker_away', str(error))
        else:
            if answer.state == 'unsent':
                answer.state, answer.code, answer.detail = 'pending', '', ''
                await self._desk.change(answer, only_job=answer.job_id)

    async def _unsent(self, answer: Message, code: str, detail: str) -> None:
        if self.awaited.get(answer.job_id) is answer:  # else it got through after all, and has ended
            answer.state, answer.code, answer.detail = 'unsent', code, detail
            try:
                await self._desk.change(answer, only_job=answer.job_id)
            finally:
                self._tell(answer.conversation_id)

    def _ended(self, job: JobView) -> None:
        message = self.awaited.get(job.job_id)
        if message is not None and job.ended is not None and job.job_id not in self.giving_way:
            self.later(self._store(message, job.ended, job.answer), name='store')

    async def _store(self, message: Message, end: facts.JobEnded, answer: Answer) -> None:
        """The answer as it ended. Doing it twice changes nothing."""
        _take(message, answer)
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
        self.awaited.pop(end.job_id, None)
        self._tell(message.conversation_id)
        await self.after(message)

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
        _take(message, await whole(job.epoch, (await self._broker.read_all(message.job_id)).lines))
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
        self.awaited.pop(message.job_id, None)
        self._tell(message.conversation_id)
        await self.after(message)

    def _over(self, task: 'asyncio.Task[None]') -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error('a message could not be handled', exc_info=error, extra={'action': 'chat'})


def answer_to(conversation_id: str, parent: str, model: str, priority: int) -> Message:
    """An answer that is to be made."""
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


async def _nothing(_: Message) -> None:
    pass


def _take(message: Message, answer: Answer) -> None:
    """Put what a job wrote behind what the message goes on from."""
    extras = message.extras
    message.content = extras.kept + answer.text
    message.thinking = extras.kept_thinking + answer.thinking
    if answer.tools or answer.thought_s:
        thought_s = answer.thought_s or extras.thought_s
        message.extras = msgspec.structs.replace(extras, tools=answer.tools or extras.tools, thought_s=thought_s)


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
