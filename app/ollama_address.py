"""Where Ollama is, from what people write: Ollama's own rules for ``OLLAMA_HOST``, seen from a client."""

import ipaddress

DEFAULT = 'http://127.0.0.1:11434'


def parse(text: str) -> str:
    """The base URL that an ``OLLAMA_HOST`` means. Like Ollama, it takes the default port for a senseless one.

    ``h`` ⇒ port 11434, ``http://h`` ⇒ 80, ``https://h`` ⇒ 443. An address to listen everywhere on is reached on
    loopback.

    >>> parse('0.0.0.0')
    'http://127.0.0.1:11434'
    """
    text = text.strip().strip('"\'')
    scheme, has_scheme, rest = text.partition('://')
    if not has_scheme:
        scheme, rest = ('https', 'ollama.com:443') if text == 'ollama.com' else ('http', text)
        default_port = '11434'
    else:
        default_port = {'http': '80', 'https': '443'}.get(scheme, '11434')
    place, slash, path = rest.partition('/')
    host, port = _split_port(place)
    if not (port.isascii() and port.isdigit() and int(port) <= 65535):
        port = default_port
    return f'{scheme}://{_reachable(host)}:{port}{(slash + path).rstrip("/")}'


def checked(text: str) -> str:
    """``parse`` for an address that was set on purpose: what Ollama would guess at is an error.

    Raises:
        ValueError: It is no address of an HTTP server.
    """
    example = 'it should be an address like http://127.0.0.1:11434'
    scheme, has_scheme, rest = text.strip().partition('://')
    if not text.strip() or (has_scheme and scheme not in ('http', 'https')) or any(c.isspace() for c in text.strip()):
        raise ValueError(example)
    host, port = _split_port((rest if has_scheme else text.strip()).partition('/')[0])
    if not _is_host(host):
        raise ValueError(example)
    if port and not (port.isascii() and port.isdigit() and 0 < int(port) <= 65535):
        raise ValueError(f'{example}, with a port of 1 to 65535')
    return parse(text)


def _split_port(place: str) -> tuple[str, str]:
    """Host and port, brackets of IPv6 taken off; an IPv6 address without brackets has no port."""
    if place.startswith('['):
        host, _, rest = place[1:].partition(']')
        return host, rest.removeprefix(':')
    if place.count(':') > 1:
        return place, ''
    host, _, port = place.partition(':')
    return host, port


def _is_host(host: str) -> bool:
    """Whether it is a name, an address, or nothing, which means this machine."""
    if ':' not in host:
        return not set(host) & set('[]?#\\')
    try:
        return ipaddress.ip_address(host).version == 6
    except ValueError:
        return False


def _reachable(host: str) -> str:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host or '127.0.0.1'
    if address.is_unspecified:
        return '127.0.0.1'
    return f'[{address}]' if address.version == 6 else str(address)
