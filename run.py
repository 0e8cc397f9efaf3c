"""Corral's one command: ``python3 run.py`` sets everything up on the first start and then runs it.

This file is the composition root: it alone knows all rooms. It must be readable for old Pythons up to the version
check, so it imports nothing but ``sys`` before that.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036  read by older ones too
    this = '.'.join(map(str, sys.version_info[:2]))
    sys.exit(f'Corral needs Python 3.11 or newer, and this is {this}: start it with a newer one.')


def main(arguments):
    """Set up the environment where needed, enter it, and do what ``arguments`` say; returns the exit code."""
    from app.launching import environment

    try:
        environment.enter(with_tests=arguments[:1] == ['test'])
        from app import cli

        return cli.run(arguments, compose, tables, one_worker)
    except environment.SetupError as error:
        print(error, file=sys.stderr)
    except ModuleNotFoundError as error:
        if environment.is_ours(error.name):
            raise
        print(environment.damaged(error.name), file=sys.stderr)
    except KeyboardInterrupt:
        return 130
    return 1


def tables():
    """The tables of ``corral.toml`` by name, one for each room: what a user may set about it."""
    from app import settings
    from app.launching import pool
    from broker.settings import BrokerSettings
    from workers.settings import WorkerSettings

    common = {'data_dir', 'endpoints', 'log_level'}
    from_flags = {'engine', 'ollama_url'}
    return {
        'broker': settings.table(BrokerSettings, without=common | {'listen'}),
        'pool': pool.PoolSettings,
        'worker': settings.table(WorkerSettings, without=common | from_flags | {'worker', 'slots', 'drain_s'}),
        'app': settings.table(
            settings.AppSettings,
            without=common | from_flags | {'host', 'port', 'version', 'pages', 'launched', 'listen'},
        ),
    }


def compose(settings, *, pages=True):
    """The processes of one start: the broker, the workers, the desk. They stop in the opposite order.

    Where ``workers`` is a range, all of it is there, and those above the least are spare. Without ``pages`` the desk is
    the APIs alone.
    """
    import socket

    from app import options
    from app.settings import AppSettings
    from broker import addresses
    from broker.settings import BrokerSettings

    endpoints = addresses.choose(settings.data_dir, settings.transport)
    common = {'data_dir': settings.data_dir, 'log_level': settings.log_level}
    broker = BrokerSettings(**settings.broker.model_dump(), **common, endpoints=endpoints, listen=settings.listen)
    workers = [
        _worker(settings, endpoints, f'{socket.gethostname()}:{place}', slots)
        for place, slots in enumerate(settings.slots_by_worker(), start=1)
    ]
    desk = AppSettings(
        **settings.app.model_dump(),
        **common,
        engine=settings.engine,
        ollama_url=settings.ollama_url,
        endpoints=endpoints.for_peers(),
        host=settings.host,
        port=settings.port,
        listen=settings.listen,
        version=options.version(),
        pages=pages,
        launched=settings.told(),
    )
    at_first = settings.workers.minimum if settings.follows_load else len(workers)
    return [
        _process('broker', 'broker', broker, 3, 0.8),
        *(
            _process(f'worker-{place}', 'workers', each, 2, 5.2, spare=place > at_first)
            for place, each in enumerate(workers, start=1)
        ),
        _process('app', 'app', desk, 1, 2.0),
    ]


def one_worker(settings, endpoints, name):
    """The process of one worker more, for a Corral that runs."""
    worker = _worker(settings, endpoints, name, 1 if settings.slots is None else settings.slots)
    return _process(f'worker-{name}'.replace('/', '-').replace(':', '-'), 'workers', worker, 1, 5.2)


def _worker(settings, endpoints, name, slots):
    from workers.settings import WorkerSettings

    return WorkerSettings(
        **settings.worker.model_dump(),
        data_dir=settings.data_dir,
        log_level=settings.log_level,
        engine=settings.engine,
        ollama_url=settings.ollama_url,
        endpoints=endpoints.for_peers(),
        worker=name,
        slots=slots,
    )


def _process(name, room, its_settings, stop_order, grace_s, *, spare=False):
    from app.launching.supervisor import ProcessSpec

    return ProcessSpec(
        name=name,
        argv=(sys.executable, '-m', room),
        settings_json=its_settings.model_dump_json(),
        stop_order=stop_order,
        grace_s=grace_s,
        spare=spare,
    )


class Running:
    """The queue of the Corral that runs on ``data_dir``: ``with Running() as jobs: …``, or with ``async``.

    ``with`` gives a ``broker.blocking.BlockingJobs``, ``async with`` a ``broker.jobs.Jobs``. Raises
    ``app.launching.data_dir.DataDirError`` where none runs.
    """

    def __init__(self, data_dir='data', *, user=''):
        self._data_dir = data_dir
        self._user = user

    def __enter__(self):
        from broker.blocking import BlockingJobs

        self._blocking = BlockingJobs(lambda: self)
        return self._blocking.__enter__()

    def __exit__(self, *failure):
        self._blocking.__exit__(*failure)

    async def __aenter__(self):
        import asyncio
        import contextlib

        from broker.client import BrokerClient
        from broker.jobs import Jobs

        self._threads, self._stack = contextlib.ExitStack(), contextlib.AsyncExitStack()
        try:
            endpoints = await asyncio.to_thread(self._start, self._threads)
            client = await self._stack.enter_async_context(BrokerClient(endpoints))
            return await self._stack.enter_async_context(Jobs(client, user=self._user))
        except BaseException:
            await self.__aexit__(None, None, None)
            raise

    async def __aexit__(self, *failure):
        import asyncio

        await self._stack.__aexit__(*failure)
        await asyncio.to_thread(self._threads.close)

    def _start(self, stack):
        """Where the broker is. What has to be ended afterwards goes on the ``stack``."""
        from pathlib import Path

        from app.launching import data_dir
        from broker.endpoints import Endpoints

        holder = data_dir.holder(Path(self._data_dir))
        if holder is None or not holder.endpoints_json:
            raise data_dir.DataDirError(f'No Corral runs on {self._data_dir}; start one with python3 run.py.')
        return Endpoints.model_validate_json(holder.endpoints_json)


class Corral(Running):
    """The queue inside your own program: ``with Corral() as jobs: …``, or ``async with Corral() as jobs: …``.

    Broker and worker are threads of it; there is no desk, no port and no other process. ``data_dir`` keeps the queue
    from one time to the next; without one it is gone afterwards. ``broker`` and ``worker`` are settings as in the
    tables of ``corral.toml``. ``with`` gives a ``broker.blocking.BlockingJobs``, ``async with`` a ``broker.jobs.Jobs``.

    Raises ``app.launching.data_dir.DataDirError`` or ``broker.errors.StoreError`` when the folder cannot be used, and
    ``pydantic.ValidationError`` or ``ValueError`` for settings that are wrong.
    """

    def __init__(self, data_dir=None, *, engine='auto', ollama_url=None, slots=0, user='', broker=None, worker=None):
        super().__init__(data_dir, user=user)
        self._engine = {'engine': engine, 'slots': slots} | ({'ollama_url': ollama_url} if ollama_url else {})
        self._broker = broker or {}
        self._worker = worker or {}

    def _start(self, stack):
        """Start the threads."""
        import tempfile
        from pathlib import Path

        from app.launching import data_dir
        from broker import addresses
        from broker import thread as broker_thread
        from broker.settings import BrokerSettings
        from workers import thread as worker_thread
        from workers.settings import WorkerSettings

        folder = Path(self._data_dir or stack.enter_context(tempfile.TemporaryDirectory(prefix='corral-'))).resolve()
        held = stack.enter_context(data_dir.hold(folder))
        endpoints = addresses.choose(folder)
        broker = BrokerSettings(data_dir=folder, endpoints=endpoints, **self._broker)
        stack.enter_context(broker_thread.running(broker))
        worker = {'worker': 'embedded', 'drain_s': 0, **self._engine, **self._worker}
        peers = endpoints.for_peers()
        stack.enter_context(worker_thread.running(WorkerSettings(data_dir=folder, endpoints=peers, **worker)))
        held.write_endpoints(peers.model_dump_json())  # so that the commands work on it as well
        return peers


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
