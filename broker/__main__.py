"""The broker process: ``python -m broker``, with its settings as one line of JSON on stdin."""

import logging
import os
import sys

from broker import child, errors
from broker.client import new_job_id
from broker.fleet import Group
from broker.guess import Rule
from broker.load import Load
from broker.order import Fairness
from broker.retry import RetryPolicy
from broker.rules import Rules
from broker.server import Server
from broker.settings import BrokerSettings
from broker.store import Store


def main() -> int:
    """Open the queue, serve it until told to stop. 78 means: starting again would not help."""
    os.umask(0o077)
    settings = child.read_settings(BrokerSettings)
    child.configure_logging('broker', settings.data_dir, settings.log_level)
    try:
        store = Store(settings.data_dir / 'queue.db')
    except errors.StoreError as error:
        logging.getLogger(__name__).error('%s', error, extra={'action': 'open'})
        child.report(error=str(error))
        return child.CANNOT_START
    loads = child.Latest()
    server = Server(
        store,
        settings.endpoints,
        rules_from(settings),
        boot=new_job_id(),
        keep=settings.keep(),
        on_load=lambda load: loads.report(load=_plain(load)),
    )
    child.on_stop(server.stop)
    child.report(ready=True)
    try:
        server.run()
    finally:
        store.close()
    return 0


def _plain(load: Load) -> dict[str, object]:
    return {**load._asdict(), 'workers': {name: worker._asdict() for name, worker in load.workers.items()}}


def rules_from(settings: BrokerSettings) -> Rules:
    """The core's numbers out of the settings."""
    return Rules(
        lease_ttl_s=settings.lease_ttl_s,
        heartbeat_s=min(settings.heartbeat_s, settings.lease_ttl_s / 3),  # one may be late, or a healthy run is lost
        reattach_s=settings.reattach_s,
        retry=RetryPolicy(settings.retry_base_s, settings.retry_max_s),
        fairness=Fairness(settings.overdue_after_s, settings.overdue_every, settings.affinity_wait_s),
        balance=settings.balance,
        groups=tuple(Group(group.models, group.workers, group.labels) for group in settings.groups),
        limits=settings.limits(),
        max_waiting_per_user=settings.max_waiting_per_user,
        max_waiting_bytes=settings.max_waiting_bytes,
        priority_rules=tuple(Rule(**rule.model_dump()) for rule in settings.priority_rules),
        max_losses=settings.max_losses,
        max_waiting=settings.max_waiting,
        max_answer_bytes=settings.max_answer_bytes,
    )


if __name__ == '__main__':
    sys.exit(main())
