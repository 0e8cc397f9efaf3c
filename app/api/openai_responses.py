"""The door for ``/v1/responses``: answers that are kept, can be continued, and may be made in the background."""

import time
from typing import Any

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.api import bodies, caller, openai, openai_calls, openai_limits, trouble
from app.api import openai_responses_request as asked_for
from app.api.openai_query import Query
from app.api.openai_responses_form import ResponseForm
from app.api.openai_shelf import Shelf
from app.api.reply import Reply
from app.api.trouble import Trouble
from app.api.work import Doors, Followed, Order, Work
from broker import errors, protocol
from broker.client import new_job_id
from broker.job import FINAL, Job, State

PATH = '/v1/responses'
PREFIX = 'resp_'
KIND = 'response'  # of records
TIDY_S = 3600.0  # from one look at what is kept to the next; nothing younger is touched
_KINDS = ('chat', 'generate')  # of jobs that can be shown as responses
_STATUS = {State.RUNNING: 'in_progress', State.CANCELLING: 'cancelled', State.CANCELLED: 'cancelled'}
_HEX = frozenset('0123456789abcdef')


class Kept(msgspec.Struct, kw_only=True):
    """What is kept of a request besides its job. ``hidden``: nobody may see it, as its sender wished."""

    job_id: str
    created_at: float
    shown: dict[str, Any] = {}
    items: list[dict[str, Any]] = []  # of its input
    hidden: bool = False


def router(made: 'Responses') -> APIRouter:
    """All paths of responses."""
    routes = APIRouter(tags=['OpenAI'])

    @routes.post(PATH, summary='The next message of a chat, as a response that is kept')
    @openai.saying_no
    async def create(request: Request) -> Response:
        return await made.create(request)

    @routes.get(f'{PATH}/{{name}}', summary='A response as it is now, or, with stream, its events from any of them on')
    @openai.saying_no
    async def retrieve(request: Request) -> Response:
        name, query = request.path_params['name'], Query(request)
        if query.yes('stream'):
            return await made.stream(request, name, query.number('starting_after', -1, -1))
        return openai.json(await made.document(name))

    @routes.post(f'{PATH}/{{name}}/cancel', summary='Stop a response, whether it waits or runs')
    @openai.saying_no
    async def cancel(request: Request) -> Response:
        return openai.json(await made.cancel(request.path_params['name']))

    @routes.delete(f'{PATH}/{{name}}', summary='Delete a response')
    @openai.saying_no
    async def delete(request: Request) -> Response:
        return openai.json(await made.delete(request.path_params['name']))

    @routes.get(f'{PATH}/{{name}}/input_items', summary='What was asked')
    @openai.saying_no
    async def input_items(request: Request) -> Response:
        return openai.json(await made.items(request.path_params['name'], Query(request)))

    return routes


class Responses:
    """Each is a job in the queue, which has its question and its answer, and a record of what else was asked."""

    def __init__(self, doors: Doors, shelf: Shelf) -> None:
        self._doors = doors
        self._shelf = shelf

    async def create(self, request: Request) -> Response:
        """Queue one, and answer when it is there, or at once in the background."""
        body = await bodies.read(request)
        call = openai_calls.read(PATH, body)
        asked = call.asked
        assert isinstance(asked, asked_for.Asked)
        if asked.previous_response_id:
            before = await self._said(asked.previous_response_id)
            call.natives[0]['messages'] = _continued(before, call.natives[0]['messages'], bool(asked.instructions))
        (order,) = openai.orders(self._doors, request, call)
        if asked.background:
            return await self._in_background(request, asked, order, body)
        work = Work(self._doors, [order])
        form = call.form(**call.told(work.jobs[0], int(time.time())))
        assert isinstance(form, ResponseForm)
        form.work = work
        await self._keep(work.jobs[0], asked, body)
        return openai.reply(request, work, form, stream=call.stream)

    async def document(self, name: str) -> dict[str, Any]:
        """A response as it is now. Raises ``Trouble``."""
        kept, job = await self._find(name)
        lines = await self._lines(job)
        form = _form(kept, job)
        if job.state is State.COMPLETED:
            if len(lines) < job.lines:
                raise _unknown(name, 'is not kept any more')
            return form.ended(lines)
        if job.state is State.DEAD:
            return form.partial(lines, 'failed', trouble.of_code(job.code, job.detail))
        return form.partial(lines, _STATUS.get(job.state, 'queued'))

    async def stream(self, request: Request, name: str, starting_after: int) -> Response:
        """Its events behind one of them, as they come."""
        kept, job = await self._find(name)
        return self._follow(request, _form(kept, job, starting_after), job.job_id)

    async def cancel(self, name: str) -> dict[str, Any]:
        """Stop it; one that has ended stays as it is."""
        _, job = await self._find(name)
        await self._stop(job)
        return await self.document(name)

    async def delete(self, name: str) -> dict[str, Any]:
        """Nobody sees it here any more, and it is stopped where it has not ended."""
        kept, job = await self._find(name)
        await self._shelf.keep(KIND, job.job_id, Kept(job_id=job.job_id, created_at=kept.created_at, hidden=True))
        await self._stop(job)
        return {'id': PREFIX + job.job_id, 'object': KIND, 'deleted': True}

    async def items(self, name: str, query: Query) -> dict[str, Any]:
        """A page of its input."""
        kept, _ = await self._find(name)
        limit = query.number('limit', 20, 1, 100)
        items = kept.items[::-1] if query.newest_first else kept.items
        ids = [item['id'] for item in items]
        if (after := query.text('after')) in ids:
            items = items[ids.index(after) + 1 :]
        page = items[:limit]
        first, last = (page[0]['id'], page[-1]['id']) if page else ('', '')
        return {
            'object': 'list', 'data': page, 'first_id': first, 'last_id': last, 'has_more': len(items) > limit,
        }  # fmt: skip

    async def tidy(self) -> None:
        """Forget what was asked besides by jobs that the queue has not any more, the oldest first."""
        gone, more = True, True
        while gone and more:
            found, more = await self._shelf.page(KIND, Kept, limit=100, newest_first=False)
            gone = False
            for kept in found:
                if kept.created_at < time.time() - TIDY_S and not await self._there(kept.job_id):
                    await self._shelf.forget(KIND, kept.job_id)
                    gone = True

    async def _there(self, job_id: str) -> bool:
        try:
            await self._doors.broker.get(job_id)
        except errors.Refused as refused:
            return refused.code != 'not_found'
        except errors.BrokerError:
            pass
        return True

    async def _in_background(self, request: Request, asked: asked_for.Asked, order: Order, body: bytes) -> Response:
        window_s = asked_for.WINDOWS_S[asked.window]
        job = protocol.Submit(job_id=new_job_id(), **msgspec.structs.asdict(order))
        if window_s:
            priority = min(order.priority, asked_for.WINDOW_PRIORITY[asked.window])
            job = msgspec.structs.replace(job, priority=priority, deadline_at=time.time() + window_s)
        kept = await self._keep(job.job_id, asked, body)
        try:
            accepted = await self._doors.broker.submit(job)
        except errors.BrokerError as error:
            if isinstance(error, errors.Refused):
                await self._shelf.forget(KIND, job.job_id)
            raise trouble.of_broker(error) from None
        if accepted.job_id != job.job_id:
            await self._shelf.forget(KIND, job.job_id)
        name = PREFIX + accepted.job_id
        if asked.stream:
            return await self.stream(request, name, -1)
        new = ResponseForm(kept.shown, job_id=job.job_id, created=kept.created_at).document('queued')
        reply = openai.json(await self.document(name) if accepted.duplicate else new)
        request_id = caller.request_id_of(request, accepted.job_id)
        told = openai_limits.of_quota(accepted.quota)
        reply.headers.update(told | {'X-Queue-Job-Id': accepted.job_id, 'X-Request-Id': request_id})
        return reply

    def _follow(self, request: Request, form: ResponseForm, job_id: str) -> Reply:
        return openai.reply(request, Followed(self._doors, job_id), form, stream=True)

    async def _keep(self, job_id: str, asked: asked_for.Asked, body: bytes) -> Kept:
        kept = Kept(job_id=job_id, created_at=int(time.time()), hidden=True)
        if asked.kept:
            items = asked_for.items(asked, body, job_id)
            kept = msgspec.structs.replace(kept, shown=asked.shown(), items=items, hidden=False)
        await self._shelf.keep(KIND, job_id, kept)
        return kept

    async def _find(self, name: str) -> tuple[Kept, Job]:
        """The job of this name, and what is kept of its request: any chat can be looked at as a response."""
        job_id = name.removeprefix(PREFIX)
        if len(job_id) != 32 or not _HEX.issuperset(job_id):
            raise _unknown(name, 'does not exist')
        kept = await self._shelf.kept(KIND, job_id, Kept)
        try:
            job = (await self._doors.broker.get(job_id)).job
        except errors.BrokerError as error:
            if isinstance(error, errors.Refused) and error.code == 'not_found':
                raise _unknown(name, 'does not exist, or is not kept any more') from None
            raise trouble.of_broker(error) from None
        if (kept is not None and kept.hidden) or job.kind not in _KINDS:
            raise _unknown(name, 'does not exist')
        if kept is None:
            shown = asked_for.Asked(model=job.model).shown()
            kept = Kept(job_id=job_id, created_at=int(job.queued_at), shown=shown)
        return kept, job

    async def _lines(self, job: Job) -> list[bytes]:
        if job.state not in FINAL and job.state not in _STATUS:
            return []  # it has still to begin, perhaps once more
        try:
            return list((await self._doors.broker.read_all(job.job_id)).lines)
        except errors.BrokerError as error:
            raise trouble.of_broker(error) from None

    async def _stop(self, job: Job) -> None:
        if job.state in FINAL:
            return
        try:
            await self._doors.broker.cancel(job.job_id)
        except errors.Refused:  # it has ended meanwhile
            return
        except errors.BrokerError as error:
            raise trouble.of_broker(error) from None

    async def _said(self, name: str) -> list[dict[str, Any]]:
        """The messages up to and with the answer of a response, without its instructions. Raises ``Trouble``."""
        param = 'previous_response_id'
        try:
            kept, job = await self._find(name)
            body = await self._doors.broker.body(job.job_id)
        except Trouble as failure:
            failure.param = param
            raise
        except errors.BrokerError as error:
            raise trouble.of_broker(error) from None
        if job.state is not State.COMPLETED or job.kind != 'chat':
            raise Trouble('bad_request', f'{name} cannot be continued: it has no complete answer.', param=param)
        lines = await self._lines(job)
        if not body or len(lines) < job.lines:
            raise _unknown(name, 'is not kept any more', param)
        messages: list[dict[str, Any]] = msgspec.json.decode(body)['messages']
        form = _form(kept, job)
        form.ended(lines)
        return [*messages[bool(kept.shown.get('instructions')) :], *form.output.messages()]


def _form(kept: Kept, job: Job, starting_after: int = -1) -> ResponseForm:
    created, over = kept.created_at, job.ended_at
    return ResponseForm(
        kept.shown, job_id=job.job_id, created=created, starting_after=starting_after, ended_at=int(over)
    )


def _continued(before: list[dict[str, Any]], new: list[dict[str, Any]], instructed: bool) -> list[dict[str, Any]]:
    """All messages, instructions first. What a tool gave is told apart by the name that it was called by."""
    calls = [call for message in before for call in message.get('tool_calls') or ()]
    names = {call.get('id'): call['function']['name'] for call in calls}
    for message in new:
        if message['role'] == 'tool' and not message.get('tool_name'):
            message['tool_name'] = names.get(message.get('tool_call_id'), '')
    return [*new[:instructed], *before, *new[instructed:]]


def _unknown(name: str, why: str, param: str | None = None) -> Trouble:
    return Trouble('not_found', f"The response '{name[:100]}' {why}.", param=param)
