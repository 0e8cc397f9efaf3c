"""One POST to a webhook: to the very address that was judged, without redirects, and with little patience."""

import asyncio
import math
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from email.utils import parsedate_to_datetime
from typing import NamedTuple

import h11

from app.api.own import egress

MAX_ANSWER_BYTES = 64 * 1024
KEPT_BYTES = 1000  # of an answer, for the operator
Resolve = Callable[[str, int], Awaitable[list[str]]]


class Answer(NamedTuple):
    """What the receiver said."""

    status: int
    retry_after_s: float  # 0: it did not say
    text: str

    @property
    def good(self) -> bool:
        """Whether it took the message."""
        return 200 <= self.status < 300


class Failed(Exception):
    """There was no answer; the text says why. ``refused``: the address is not allowed."""

    def __init__(self, why: str, *, refused: bool = False) -> None:
        super().__init__(why)
        self.refused = refused


async def by_dns(host: str, port: int) -> list[str]:
    """All addresses of a host."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


class Poster:
    """Posts; ``networks`` are allowed besides public addresses."""

    def __init__(
        self, networks: Sequence[egress.Network] = (), *, timeout_s: float = 10.0, resolve: Resolve = by_dns
    ) -> None:
        self._networks = networks
        self._timeout_s = timeout_s
        self._resolve = resolve
        self._tls = ssl.create_default_context()

    async def post(self, url: str, headers: dict[str, str], body: bytes, now: float) -> Answer:
        """The answer to a POST. Raises ``Failed``."""
        try:
            async with asyncio.timeout(self._timeout_s):
                target = egress.target(url)
                address = (await self.addresses(target))[0]
                return await self._exchange(target, address, headers, body, now)
        except egress.BadUrl as error:
            raise Failed(str(error)) from None
        except TimeoutError:
            raise Failed(f'no answer within {self._timeout_s:g} s') from None
        except h11.ProtocolError:
            raise Failed('what came back is no HTTP') from None
        except ssl.SSLCertVerificationError as error:
            raise Failed(f'its certificate is not valid: {error.verify_message}') from None
        except (OSError, UnicodeError) as error:  # an SSLError is an OSError
            raise Failed(f'no connection: {getattr(error, "strerror", None) or type(error).__name__}') from None

    async def addresses(self, target: egress.Target) -> list[str]:
        """The addresses of a target, all of them allowed. Raises ``Failed``."""
        try:
            found = await self._resolve(target.host, target.port)
        except (OSError, UnicodeError):
            raise Failed(f'there is no host {target.host}') from None
        for address in found:
            if not egress.is_allowed(address, self._networks):
                detail = f'{target.host} is at {address}, which is not public; allow its network by webhook_networks'
                raise Failed(detail, refused=True)
        if not found:
            raise Failed(f'there is no host {target.host}')
        return found

    async def _exchange(
        self, target: egress.Target, address: str, headers: dict[str, str], body: bytes, now: float
    ) -> Answer:
        tls = self._tls if target.tls else None
        reader, writer = await asyncio.open_connection(
            address, target.port, ssl=tls, server_hostname=target.host if tls else None, limit=MAX_ANSWER_BYTES
        )
        try:
            connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=16 * 1024)
            told = [('Host', target.authority), *headers.items()]
            told += [('Content-Length', str(len(body))), ('Connection', 'close')]
            request = h11.Request(method='POST', target=target.path, headers=told)
            parts = (connection.send(request), connection.send(h11.Data(body)), connection.send(h11.EndOfMessage()))
            writer.write(b''.join(part for part in parts if part))
            await writer.drain()
            return await _answer(connection, reader, now)
        finally:
            writer.transport.abort()  # there is nothing left to say, and nobody to wait for


async def _answer(connection: h11.Connection, reader: asyncio.StreamReader, now: float) -> Answer:
    status, wait_s, kept, size = 0, 0.0, b'', 0
    while size <= MAX_ANSWER_BYTES:
        event = connection.next_event()
        match event:
            case h11.NEED_DATA:
                data = await reader.read(8192)
                size += len(data)
                connection.receive_data(data)
            case h11.Response():
                status = event.status_code
                said = {bytes(name): bytes(value) for name, value in event.headers}
                wait_s = _retry_after(said.get(b'retry-after', b'').decode('latin-1'), now)
            case h11.Data():
                kept = (kept + bytes(event.data))[:KEPT_BYTES]
            case h11.EndOfMessage() | h11.ConnectionClosed():
                break
    if not status:
        raise Failed('what came back is no HTTP')
    text = ''.join(c if c.isprintable() else ' ' for c in kept.decode('utf-8', 'replace'))
    return Answer(status, wait_s, text)


def _retry_after(text: str, now: float) -> float:
    """Seconds, or a date; 0 for anything else."""
    text = text.strip()
    if text.isascii() and text.isdecimal() and len(text) < 10:
        return float(text)
    try:
        wait_s = parsedate_to_datetime(text).timestamp() - now
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return max(0.0, wait_s) if math.isfinite(wait_s) else 0.0
