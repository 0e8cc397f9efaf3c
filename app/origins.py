"""Which web pages may use the APIs from a browser: those that Ollama lets in, too, and what the settings name."""

from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

# as Ollama: pages on this machine, and the shells of desktop programs and browser extensions
_HOSTS = {'localhost', '127.0.0.1', '0.0.0.0'}
_SHELLS = {
    'app',
    'file',
    'tauri',
    'vscode-webview',
    'vscode-file',
    'chrome-extension',
    'moz-extension',
    'safari-web-extension',
}
EXPOSED = 'X-Queue-Job-Id, X-Queue-Position, X-Queue-Wait-Ms, X-Request-Id, Retry-After'
METHODS = 'GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS'


class Origins:
    """Ollama's own list and ``more``; a lone ``*`` in it lets every page in."""

    def __init__(self, more: Iterable[str] = ()) -> None:
        self._more = {origin.rstrip('/').lower() for origin in more}

    def allows(self, origin: str, *, by_name: bool = False) -> bool:
        """Whether a page of this origin may call; with ``by_name`` only one that the settings name."""
        if self._more & {'*', origin.lower()}:
            return True
        if by_name:
            return False
        try:
            parts = urlsplit(origin)
            host = parts.hostname
        except ValueError:
            return False
        if parts.scheme in _SHELLS:
            return True
        return parts.scheme in ('http', 'https') and host in _HOSTS and parts.username is None

    def headers(self, origin: str) -> list[tuple[bytes, bytes]]:
        """What lets that page read the answer; never with cookies."""
        return [
            (b'access-control-allow-origin', origin.encode('latin-1')),
            (b'access-control-expose-headers', EXPOSED.encode()),
            (b'vary', b'Origin'),
        ]

    def preflight(self, origin: str, asked: Mapping[bytes, list[bytes]]) -> list[tuple[bytes, bytes]]:
        """What answers a browser that asks before it sends. The headers it wants are granted by name."""
        wanted = b', '.join(asked.get(b'access-control-request-headers', []))
        return [
            *self.headers(origin),
            (b'access-control-allow-methods', METHODS.encode()),
            (b'access-control-max-age', b'600'),
            *([(b'access-control-allow-headers', wanted)] if wanted else []),
        ]
