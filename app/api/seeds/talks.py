"""Conversations of programs, kept where the desk keeps its own: each question is a job that leaves its answer there."""

import logging
import time
from typing import Any

import msgspec

from app.api.seeds import calls
from app.api.seeds.calls import Seeds
from app.api.trouble import Trouble
from app.chats.chat import title_from
from app.desk import DeskError
from app.listeners import Unsubscribe
from app.messages import API, Conversation, Exchange, Message
from app.views import END_STATES, JobView
from broker import errors, facts
from broker.client import new_job_id
from broker.job import FINAL, State

log = logging.getLogger(__name__)


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A question. ``given`` is an id that its program chose, ``notes`` JSON that it wants kept."""

    text: str
    model: str
    priority: int
    user: str
    given: str = ''
    notes: str = ''
    max_failures: int = 3
    deadline_at: float = 0.0


class Talks:
    """All of them."""

    def __init__(self, seeds: Seeds) -> None:
        self._seeds = seeds
        self._stop: Unsubscribe = lambda: None

    def open(self) -> None:
        """Store answers from now on. What ended before is stored when somebody asks for it."""
        self._stop = self._seeds.doors.board.on_ended(self._ended)

    def close(self) -> None:
        """Store no more."""
        self._stop()

    async def find(self, conversation_id: str) -> Conversation | None:
        """The one that is meant: by its own id, also with dashes or as ``conv_…``."""
        for name in dict.fromkeys((conversation_id, _bare(conversation_id))):
            if (found := await self._seeds.desk.conversation(name)) is not None:
                return found
        return None

    async def ask(self, conversation: Conversation, asked: Asked) -> str:
        """Ask this as the next question of a conversation, which may be new; the id of the job. Raises ``Trouble``.

        What was answered before goes along. With an id that was given before nothing is asked again.
        """
        desk = self._seeds.desk
        job = calls.new_request(
            'chat',
            asked.model,
            {'messages': await self._said(conversation, asked.text), 'stream': True},
            priority=asked.priority,
            user=asked.user,
            conversation_id=conversation.id,
            max_failures=asked.max_failures,
            deadline_at=asked.deadline_at,
        )
        job_id = calls.job_id_of(asked.given) if asked.given else job.job_id
        if asked.given and (known := await desk.exchange(job_id)) is not None:
            if known[0].content == asked.text:
                return job_id
            raise Trouble('conflict', f'the id {asked.given[:60]} is taken by another message; choose another one')
        exchange = _exchange(conversation.id, job_id, asked)
        is_new = await self.find(conversation.id) is None
        await desk.put(_touched(conversation, asked), *exchange)
        try:
            return await self._seeds.submit(job, given=asked.given)
        except Trouble:
            await desk.drop_exchange(exchange)
            if is_new:
                await desk.set_deleted(conversation.id, time.time())
            raise

    async def exchange(self, job_id: str) -> Exchange | None:
        """A question and its answer as it is by now."""
        found = await self._seeds.desk.exchange(job_id)
        return None if found is None else (found[0], await self.settled(found[1]))

    async def messages(self, conversation_id: str) -> list[Message]:
        """All messages in order, each answer as it is by now."""
        found = await self._seeds.desk.messages(conversation_id)
        return [await self.settled(message) if message.state == 'pending' else message for message in found]

    async def settled(self, answer: Message) -> Message:
        """An answer with how it ended, if it did, which is stored then."""
        if answer.state != 'pending':
            return answer
        try:
            job = (await self._seeds.doors.broker.get(answer.job_id)).job
        except errors.Refused as refused:
            if refused.code != 'not_found':
                raise
            if time.time() - answer.created_at > 60:  # a minute ago it may have been on its way
                await self._store(answer, State.DEAD, '', 'interrupted', 'it never reached the queue')
            return answer
        if job.state in FINAL:
            text = calls.text_of(await self._seeds.lines(job.job_id))
            await self._store(answer, job.state, text, job.code, job.detail)
        return answer

    async def again(self, job_id: str, new_job_id: str) -> None:
        """A dead answer is tried again by another job, which is the answer's from now on."""
        found = await self._seeds.desk.exchange(job_id)
        if found is not None:
            answer = found[1]
            answer.job_id, answer.state, answer.code, answer.detail = new_job_id, 'pending', '', ''
            await self._seeds.desk.change(answer, only_job=job_id)

    async def _said(self, conversation: Conversation, text: str) -> list[dict[str, str]]:
        """The conversation up to this question; what has no answer yet, or got none, is left out."""
        said: list[dict[str, str]] = []
        if context := notes_of(conversation.notes).get('context'):
            said.append({'role': 'system', 'content': str(context)})
        messages = await self.messages(conversation.id)
        for question, answer in zip(messages[::2], messages[1::2], strict=False):
            if answer.content:
                said += [{'role': each.role, 'content': each.content} for each in (question, answer)]
        return [*said, {'role': 'user', 'content': text}]

    def _ended(self, view: JobView) -> None:
        if view.conversation_id and view.ended is not None:
            self._seeds.doors.later(self._store_end(view.job_id, view.ended, view.text))

    async def _store_end(self, job_id: str, end: facts.JobEnded, text: str) -> None:
        try:
            found = await self._seeds.desk.exchange(job_id)
            if found is not None and found[1].state == 'pending':
                code, detail = (end.code, end.detail) if isinstance(end, facts.JobDied) else ('', '')
                await self._store(found[1], END_STATES[type(end)], text, code, detail)
        except (DeskError, Trouble):  # whoever asks for it has it stored then
            log.exception('an answer could not be stored yet', extra={'action': 'store', 'job_id': job_id})

    async def _store(self, answer: Message, state: State, text: str, code: str, detail: str) -> None:
        answer.content, answer.state, answer.code, answer.detail = text, str(state), code, detail
        await self._seeds.desk.change(answer, only_job=answer.job_id)


def new_conversation(user: str, *, title: str = '', conversation_id: str = '', **fields: Any) -> Conversation:
    """A conversation that nobody has seen yet."""
    now = time.time()
    return Conversation(
        **{
            'id': conversation_id or new_job_id(), 'title': title, 'created_at': now, 'updated_at': now, 'model': '',
            'priority': 5, 'origin': API, 'user': user, **fields,
        }
    )  # fmt: skip


def notes_of(notes: str) -> dict[str, Any]:
    """What was kept; empty where there is nothing."""
    return calls.fields_of(notes.encode()) if notes else {}


def _touched(conversation: Conversation, asked: Asked) -> Conversation:
    changed = msgspec.structs.replace(conversation, updated_at=time.time(), model=asked.model)
    changed.title = conversation.title or title_from(asked.text)
    return changed


def _exchange(conversation_id: str, job_id: str, asked: Asked) -> Exchange:
    now = time.time()
    question = Message(
        id=new_job_id(), conversation_id=conversation_id, role='user', content=asked.text, created_at=now
    )
    answer = Message(
        id=new_job_id(),
        conversation_id=conversation_id,
        role='assistant',
        job_id=job_id,
        state='pending',
        model=asked.model,
        priority=asked.priority,
        created_at=now,
        notes=asked.notes,
    )
    return question, answer


def _bare(conversation_id: str) -> str:
    return conversation_id.removeprefix('conv_').replace('-', '')
