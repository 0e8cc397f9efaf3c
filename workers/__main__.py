"""``python -m workers``: one worker process, with its settings as a line of JSON on stdin."""

import asyncio
import contextlib
import logging
import os

from broker import child
from workers.engines import choice
from workers.settings import WorkerSettings
from workers.worker import Worker


def main() -> None:
    """Work until the parent ends stdin or sends SIGTERM, or until the broker says to leave."""
    os.umask(0o077)
    settings = child.read_settings(WorkerSettings)
    child.configure_logging(f'worker-{_file_name(settings.worker)}', settings.data_dir, settings.log_level)
    logging.getLogger('httpx').setLevel(logging.WARNING)  # a line per request is too much
    child.run(_serve(settings))


async def _serve(settings: WorkerSettings) -> None:
    loop = asyncio.get_running_loop()
    worker = Worker(
        settings,
        choice.make(settings),
        on_ready=lambda engine: child.report(ready=True, engine=engine),
        on_refused=lambda why: child.report(refused=True, why=why),
    )

    def stop() -> None:
        with contextlib.suppress(RuntimeError):  # the loop may have ended by itself
            loop.call_soon_threadsafe(worker.stop)

    child.on_stop(stop)
    await worker.run()
    if worker.left:  # it is not to be started again
        with contextlib.suppress(OSError):
            child.report(left=True)


def _file_name(worker: str) -> str:
    return ''.join(c if c.isalnum() or c in '-.' else '-' for c in worker)


if __name__ == '__main__':
    main()
