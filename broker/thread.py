"""The broker as a thread of another program."""

import contextlib
import threading
from collections.abc import Iterator

from broker.client import new_job_id
from broker.runtime import Runtime
from broker.server import Server
from broker.settings import BrokerSettings
from broker.store import Store


@contextlib.contextmanager
def running(settings: BrokerSettings) -> Iterator[None]:
    """Serve the queue meanwhile. Raises ``errors.StoreError`` when it cannot be opened."""
    with contextlib.closing(Store(settings.data_dir / 'queue.db')) as store:
        runtime = Runtime.restored(settings, store.settings())
        server = Server(
            store,
            settings.endpoints,
            runtime.settings.rules(),
            boot=new_job_id(),
            keep=runtime.settings.keep(),
            runtime=runtime,
        )
        thread = threading.Thread(target=server.run, name='corral-broker', daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.stop()
            thread.join()
