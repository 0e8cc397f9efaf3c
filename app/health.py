"""Is a chat possible now, and if not, why."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from app.board import Board

PROBLEMS = {'unreachable': 'Ollama does not answer.', 'no_models': 'Ollama has no model yet.'}


@dataclass
class Health:
    """What ``GET /health`` says. ``started`` becomes True when everything was there once."""

    board: Board
    version: str
    started: bool = False

    def waiting_for(self) -> str:
        """What is missing: 'broker', 'worker', 'model', or '' when a chat would work."""
        if not self.board.broker_alive:
            return 'broker'
        if not self.board.workers():
            return 'worker'
        return '' if self.board.models() else 'model'

    def check(self) -> tuple[int, dict[str, object]]:
        """The HTTP status and the answer."""
        missing = self.waiting_for()
        if not missing:
            return 200, {'status': 'ok', 'version': self.version}
        status = 'degraded' if self.started else 'starting'
        return 503, {
            'status': status,
            'version': self.version,
            'waiting_for': missing,
            'problem': self._problem(missing),
        }

    def _problem(self, missing: str) -> str:
        if missing == 'broker':
            return 'The broker does not answer.'
        if missing == 'worker':
            return 'No worker is connected.'
        return PROBLEMS.get(self.board.engine().problem, 'No worker has a model.')


def router(health: Health) -> APIRouter:
    """``GET /health``."""
    routes = APIRouter()

    @routes.get('/health', tags=['health'], summary='Is a chat possible now')
    async def check() -> JSONResponse:
        status, answer = health.check()
        return JSONResponse(answer | _now(), status, headers={'Cache-Control': 'no-store'})

    return routes


def _now() -> dict[str, object]:
    """The time in the two ways in which programs look for it."""
    now = time.time()
    return {'timestamp': round(now * 1000), 'time': datetime.fromtimestamp(now, UTC).isoformat().replace('+00:00', 'Z')}
