"""A worker as a thread of another program."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future

from broker import child
from workers.engines import choice
from workers.settings import WorkerSettings
from workers.worker import Worker


@contextlib.contextmanager
def running(settings: WorkerSettings) -> Iterator[None]:
    """Work meanwhile, and afterwards drain. Raises ``ValueError`` for an address of Ollama that is none."""
    begun = Future[Callable[[], object]]()
    thread = threading.Thread(
        target=lambda: child.run(_serve(settings, begun)), name=f'corral-worker {settings.worker}', daemon=True
    )
    thread.start()
    stop = begun.result()
    try:
        yield
    finally:
        with contextlib.suppress(RuntimeError):  # the loop may have ended by itself
            stop()
        thread.join()


async def _serve(settings: WorkerSettings, begun: Future[Callable[[], object]]) -> None:
    loop = asyncio.get_running_loop()
    try:
        worker = Worker(settings, choice.make(settings))
    except Exception as error:
        begun.set_exception(error)
        return
    begun.set_result(lambda: loop.call_soon_threadsafe(worker.stop))
    await worker.run()
