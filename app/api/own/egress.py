"""Where webhooks may go: which URLs are sound, and which addresses are the world's and not ours. Pure.

Only the address that a connection is made to is judged, not the name or the way it is written: so no trick with names,
number formats or DNS helps.
"""

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple
from urllib.parse import urlsplit

MAX_URL = 2000
Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NOT_PUBLIC_4 = [
    IPv4Network(text)
    for text in (
        '0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12', '192.0.0.0/24',
        '192.0.2.0/24', '192.88.99.0/24', '192.168.0.0/16', '198.18.0.0/15', '198.51.100.0/24', '203.0.113.0/24',
        '224.0.0.0/4', '240.0.0.0/4',
        '168.63.129.16/32',  # public by its number, but a cloud's own service for its machines
    )
]  # fmt: skip
_PUBLIC_6 = IPv6Network('2000::/3')
_NOT_PUBLIC_6 = [IPv6Network(text) for text in ('2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20')]
_NAT64 = IPv6Network('64:ff9b::/96')  # an IPv4 address in its last 32 bits, made so by the network's DNS
_ISATAP = (0x00005EFE, 0x02005EFE)
_HOST = re.compile(r'[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?', re.ASCII)
_NUMBER = re.compile(r'\d+|0x[0-9a-f]*', re.ASCII)


class BadUrl(ValueError):
    """A URL that no webhook can have; the text says why."""


class Target(NamedTuple):
    """A URL, taken apart."""

    tls: bool
    host: str  # a name or an address, as in a URL without the brackets
    port: int
    path: str

    @property
    def authority(self) -> str:
        """As the Host header has it."""
        host = f'[{self.host}]' if ':' in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f'{host}:{self.port}'


def target(url: str) -> Target:
    """The parts of ``url``. Raises ``BadUrl``."""
    if len(url) > MAX_URL or not url.isascii() or not url.isprintable() or ' ' in url or '\\' in url:
        raise BadUrl(f'a URL has at most {MAX_URL} visible characters of ASCII; write other names in punycode')
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise BadUrl('this is no URL; it should be like https://example.org/hook') from None
    if parts.scheme not in ('http', 'https') or not url.lower().startswith(f'{parts.scheme}://'):
        raise BadUrl('a webhook needs a URL that begins with https:// or http://')
    if '@' in parts.netloc or parts.fragment:
        raise BadUrl('a URL with a user, a password or a # is not taken')
    if port == 0:
        raise BadUrl('there is no port 0')
    path = (parts.path or '/') + (f'?{parts.query}' if parts.query else '')
    tls = parts.scheme == 'https'
    return Target(tls, _host((parts.hostname or '').rstrip('.')), port or (443 if tls else 80), path)


def networks(texts: Iterable[str]) -> list[Network]:
    """Networks like 192.168.0.0/16. Raises ``ValueError``."""
    return [ip_network(text) for text in texts]


def is_allowed(address: str, also: Sequence[Network] = ()) -> bool:
    """Whether a webhook may connect there: to the world, and to the networks in ``also``."""
    try:
        found = ip_address(address)
    except ValueError:  # with a zone, say
        return False
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    found = mapped or found
    if any(found.version == network.version and found in network for network in also):
        return True
    return _is_public_4(found) if isinstance(found, IPv4Address) else _is_public_6(found)


def _is_public_4(address: IPv4Address) -> bool:
    return not any(address in network for network in _NOT_PUBLIC_4)


def _is_public_6(address: IPv6Address) -> bool:
    low = IPv4Address(int(address) & 0xFFFFFFFF)
    if address.scope_id:
        return False
    if address in _NAT64:
        return _is_public_4(low)
    if address not in _PUBLIC_6 or any(address in network for network in _NOT_PUBLIC_6):
        return False
    tunnelled = int(address) >> 32 & 0xFFFFFFFF in _ISATAP
    return not tunnelled or _is_public_4(low)


def _host(host: str) -> str:
    """The host, where everybody reads it in the same way."""
    try:
        return str(ip_address(host))
    except ValueError:
        pass
    if not _HOST.fullmatch(host):
        raise BadUrl('this host has characters that no host has, or there is none')
    if _NUMBER.fullmatch(host.rpartition('.')[2]):
        raise BadUrl('write an IPv4 address as four decimal numbers without leading zeros')
    return host
