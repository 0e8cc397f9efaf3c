"""llm-message-queue's view of the queue itself: figures, health, machines, and what died."""

import time
from typing import Any

import psutil  # type: ignore[import-untyped]
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from app.api import trouble
from app.api.seeds import words
from app.api.seeds.calls import Seeds, Seen
from app.api.seeds.llm_mq_form import envelope
from app.api.seeds.talks import Talks
from app.api.trouble import Trouble
from app.views import JobView
from broker import client, errors, protocol
from broker.job import State

LEVELS = ('realtime', 'high', 'normal', 'low')
RANGES_S = {'1h': 3600.0, '6h': 6 * 3600.0, '24h': 86400.0, '7d': 7 * 86400.0}
QUEUES = ('standard', 'delayed', 'dead_letter', 'priority')
_NOT_HERE = 'Machines join by starting a worker with this desk, not through this API.'
_RULES = 'Rules for priorities are set in corral.toml (priority_rules); a message may say its own priority.'


class Queues:
    """The queue, level by level."""

    def __init__(self, seeds: Seeds, talks: Talks, version: str) -> None:
        self._seeds = seeds
        self._talks = talks
        self._version = version
        self._began = time.monotonic()

    async def status(self) -> Response:
        """``GET /api/v1/queues/status``."""
        board, past = self._seeds.doors.board, await self._by_level()
        waiting, running, now = board.waiting(), board.running(), time.time()
        queues: list[dict[str, Any]] = []
        for place, level in enumerate(LEVELS, 1):
            waits = [now - job.queued_at for job in waiting if words.level(job.priority) == level]
            total, failed, _, mean_wait_s, _ = past.get(level, _NOTHING)
            queues.append(
                {
                    'name': level,
                    'priority': place,
                    'size': len(waits),
                    'processing_count': sum(words.level(job.priority) == level for job in running),
                    'avg_wait_time': _seconds(mean_wait_s),
                    'max_wait_time': _seconds(max(waits, default=0.0)),
                    'total_processed': total,
                    'total_failed': failed,
                    'last_updated': words.rfc3339(now),
                }
            )
        counts = board.counts()
        data = {
            'queues': queues,
            'total_size': counts.waiting,
            'total_processing': counts.running,
            'total_processed': sum(queue['total_processed'] for queue in queues),
            'total_failed': sum(queue['total_failed'] for queue in queues),
            'system_load': round(counts.running / counts.slots, 3) if counts.slots else 0.0,
        }
        return envelope(data)

    async def stats(self, request: Request) -> Response:
        """``GET /api/v1/queues/stats``, with the figures of its other version beside ``data``."""
        asked = request.query_params.get('time_range', '1h')
        if asked not in RANGES_S:
            raise Trouble('bad_request', f'time_range must be one of {", ".join(RANGES_S)}', param='time_range')
        since = time.time() - RANGES_S[asked]
        board = self._seeds.doors.board
        past, by_level, counts = await self._seeds.past(since), await self._by_level(since), board.counts()
        ended, completed, failed = (past.total, past.completed, past.failed) if past else (0, 0, 0)
        mean_s = past.mean_response_s if past else None
        data = {
            'time_range': asked,
            'stats': {
                'total_messages': ended + counts.waiting + counts.running,
                'processed_messages': completed,
                'failed_messages': failed,
                'pending_messages': counts.waiting,
                'avg_processing_time': _seconds(mean_s),
                'throughput_per_minute': round(completed / (RANGES_S[asked] / 60), 3),
                'error_rate': round(failed / (completed + failed), 4) if completed + failed else 0.0,
                'queue_utilization': round(counts.running / counts.slots, 3) if counts.slots else 0.0,
            },
            'priority_breakdown': {
                level: {
                    'count': total,
                    'percentage': round(100 * total / ended, 1) if ended else 0.0,
                    'avg_wait_time': _seconds(mean_wait_s),
                }
                for level in LEVELS
                for total, _, _, mean_wait_s, _ in [by_level.get(level, _NOTHING)]
            },
        }
        return envelope(
            data, **_by_queue(board.waiting(), failed), workers={'active': counts.running, 'total': counts.slots}
        )

    async def health(self) -> Response:
        """``GET /api/v1/health``."""
        board, now = self._seeds.doors.board, words.rfc3339(time.time())
        parts = {
            'database': self._seeds.is_open,
            'queue_manager': board.broker_alive,
            'workers': bool(board.models()),
        }
        well = all(parts.values())
        components: dict[str, Any] = {
            name: {'status': 'healthy' if alive else 'unhealthy', 'last_check': now} for name, alive in parts.items()
        }
        components['workers']['active_workers'] = board.counts().workers
        data = {
            'status': 'healthy' if well else 'unhealthy',
            'timestamp': now,
            'uptime': _seconds(time.monotonic() - self._began),
            'version': self._version,
            'components': components,
        }
        return envelope(data, 'System is healthy' if well else 'System is unhealthy', 200 if well else 503)

    async def metrics(self, request: Request) -> Response:
        """``GET /api/v1/metrics``, as JSON or for Prometheus."""
        board, past = self._seeds.doors.board, await self._seeds.past(time.time() - 3600)
        counts = board.counts()
        figures = {
            'queue_depth': counts.waiting,
            'processing_messages': counts.running,
            'requests_per_minute': round(past.per_minute_now, 3) if past else 0.0,
            'error_rate': round(1 - past.success_rate, 4) if past and past.success_rate is not None else 0.0,
            'tokens_per_second': round(counts.tokens_per_s, 3),
        }
        match request.query_params.get('format', 'json'):
            case 'prometheus':
                lines = (f'# TYPE llm_mq_{name} gauge\nllm_mq_{name} {value}\n' for name, value in figures.items())
                return PlainTextResponse(''.join(lines), media_type='text/plain; version=0.0.4; charset=utf-8')
            case 'json':
                mean_s = past.mean_response_s if past else None
                system = {'cpu_usage': psutil.cpu_percent(), 'memory_usage': psutil.virtual_memory().percent}
                application = figures | {'avg_response_time': _seconds(mean_s)}
                return envelope({'system': system, 'application': application})
        raise Trouble('bad_request', 'format must be json or prometheus', param='format')

    async def config(self) -> Response:
        """``GET /api/v1/config``: what a client may have to know."""
        queue = {
            'priorities': dict(zip(LEVELS, (15, 10, 5, 1), strict=True)),
            'max_message_bytes': protocol.MAX_BODY_BYTES,
        }
        models = [model.name for model in self._seeds.doors.board.models()]
        return envelope(
            {'queue': queue, 'scheduler': {'strategy': 'priority_based', 'max_retries': 3}, 'models': models}
        )

    async def resources(self) -> Response:
        """``GET /api/v1/resources``, ``/endpoints``: the workers."""
        found = [_worker(worker) for worker in self._seeds.doors.board.workers()]
        return envelope({'resources': found, 'endpoints': found}, resources=found, endpoints=found)

    async def resource_stats(self) -> Response:
        """``GET /api/v1/resources/stats``, ``/endpoints/stats``."""
        counts = self._seeds.doors.board.counts()
        told = {'total': counts.workers, 'capacity': counts.slots, 'in_use': counts.running}
        return envelope(told, **told)

    async def rules(self) -> Response:
        """``GET /api/v1/admin/preprocessor/rules``: the words that raise a message's priority."""
        rules = [
            {'level': 'realtime', 'words': ['immediate', 'emergency', 'asap', 'right now']},
            {'level': 'high', 'words': ['urgent', 'important', 'priority', 'critical', 'soon']},
        ]
        return envelope({'rules': rules}, rules=rules)

    async def no_rules(self) -> Response:
        """Other priorities are set elsewhere."""
        raise Trouble('forbidden', _RULES)

    async def no_machines(self) -> Response:
        """Machines come by themselves."""
        raise Trouble('forbidden', _NOT_HERE)

    async def remove(self, queue_type: str, message_id: str) -> Response:
        """``DELETE /api/v1/admin/queues/:type/:id``: stop what waits, or delete what died."""
        if queue_type not in QUEUES:
            raise Trouble('bad_request', f'the queue must be one of {", ".join(QUEUES)}', param='queue_type')
        seen = await self._seen(message_id)
        try:
            if queue_type != 'dead_letter':
                await self._seeds.doors.broker.cancel(seen.job_id)
            elif seen.state is not State.DEAD:
                raise Trouble('not_dead', f'the message is {words.message_status(seen.state, seen.code)}, not dead')
            else:
                await self._seeds.doors.broker.purge(seen.job_id)
        except errors.BrokerError as error:
            raise trouble.of_broker(error) from None
        return envelope({'id': message_id}, 'Message removed')

    async def requeue(self, message_id: str) -> Response:
        """``POST /api/v1/admin/dead-letter/requeue/:id``: the same again as a new message."""
        seen = await self._seen(message_id)
        new = await self._again(seen.job_id)
        return envelope({'id': new, 'requeued': seen.name}, 'Message requeued', id=new, message_id=new)

    async def requeue_all(self) -> Response:
        """``POST /api/v1/admin/dead-letter/requeue-all``: each once, however often this is called."""
        count = 0
        newest = await self._dead(0, 1)
        before = newest[0].order + 1 if newest else 0
        while page := await self._dead(before, client.PAGE) if before else []:
            before = page[-1].order
            for job in page:
                known = await self._is_known(client.replay_id(job.job_id))
                if not known:
                    await self._again(job.job_id)
                    count += 1
        return envelope({'requeued': count}, 'Messages requeued', count=count)

    async def _dead(self, before: int, limit: int) -> list[Any]:
        wanted = protocol.FindJobs(states=(State.DEAD,), before_order=before, limit=limit)
        return list((await self._seeds.doors.broker.find(wanted)).jobs)

    async def _is_known(self, job_id: str) -> bool:
        try:
            await self._seeds.doors.broker.get(job_id)
        except errors.Refused as refused:
            if refused.code != 'not_found':
                raise
            return False
        return True

    async def _again(self, job_id: str) -> str:
        new = client.replay_id(job_id)
        try:
            await self._seeds.doors.broker.replay(job_id, new)
        except errors.BrokerError as error:
            raise trouble.of_broker(error) from None
        await self._talks.again(job_id, new)
        return new

    async def _by_level(self, since: float = 0.0) -> dict[str, tuple[int, int, int, float | None, float | None]]:
        """Total, failed, started, mean wait and mean run of what ended, by level."""
        found: dict[str, tuple[int, int, int, float | None, float | None]] = {}
        for each in await self._seeds.past_by_priority(since):
            level = words.level(each.priority)
            total, failed, count, wait_s, run_s = found.get(level, _NOTHING)
            found[level] = (
                total + each.total,
                failed + each.failed,
                count + each.total,
                _mean(wait_s, count, each.mean_wait_s, each.total),
                _mean(run_s, count, each.mean_run_s, each.total),
            )
        return found

    async def _seen(self, message_id: str) -> Seen:
        try:
            return await self._seeds.seen(message_id)
        except Trouble as failure:
            missing = Trouble('not_found', 'Message not found', param='message')
            raise (missing if failure.code == 'not_found' else failure) from None


def add(paths: APIRouter, queues: Queues) -> None:
    """Its paths."""
    for method, path, handler, summary in (
        ('GET', '/queues/status', queues.status, 'The queue, level by level'),
        ('GET', '/queues/stats', queues.stats, 'Figures of the last hours'),
        ('GET', '/health', queues.health, 'Whether everything is there'),
        ('GET', '/metrics', queues.metrics, 'Figures for monitoring'),
        ('GET', '/config', queues.config, 'What a client may have to know'),
        ('GET', '/resources', queues.resources, 'The workers'),
        ('POST', '/resources', queues.no_machines, 'Off: workers join by themselves'),
        ('GET', '/resources/stats', queues.resource_stats, 'How busy the workers are'),
        ('GET', '/endpoints', queues.resources, 'The workers'),
        ('POST', '/endpoints', queues.no_machines, 'Off: workers join by themselves'),
        ('GET', '/endpoints/stats', queues.resource_stats, 'How busy the workers are'),
        ('GET', '/admin/preprocessor/rules', queues.rules, 'Words that raise a priority'),
        ('POST', '/admin/preprocessor/rules', queues.no_rules, 'Off: rules are set in corral.toml'),
        ('POST', '/admin/preprocessor/user-priorities', queues.no_rules, 'Off: a message says its own priority'),
        ('DELETE', '/admin/queues/{queue_type}/{message_id:path}', queues.remove, 'Stop or delete a message'),
        ('POST', '/admin/dead-letter/requeue/{message_id:path}', queues.requeue, 'Try what died again'),
        ('POST', '/admin/dead-letter/requeue-all', queues.requeue_all, 'Try all that died again'),
    ):
        paths.add_api_route(f'/api/v1{path}', handler, methods=[method], summary=summary)


_NOTHING = (0, 0, 0, None, None)


def _by_queue(waiting: list[JobView], failed: int) -> dict[str, dict[str, int]]:
    delayed = sum(job.state is State.DELAYED for job in waiting)
    return {
        'standard': {'pending_count': len(waiting) - delayed},
        'delayed': {'pending_count': delayed},
        'dead_letter': {'pending_count': failed},
        'priority': {level: sum(words.level(job.priority) == level for job in waiting) for level in LEVELS},
    }


def _mean(one: float | None, count: int, other: float | None, more: int) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    return (one * count + other * more) / (count + more)


def _seconds(value: float | None) -> str:
    return f'{value or 0.0:.3g}s' if (value or 0.0) < 100 else f'{value:.0f}s'


def _worker(worker: protocol.WorkerInfo) -> dict[str, Any]:
    return {
        'id': worker.worker,
        'name': worker.worker,
        'status': 'draining' if worker.draining else 'unavailable' if worker.problem else 'available',
        'capacity': worker.slots,
        'current_load': worker.busy,
        'models': [model.name for model in worker.models],
        'engine': worker.engine,
    }
