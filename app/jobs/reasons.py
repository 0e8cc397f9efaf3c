"""Why attempts failed and why jobs wait, in a few words each, for charts and tables."""

from app.i18n import N_

REASONS = {
    'bad_request': N_('The request was wrong'),
    'body_too_large': N_('The request became too large'),
    'answer_too_large': N_('The answer became too large'),
    'breaker_open': N_('Machines out of order'),
    'busy': N_('The engine was too busy'),
    'canary_failed': N_('The model gave no sign of life'),
    'connection_lost': N_('Connection lost'),
    'deadline': N_('Too late to start'),
    'engine_error': N_('Error of the engine'),
    'first_token_timeout': N_('No first token in time'),
    'garbage': N_('Unreadable answer'),
    'idle_timeout': N_('Silent in mid-answer'),
    'line_too_long': N_('Unreadable answer'),
    'model_not_found': N_('Model not found'),
    'no_slot': N_('No room in the worker'),
    'poison': N_('Took workers down'),
    'predecessor': N_('An earlier job failed'),
    'refused': N_('Refused by the engine'),
    'runner_crashed': N_('The model crashed'),
    'total_timeout': N_('Took too long'),
    'unreachable': N_('Engine unreachable'),
    'worker_error': N_('Error in the worker'),
    'worker_lost': N_('Worker lost'),
    'other': N_('Another reason'),
}
# The fields of ``analytics.answers.Waits`` that make up all the time of a job, in the order in which it passes.
WAITS = {
    'blocked_s': N_('After another job'),
    'delayed_s': N_('Scheduled for later'),
    'paused_s': N_('Paused'),
    'limited_s': N_('Held back by a limit'),
    'no_worker_s': N_('No worker for the model'),
    'behind_s': N_('Behind others'),
    'retry_s': N_('Earlier attempts'),
    'load_s': N_('Loading the model'),
    'prompt_s': N_('Reading the question'),
    'decode_s': N_('Writing the answer'),
    'other_s': N_('The rest of the run'),
}
