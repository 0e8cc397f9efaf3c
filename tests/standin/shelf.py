"""The models that the stand-in has: which are there, what is in memory, and what is told of them."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.standin import words
from tests.standin.script import VERSION, Library, Script, default_models


@dataclass
class Loaded:
    """A model in memory."""

    num_ctx: int
    keep_s: float = 300.0  # less than 0: for ever
    used_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def expires_at(self) -> datetime:
        """When it leaves memory."""
        return self.used_at + timedelta(seconds=self.keep_s if self.keep_s >= 0 else 292 * 365 * 86_400)


class Shelf:
    """Models by their names; all attributes may be read and changed at any time."""

    def __init__(self, *, faults: bool = True, version: str = VERSION) -> None:
        self.version = version
        self.models = default_models(faults=faults)
        self.library: dict[str, Library] = {'smollm:latest': Library(), 'gemma3:4b': Library(pause_s=0.15, steps=20)}
        self.admin: list[tuple[str, str]] = []  # path and model of what changed the models
        self.loads: list[str] = []  # every time that a model was loaded
        self.loaded: dict[str, Loaded] = {}
        self.knows_ps = True  # old ones do not
        self.ps_asked = 0
        self.slow_tags_s = 0.0
        self._come: dict[str, int] = {}  # bytes of a model that a broken pull has left here

    def installed(self, asked: str) -> str | None:
        """The whole name of the model that is meant; None when it is not here."""
        name = words.full_name(asked)
        return next((known for known in self.models if known.lower() == name.lower()), None)

    def tags(self) -> dict[str, Any]:
        """What is here."""
        return {'models': [words.tag(name, script) for name, script in self.models.items() if script.listed]}

    def resident(self) -> dict[str, Any]:
        """What is in memory."""
        self.ps_asked += 1
        now = datetime.now(UTC)
        self.loaded = {name: at for name, at in self.loaded.items() if at.expires_at > now}
        return {'models': [_loaded(name, self.models[name], at) for name, at in self.loaded.items()]}

    def shown(self, body: bytes) -> tuple[int, object]:
        """Status and reply of ``POST /api/show``."""
        request, problem = words.decoded(body)
        if problem is not None:
            return problem
        asked = str(request.get('model') or request.get('name') or '')
        if not asked:
            return 400, {'error': 'model is required'}
        name = self.installed(asked)
        if name is None:
            return 404, {'error': f"model '{asked}' not found"}
        tag = words.tag(name, self.models[name])
        return 200, {
            'license': 'none',
            'modelfile': f'FROM {name}',
            'parameters': 'temperature 0.7',
            'template': '{{ .Prompt }}',
            'details': tag['details'],
            'model_info': {'general.architecture': 'standin', 'standin.context_length': 4096},
            'capabilities': list(self.models[name].capabilities),
            'modified_at': tag['modified_at'],
        }

    def load(self, name: str, request: dict[str, Any]) -> None:
        """Have the model in memory, as the request wants it."""
        num_ctx = int((request.get('options') or {}).get('num_ctx', 4096))
        if name not in self.loaded or self.loaded[name].num_ctx != num_ctx:
            self.loads.append(name)
            self.loaded[name] = Loaded(num_ctx)
        model = self.loaded[name]
        model.used_at = datetime.now(UTC)
        if isinstance(given := request.get('keep_alive'), int | float):
            model.keep_s = given

    def refusal(  # noqa: PLR0911 - one return per rule reads best
        self, path: str, request: dict[str, Any]
    ) -> tuple[int, object] | None:
        """Status and reply to an inference request that Ollama refuses; None when it answers it."""
        asked = request.get('model')
        embed = path == '/api/embed'
        if not isinstance(asked, str | None):
            return 400, {'error': 'json: cannot unmarshal into Go struct field ChatRequest.model of type string'}
        if not asked:
            return (
                (404, {'error': "model '' not found"}) if path != '/api/chat' else (400, {'error': 'model is required'})
            )
        name = self.installed(asked)
        if name is None:
            text = f'model "{asked}" not found, try pulling it first' if embed else f"model '{asked}' not found"
            return 404, {'error': text}
        script = self.models[name]
        if script.status:
            return script.status, {'error': script.error}
        if path == '/api/generate' and words.load_only(path, request) == 'unload':
            return None  # whatever the model can do
        if not embed and 'completion' not in script.capabilities:
            return 400, {'error': f'"{asked}" does not support {"chat" if path == "/api/chat" else "generate"}'}
        if embed and not words.embed_input_ok(request.get('input')):
            return 400, {'error': 'invalid input type'}
        return words.wrong_option(request)

    async def pulling(self, name: str, entry: Library | None) -> AsyncIterator[dict[str, Any]]:
        """The lines of ``POST /api/pull``; one with ``fault`` says what is to go wrong with the connection."""
        yield {'status': 'pulling manifest'}
        if entry is None:
            yield {'error': 'pull model manifest: file does not exist'}
            return
        for place, size in enumerate(entry.parts):
            digest = f'sha256:{hashlib.sha256(f"{name}{place}".encode()).hexdigest()}'
            part = {'status': f'pulling {digest[7:19]}', 'digest': digest, 'total': size}
            begun = self._come.get(digest, 0)
            for step in range(1, entry.steps + 1):
                self._come[digest] = max(begun, size * step // entry.steps)
                yield part | {'completed': self._come[digest]}
                await asyncio.sleep(entry.pause_s)
            if entry.fault:
                yield {'fault': entry.fault}
            if entry.error:
                yield {'error': entry.error}
                return
        for status in ('verifying sha256 digest', 'writing manifest'):
            yield {'status': status}
        self.models[name] = replace(entry.script, size=sum(entry.parts))
        yield {'status': 'success'}

    async def making(self, path: str, name: str) -> AsyncIterator[dict[str, Any]]:
        """The lines of ``POST /api/create`` and ``/api/push``."""
        if path == '/api/create':
            self.models[name] = Script(chars_per_s=400)
        yield {'status': 'writing manifest'}
        yield {'status': 'success'}

    def moved(self, path: str, body: bytes) -> tuple[int, object]:
        """Status and reply of ``POST /api/copy`` and ``DELETE /api/delete``."""
        request, problem = words.decoded(body)
        if problem is not None:
            return problem
        asked = str(request.get('source' if path == '/api/copy' else 'model') or request.get('name') or '')
        name = self.installed(asked) if asked else None
        if name is None:
            return 404, {'error': f"model '{asked}' not found"}
        self.admin.append((path, asked))
        if path == '/api/copy':
            self.models[words.full_name(str(request.get('destination')))] = replace(self.models[name])
        else:
            del self.models[name]
            self.loaded.pop(name, None)
        return 200, None


def _loaded(name: str, script: Script, at: Loaded) -> dict[str, Any]:
    tag = words.tag(name, script)
    return {key: tag[key] for key in ('name', 'model', 'size', 'digest', 'details')} | {
        'expires_at': words.timestamp(at.expires_at),
        'size_vram': tag['size'],
        'context_length': at.num_ctx,
    }
