"""The queue as it is now: what runs, what waits, what ended lately."""

import time
from collections.abc import Awaitable

from app import refusals, theme
from app.components.job_table import JobTable, State
from app.i18n import N_, T, speech
from app.parts import Parts
from app.views import JobView
from app.visit import watch
from broker import errors, protocol

SHOWN_WAITING = 200
SHOWN_FINISHED = 30


def create(parts: Parts) -> None:
    """Build the page."""
    bar, body = theme.page('Queue')
    with bar:
        theme.box('grow')
        pause = theme.button('Pause', lambda: _pause(parts), icon_name='pause').mark('pause')
        resume = theme.button('Resume', lambda: _resume(parts), kind='primary', icon_name='play').mark('resume')
    with body, theme.box('column'):
        notice = theme.text(classes='queue-notice', tag='p').props('role=status')
        table = JobTable(
            state_of(parts),
            on_stop=lambda job_id: _stop(parts, table, job_id),
            on_priority=lambda job_id, priority: _prioritise(parts, table, job_id, priority),
        )
        with (
            table,
            theme.empty(
                'queue',
                'Nothing waits and nothing runs',
                'Every question goes through this queue. Ask one, and you see here what runs, who is next and why.',
            ),
            theme.text(tag='a', classes='btn primary').props('href=/chat'),
        ):
            T(theme.text(), 'Go to the chat')

    def say() -> None:
        everything = ('all', '') in parts.board.pauses
        pause.set_visibility(not everything)
        resume.set_visibility(everything)
        notice.set_visibility(bool(parts.board.pauses))
        notice.set_text(_paused(parts.board.pauses))

    def follow() -> None:
        table.show(state_of(parts))
        say()

    say()
    speech().on_switch(notice, say)
    watch(parts.board.on_queue, follow)


def state_of(parts: Parts) -> State:
    """What ``JobTable`` shows: ids in order, and a row for each."""
    board = parts.board
    running, waiting, finished = board.running(), board.waiting(SHOWN_WAITING), board.finished()[:SHOWN_FINISHED]
    shown = [*running, *waiting, *finished]
    return {
        'ready': board.seq > 0 or board.broker_alive,
        'now': time.time(),
        'limit': protocol.STANDING_LIMIT,
        'total': board.counts().waiting,
        'running': [job.job_id for job in running],
        'waiting': [job.job_id for job in waiting],
        'finished': [job.job_id for job in finished],
        'rows': {job.job_id: _row(parts, job) for job in shown},
    }


def _row(parts: Parts, job: JobView) -> State:
    rate = job.tokens_per_s
    return {
        'kind': job.kind,
        'state': str(job.state),
        'priority': job.priority,
        'model': job.model,
        'title': parts.title_of(job.conversation_id),
        'conversation': job.conversation_id,
        'user': job.user,
        'queued': job.queued_at,
        'started': job.started_at,
        'ended': job.ended_at,
        'due': job.due_at or job.not_before,
        'waited': job.waited_s,
        'ran': job.ran_s,
        'ahead': job.ahead,
        'reason': job.reason,
        'hint': job.hint,
        'after': job.after,
        'batch': bool(job.parent),
        'schedule': job.schedule,
        'claims': job.claims,
        'requeue': job.requeue_reason,
        'starts': job.starts,
        'worker': job.worker,
        'code': job.code,
        'detail': job.detail,
        'rate': round(rate, 1) if rate < 10 else round(rate),
    }


async def _stop(parts: Parts, table: JobTable, job_id: str) -> None:
    try:
        await parts.broker.cancel(job_id)
    except errors.BrokerError as error:
        _refused(table, job_id, error)
    else:
        theme.toast(speech().tr('Cancelled.'))


async def _prioritise(parts: Parts, table: JobTable, job_id: str, priority: int) -> None:
    try:
        await parts.broker.set_priority(job_id, priority)
    except errors.BrokerError as error:
        _refused(table, job_id, error)
        table.update()  # the browser showed the wish already
    else:
        theme.toast(speech().tr('Priority changed.'))


async def _pause(parts: Parts) -> None:
    await _control(parts.broker.pause('all'), N_('Nothing new starts until you resume.'))


async def _resume(parts: Parts) -> None:
    await _control(parts.broker.resume('all'), N_('The queue goes on.'))


async def _control(wish: Awaitable[None], done: str) -> None:
    try:
        await wish
    except errors.BrokerError as error:
        theme.toast(refusals.why(error, speech()), bad=True)
    else:
        theme.toast(speech().tr(done))


def _paused(pauses: set[tuple[str, str]]) -> str:
    """What is paused, as one sentence."""
    if ('all', '') in pauses:
        return speech().tr('The queue is paused: what runs goes on, nothing new starts.')
    kinds = {
        'model': N_('model {name}'),
        'priority': N_('priority {name}'),
        'user': N_('user {name}'),
        'worker': N_('worker {name}'),
    }
    said = [speech().tr(kinds[scope], name=name) for scope, name in sorted(pauses) if scope in kinds]
    return speech().tr('Paused: {what}', what=speech().tr(', ').join(said))


def _refused(table: JobTable, job_id: str, error: errors.BrokerError) -> None:
    table.settle(job_id)
    theme.toast(refusals.why(error, speech()), bad=True)
