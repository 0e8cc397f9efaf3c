"""Who may speak to the desk: checks of Host, Origin and size on HTTP and WebSocket, and the security headers.

A browser on this machine can be made to send requests here by any web page it visits. Such a request carries a foreign
``Origin``, or, after DNS rebinding, a foreign ``Host``. Both are refused before anything else looks at the request.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api import corner
from app.origins import Origins

MAX_REQUEST_BYTES = 8 * 1024 * 1024
LOOPBACK = ('localhost', '127.0.0.1', '[::1]')
CSP = '; '.join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",  # NiceGUI compiles its templates in the browser
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "media-src 'self'",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "worker-src 'self' blob:",
    )
)
HEADERS = (
    (b'content-security-policy', CSP.encode()),
    (b'x-content-type-options', b'nosniff'),
    (b'referrer-policy', b'no-referrer'),
    (b'x-frame-options', b'DENY'),
    (b'cross-origin-opener-policy', b'same-origin'),
)
SAFE_METHODS = ('GET', 'HEAD', 'OPTIONS')


class Guard:
    """ASGI middleware. ``hosts`` are names besides those of loopback; ``address`` is what the server listens on.

    Pages of ``origins`` may use the APIs, and nothing else here. ``uploads`` are paths that take so many bytes.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Iterable[str] = (),
        address: str = '127.0.0.1',
        max_bytes: int = MAX_REQUEST_BYTES,
        origins: Iterable[str] = (),
        uploads: Mapping[str, int] | None = None,
    ) -> None:
        self.app = app
        self._uploads = dict(uploads or {})
        self._origins = Origins(origins)
        self._hosts = {*LOOPBACK, *(host.lower() for host in hosts)}
        if not _is_wildcard(address):
            self._hosts.add(f'[{address}]' if ':' in address else address.lower())
        self._any_own_ip = _is_wildcard(address)
        self._max_bytes = max_bytes
        self.port = 0  # the real one, once it is known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse with one sentence, or pass on."""
        if scope['type'] not in ('http', 'websocket'):
            await self.app(scope, receive, send)
            return
        headers = _headers(scope)
        origin = self._other_origin(scope, headers)
        refusal = self._refusal(scope, headers, origin)
        more = HEADERS if origin is None else (*HEADERS, *self._origins.headers(origin))
        if refusal is not None:
            await _refuse(scope, receive, send, *refusal)
        elif scope['type'] == 'websocket':
            await self.app(scope, receive, send)
        elif origin is not None and scope['method'] == 'OPTIONS' and b'access-control-request-method' in headers:
            await _say(send, 204, [*self._origins.preflight(origin, headers), *HEADERS], b'')
        else:
            await self.app(scope, _limited(receive, self._limit(scope)), _with_headers(send, more))

    def _refusal(self, scope: Scope, headers: dict[bytes, list[bytes]], allowed: str | None) -> tuple[int, str] | None:
        hosts = headers.get(b'host', [])
        host = hosts[0].decode('latin-1').lower() if len(hosts) == 1 else ''
        if not self._known(host, scope):
            return 403, f'This desk does not answer to the host name {_shown(host)}; add it to allowed_hosts.'
        origins = headers.get(b'origin', [])
        foreign = len(origins) > 1 or (origins and not _same(origins[0].decode('latin-1'), host))
        # what a page elsewhere draws in as a picture has no Origin; browsers say so in this header
        foreign = foreign or (b'cross-site' in headers.get(b'sec-fetch-site', []) and _costs(scope))
        if foreign and allowed is None and _must_be_ours(scope):
            return 403, 'This request comes from another site and was refused.'
        length = headers.get(b'content-length', [b'0'])[0]
        limit = self._limit(scope)
        if not length.isdigit() or int(length) > limit:
            return 413, _too_large(limit)
        return None

    def _limit(self, scope: Scope) -> int:
        if scope['path'] in self._uploads:
            return self._uploads[scope['path']]
        return min(self._max_bytes, corner.MAX_BYTES) if corner.of(scope['path']) else self._max_bytes

    def _other_origin(self, scope: Scope, headers: dict[bytes, list[bytes]]) -> str | None:
        """The page elsewhere that this request comes from, where it may use the APIs and asks for one."""
        origins = headers.get(b'origin', [])
        if len(origins) != 1 or not corner.of(scope['path']):
            return None
        origin = origins[0].decode('latin-1')
        # our own API can do all that the desk can, which no other page needs that clients of Ollama run in
        return origin if self._origins.allows(origin, by_name=corner.of(scope['path']) == 'own') else None

    def _known(self, host: str, scope: Scope) -> bool:
        name, port = _split(host)
        if port and self.port and port != str(self.port):
            return False
        if name in self._hosts:
            return True
        # listening on every address: whoever names the address itself needs no DNS, so there is no rebinding
        return self._any_own_ip and _is_ip(name) and name.strip('[]') == str((scope.get('server') or ('',))[0])


def _must_be_ours(scope: Scope) -> bool:
    path = scope['path']
    if scope['type'] == 'websocket' or scope['method'] not in SAFE_METHODS:
        return True
    return _costs(scope) or bool(corner.of(path))


def _costs(scope: Scope) -> bool:
    """Whether it is one of the pages' own addresses for data, which others can neither read nor need."""
    return scope['path'].startswith(('/desk/', '/shelf/', '/_nicegui_ws'))


def _same(origin: str, host: str) -> bool:
    try:
        return urlsplit(origin).netloc.lower() == host
    except ValueError:
        return False


def _split(host: str) -> tuple[str, str]:
    name, colon, port = host.rpartition(':')
    if not colon or host.endswith(']'):
        return host, ''
    return name, port


def _is_wildcard(address: str) -> bool:
    return address in ('', '0.0.0.0', '::')


def _is_ip(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip('[]'))
    except ValueError:
        return False
    return True


def _shown(host: str) -> str:
    return ''.join(c for c in host if c.isalnum() or c in '.-:[]_')[:100] or '(none)'


def _headers(scope: Scope) -> dict[bytes, list[bytes]]:
    found: dict[bytes, list[bytes]] = {}
    for name, value in scope['headers']:
        found.setdefault(name, []).append(value)
    return found


def _limited(receive: Receive, limit: int) -> Receive:
    """A body sent in chunks does not say its size beforehand, so it is counted as it comes."""
    seen = 0

    async def limited() -> Message:
        nonlocal seen
        message = await receive()
        if message['type'] == 'http.request':
            seen += len(message.get('body', b''))
            if seen > limit:
                raise HTTPException(413, _too_large(limit))
        return message

    return limited


def _too_large(limit: int) -> str:
    return f'A request may have {limit // 1024 // 1024 or 1} MB at most.'


def _with_headers(send: Send, more: Iterable[tuple[bytes, bytes]]) -> Send:
    async def with_headers(message: Message) -> None:
        if message['type'] == 'http.response.start':
            message = {**message, 'headers': [*message.get('headers', ()), *more]}
        await send(message)

    return with_headers


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, sentence: str) -> None:
    start, body = 'http.response.start', 'http.response.body'
    if scope['type'] == 'websocket':
        await receive()
        if 'websocket.http.response' not in scope.get('extensions', {}):
            await send({'type': 'websocket.close', 'code': 1008})
            return
        start, body = 'websocket.http.response.start', 'websocket.http.response.body'
    media_type, text = corner.refusal(scope['path'], status, sentence)
    await _say(send, status, [(b'content-type', media_type), *HEADERS], text, start=start, ends=body)


async def _say(
    send: Send,
    status: int,
    headers: Iterable[tuple[bytes, bytes]],
    text: bytes,
    *,
    start: str = 'http.response.start',
    ends: str = 'http.response.body',
) -> None:
    length = [] if status == 204 else [(b'content-length', str(len(text)).encode())]
    await send({'type': start, 'status': status, 'headers': [*headers, *length]})
    await send({'type': ends, 'body': text})
