"""The door for clients of ollama-queue: tasks of three types with priorities, a list, a status, and ``/ws``."""

from collections import Counter

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.websockets import WebSocket

from app.api import caller, ollama_listing
from app.api.seeds import cron, routes, tasks
from app.api.seeds.calls import MAX_GIVEN, Seeds
from app.api.seeds.cron import Cron
from app.api.seeds.task_feed import TaskFeed
from app.api.seeds.tasks import MOST, Tasks, Wanted
from app.api.trouble import Trouble

_STATUS = {'final': 400, 'not_waiting': 400, 'conflict': 400}


class Door:
    """One for all mounts."""

    def __init__(self, seeds: Seeds) -> None:
        self._seeds = seeds
        self._tasks = Tasks(seeds)
        self.feed = TaskFeed(seeds, self._tasks)
        self.cron = Cron(seeds)

    async def submit(self, request: Request) -> Response:
        """``POST /api/tasks``: its client reads ``task_id``, its server never sent it."""
        task = await routes.fields(request)
        job = tasks.request_of(
            self._seeds,
            task,
            priority=caller.priority_of(request, tasks.priority_of(task)),
            user=caller.user_of(request),
            idempotency_key=caller.key_of(request),
        )
        given = routes.string(task, 'id', most=MAX_GIVEN)
        job_id = await self._seeds.submit(job, given=given)
        return routes.answer({'status': 'ok', 'task_id': given or job_id, 'id': given or job_id})

    async def list(self, request: Request) -> Response:
        """``GET /api/tasks``: always an array, also when there is nothing in it."""
        query = request.query_params
        wanted = Wanted(
            status=tasks.several(query.getlist('status')),
            type=tasks.several(query.getlist('type')),
            priority=tasks.several(query.getlist('priority')),
            limit=routes.whole_number(request, 'limit', MOST, 0, MOST) or MOST,
            offset=routes.whole_number(request, 'offset', 0, 0, tasks.LOOKED_AT),
        )
        return routes.answer(await self._tasks.list(wanted))

    async def task(self, task_id: str) -> Response:
        """``GET /api/tasks/:id``."""
        return routes.answer(await self._tasks.task(task_id))

    async def cancel(self, task_id: str) -> Response:
        """``POST /api/tasks/:id/cancel``."""
        await self._seeds.cancel((await self._seeds.seen(task_id)).job_id)
        return routes.answer({'status': 'ok'})

    async def set_priority(self, request: Request, task_id: str) -> Response:
        """``POST /api/tasks/:id/priority``, while it waits."""
        asked = await routes.fields(request)
        if asked.get('priority') is None:
            raise Trouble('bad_request', 'priority is required, a number: 15, 10, 5 or 1', param='priority')
        seen = await self._seeds.seen(task_id)
        await self._seeds.set_priority(seen.job_id, tasks.priority_of(asked))
        return routes.answer({'status': 'ok'})

    async def status(self) -> Response:
        """``GET /api/status``, which Ollama has too: the keys of both."""
        return routes.answer({**await self._figures(), **ollama_listing.CLOUD})

    async def stats(self) -> Response:
        """``GET /api/stats``, as an earlier version had it."""
        return routes.answer(await self._figures())

    async def _figures(self) -> dict[str, object]:
        board = self._seeds.doors.board
        counts, past = board.counts(), await self._seeds.past()
        ended = (past.completed, past.failed, past.cancelled) if past else (0, 0, 0)
        waiting = Counter(str(job.priority) for job in board.waiting())
        return {
            'pending_tasks': counts.waiting,
            'running_tasks': counts.running,
            'completed_tasks': ended[0],
            'failed_tasks': ended[1],
            'cancelled_tasks': ended[2],
            'total_tasks': counts.waiting + counts.running + sum(ended),
            'queues_by_priority': dict(waiting),
            'workers_active': counts.running,
            'workers_idle': max(0, counts.slots - counts.running),
        }


def refusal(failure: Trouble) -> Response:
    """``{"error": …}``."""
    detail = 'task not found' if failure.code == 'not_found' and 'job' in failure.detail else failure.detail
    return routes.answer({'error': detail}, _STATUS.get(failure.code, failure.status), failure)


def router(door: Door, *, own: bool) -> APIRouter:
    """Its paths; the page at ``/`` only where that is its ``own``."""
    paths = routes.router('ollama-queue', refusal)
    if own:

        @paths.get('/')
        async def page() -> Response:
            return RedirectResponse('/queue')

    paths.add_api_route('/api/tasks', door.submit, methods=['POST'], summary='Queue a task')
    paths.add_api_route('/api/tasks', door.list, methods=['GET'], summary='The tasks, newest first')
    paths.add_api_route('/api/status', door.status, methods=['GET'], summary='Figures, and that nothing leaves')
    paths.add_api_route('/api/stats', door.stats, methods=['GET'], summary='Figures')
    cron.add(paths, door.cron)
    paths.add_api_route('/api/tasks/{task_id:path}/cancel', door.cancel, methods=['POST'], summary='Stop a task')
    paths.add_api_route(
        '/api/tasks/{task_id:path}/priority', door.set_priority, methods=['POST'], summary='Move a task that waits'
    )
    paths.add_api_route('/api/tasks/{task_id:path}', door.task, methods=['GET'], summary='One task')

    @paths.websocket('/ws')
    async def feed(socket: WebSocket) -> None:
        await door.feed.serve(socket)

    return paths
