"""The broker process: ``python -m broker``, with its settings as one line of JSON on stdin."""

import logging
import os
import sys

from broker import child, errors
from broker.client import new_job_id
from broker.load import Load
from broker.runtime import Runtime
from broker.server import Server
from broker.settings import BrokerSettings
from broker.store import Store


def main() -> int:
    """Open the queue, serve it until told to stop. 78 means: starting again would not help."""
    os.umask(0o077)
    settings = child.read_settings(BrokerSettings)
    child.open_files()  # each machine that joins is one
    child.configure_logging('broker', settings.data_dir, settings.log_level)
    try:
        store = Store(settings.data_dir / 'queue.db')
    except errors.StoreError as error:
        logging.getLogger(__name__).error('%s', error, extra={'action': 'open'})
        child.report(error=str(error))
        return child.CANNOT_START
    loads = child.Latest()
    runtime = Runtime.restored(settings, store.settings())
    try:
        server = Server(
            store,
            settings.endpoints,
            runtime.settings.rules(),
            boot=new_job_id(),
            keep=runtime.settings.keep(),
            runtime=runtime,
            on_load=lambda load: loads.report(load=_plain(load)),
            listen=settings.listen,
        )
    except errors.BrokerError as error:  # somebody else has the address, maybe only for now
        logging.getLogger(__name__).error('%s', error, extra={'action': 'serve'})
        child.report(error=str(error))
        store.close()
        return 1
    child.on_stop(server.stop)
    child.report(ready=True)
    try:
        server.run()
    finally:
        store.close()
    return 0


def _plain(load: Load) -> dict[str, object]:
    return {**load._asdict(), 'workers': {name: worker._asdict() for name, worker in load.workers.items()}}


if __name__ == '__main__':
    sys.exit(main())
