"""A job beside the table of the history: what was asked, what came, how long it took."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from nicegui import background_tasks, ui

from app.chats.answer import whole
from app.i18n import N_, T, speech
from app.jobs import bulk, refusals
from app.parts import Parts
from app.shell import theme
from broker import errors
from broker.job import Job, State

MOST_CHARS = 20_000
_STATES = {
    State.WAITING: (N_('Waiting'), 'warn'),
    State.BLOCKED: (N_('Held back'), 'warn'),
    State.DELAYED: (N_('Delayed'), 'warn'),
    State.RUNNING: (N_('Running'), 'run'),
    State.CANCELLING: (N_('Being stopped'), 'run'),
    State.COMPLETED: (N_('Completed'), 'ok'),
    State.CANCELLED: (N_('Cancelled'), ''),
    State.DEAD: (N_('Failed'), 'bad'),
}
_ROLES = {'user': N_('Question'), 'system': N_('System prompt')}


class Preview(ui.element):
    """Empty and hidden until a job is shown."""

    def __init__(self, parts: Parts, *, on_close: Callable[[], Any], on_change: Callable[[], Any]) -> None:
        super().__init__('aside')
        self._parts, self._on_close, self._on_change = parts, on_close, on_change
        self._job_id = ''
        self.classes('history-preview')
        T(self, 'Details', prop='aria-label')
        self.set_visibility(False)
        speech().on_switch(self, self._again)

    def _again(self) -> None:
        if self._job_id:
            background_tasks.create(self.show(self._job_id), name='look into a job', context=self)

    async def show(self, job_id: str) -> None:
        """Show this job; '' hides the pane."""
        self._job_id = job_id
        if self.is_deleted:
            return
        self.set_visibility(bool(job_id))
        if not job_id:
            self.clear()
            return
        try:
            job = (await self._parts.broker.get(job_id)).job
            body = await self._parts.broker.body(job_id)
            lines = (await self._parts.broker.read_all(job_id)).lines if job.started_at else ()
            said = await answered(job.kind, lines)
        except errors.BrokerError as error:
            self._fail(job_id, error)
            return
        if job_id != self._job_id or self.is_deleted:
            return  # another one was opened meanwhile
        self.clear()
        with self:
            self._head(job)
            _figures(job)
            _texts(job, body, said)

    def _fail(self, job_id: str, error: errors.BrokerError) -> None:
        if job_id == self._job_id and not self.is_deleted:
            gone = isinstance(error, errors.Refused) and error.code == 'not_found'
            self.clear()
            with self, theme.box('history-preview-head'):
                theme.text(speech().tr('This job is not kept any more.') if gone else refusals.why(error, speech()))
                theme.box('grow')
                theme.icon_button('close', 'Close', self._on_close).classes('tip-left')

    def _head(self, job: Job) -> None:
        msgid, kind = _STATES[job.state]
        with theme.box('history-preview-head'):
            theme.badge(msgid, kind)
            theme.text(self._parts.title_of(job.conversation_id), 'clip history-preview-title')
            theme.box('grow')
            theme.icon_button('close', 'Close', self._on_close).classes('tip-left')
        with theme.box('history-preview-do'):
            with theme.text(tag='a', classes='btn').props(f'href=/jobs/{job.job_id}'):
                T(theme.text(), 'Open the job')
            if self._parts.title_of(job.conversation_id):
                with theme.text(tag='a', classes='btn').props(f'href=/chat/{job.conversation_id}'):
                    T(theme.text(), 'Open the conversation')
            if job.state in bulk.FOR['cancel']:
                theme.button('Cancel', lambda: self._do('cancel', job.job_id))
            if job.state in bulk.FOR['replay']:
                theme.button('Do again', lambda: self._do('replay', job.job_id), icon_name='retry')

    async def _do(self, name: str, job_id: str) -> None:
        try:
            await bulk.deed(self._parts.broker, name)(job_id)
        except errors.BrokerError as error:
            theme.toast(refusals.why(error, speech()), bad=True)
            return
        theme.toast(
            speech().tr('Cancelled.')
            if name == 'cancel'
            else speech().trn('{n} job is done again.', '{n} jobs are done again.', 1)
        )
        self._on_change()
        await self.show(job_id)


def _figures(job: Job) -> None:
    said, usage = speech(), job.usage
    level = theme.PRIORITIES.get(job.priority)
    read, written = said.number(usage.prompt_tokens), said.number(usage.output_tokens)
    speed = said.number(usage.output_tokens / usage.decode_s, 1) if usage.decode_s > 0 else ''
    rows = [
        (N_('Model'), job.model),
        (N_('Priority'), said.tr(level) if level else str(job.priority)),
        (N_('User'), job.user),
        (N_('Queued'), f'{said.day(job.queued_at)} {said.clock(job.queued_at)}'),
        (N_('Waited'), said.seconds(job.started_at - job.queued_at) if job.started_at else ''),
        (N_('First token after'), said.seconds(usage.first_token_s) if usage.first_token_s else ''),
        (N_('Ran'), said.seconds(job.ended_at - job.started_at) if job.started_at and job.ended_at else ''),
        (N_('Tokens'), said.tr('{n} in, {m} out', n=read, m=written) if usage.output_tokens else ''),
        (N_('Speed'), said.tr('{n} tokens/s', n=speed) if speed else ''),
        (N_('Attempts'), said.number(job.starts) if job.starts > 1 else ''),
        (N_('Worker'), job.worker),
        (N_('Batch'), job.parent),
    ]
    with theme.box('kv'):
        for name, value in rows:
            if value:
                T(theme.text(), name)
                theme.text(value)
    if job.code:
        with theme.box('history-error').props('role=note'):
            theme.text(job.code, 'mono')
            theme.text(job.detail)


def _texts(job: Job, body: bytes, said: str) -> None:
    for role, text in asked(body):
        _text(_ROLES.get(role, N_('Question')), text)
    if said:
        _text(N_('Answer'), said)
    elif job.state is State.COMPLETED:
        T(theme.text(tag='p', classes='faint'), 'This answer is no text; the page of the job has it.')


def _text(title: str, text: str) -> None:
    with theme.box('history-text', tag='section'):
        T(theme.text(tag='h3'), title)
        theme.text(text[:MOST_CHARS], tag='div', classes='history-said-text')
        if len(text) > MOST_CHARS:
            T(theme.text(tag='p', classes='faint'), 'The rest stands on the page of the job.')


def asked(body: bytes) -> list[tuple[str, str]]:
    """What a request says, as (role, text): the last message of a person, and the system prompt before it."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return []
    if not isinstance(found, dict):
        return []
    messages = found.get('messages')
    messages = [each for each in messages if isinstance(each, dict)] if isinstance(messages, list) else []
    told = [('system', _plain(each.get('content'))) for each in messages if each.get('role') == 'system'][:1]
    told += [('user', _plain(each.get('content'))) for each in messages if each.get('role') == 'user'][-1:]
    told += [('user', _plain(found.get(name))) for name in ('prompt', 'input') if found.get(name)]
    return [(role, text) for role, text in told if text]


async def answered(kind: str, lines: Sequence[bytes]) -> str:
    """The text of an answer; '' for one that is none."""
    return (await whole(1, lines)).text if kind in ('chat', 'generate') else ''


def _plain(value: Any) -> str:
    match value:
        case str():
            return value
        case list():
            return '\n'.join(filter(None, map(_plain, value)))
        case {'text': str() as text}:
            return text
    return ''
