-- Named queries; analytics/queries.py gives them parameters and types. Times are unix seconds.
-- {parts} is what analytics/parts.py puts there: sums over jobs that ended, at most one row for each step, value of a
-- dimension and outcome. {jobs} are the jobs themselves. {filter} is a condition on the columns of jobs_ended.
-- Response time is from queued to ended (the wait and the last attempt), of completed jobs only.

-- name: summary
SELECT
    coalesce(sum(jobs), 0),
    coalesce(sum(jobs) FILTER (outcome = 'completed'), 0),
    coalesce(sum(jobs) FILTER (outcome = 'failed'), 0),
    coalesce(sum(jobs) FILTER (outcome = 'cancelled'), 0),
    sum(response_s) FILTER (outcome = 'completed') / nullif(sum(jobs) FILTER (outcome = 'completed'), 0),
    sum(started_wait_s) / nullif(sum(started), 0),
    sum(first_token_s) / nullif(sum(first_tokens), 0),
    sum(run_s) FILTER (outcome = 'completed') / nullif(sum(jobs) FILTER (outcome = 'completed'), 0),
    coalesce(sum(prompt_tokens), 0),
    coalesce(sum(output_tokens), 0),
    sum(timed_tokens) / nullif(sum(decode_s), 0),
    coalesce(sum(retries), 0),
    coalesce(sum(gpu_s), 0.0),
    coalesce(sum(energy_wh), 0.0)
FROM {parts};

-- name: completed_between
SELECT count(*) FROM jobs_ended
WHERE happened_at >= $since AND happened_at < $until AND outcome = 'completed' AND {filter};

-- name: per_minute
SELECT
    CAST(floor(bucket / $step_s) AS BIGINT),
    coalesce(sum(jobs) FILTER (outcome = 'completed'), 0),
    coalesce(sum(jobs) FILTER (outcome = 'failed'), 0),
    coalesce(sum(jobs) FILTER (outcome = 'cancelled'), 0),
    sum(started_wait_s) / nullif(sum(started), 0),
    sum(first_token_s) / nullif(sum(first_tokens), 0),
    sum(response_s) FILTER (outcome = 'completed') / nullif(sum(jobs) FILTER (outcome = 'completed'), 0),
    coalesce(sum(output_tokens), 0)
FROM {parts}
GROUP BY 1
ORDER BY 1;

-- name: by_value
SELECT
    value,
    sum(jobs),
    coalesce(sum(jobs) FILTER (outcome = 'completed'), 0),
    coalesce(sum(jobs) FILTER (outcome = 'failed'), 0),
    coalesce(sum(jobs) FILTER (outcome = 'cancelled'), 0),
    sum(response_s) FILTER (outcome = 'completed') / nullif(sum(jobs) FILTER (outcome = 'completed'), 0),
    sum(started_wait_s) / nullif(sum(started), 0),
    sum(run_s) FILTER (outcome = 'completed') / nullif(sum(jobs) FILTER (outcome = 'completed'), 0),
    sum(first_token_s) / nullif(sum(first_tokens), 0),
    sum(prompt_tokens),
    sum(output_tokens),
    sum(timed_tokens) / nullif(sum(decode_s), 0),
    sum(retries),
    sum(gpu_s),
    sum(energy_wh)
FROM {parts}
GROUP BY 1
ORDER BY sum(jobs) DESC, value;

-- name: hours
SELECT
    CAST(bucket AS BIGINT),
    sum(jobs),
    coalesce(sum(jobs) FILTER (outcome = 'failed'), 0),
    sum(started_wait_s),
    sum(started),
    sum(response_s) FILTER (outcome = 'completed'),
    coalesce(sum(jobs) FILTER (outcome = 'completed'), 0)
FROM {parts}
GROUP BY 1;

-- name: failures
SELECT code, sum(died), sum(retried), max(last_at), arg_max(job_id, last_at)
FROM (
    SELECT code, count(*) AS died, 0 AS retried, max(happened_at) AS last_at, arg_max(job_id, happened_at) AS job_id
    FROM jobs_ended
    WHERE happened_at >= $since AND happened_at < $until AND outcome = 'failed' AND {filter}
    GROUP BY code
    UNION ALL
    SELECT
        CASE WHEN code = '' THEN reason ELSE code END, 0, count(*), max(happened_at), arg_max(job_id, happened_at)
    FROM requeues
    WHERE happened_at >= $since AND happened_at < $until AND reason <> 'handed_back' AND {requeues}
    GROUP BY 1
)
GROUP BY code
ORDER BY sum(died) DESC, sum(retried) DESC, code;

-- name: depth
SELECT CAST(floor(happened_at / $step_s) AS BIGINT), model, sum(waited_job_s), max(most), sum(span_s)
FROM depth
WHERE happened_at >= $since AND happened_at < $until AND {filter}
GROUP BY 1, 2
ORDER BY 1, 2;

-- name: saturation
SELECT CAST(floor(happened_at / $step_s) AS BIGINT), worker, sum(slot_s), sum(busy_s), sum(span_s)
FROM slots
WHERE happened_at >= $since AND happened_at < $until AND {filter}
GROUP BY 1, 2
ORDER BY 1, 2;

-- name: eta
SELECT
    CAST(floor(bucket / $step_s) AS BIGINT),
    sum(told),
    sum(hits),
    sum(early),
    sum(eta_error_s),
    sum(eta_distance_s)
FROM {parts}
GROUP BY 1
HAVING sum(told) > 0
ORDER BY 1;

-- name: speed
SELECT
    CAST(floor(bucket / $step_s) AS BIGINT),
    value,
    coalesce(sum(jobs) FILTER (outcome = 'completed'), 0),
    sum(first_token_s) / nullif(sum(first_tokens), 0),
    sum(timed_tokens) / nullif(sum(decode_s), 0)
FROM {parts}
GROUP BY 1, 2
ORDER BY 1, 2;

-- name: usage
SELECT
    value,
    sum(jobs),
    coalesce(sum(jobs) FILTER (outcome = 'completed'), 0),
    sum(prompt_tokens),
    sum(output_tokens),
    sum(run_s),
    sum(gpu_s),
    sum(energy_wh)
FROM {parts}
GROUP BY 1
ORDER BY sum(gpu_s) DESC, sum(jobs) DESC, value;

-- name: waits
SELECT
    coalesce(sum(jobs), 0),
    coalesce(sum(wait_s), 0.0),
    coalesce(sum(behind_s), 0.0),
    coalesce(sum(limited_s), 0.0),
    coalesce(sum(paused_s), 0.0),
    coalesce(sum(no_worker_s), 0.0),
    coalesce(sum(delayed_s), 0.0),
    coalesce(sum(blocked_s), 0.0),
    coalesce(sum(retry_s), 0.0),
    coalesce(sum(load_s), 0.0),
    coalesce(sum(prompt_s), 0.0),
    coalesce(sum(decode_s), 0.0),
    coalesce(sum(run_s), 0.0)
FROM {parts};

-- name: job_time
SELECT
    job_id, model, "user", priority, kind, source, worker, engine, outcome, queued_at, started_at, happened_at,
    waited_s, behind_s, limited_s, paused_s, no_worker_s, delayed_s, blocked_s, retry_s, load_s, prompt_s, decode_s,
    first_token_s, CASE WHEN starts > 0 THEN ran_s ELSE 0.0 END, prompt_tokens, output_tokens,
    CASE WHEN decode_s > 0 THEN output_tokens / decode_s END, starts, predicted_from, predicted_until, gpu_s, energy_wh
FROM jobs_ended
WHERE job_id = $job_id;

-- name: runs
SELECT ready_at, waited_s, ran_s, load_s, model, runner, worker, "user", priority
FROM (
    SELECT
        started_at - behind_s - limited_s AS ready_at, behind_s + limited_s AS waited_s, ran_s, load_s, model, runner,
        worker, "user", priority, seq, happened_at
    FROM jobs_ended
    WHERE happened_at >= $since AND happened_at < $until AND started_at > 0 AND starts > 0 AND worker != ''
    ORDER BY happened_at DESC, seq DESC
    LIMIT $limit
)
ORDER BY ready_at, seq;

-- name: values
SELECT value FROM {parts} GROUP BY 1 ORDER BY sum(jobs) DESC, 1 LIMIT $most;

-- name: first_end
SELECT min(at_s) FROM (
    SELECT min(happened_at) AS at_s FROM jobs_ended
    UNION ALL
    SELECT min(bucket) FROM sums_by_time
);

-- name: exact_quantiles
SELECT
    quantile_cont(waited_s + ran_s, [0.5, 0.95, 0.99]) FILTER (outcome = 'completed'),
    quantile_cont(waited_s, [0.5, 0.95]) FILTER (starts > 0),
    quantile_cont(first_token_s, [0.95]) FILTER (first_token_s > 0)
FROM {jobs};

-- name: exact_quantiles_by_value
SELECT
    value,
    quantile_cont(waited_s + ran_s, [0.5, 0.95]) FILTER (outcome = 'completed'),
    quantile_cont(waited_s, [0.95]) FILTER (starts > 0)
FROM {jobs}
GROUP BY 1;
