"""Where the broker listens for workers of other machines, and how they reach it."""

import ipaddress
import re
import socket

_PLACE = re.compile(r'(?:tcp://)?(\[[0-9a-fA-F:.]+\]|[^\[\]:/\s]+):(\d{1,5})')


def checked(text: str) -> str:
    """``host:port`` as it was written, '' for nothing. Raises ``ValueError`` with what is wrong."""
    if not text:
        return ''
    found = _PLACE.fullmatch(text.strip())
    if found is None or not 1 <= int(found[2]) <= 65535:
        raise ValueError('write an address and a port, like 0.0.0.0:8090')
    return f'{found[1]}:{found[2]}'


def bound(listen: str) -> str:
    """What the socket binds. Raises ``ValueError`` for a name that has no address."""
    host, _, port = listen.rpartition(':')
    try:
        family, _, _, _, place = socket.getaddrinfo(host.strip('[]'), int(port), type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise ValueError(f'{host} has no address on this machine: {error.strerror}') from None
    return f'tcp://[{place[0]}]:{port}' if family == socket.AF_INET6 else f'tcp://{place[0]}:{port}'


def reached(listen: str) -> str:
    """How other machines reach it: where it listens on every address, the one that leads to the network."""
    host, _, port = listen.rpartition(':')
    if host.strip('[]') in ('0.0.0.0', '::', '*'):
        host = _own_address()
    return f'tcp://{host}:{port}'


def _own_address() -> str:
    """The address from which packets leave this machine; none is sent to find that out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(('192.0.2.1', 9))  # an address for documentation: nobody has it
            found = str(probe.getsockname()[0])
        except OSError:
            return socket.gethostname()
    return found if not ipaddress.ip_address(found).is_loopback else socket.gethostname()
