"""Webhooks: where the desk tells other programs what happens."""

import time
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Body, Path, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from app.api.own import egress, signature
from app.api.own.dispatch import Dispatch
from app.api.own.outbox import Message
from app.api.own.outbox import Webhook as Stored
from app.api.own.post import Failed
from app.api.own.refusal import documented
from app.api.own.room import Room
from app.api.own.route import router
from app.api.own.told import FACTS
from app.api.trouble import Trouble
from broker.client import new_job_id

MAX_WEBHOOKS = 100
DEFAULT_EVENTS = ['JobCompleted', 'JobDied', 'JobCancelled']
HookPath = Annotated[str, Path(description='The id of the webhook.', pattern='^[A-Za-z0-9_-]{1,64}$')]
EventName: Any = Literal[('*', *FACTS)]


class WebhookRequest(BaseModel):
    """Where to tell what. The facts are those of `/api/facts`."""

    model_config = ConfigDict(extra='forbid', json_schema_extra={'examples': [{'url': 'https://example.org/hook'}]})

    url: str = Field(min_length=1, max_length=egress.MAX_URL)
    events: list[EventName] = Field(default=DEFAULT_EVENTS, min_length=1, max_length=50, description='`*` is all.')
    enabled: bool = True
    new_secret: bool = Field(default=False, description='Make another secret; the old one is of no use any more.')


class Webhook(BaseModel):
    """A webhook. `secret` is there only once, when it was made."""

    id: str
    url: str
    events: list[str]
    enabled: bool
    reason: str = Field(description='Why it was switched off.')
    created_at: float
    secret: str | None = Field(default=None, description='Sign with it as standardwebhooks.com says. Shown once.')


class Webhooks(BaseModel):
    """Webhooks, oldest first."""

    webhooks: list[Webhook]


class Delivery(BaseModel):
    """A message: the fact that it tells, and what became of it."""

    id: str
    seq: int
    event: str
    state: Literal['pending', 'delivered', 'failed']
    tries: int
    next_at: float | None
    status: int = Field(description='Of the last answer; 0 when there was none.')
    detail: str
    created_at: float
    ended_at: float | None


class Deliveries(BaseModel):
    """Messages, newest first."""

    deliveries: list[Delivery]


class Tested(BaseModel):
    """What the receiver said to a message that means nothing."""

    ok: bool
    status: int
    detail: str


def routes(room: Room) -> APIRouter:
    """The paths under ``/api/webhooks``."""
    made = router('Webhooks')
    _reading(made, room)
    _changing(made, room)
    return made


def _reading(made: APIRouter, room: Room) -> None:
    @made.get('/api/webhooks', response_model=Webhooks, summary='Webhooks', responses=documented())
    async def find() -> dict[str, Any]:
        """Without their secrets."""
        return {'webhooks': [_told(hook) for hook in _dispatch(room).webhooks()]}

    @made.get('/api/webhooks/{id}', response_model=Webhook, summary='One webhook', responses=documented(404))
    async def get(id: HookPath) -> dict[str, Any]:
        """Without its secret."""
        return _told(_found(room, id))

    @made.get(
        '/api/webhooks/{id}/deliveries', response_model=Deliveries, summary='What was sent', responses=documented(404)
    )
    async def deliveries(id: HookPath, limit: Annotated[int, Query(ge=1, le=500)] = 50) -> dict[str, Any]:
        """And what is to be sent again, with what the receiver said last."""
        _found(room, id)
        return {'deliveries': [_delivery(each) for each in await _dispatch(room).messages(id, limit)]}


def _changing(made: APIRouter, room: Room) -> None:
    async def put(id: HookPath, response: Response, asked: Annotated[WebhookRequest, Body()]) -> dict[str, Any]:
        """Messages are signed as standardwebhooks.com says, and sent again, later and later over a day, until they are
        taken: `webhook-id` stays the same. `410` switches the webhook off, `Retry-After` is honoured.
        """
        dispatch = _dispatch(room)
        await _check(dispatch, asked.url)
        old = dispatch.webhook(id)
        if old is None and len(dispatch.webhooks()) >= MAX_WEBHOOKS:
            raise Trouble('too_many', f'there are {MAX_WEBHOOKS} webhooks, which is the limit; remove one first')
        fresh = old is None or asked.new_secret
        hook = Stored(
            id=id,
            url=asked.url,
            events=tuple(asked.events),
            secret=signature.new_secret() if old is None or fresh else old.secret,
            enabled=asked.enabled,
            created_at=time.time() if old is None else old.created_at,
            after_seq=(await room.broker.ping()).seq if old is None or not old.enabled else old.after_seq,
        )
        await dispatch.put(hook)
        response.status_code = 201 if old is None else 200
        response.headers['Location'] = f'/api/webhooks/{id}'
        return _told(hook) | {'secret': hook.secret if fresh else None}

    made.add_api_route(
        '/api/webhooks/{id}',
        put,
        methods=['PUT'],
        response_model=Webhook,
        summary='Make or replace a webhook',
        responses={201: {'model': Webhook, 'description': 'It is new.'}, **documented(400, 409, 415, 507)},
    )

    @made.post(
        '/api/webhooks',
        status_code=201,
        response_model=Webhook,
        summary='Make a webhook',
        responses=documented(400, 409, 415, 507),
    )
    async def post(response: Response, asked: Annotated[WebhookRequest, Body()]) -> dict[str, Any]:
        """As `PUT`, with an id made here."""
        return await put(new_job_id(), response, asked)

    @made.delete(
        '/api/webhooks/{id}', status_code=204, response_class=Response, summary='Remove it', responses=documented(404)
    )
    async def remove(id: HookPath) -> Response:
        """What it was to get is dropped."""
        _found(room, id)
        await _dispatch(room).remove(id)
        return Response(status_code=204)

    @made.post('/api/webhooks/{id}/test', response_model=Tested, summary='Try it', responses=documented(404))
    async def test(id: HookPath) -> dict[str, Any]:
        """One message of type `Test`, now, with the answer."""
        said = await _dispatch(room).test(_found(room, id))
        return {'ok': said.state == 'delivered', 'status': said.status, 'detail': said.detail}


async def _check(dispatch: Dispatch, url: str) -> None:
    """Refuse a URL that no message would go to. A host that cannot be found now may be there later."""
    try:
        await dispatch.poster.addresses(egress.target(url))
    except egress.BadUrl as error:
        raise Trouble('invalid', str(error), param='url') from None
    except Failed as error:
        if error.refused:
            raise Trouble('address_refused', str(error), param='url') from None


def _dispatch(room: Room) -> Dispatch:
    if room.webhooks is None:
        raise Trouble('unavailable', 'webhooks do not work here now; the log says why', retry_after_s=30.0)
    return room.webhooks


def _found(room: Room, webhook_id: str) -> Stored:
    hook = _dispatch(room).webhook(webhook_id)
    if hook is None:
        raise Trouble('not_found', 'there is no such webhook')
    return hook


def _told(hook: Stored) -> dict[str, Any]:
    return {name: value for name, value in msgspec.structs.asdict(hook).items() if name not in ('secret', 'after_seq')}


def _delivery(message: Message) -> dict[str, Any]:
    fields = msgspec.structs.asdict(message)
    return {
        **fields,
        'next_at': message.next_at if message.state == 'pending' else None,
        'ended_at': message.ended_at or None,
    }
