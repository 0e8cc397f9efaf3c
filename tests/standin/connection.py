"""One client's connection: HTTP/1.1 by hand."""

import asyncio
import contextlib
import json
import socket
import struct
from datetime import UTC, datetime

_REASONS = {200: 'OK', 400: 'Bad Request', 404: 'Not Found', 500: 'Internal Server Error', 503: 'Service Unavailable'}


class Connection:
    """One client's connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._early = b''  # of the next request, read while waiting for an end

    async def read_request(self) -> tuple[str, str, dict[str, str], bytes] | None:
        head, self._early = self._early, b''
        while not head.endswith(b'\r\n\r\n'):
            line = await self._reader.readline()
            if not line:
                return None
            head += line
        first, *rest = head.decode('latin-1').split('\r\n')
        method, path, _ = first.split(' ', 2)
        headers = {
            key.strip().lower(): value.strip() for key, _, value in (line.partition(':') for line in rest if line)
        }
        body = b''
        if headers.get('transfer-encoding') == 'chunked':
            while size := int(await self._reader.readline(), 16):
                body += await self._reader.readexactly(size)
                await self._reader.readline()
            await self._reader.readline()
        else:
            body = await self._reader.readexactly(int(headers.get('content-length', '0')))
        return method, path, headers, body

    async def closed_by_client(self) -> None:
        """Return when the other side has closed."""
        with contextlib.suppress(ConnectionError):
            self._early = await self._reader.read(1)
            if self._early:  # its next request; so it is still there
                await asyncio.Event().wait()

    def reply(self, status: int, body: bytes, content_type: str, *, head: bool = False) -> None:
        lines = [f'HTTP/1.1 {status} {_REASONS.get(status, "Status")}', f'Content-Type: {content_type}']
        lines += [f'Date: {_http_date()}', f'Content-Length: {len(body)}', '', '']
        self._writer.write('\r\n'.join(lines).encode() + (b'' if head else body))

    def json(self, status: int, value: object, *, head: bool = False) -> None:
        if value is None:
            self.reply(status, b'', 'text/plain; charset=utf-8')
            return
        body = json.dumps(value, ensure_ascii=False, separators=(',', ':')).encode()
        self.reply(status, body, 'application/json; charset=utf-8', head=head)

    def start_stream(
        self, status: int = 200, content_type: str = 'application/x-ndjson', headers: dict[str, str] | None = None
    ) -> None:
        lines = [f'HTTP/1.1 {status} {_REASONS.get(status, "Status")}', f'Content-Type: {content_type}']
        lines += [f'{key}: {value}' for key, value in (headers or {}).items()]
        lines += [f'Date: {_http_date()}', 'Transfer-Encoding: chunked', '', '']
        self._writer.write('\r\n'.join(lines).encode())

    def chunk(self, data: bytes) -> None:
        self._writer.write(b'%x\r\n%s\r\n' % (len(data), data))

    def end_stream(self) -> None:
        self._writer.write(b'0\r\n\r\n')

    async def drain(self) -> None:
        await self._writer.drain()

    def close(self) -> None:
        self._writer.close()

    async def reset(self) -> None:
        """End it with RST instead of FIN."""
        raw: socket.socket = self._writer.get_extra_info('socket')
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        self._writer.transport.abort()


def _http_date() -> str:
    return datetime.now(UTC).strftime('%a, %d %b %Y %H:%M:%S GMT')
