"""Following one errand on the board until it has ended."""

import asyncio
from collections.abc import AsyncIterator

from app.board import Board
from broker.errand import Errand

GRACE_S = 10.0  # an errand that the board does not know for so long is gone with its broker


async def news(board: Board, first: Errand) -> AsyncIterator[Errand]:
    """``first``, then every change of it, at most four a second; the last one is how it ended."""
    changed = asyncio.Event()
    unsubscribe = board.on_staff(changed.set)
    loop = asyncio.get_running_loop()
    known, seen_at = first, loop.time()
    try:
        yield known
        while not known.final:
            found = next((each for each in board.errands() if each.errand_id == first.errand_id), None)
            if found is not None:
                seen_at = loop.time()
                if found != known:
                    known = found
                    yield known
                    continue
            elif loop.time() - seen_at > GRACE_S:
                text = 'nobody knows any more how it went; look which models there are'
                yield _lost(known, text)
                return
            changed.clear()
            try:
                async with asyncio.timeout(1.0):
                    await changed.wait()
            except TimeoutError:
                continue
    finally:
        unsubscribe()


def _lost(known: Errand, text: str) -> Errand:
    fields = {name: getattr(known, name) for name in known.__struct_fields__}
    return Errand(**fields | {'state': 'failed', 'code': 'broker_restarted', 'detail': text})
