"""The door for clients of demo6, a chat queue for one page: a prompt is queued, then polled or watched as events."""

import time
from collections.abc import AsyncGenerator
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.api import caller
from app.api.seeds import calls, routes, words
from app.api.seeds.calls import Seeds, Seen
from app.api.seeds.event_stream import EventStream
from app.api.seeds.following import Following
from app.api.trouble import OVERLOAD, Trouble
from app.views import Counts

USUAL_MODEL = 'qwen3:latest'
HEARTBEAT_S = 15.0
MISSING = 'Missing required fields: userId, prompt'
NO_JOB = 'Job not found'
_BANDS = {'low': 2, 'normal': 5, 'high': 9}
_MOST_USER = 150  # characters; percent-encoded they are part of the job's id


class Ids:
    """Ids as this system makes them, ``<userId>-<ms>``, and never the same twice."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}

    def next(self, user: str, now: float) -> str:
        """The id of this user's next job."""
        ms = max(words.millis(now), self._last.get(user, 0) + 1)
        if len(self._last) > 10_000:  # what is older than a second cannot be met again
            self._last = {name: at for name, at in self._last.items() if at > ms - 1000}
        self._last[user] = ms
        return f'{quote(user, safe="@")}-{ms}'


class Door:
    """One for all mounts."""

    def __init__(self, seeds: Seeds, *, heartbeat_s: float = HEARTBEAT_S) -> None:
        self._seeds = seeds
        self._ids = Ids()
        self._heartbeat_s = heartbeat_s

    async def call(self, request: Request) -> Response:
        """``POST /api/chat`` of this system."""
        return await self.submit(request, await routes.fields(request))

    async def submit(self, request: Request, asked: dict[str, Any]) -> Response:
        """The same for a body that was read."""
        user, prompt = asked.get('userId'), asked.get('prompt')
        if isinstance(user, int) and not isinstance(user, bool) and abs(user) < 1e18:
            user = str(user)
        if not isinstance(user, str) or not isinstance(prompt, str) or not user or not prompt:
            raise Trouble('bad_request', MISSING)
        if len(quote(user)) > _MOST_USER:
            raise Trouble('bad_request', f'userId may have {_MOST_USER} characters', param='userId')
        job = calls.new_request(
            'chat',
            self._seeds.model(routes.string(asked, 'model'), USUAL_MODEL),
            {'messages': [*_history(asked), {'role': 'user', 'content': prompt}], 'stream': True},
            priority=caller.priority_of(request, _priority(asked)),
            user=caller.user_of(request, user),
            idempotency_key=caller.key_of(request),
        )
        if job.idempotency_key:
            name = await self._seeds.submit(job)
        else:
            name = self._ids.next(user, time.time())
            await self._seeds.submit(job, given=name)
        return routes.answer({'success': True, 'jobId': name, 'message': 'Task queued successfully'})

    async def job(self, name: str) -> Response:
        """``GET /api/job/:id``."""
        seen = await self._seen(name)
        body = await self._seeds.body(seen.job_id)
        told: dict[str, Any] = {'jobId': seen.name, **await self._status(seen), 'data': _data(seen, body)}
        return routes.answer({'result': None, **told})

    async def stats(self) -> Response:
        """``GET /api/queue/stats``: everything that ended is counted, and ``total`` is what has not."""
        counts, past = self._seeds.doors.board.counts(), await self._seeds.past()
        return routes.answer(
            stats_of(counts, past.completed if past else 0, past.failed + past.cancelled if past else 0)
        )

    async def status_events(self, name: str) -> AsyncGenerator[object, None]:
        """``GET /stream/status/:id``."""
        yield {'type': 'connected', 'jobId': name}
        try:
            async with Following(self._seeds, name) as job:
                told: object = None
                while True:
                    over = job.over
                    event = {'type': 'status', 'jobId': name, **await self._status(job.seen)}
                    if job.tap.lost:
                        event = {'type': 'error', 'message': NO_JOB}
                    if event != told and (over or not job.seen.final):
                        yield event
                        told = event
                    if over:
                        return
                    if not await job.changed(self._heartbeat_s):
                        yield {'type': 'heartbeat'}
        except Trouble as failure:
            yield {'type': 'error', 'message': NO_JOB if failure.code == 'not_found' else failure.detail}

    async def result_events(self, name: str) -> AsyncGenerator[object, None]:
        """``GET /stream/result/:id``: the text from its beginning, then what is new."""
        try:
            async with Following(self._seeds, name) as job:
                told = -1
                while True:
                    over, seen = job.over, job.seen
                    percent = words.progress(seen.state, seen.tokens)
                    if percent != told and not seen.final:
                        told = percent
                        yield {'type': 'progress', 'progress': percent}
                    if text := calls.text_of(job.tap.take()):
                        yield {'type': 'chunk', 'content': text, 'done': False}
                    if job.tap.restarted:
                        yield {'type': 'error', 'message': f'The answer broke off and begins anew: {job.tap.restarted}'}
                        return
                    if over:
                        yield _end(job.tap.lost, seen)
                        return
                    if not await job.changed(self._heartbeat_s):
                        told = -1  # the same again is a sign of life
        except Trouble as failure:
            yield {'type': 'error', 'message': NO_JOB if failure.code == 'not_found' else failure.detail}

    async def _seen(self, name: str) -> Seen:
        try:
            return await self._seeds.seen(name)
        except Trouble as failure:
            raise (Trouble('not_found', NO_JOB) if failure.code == 'not_found' else failure) from None

    async def _status(self, seen: Seen) -> dict[str, Any]:
        told: dict[str, Any] = {
            'state': words.demo6_state(seen.state),
            'progress': words.progress(seen.state, seen.tokens),
        }
        if seen.ahead is not None:
            told['queuePosition'] = seen.ahead
        if seen.final and not seen.failure:
            text = await self._seeds.text(seen.job_id)
            told['result'] = {
                'success': True,
                'jobId': seen.name,
                'response': text,
                'timestamp': words.millis(seen.ended_at),
            }
        if seen.failure:
            told['failedReason'] = seen.failure
        return told


def is_ours(body: dict[str, Any]) -> bool:
    """Whether a body at ``/api/chat`` is for this door; Ollama's clients never send such ones."""
    return 'messages' not in body and ('userId' in body or ('prompt' in body and 'model' not in body))


def refusal(failure: Trouble) -> Response:
    """``{"error": …}``; a full queue is too many requests."""
    status = 429 if failure.code in OVERLOAD else failure.status
    return routes.answer({'error': failure.detail}, status, failure)


def stats_of(counts: Counts, completed: int, failed: int) -> dict[str, int]:
    """The figures of the queue."""
    told = {'waiting': counts.waiting, 'active': counts.running, 'completed': completed, 'failed': failed}
    return told | {'total': counts.waiting + counts.running}


def router(door: Door, *, own: bool) -> APIRouter:
    """Its paths; those that it shares with others only where they are its ``own``."""
    paths = routes.router('demo6', refusal)
    if own:
        paths.add_api_route('/api/chat', door.call, methods=['POST'])

        @paths.get('/health')
        async def health() -> Response:
            return routes.answer({'status': 'ok', 'timestamp': words.millis(time.time())})

    paths.add_api_route('/api/queue/stats', door.stats, methods=['GET'], summary='What waits, runs and ended')

    @paths.get('/api/job/{name:path}', summary='A job with its answer')
    async def job(name: str) -> Response:
        return await door.job(name)

    @paths.get('/stream/status/{name:path}', summary='A job as it changes, as events')
    async def status(name: str) -> Response:
        return EventStream(door.status_events(name))

    @paths.get('/stream/result/{name:path}', summary='An answer as it comes, as events')
    async def result(name: str) -> Response:
        return EventStream(door.result_events(name))

    return paths


def _end(lost: bool, seen: Seen) -> dict[str, Any]:
    if lost or seen.failure:
        return {'type': 'error', 'message': NO_JOB if lost else seen.failure}
    return {'type': 'chunk', 'content': '', 'done': True}


def _history(asked: dict[str, Any]) -> list[dict[str, str]]:
    """What was said before; entries in another shape are left out, as they never counted."""
    history = asked.get('conversationHistory')
    return [
        {'role': entry['role'], 'content': entry['content']}
        for entry in (history if isinstance(history, list) else [])
        if isinstance(entry, dict)
        and entry.get('role') in ('system', 'user', 'assistant')
        and isinstance(entry.get('content'), str)
    ]


def _priority(asked: dict[str, Any]) -> int:
    """1 to 10, or the name of a band; 5 without."""
    value = asked.get('priority')
    if value is None:
        return words.NORMAL
    if isinstance(value, str) and value.lower() in _BANDS:
        return _BANDS[value.lower()]
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e9:
        raise Trouble('bad_request', 'priority must be 1 to 10, or low, normal or high', param='priority')
    return max(1, min(10, int(value)))


def _data(seen: Seen, body: dict[str, Any]) -> dict[str, Any]:
    """What was sent, as far as it is known."""
    messages = body.get('messages')
    before = messages[:-1] if isinstance(messages, list) else []
    return {
        'userId': seen.user,
        'prompt': calls.question_of(body),
        'model': seen.model,
        'conversationHistory': before,
        'priority': seen.priority,
    }
