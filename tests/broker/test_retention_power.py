"""The power goes at every single write and sync of a pruning: what stays is whole, what went is gone altogether."""

import contextlib
import itertools
import random

import pytest

from broker import errors, retention
from broker.job import State
from broker.retention import Keep, OldJobs, Sweep
from broker.store import Store
from tests.broker.crashing_disk import Disk, PowerLoss
from tests.broker.desk import job_id
from tests.broker.test_power_loss import PATH, open_on
from tests.broker.test_retention import DAY, NOW, SECRET, numbers, put

ALL = set(range(1, 31))
STAY = {n for n in ALL if n % 3 == 0}


def old_and_new(disk):
    """A store with old jobs to go and new ones to stay, and checkpoints often, so that they are hit as well."""
    store = open_on(disk, 'FULL')
    if store.last_seq() == 0:
        for n in sorted(ALL):
            put(store, (n, State.COMPLETED, NOW if n in STAY else float(n), {'body': SECRET * 50}))
    return store


def prepared():
    disk = Disk()
    old_and_new(disk).close()
    files = {name: bytes(file.durable) for name, file in disk.files.items()}
    disk.close()
    return files


def prune_until(files, power_for, monkeypatch):
    """How many were reported gone before the power went, and the disk."""
    monkeypatch.setattr(retention, 'ROWS', 7)
    disk, gone, store = Disk(files, power_for), 0, None
    try:
        store = old_and_new(disk)
        monkeypatch.setattr('broker.store.pruning._SPARE_PAGES', 0)
        going = Sweep(Keep(completed_s=DAY, facts_s=DAY))
        while going.due_at < NOW + retention.ROUND_S:
            portion = going.portion(NOW)
            done = store.prune(portion)
            gone += done.gone if isinstance(portion, OldJobs) else 0
            going.did(done, NOW)
    except (PowerLoss, errors.StoreError):
        pass
    finally:
        if store is not None:
            with contextlib.suppress(PowerLoss):
                store.close()
    return gone, disk


def what_is_wrong(files, gone):
    """With the queue that the restarted machine finds, if anything."""
    disk = Disk(files)
    try:
        store = Store(PATH, vfs=disk.name)
    except errors.StoreError:
        return ['corrupt']
    try:
        left = set(numbers(store))
        seqs = [fact.seq for fact in store.facts_after(0, 1_000)]
        went = [store.body(job_id(n)) or store.answer(job_id(n)) for n in ALL - left]
        wrong = {
            'corrupt': store._db.execute('PRAGMA integrity_check').fetchall() != [('ok',)],
            'lost': not left >= STAY or any(store.body(job_id(n)) != SECRET * 50 for n in left),
            'torn': any(went),
            'back again': len(went) < gone,
            'facts': seqs != list(range(seqs[0], 61)) or store.last_order() != 30,
            'miscounted': store._pruning.ended != len(left),
        }
        return [name for name, true in wrong.items() if true]
    finally:
        store.close()
        disk.close()


@pytest.mark.parametrize('seed', range(2))
def test_no_power_loss_while_pruning_loses_or_tears_anything(seed, monkeypatch):
    chance, files, bad = random.Random(seed), prepared(), []
    for power_for in itertools.count():
        gone, disk = prune_until(files, power_for, monkeypatch)
        survivors, finished = disk.survivors(chance), not disk.off
        disk.close()
        if problem := what_is_wrong(survivors, gone):
            bad.append((power_for, problem))
        if finished:
            break
    assert bad == []
    assert power_for > 50 and gone == len(ALL - STAY)
