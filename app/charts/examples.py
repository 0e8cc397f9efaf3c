"""Queries to begin with, for the SQL box."""

from app.i18n import N_

EXAMPLES = (
    (
        N_('Who used how much this week'),
        """SELECT "user", count(*) AS jobs, sum(output_tokens) AS tokens, round(sum(gpu_s)) AS gpu_s
FROM jobs_ended
WHERE happened_at > epoch(now()) - 7 * 86400
GROUP BY "user"
ORDER BY gpu_s DESC""",
    ),
    (
        N_('The slowest answers of the last day, and why'),
        """SELECT job_id, model, "user",
  round(happened_at - queued_at, 1) AS response_s, round(waited_s, 1) AS waited_s,
  round(behind_s, 1) AS behind_others_s, round(load_s, 1) AS load_s, round(decode_s, 1) AS writing_s
FROM jobs_ended
WHERE outcome = 'completed' AND happened_at > epoch(now()) - 86400
ORDER BY response_s DESC
LIMIT 50""",
    ),
    (
        N_('Jobs per hour of the last two days'),
        """SELECT strftime(to_timestamp(floor(happened_at / 3600) * 3600)::TIMESTAMP, '%m-%d %H:00') AS hour_utc,
  count(*) FILTER (outcome = 'completed') AS completed,
  count(*) FILTER (outcome = 'failed') AS failed
FROM jobs_ended
WHERE happened_at > epoch(now()) - 2 * 86400
GROUP BY 1
ORDER BY 1""",
    ),
    (
        N_('How fast each model writes on each worker'),
        """SELECT model, worker, count(*) AS jobs,
  round(sum(output_tokens) / sum(decode_s), 1) AS tokens_per_s,
  round(quantile_cont(first_token_s, 0.5), 2) AS first_token_p50_s,
  round(quantile_cont(first_token_s, 0.95), 2) AS first_token_p95_s
FROM jobs_ended
WHERE decode_s > 0
GROUP BY ALL
ORDER BY model, tokens_per_s DESC""",
    ),
    (
        N_('Why attempts failed, with the last message'),
        """SELECT code, count(*) AS jobs, arg_max(detail, happened_at) AS last_message,
  to_timestamp(max(happened_at)) AS last_at
FROM jobs_ended
WHERE outcome = 'failed'
GROUP BY code
ORDER BY jobs DESC""",
    ),
    (
        N_('How far the predicted waits were off'),
        """SELECT priority, count(*) AS told,
  round(avg(CASE WHEN started_at BETWEEN predicted_from AND predicted_until THEN 1 ELSE 0 END), 3) AS held,
  round(quantile_cont(started_at - (predicted_from + predicted_until) / 2, 0.5), 1) AS median_error_s
FROM jobs_ended
WHERE predicted_until > 0 AND starts > 0
GROUP BY priority
ORDER BY priority DESC""",
    ),
    (
        N_('How often models had to be loaded'),
        """SELECT j.model, count(*) AS starts, count(*) FILTER (NOT s.resident) AS not_loaded,
  round(sum(j.load_s)) AS load_s
FROM starts s JOIN jobs_ended j USING (job_id)
GROUP BY j.model
ORDER BY load_s DESC""",
    ),
    (
        N_('The days with the most tokens'),
        """SELECT to_timestamp(happened_at)::DATE AS day, sum(output_tokens) AS tokens, count(*) AS jobs
FROM jobs_ended
GROUP BY day
ORDER BY tokens DESC
LIMIT 31""",
    ),
)
