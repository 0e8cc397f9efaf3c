"""Where Ollama is, from what people write into ``OLLAMA_HOST``."""

import re
import socket
from urllib.parse import urlsplit


def base_url(text: str) -> str:
    """A URL without a trailing slash: ``h`` → ``http://h:11434``; ``http://h`` is port 80, ``https://h`` port 443.

    An address to listen on (0.0.0.0 or [::]) becomes one to call. Raises ``ValueError`` for what is no address.
    """
    text = text.strip().strip('"\'')
    with_scheme = re.match(r'[a-zA-Z][a-zA-Z0-9+.-]*://', text) is not None
    parts = urlsplit(text if with_scheme else f'http://{text}')
    if parts.scheme not in ('http', 'https'):
        raise ValueError(f'not an http address: {text}')
    port = parts.port or (11434 if not with_scheme else None)
    host = {'': '127.0.0.1', '0.0.0.0': '127.0.0.1', '::': '::1'}.get(parts.hostname or '', parts.hostname or '')
    host = f'[{host}]' if ':' in host else host
    user = parts.netloc.rpartition('@')[0]
    return f'{parts.scheme}://{user + "@" if user else ""}{host}{f":{port}" if port else ""}{parts.path.rstrip("/")}'


def place(text: str) -> str:
    """The server's host and port, the same for all who mean the same one, also from other machines. No password."""
    parts = urlsplit(base_url(text))
    host = parts.hostname or ''
    if host in ('localhost', '::1') or host.startswith('127.'):
        host = socket.gethostname()
    return f'{host}:{parts.port or (443 if parts.scheme == "https" else 80)}{parts.path}'
