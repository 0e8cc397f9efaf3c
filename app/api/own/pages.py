"""The pages of the API: its description, the page that shows it, and the figures for Prometheus."""

from pathlib import Path

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response

from app.api.own.room import Room

_VENDOR = Path(__file__).parent / 'vendor' / 'swagger-ui'
_FILES = {'swagger-ui.css': 'text/css', 'swagger-ui-bundle.js': 'text/javascript'}
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Corral: APIs</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
<style>body { margin: 0 } .swagger-ui .topbar { display: none }</style>
<script>
// as the desk: what somebody chose there, else what the system prefers
const dark = matchMedia('(prefers-color-scheme: dark)')
const chosen = () => (/(?:^|; )corral_theme=(\\w+)/.exec(document.cookie) || [])[1]
const paint = () => document.documentElement.classList.toggle(
  'dark-mode', chosen() === 'dark' || (chosen() !== 'light' && dark.matches))
dark.addEventListener('change', paint)
paint()
</script>
</head>
<body>
<div id="docs"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script>
SwaggerUIBundle({
  url: 'openapi.json', dom_id: '#docs', deepLinking: true, docExpansion: 'none', filter: true,
  tryItOutEnabled: true, displayRequestDuration: true, validatorUrl: null
})
</script>
</body>
</html>
"""


def routes(room: Room) -> APIRouter:
    """``/docs`` and ``/metrics``; ``/openapi.json`` is FastAPI's own."""
    made = APIRouter()

    @made.get('/docs', include_in_schema=False)
    async def docs() -> Response:
        return HTMLResponse(_PAGE)

    @made.get('/docs/{name}', include_in_schema=False)
    async def part(name: str) -> Response:
        if name not in _FILES:
            return Response('There is no such file.\n', 404, media_type='text/plain')
        return FileResponse(_VENDOR / name, media_type=_FILES[name], headers={'Cache-Control': 'max-age=86400'})

    @made.get(
        '/metrics',
        tags=['Operation'],
        response_class=Response,
        summary='Figures for Prometheus',
        responses={200: {'content': {'text/plain': {'schema': {'type': 'string'}}}}},
    )
    async def metrics(request: Request) -> Response:
        """In the text format of Prometheus, or OpenMetrics where that is asked for."""
        media_type, page = room.meters.text(request.headers.get('accept', ''))
        return Response(page, headers={'Content-Type': media_type, 'Cache-Control': 'no-store'})

    return made
