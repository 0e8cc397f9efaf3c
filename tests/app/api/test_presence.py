"""What is done for a client that waits: it ends with the client, and with nothing left behind."""

import asyncio

import pytest
from starlette.requests import ClientDisconnect, Request

from app.api.presence import while_there


class Client:
    """A request whose body was read; ``leave`` closes the connection."""

    def __init__(self) -> None:
        self._gone = asyncio.Event()
        self.leave = self._gone.set
        self.request = Request({'type': 'http', 'headers': []}, self._receive)
        self.waiting, self.ended = asyncio.Event(), asyncio.Event()

    async def _receive(self) -> dict[str, str]:
        await self._gone.wait()
        return {'type': 'http.disconnect'}

    async def work(self, found: object = None) -> object:
        try:
            if found is None:
                self.waiting.set()
                await asyncio.Event().wait()
            if isinstance(found, Exception):
                raise found
            return found
        finally:
            self.ended.set()


async def test_who_stays_gets_what_was_found_or_what_went_wrong():
    client, before = Client(), asyncio.all_tasks()
    assert await while_there(client.request, client.work('found')) == 'found'
    with pytest.raises(KeyError):
        await while_there(client.request, client.work(KeyError()))
    assert asyncio.all_tasks() == before


async def test_nothing_waits_for_a_client_that_has_left():
    client, before = Client(), asyncio.all_tasks()
    waiting = asyncio.create_task(while_there(client.request, client.work()))
    await client.waiting.wait()
    client.leave()
    with pytest.raises(ClientDisconnect):
        await waiting
    assert client.ended.is_set() and asyncio.all_tasks() == before
