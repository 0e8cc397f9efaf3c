"""What the desk says when an answer failed or could not be sent, and while nobody can answer, by code."""

from app.i18n import N_

# What is said when an answer failed, and what to do about it, by code.
FAILURES = {
    'fail_unreachable': N_('Ollama could not be reached.'),
    'do_unreachable': N_('Start Ollama, then retry.'),
    'fail_busy': N_('Ollama was too busy to take this on.'),
    'do_busy': N_('Retry in a moment.'),
    'fail_runner_crashed': N_('The model crashed while it was at work.'),
    'do_runner_crashed': N_('Retry; if it happens again, pick a smaller model.'),
    'fail_first_token_timeout': N_('The model did not begin to answer in time.'),
    'do_first_token_timeout': N_('It may still be loading. Retry, or pick a smaller model.'),
    'fail_idle_timeout': N_('The model fell silent in the middle of its answer.'),
    'do_idle_timeout': N_('What came until then is above. Retry to get the whole answer.'),
    'fail_total_timeout': N_('The answer took longer than is allowed.'),
    'do_total_timeout': N_('Ask for a shorter answer, or pick a faster model.'),
    'fail_model_not_found': N_('Ollama does not have the model {model}.'),
    'do_model_not_found': N_('Pick another model, or get this one with: ollama pull {model}'),
    'fail_bad_request': N_('The model could not take this question.'),
    'do_bad_request': N_('Change the question or pick another model; the details say why.'),
    'fail_refused': N_('Ollama refused this question.'),
    'do_refused': N_('Change the question or pick another model; the details say why.'),
    'fail_engine_error': N_('Ollama reported an error.'),
    'do_engine_error': N_('Retry; the details say what happened.'),
    'fail_connection_lost': N_('The connection to Ollama broke off.'),
    'do_connection_lost': N_('Retry; if it happens again, restart Ollama.'),
    'fail_garbage': N_('Ollama sent something that could not be understood.'),
    'do_garbage': N_('Retry; if it happens again, update Ollama.'),
    'fail_line_too_long': N_('Ollama sent a piece of the answer that was too large.'),
    'do_line_too_long': N_('Retry; if it happens again, update Ollama.'),
    'fail_answer_too_large': N_('The answer became too large.'),
    'do_answer_too_large': N_('Ask for less at once.'),
    'fail_poison': N_('Every worker that took this on was lost.'),
    'do_poison': N_('This question seems to bring workers down. Change it or pick another model before you retry.'),
    'fail_deadline': N_('It could not start before its deadline.'),
    'do_deadline': N_('Ask again, or give it more time.'),
    'fail_predecessor': N_('A job that had to be completed first was not.'),
    'do_predecessor': N_('Run that one again, then retry this one; the details name it.'),
    'fail_body_too_large': N_('With the answers of the jobs before it, the question became too long.'),
    'do_body_too_large': N_('Ask for shorter answers there, then retry.'),
    'fail_breaker_open': N_('The machines that have {model} are out of order.'),
    'do_breaker_open': N_('They are tried again by themselves. Retry in a moment, or pick another model.'),
    'fail_worker_error': N_('Something went wrong in the worker.'),
    'do_worker_error': N_('Retry; its log has the details.'),
    'fail_no_slot': N_('The worker had no room for this.'),
    'do_no_slot': N_('Retry in a moment.'),
    'fail_other': N_('The answer failed.'),
    'do_other': N_('Retry; the details say what happened.'),
}
# What is said when a message could not be sent, by the code of the queue's refusal.
UNSENT = {
    'unsent_queue_full_for': N_('It did not reach the queue: the queue is full. Retry in about {time}.'),
    'unsent_conflict': N_('It did not reach the queue: its key was used for another request. Retry to get a new one.'),
    'unsent_unknown_job': N_(
        'It did not reach the queue: the job it comes after is not there any more. Retry to send it on its own.'
    ),
    'unsent_queue_full': N_(
        'It did not reach the queue: the queue is full. Wait until some jobs have ended, then retry.'
    ),
    'unsent_disk_full': N_(
        'It did not reach the queue: its disk is full, 32 MB are kept free for what runs. Make room, then retry.'
    ),
    'unsent_body_too_large': N_('It did not reach the queue: the conversation has become too long. Begin a new one.'),
    'unsent_unreachable': N_(
        'It did not reach the queue: the queue does not answer. It is being restarted; retry in a moment.'
    ),
    'unsent_broker_away': N_(
        'It did not reach the queue: the queue does not answer. It is being restarted; retry in a moment.'
    ),
    'unsent_interrupted': N_('It did not reach the queue: the desk was closed before. Retry to send it now.'),
    'unsent_bad_request': N_(
        'It did not reach the queue: the queue did not accept it. Change the question or pick another model.'
    ),
    'unsent_other': N_('It did not reach the queue. Retry in a moment.'),
}
# While no machine can run the model, by the queue's hint: what is missing, what helps, and the command for it.
WAITS_FOR = {
    'no_start_worker': N_('No machine is connected right now.'),
    'help_start_worker': N_('It starts when one is back; if none comes, start Corral again with:'),
    'run_start_worker': 'python3 run.py',
    'no_start_engine': N_('No engine answers right now, so {model} cannot run.'),
    'help_start_engine': N_('It starts by itself when one is back. This starts Ollama:'),
    'run_start_engine': 'ollama serve',
    'no_pull_model': N_('No machine has the model {model} right now.'),
    'help_pull_model': N_('Run this on one of them, and it starts by itself:'),
    'run_pull_model': 'ollama pull {model}',
    'no_group': N_('Only the machines of its group may run {model}, and none of them has it.'),
    'help_group': N_('Run this on one of them, and it starts by itself:'),
    'run_group': 'ollama pull {model}',
    'no_failing': N_('The machines that have {model} are out of order right now.'),
    'help_failing': N_('It starts as soon as one of them is back.'),
}
