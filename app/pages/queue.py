"""The queue as it is now: what runs, what waits, what ended lately."""

import time

from app import theme
from app.components.job_table import JobTable, State
from app.i18n import N_, T, speech
from app.parts import Parts
from app.views import JobView
from app.visit import watch
from broker import errors, protocol

SHOWN_WAITING = 200
SHOWN_FINISHED = 30

REFUSALS = {
    'final': N_('It has already ended.'),
    'not_found': N_('It has already ended.'),
    'not_waiting': N_('It is running already; its priority cannot be changed any more.'),
}


def create(parts: Parts) -> None:
    """Build the page."""
    _, body = theme.page('Queue')
    with body, theme.box('column'):
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
    watch(parts.board.on_queue, lambda: table.show(state_of(parts)))


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


def _refused(table: JobTable, job_id: str, error: errors.BrokerError) -> None:
    table.settle(job_id)
    if isinstance(error, errors.Refused):
        theme.toast(speech().tr(REFUSALS.get(error.code, N_('The queue refused that.'))), bad=True)
    else:
        theme.toast(speech().tr('The queue does not answer; nothing was changed.'), bad=True)
