"""What Ollama's clients ask before and beside their calls: answered at once from what the workers announced."""

import hashlib
import math
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.api import bodies, ollama_refusal
from app.api.ollama_refusal import answer
from app.api.trouble import Trouble
from app.api.work import Doors
from app.views import ModelView
from broker import errand, vitals

SPOKEN = '0.33.0'  # the version of Ollama whose API this is, where no Ollama is there to tell its own
CLOUD = {'cloud': {'disabled': True, 'source': 'none'}}  # what Ollama has at /api/status; others have figures there
FOR_EVER = '2318-11-22T00:00:00Z'
NEVER = '0001-01-01T00:00:00Z'  # how Go writes a time that is not known


def add(routes: APIRouter, doors: Doors) -> None:
    """The paths that are never queued."""

    @routes.api_route('/api/version', methods=['GET', 'HEAD'], summary='The lowest version among the machines')
    async def version() -> Response:
        return answer({'version': version_of(doors)})

    @routes.api_route('/api/tags', methods=['GET', 'HEAD'], summary='The models that some machine has')
    async def tags() -> Response:
        return answer({'models': [tag(model) for model in doors.board.models()]})

    @routes.get('/api/ps', summary='The models that are loaded now')
    async def loaded() -> Response:
        return answer({'models': loaded_of(doors)})

    @routes.post('/api/show', summary='What is known about a model')
    async def show(request: Request) -> Response:
        try:
            return answer(_shown(await _asked_for(doors, request)))
        except Trouble as failure:
            return ollama_refusal.refusal(failure)


def version_of(doors: Doors) -> str:
    """The lowest version of the Ollamas that are there, as they wrote it."""
    told = [worker.engine_version for worker in doors.board.workers() if worker.engine == 'ollama']
    return min(filter(None, told), key=_as_numbers, default=SPOKEN)


def tag(model: ModelView) -> dict[str, Any]:
    """A model as ``/api/tags`` lists it."""
    return {
        'name': model.name,
        'model': model.name,
        'modified_at': model.modified_at or NEVER,
        'size': model.size_bytes,
        'digest': model.digest or hashlib.sha256(model.name.encode()).hexdigest(),  # clients cut pieces off it
        'details': _details(model),
        'capabilities': list(model.capabilities),
    }


async def _asked_for(doors: Doors, request: Request) -> ModelView:
    found = bodies.fields(await bodies.read(request), 'api.ShowRequest')
    asked = bodies.text(found, 'model', 'api.ShowRequest') or bodies.text(found, 'name', 'api.ShowRequest')
    if not asked:
        raise Trouble('bad_request', 'model is required')
    model = doors.board.model(doors.model(asked))
    assert model is not None  # it was found a moment ago
    return model


def _shown(model: ModelView) -> dict[str, Any]:
    family = model.family or 'unknown'
    info: dict[str, Any] = {'general.architecture': family, 'general.basename': model.name.partition(':')[0]}
    if model.context_length:
        info[f'{family}.context_length'] = model.context_length
    return {
        'modelfile': f'FROM {model.name}\n',
        'parameters': '',
        'template': '',
        'details': _details(model),
        'model_info': info,
        'capabilities': list(model.capabilities),
        'modified_at': model.modified_at or NEVER,
    }


def loaded_of(doors: Doors) -> list[dict[str, Any]]:
    """The models in memory as ``/api/ps`` lists them, those that stay longest first."""
    places = {
        each.name: each
        for worker in doors.board.workers()
        if worker.vitals is not None
        for each in worker.vitals.loaded
    }
    known = [(model, places.get(model.name)) for model in doors.board.models() if model.resident]
    known.sort(key=lambda pair: -_stays(pair[1]))
    return [_loaded(model, place) for model, place in known]


def _stays(place: vitals.Loaded | None) -> float:
    if place is None:
        return 0.0
    return math.inf if place.expires_at == errand.FOR_EVER else place.expires_at


def _loaded(model: ModelView, place: vitals.Loaded | None) -> dict[str, Any]:
    known = tag(model)
    return {key: known[key] for key in ('name', 'model', 'digest', 'details')} | {
        'size': place.size_bytes if place is not None else model.size_bytes,
        'expires_at': _moment(place.expires_at) if place is not None else NEVER,
        'size_vram': place.vram_bytes if place is not None else 0,
        'context_length': (place.context_length if place is not None else 0) or model.context_length,
    }


def _moment(at: float) -> str:
    """As Ollama writes it; what stays for ever it gives some three hundred years."""
    if at == errand.FOR_EVER:
        return FOR_EVER
    return datetime.fromtimestamp(at, UTC).strftime('%Y-%m-%dT%H:%M:%SZ') if at > 0 else NEVER


def _details(model: ModelView) -> dict[str, Any]:
    return {
        'parent_model': '',
        'format': model.format or 'gguf',
        'family': model.family,
        'families': [model.family] if model.family else [],
        'parameter_size': model.parameter_size,
        'quantization_level': model.quantization,
    }


def _as_numbers(version: str) -> list[int]:
    parts = version.removeprefix('v').partition('-')[0].split('.')
    return [int(part) if part.isdigit() else 0 for part in parts]
