"""What the broker says, looked at as it leaves: I11 and I12 for streams, I13 for refusals, I16 for everything."""

from broker import facts, protocol
from broker.actions import Action, FromStore, Publish, Send, SendJob
from broker.job import FINAL, HELD_BY_WORKER, State
from tests.broker.sim.history import History, line
from tests.broker.sim.violation import Violation


class Wire:
    """Compares messages with what is stored at that moment."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._told: dict[tuple[str, int], int] = {}  # lines published by this broker, by job and epoch
        self._head = 0  # the newest fact that was published

    def booted(self) -> None:
        """A new broker: it has no lines, and begins again with those that workers send once more."""
        self._told.clear()
        self._head = len(self._history.facts)

    def passes(self, action: Action) -> None:
        """Raise Violation when this must not be said now."""
        match action:
            case Publish(_, protocol.TokensOut() as tokens):
                self._tokens(tokens)
            case Publish(_, protocol.Pulse(seq=seq)) | Send(_, protocol.Pong(seq=seq)):
                if seq > len(self._history.facts):
                    raise Violation('I16', f'seq {seq} is told, {len(self._history.facts)} is stored')
            case Publish(_, protocol.Standing()) | FromStore():
                pass
            case Send(_, message) | SendJob(_, message):
                self._message(message)

    def tells(self, fact: facts.AnyFact) -> None:
        """Raise Violation when this fact must not be published now."""
        if fact.seq > len(self._history.facts):
            raise Violation('I16', f'fact {fact.seq} is told before it is stored')
        if fact.seq != self._head + 1:
            raise Violation('I15', f'fact {fact.seq} is told after {self._head}')
        self._head = fact.seq

    def _message(self, message: protocol.Reply | protocol.ToWorker) -> None:
        jobs = self._history.jobs
        match message:
            case protocol.Accepted(job_id=name) if name not in jobs:
                raise Violation('I16', f'{name} is acknowledged before it is stored')
            case protocol.Submitted(results=results):
                for result in results:
                    self._message(result)
            case protocol.Assign(job_id=name, epoch=epoch):
                if jobs[name].epoch < epoch:
                    raise Violation('I16', f'{name}/{epoch} is assigned before it is stored')
            case protocol.Settled(job_id=name, epoch=epoch):
                job = jobs.get(name)
                if job is not None and job.epoch == epoch and job.state in HELD_BY_WORKER:
                    raise Violation('I16', f'{name}/{epoch} is settled before that is stored')
            case protocol.Stop(job_id=name, epoch=epoch, stale=False):
                if jobs[name].epoch == epoch and jobs[name].state is State.RUNNING:
                    raise Violation('I16', f'{name}/{epoch} is stopped before that is stored')
            case protocol.Refused(code='queue_full', retry_after_s=wait_s) if wait_s <= 0:
                raise Violation('I13', 'refused for now, and not said for how long')
            case protocol.Lines():
                self.lines(message.job_id, message.epoch, message.index, message.lines)

    def _batch(self, batch: protocol.Batch) -> None:
        states = self._history.counted(batch.batch_id)
        mine = (states.total(), *(states[state] for state in (State.COMPLETED, State.DEAD, State.CANCELLED)))
        if mine != (batch.submitted, batch.completed, batch.dead, batch.cancelled):
            raise Violation('I15', f'{batch.batch_id} is told as {batch}, and its jobs are {states}')

    def _tokens(self, tokens: protocol.TokensOut) -> None:
        job = self._history.jobs[tokens.job_id]
        if job.epoch < tokens.epoch:
            raise Violation('I16', f'lines of {job.name}/{tokens.epoch} are told before its start is stored')
        key = (tokens.job_id, tokens.epoch)
        if tokens.index != self._told.get(key, 0):
            raise Violation('I11', f'lines of {key} from {tokens.index} on follow {self._told.get(key, 0)}')
        self._told[key] = tokens.index + len(tokens.lines)
        self.lines(tokens.job_id, tokens.epoch, tokens.index, tokens.lines)

    def at_this_moment(self, message: protocol.Published | protocol.Reply | protocol.ToWorker) -> None:
        """Before ``passes``, in the order of the facts: what is true of the moment when it was decided to say it."""
        match message:
            case protocol.TokensOut():
                job = self._history.jobs.get(message.job_id)
                if job is not None and job.epoch == message.epoch and job.state in (State.CANCELLING, *FINAL):
                    raise Violation('I12', f'lines of {job.name} are told, and it is {job.state}')
            case protocol.Accepted(job_id=name):
                self._history.deletions.names(name)
            case protocol.Submitted(results=results):
                for result in results:
                    self.at_this_moment(result)
            case protocol.Assign(job_id=name):
                if name in self._history.jobs and self._history.jobs[name].state is State.CANCELLED:
                    raise Violation('I12', f'{name} is assigned and was cancelled')
            case protocol.Batches(batches=batches):
                for batch in batches:
                    self._batch(batch)

    def lines(self, job_id: str, epoch: int, index: int, lines: tuple[bytes, ...]) -> None:
        """I11: these are the lines that the worker gave for these numbers."""
        if list(lines) != [line(job_id, epoch, number) for number in range(index, index + len(lines))]:
            raise Violation('I11', f'lines of {job_id}/{epoch} from {index} on are {lines}')
