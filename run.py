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
    from app import environment

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
    from app import pool, settings
    from broker.settings import BrokerSettings
    from workers.settings import WorkerSettings

    common = {'data_dir', 'endpoints', 'log_level'}
    from_flags = {'engine', 'ollama_url'}
    return {
        'broker': settings.table(BrokerSettings, without=common),
        'pool': pool.PoolSettings,
        'worker': settings.table(WorkerSettings, without=common | from_flags | {'worker', 'slots', 'drain_s'}),
        'app': settings.table(settings.AppSettings, without=common | from_flags | {'host', 'port', 'version', 'pages'}),
    }


def compose(settings, *, pages=True):
    """The processes of one start: the broker, the workers, the desk. They stop in the opposite order.

    Where ``workers`` is a range, all of it is there, and those above the least are spare. Without ``pages`` the desk is
    the APIs alone.
    """
    import os
    import socket

    from app import options
    from app.settings import AppSettings
    from broker import addresses
    from broker.settings import BrokerSettings

    endpoints = addresses.choose(settings.data_dir, settings.transport)
    common = {'data_dir': settings.data_dir, 'log_level': settings.log_level}
    broker = BrokerSettings(**settings.broker.model_dump(), **common, endpoints=endpoints)
    workers = [
        _worker(settings, endpoints, f'{socket.gethostname()}:{place}', slots)
        for place, slots in enumerate(settings.slots_by_worker(os.cpu_count() or 1), start=1)
    ]
    desk = AppSettings(
        **settings.app.model_dump(),
        **common,
        engine=settings.engine,
        ollama_url=settings.ollama_url,
        endpoints=endpoints.for_peers(),
        host=settings.host,
        port=settings.port,
        version=options.version(),
        pages=pages,
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
    from app.supervisor import ProcessSpec

    return ProcessSpec(
        name=name,
        argv=(sys.executable, '-m', room),
        settings_json=its_settings.model_dump_json(),
        stop_order=stop_order,
        grace_s=grace_s,
        spare=spare,
    )


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
