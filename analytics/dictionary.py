"""What the tables of the analytics file mean, for the SQL box and docs/analytics.md: a sentence for each column."""

import re
from pathlib import Path

from analytics.answers import Column, Table

TABLES = {
    'jobs_ended': 'Each job that ended, once, with where its time went.',
    'queued': 'Each job when it was accepted.',
    'starts': 'Each start of a job on a worker.',
    'requeues': 'Each time a running job went back into the queue.',
    'dues': 'Each time a delayed job could run again.',
    'unblocks': 'Each time all jobs that had to be completed before another one were.',
    'shares': 'Each time one caller more, or one less, waited for a job.',
    'priority_changes': 'Each change of the priority of a waiting job.',
    'cancel_requests': 'Each time a running job was told to stop.',
    'depth': 'How many jobs waited for a slot, over time, in all and by model.',
    'slots': 'How many slots there were and how many were busy, over time, in all and by worker.',
    'worker_joins': 'Each worker process that announced itself.',
    'worker_changes': 'Each change of a worker’s engine, models or slots.',
    'worker_retirements': 'Each time a worker was asked to leave.',
    'worker_leaves': 'Each worker that went.',
    'pauses': 'Each pause that began.',
    'resumes': 'Each pause that ended.',
    'drains': 'Each time the last run of something that was to be drained ended.',
    'batches_opened': 'Each batch that began.',
    'batches_ended': 'Each batch that ended.',
    'schedules_set': 'Each time a schedule was made or changed.',
    'schedules_removed': 'Each schedule that was removed.',
    'schedule_skips': 'Ticks of schedules that passed without a job.',
}
_COLUMNS = {
    'seq': 'Number of the fact this row is made of; it has no gaps over all tables.',
    'happened_at': 'When it happened, unix seconds; to_timestamp(happened_at) shows it as a date.',
    'job_id': 'Id of the job.',
    'kind': 'What it asks of the model: chat, generate, embed or raw.',
    'model': 'Name of the model.',
    'priority': 'Priority, 0 to 15, higher goes first.',
    'user': 'Who asked; a word of SQL, so write it as "user".',
    'conversation_id': 'Id of the conversation; empty when it is not from the chat.',
    'body_bytes': 'Size of the request, bytes.',
    'due_at': 'Not before this time, unix seconds; 0 is at once.',
    'deadline_at': 'Not after this time, unix seconds; 0 is no deadline.',
    'replay_of': 'Id of the dead job that this one does again.',
    'parent': 'Id of its batch.',
    'schedule': 'Id of the schedule that made it.',
    'priority_rule': 'The rule that guessed its priority; empty when its sender chose it.',
    'runner': 'What has to be loaded to run it; empty is the model as it is.',
    'blocked_by': 'How many jobs had to be completed first.',
    'epoch': 'Rises with each start of the job.',
    'worker': 'Name of the worker.',
    'starts': 'How often the job started until then.',
    'waited_s': 'From queued to the last start, or to the end when it never started, seconds.',
    'predicted_from': 'When the start was first predicted, at the earliest, unix seconds; 0 when nothing was said.',
    'predicted_until': 'When the start was first predicted, at the latest, unix seconds.',
    'resident': 'Whether what it needs was loaded there already.',
    'limited_s': 'So much of the wait a rate limit or a cap held it, seconds.',
    'reason': 'Why.',
    'failures': 'How many attempts had failed.',
    'losses': 'How many workers were lost while they ran it.',
    'code': 'Short name of the failure.',
    'detail': 'What the engine or the worker said of the failure.',
    'trace': 'Where in the worker’s code it broke.',
    'claims': 'How many callers wait for it now.',
    'was': 'The priority before.',
    'queued_at': 'When it was accepted, unix seconds.',
    'started_at': 'When its last attempt began, unix seconds; 0 when it never started.',
    'ran_s': 'How long its last attempt took, seconds.',
    'engine': 'The engine: ollama, openai or demo.',
    'lines': 'How many lines the answer has.',
    'prompt_tokens': 'Tokens of the question that were read.',
    'output_tokens': 'Tokens of the answer.',
    'load_s': 'Loading the model in the last attempt, seconds.',
    'prompt_s': 'Reading the question, seconds.',
    'decode_s': 'Writing the answer, seconds.',
    'first_token_s': 'From the request to the engine until the first token, seconds; 0 when unknown.',
    'total_s': 'From the request to the engine until its last line, seconds.',
    'done_reason': 'Why the engine stopped: stop, length, …',
    'truncated': 'Whether the engine ended without saying that it was done.',
    'outcome': 'completed, failed (for good) or cancelled.',
    'source': 'Where it came from: chat, api, batch or schedule.',
    'behind_s': 'So much of the wait others had the slots, seconds.',
    'paused_s': 'So much of the wait it was paused, seconds.',
    'no_worker_s': 'So much of the wait no worker could run its model, seconds.',
    'delayed_s': 'So much of the wait it was not due yet, seconds.',
    'blocked_s': 'So much of the wait a job before it had not ended, seconds.',
    'retry_s': 'So much of the wait went into earlier attempts and the pauses after them, seconds.',
    'gpu_s': 'Its share of its workers’ busy time, all attempts, seconds; jobs side by side share a worker.',
    'energy_wh': 'Energy for that, watt-hours; 0 where no wattage is set.',
    'response_b': 'Bucket of the response time: the middle of bucket b is 0.001 * 1.08 ** (b - 0.5) seconds.',
    'wait_b': 'Bucket of the wait, likewise.',
    'first_token_b': 'Bucket of the time to the first token, likewise.',
    'span_s': 'How much time the row covers from happened_at on, seconds.',
    'waited_job_s': 'Jobs that waited, times seconds: divided by span_s it is the mean.',
    'most': 'Most jobs that waited at once.',
    'slot_s': 'Slots times seconds: divided by span_s it is the mean.',
    'busy_s': 'Busy slots times seconds.',
    'session': 'Id of the worker process.',
    'host': 'Name of its machine.',
    'pid': 'Its process id there.',
    'engine_version': 'Version of its engine.',
    'slots': 'How many jobs it runs at once.',
    'models': 'The models it can run, with commas between.',
    'problem': 'Why its engine cannot run anything now; empty when it can.',
    'labels': 'Its labels, with commas between.',
    'grace_s': 'How long its runs had to end, seconds.',
    'scope': 'What is meant: all, model, priority, user or worker.',
    'name': 'Its name.',
    'draining': 'Whether somebody wants to know when the last run has ended.',
    'batch_id': 'Id of the batch.',
    'total': 'How many jobs it has.',
    'completed': 'How many of its jobs were completed.',
    'dead': 'How many of its jobs failed for good.',
    'cancelled': 'How many of its jobs were cancelled.',
    'schedule_id': 'Id of the schedule.',
    'cron': 'Its cron line.',
    'timezone': 'The time zone in which that is read.',
    'enabled': 'Whether it is awake.',
    'ticks': 'How many.',
}
_IN_TABLE = {
    ('depth', 'model'): 'Name of the model; empty is all together.',
    ('depth', 'happened_at'): 'When the row begins, unix seconds.',
    ('slots', 'worker'): 'Name of the worker; empty is all together.',
    ('slots', 'happened_at'): 'When the row begins, unix seconds.',
    ('starts', 'limited_s'): 'So long, since it was last ready to start, a limit kept it waiting, seconds.',
    ('starts', 'waited_s'): 'Since it was queued, seconds.',
}


def tables() -> list[Table]:
    """All tables with their columns, in the order of the file; ``meta`` is left out."""
    schema = Path(__file__).with_name('schema.sql').read_text(encoding='utf-8')
    found = re.findall(r'^CREATE TABLE (\w+) \((.*?)\);$', schema, flags=re.MULTILINE | re.DOTALL)
    columns = {name: re.findall(r'"?(\w+)"? ([A-Z]+)', text) for name, text in found}
    return [
        Table(
            name=name,
            about=about,
            columns=[
                Column(name=column, type=kind, about=_IN_TABLE.get((name, column)) or _COLUMNS[column])
                for column, kind in columns[name]
            ],
        )
        for name, about in TABLES.items()
    ]


def markdown() -> str:
    """The same as a document."""
    parts = ['| Column | Type | What it says |', '|---|---|---|']
    text = ''
    for table in tables():
        rows = [f'| `{column.name}` | {column.type} | {column.about} |' for column in table.columns]
        text += '\n'.join(['', f'### `{table.name}`', '', table.about, '', *parts, *rows, ''])
    return text
