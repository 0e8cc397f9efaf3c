"""What of OpenAI's API outlives its calls, in one place: responses, files and batches."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from fastapi import APIRouter

from app.api import openai_batches, openai_files, openai_responses
from app.api.openai_batches import Batches
from app.api.openai_responses import Responses
from app.api.openai_shelf import Shelf
from app.api.trouble import Trouble
from app.api.work import Doors
from app.desk import Desk


class Papers:
    """Their doors, and what they keep below ``data_dir``."""

    def __init__(self, doors: Doors, data_dir: Path, *, max_file_bytes: int, max_uploads_bytes: int) -> None:
        self.shelf = Shelf(data_dir / 'files', max_file_bytes=max_file_bytes, max_uploads_bytes=max_uploads_bytes)
        self.batches = Batches(doors, self.shelf)
        self.responses = Responses(doors, self.shelf)

    def routers(self) -> list[APIRouter]:
        """All paths."""
        return [
            openai_responses.router(self.responses),
            openai_files.router(self.shelf),
            openai_batches.router(self.batches),
        ]

    @contextlib.asynccontextmanager
    async def open_to(self, desk: Desk | None) -> AsyncIterator[None]:
        """There is a database meanwhile; batches that were not over go on."""
        if desk is None:
            yield
            return
        await self.shelf.open(desk)
        await self.batches.open()
        tidying = asyncio.create_task(self._tidy(), name='tidy')
        try:
            yield
        finally:
            tidying.cancel()
            await asyncio.gather(tidying, return_exceptions=True)
            await self.batches.close()
            self.shelf.close()

    async def _tidy(self) -> None:
        """Now and then let go of what nobody can ask for any more."""
        while True:
            try:
                await self.responses.tidy()
                await self.shelf.expire()
            except Trouble:
                pass  # it was logged; there is a next time
            await asyncio.sleep(openai_responses.TIDY_S)
