"""The workers as the page shows them: machines, the engines on them, their workers, models and errands. Pure."""

from collections.abc import Callable, Iterable
from typing import Any

from app.board import Board
from app.roster import Departed
from app.views import JobView
from broker import facts, protocol, vitals
from broker.errand import Errand

State = dict[str, Any]
SHOWN_ENDED_S = 600.0  # an errand that ended stays so long


def state_of(board: Board, name_of: Callable[[str, str], str], now: float) -> State:
    """What ``MachineBoard`` shows: the order of the machines, and rows by name for each kind of thing."""
    workers = board.workers()
    groups = _groups(workers)
    held = [job for job in board.running() if job.worker]
    hosts = sorted({worker.host for worker in workers})
    return {
        'ready': board.seq > 0 or board.broker_alive,
        'now': now,
        'paused': ('all', '') in board.pauses,
        'order': hosts,
        'machines': {host: _machine(host, workers, groups) for host in hosts},
        'groups': {key: _group(key, members) for key, members in groups.items()},
        'workers': {worker.worker: _worker(worker, board, held) for worker in workers},
        'jobs': {job.job_id: _job(job, name_of) for job in held},
        'errands': {each.errand_id: _errand(each) for each in _worth_telling(board.errands(), now)},
        'gone': {each.worker.worker: _gone(each) for each in board.departed()},
    }


def difference(before: State, after: State) -> State:
    """What has to be sent so that ``before`` becomes ``after``: of maps only the rows that differ and those gone."""
    patch: State = {}
    for key, value in after.items():
        old = before.get(key)
        if key in ('now', 'version') or value == old:
            continue
        if isinstance(value, dict) and isinstance(old, dict):
            rows = {name: row for name, row in value.items() if row != old.get(name)}
            patch[key] = {'set': rows, 'gone': [name for name in old if name not in value]}
        else:
            patch[key] = value
    return patch


def group_of(worker: protocol.WorkerInfo) -> str:
    """The engine it drives: those with the same backend share one, and so its models."""
    return worker.backend or worker.worker


def shown_models(worker: protocol.WorkerInfo) -> list[facts.ModelInfo]:
    """Its models; the demo's beside real ones are only there to step in."""
    real = [model for model in worker.models if model.engine != 'demo']
    return real or list(worker.models)


def _groups(workers: Iterable[protocol.WorkerInfo]) -> dict[str, list[protocol.WorkerInfo]]:
    groups: dict[str, list[protocol.WorkerInfo]] = {}
    for worker in sorted(workers, key=lambda worker: worker.engine == 'demo'):  # real engines first
        groups.setdefault(group_of(worker), []).append(worker)
    return groups


def _machine(host: str, workers: list[protocol.WorkerInfo], groups: dict[str, list[protocol.WorkerInfo]]) -> State:
    here = [worker for worker in workers if worker.host == host]
    felt = next((worker.vitals for worker in here if worker.vitals is not None), vitals.Vitals())
    return {
        'system': felt.system,
        'cpus': felt.cpus,
        'cpu': felt.cpu_percent if felt.cpu_percent >= 0 else None,
        'memory': [felt.memory_used, felt.memory_total],
        'gpus': [
            [gpu.name, gpu.memory_used, gpu.memory_total, gpu.used_percent if gpu.used_percent >= 0 else None]
            for gpu in felt.gpus
        ],
        'slots': sum(worker.slots for worker in here),
        'busy': sum(worker.busy for worker in here),
        'groups': [key for key, members in groups.items() if members[0].host == host],
        # workers whose engine is listed with another machine, since they share it
        'guests': [w.worker for w in here if groups[group_of(w)][0].host != host],
    }


def _group(key: str, members: list[protocol.WorkerInfo]) -> State:
    first = next((worker for worker in members if worker.models), members[0])
    felt = next((worker.vitals for worker in members if worker.vitals is not None and worker.vitals.loaded), None)
    host = members[0].host
    return {
        'engine': first.engine,
        'version': first.engine_version,
        'backend': first.backend,
        'problem': first.problem,
        'workers': [worker.worker for worker in members if worker.host == host],
        'models': [_model(model, felt) for model in shown_models(first)],
    }


def _model(model: facts.ModelInfo, felt: vitals.Vitals | None) -> State:
    loaded = vitals.of_model(felt, model) if model.resident else None
    return {
        'name': model.name,
        'size': model.size_bytes,
        'about': ' · '.join(filter(None, (model.parameter_size, model.quantization))),
        'resident': model.resident,
        'memory': loaded.size_bytes if loaded else 0,
        'vram': loaded.vram_bytes if loaded else 0,
        'expires': round(loaded.expires_at) if loaded else 0,
        'problem': model.problem,
        'embeds': 'embedding' in model.capabilities and 'completion' not in model.capabilities,
        'fixed': model.engine == 'demo' and model.size_bytes == 0,
    }


def _worker(worker: protocol.WorkerInfo, board: Board, held: list[JobView]) -> State:
    felt = worker.vitals or vitals.Vitals()
    return {
        'pid': worker.pid,
        'slots': worker.slots,
        'jobs': [job.job_id for job in held if job.worker == worker.worker],
        'labels': list(worker.labels),
        'problem': worker.problem,
        'paused': ('worker', worker.worker) in board.pauses,
        'leaving': worker.draining,
        'saturated': worker.saturated,
        'token': round(worker.last_token_at),
        'since': round(worker.started_at or worker.joined_at),
        'breaker': felt.breaker,
        'breaker_code': felt.breaker_code,
        'failing': [model.name for model in worker.models if model.problem],
    }


def _job(job: JobView, name_of: Callable[[str, str], str]) -> State:
    rate = job.tokens_per_s
    return {
        'title': name_of(job.job_id, job.conversation_id),
        'kind': job.kind,
        'model': job.model,
        'user': job.user,
        'started': job.started_at,
        'state': str(job.state),
        'rate': round(rate, 1) if rate < 10 else round(rate),
    }


def _worth_telling(errands: Iterable[Errand], now: float) -> list[Errand]:
    """Those under way, and how the others ended lately unless something else was asked of the same model since."""
    in_order = sorted(errands, key=lambda each: each.asked_at)
    last = {(each.worker, each.model): each for each in in_order}
    return [
        each
        for each in in_order
        if not each.final or (each.ended_at > now - SHOWN_ENDED_S and last[each.worker, each.model] is each)
    ]


def _errand(errand: Errand) -> State:
    return {
        'worker': errand.worker,
        'action': errand.action,
        'model': errand.model,
        'state': errand.state,
        'status': errand.status,
        'completed': errand.completed,
        'total': errand.total,
        'code': errand.code,
        'detail': errand.detail,
        'asked': errand.asked_at,
        'ended': errand.ended_at,
    }


def _gone(departed: Departed) -> State:
    return {
        'host': departed.worker.host,
        'engine': departed.worker.engine,
        'at': departed.at,
        'reason': departed.reason,
    }
