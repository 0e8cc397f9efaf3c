"""All of our own API in one place."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from app.api.own import batches, dead, errands, facts, fleet, jobs, pages, replay, schedules, stats, webhooks
from app.api.own.refusal import ROOMS, refusal
from app.api.own.room import Room
from app.api.trouble import Trouble

METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']


def routers(room: Room) -> list[APIRouter]:
    """To be included in this order."""
    parts = (jobs, batches, schedules, dead, fleet, errands, stats, replay, facts, webhooks)
    made = [part.routes(room) for part in parts]
    return [*made, pages.routes(room), _rest(made)]


def _rest(made: list[APIRouter]) -> APIRouter:
    """What is not there, below paths of ours."""
    rest = APIRouter(include_in_schema=False)

    async def unknown(request: Request) -> Response:
        taken = {
            method
            for part in made
            for route in part.routes
            if route.matches(request.scope)[0] is not Match.NONE
            for method in getattr(route, 'methods', None) or ()
        }
        if taken:
            names = ', '.join(sorted(taken))
            failure = Trouble('wrong_method', f'{request.method} is not for this path, which takes {names}')
            return refusal(failure, {'Allow': names})
        return refusal(Trouble('not_found', 'there is no such path; /docs tells which there are'))

    for name in ROOMS:
        rest.add_api_route(f'/api/{name}/{{rest:path}}', unknown, methods=METHODS)
        if name != 'stats':  # /api/stats itself is another API's
            rest.add_api_route(f'/api/{name}', unknown, methods=METHODS)
    return rest
