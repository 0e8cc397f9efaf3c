-- Named queries; analytics/queries.py gives them parameters and types. Times are unix seconds.
-- $since is in the range, $until is not. Response time is from queued to ended, of completed jobs only.

-- name: summary
SELECT
    count(*),
    count(*) FILTER (outcome = 'completed'),
    count(*) FILTER (outcome = 'failed'),
    count(*) FILTER (outcome = 'cancelled'),
    avg(happened_at - queued_at) FILTER (outcome = 'completed'),
    quantile_cont(happened_at - queued_at, 0.5) FILTER (outcome = 'completed'),
    quantile_cont(happened_at - queued_at, 0.95) FILTER (outcome = 'completed'),
    avg(waited_s) FILTER (starts > 0)
FROM jobs_ended
WHERE happened_at >= $since AND happened_at < $until;

-- name: completed_between
SELECT count(*) FROM jobs_ended WHERE happened_at >= $since AND happened_at < $until AND outcome = 'completed';

-- name: per_minute
SELECT
    CAST(floor(happened_at / $step_s) AS BIGINT),
    count(*) FILTER (outcome = 'completed'),
    count(*) FILTER (outcome = 'failed'),
    count(*) FILTER (outcome = 'cancelled'),
    avg(waited_s) FILTER (starts > 0),
    avg(first_token_s) FILTER (first_token_s > 0),
    avg(happened_at - queued_at) FILTER (outcome = 'completed'),
    CAST(sum(output_tokens) AS BIGINT)
FROM jobs_ended
WHERE happened_at >= $since AND happened_at < $until
GROUP BY 1
ORDER BY 1;

-- name: by_priority
SELECT
    priority,
    count(*),
    count(*) FILTER (outcome = 'completed'),
    count(*) FILTER (outcome = 'failed'),
    count(*) FILTER (outcome = 'cancelled'),
    avg(waited_s) FILTER (starts > 0),
    avg(ran_s) FILTER (outcome = 'completed')
FROM jobs_ended
WHERE happened_at >= $since AND happened_at < $until
GROUP BY priority
ORDER BY priority DESC;

-- name: by_model
SELECT
    model,
    count(*),
    count(*) FILTER (outcome = 'completed'),
    count(*) FILTER (outcome = 'failed'),
    count(*) FILTER (outcome = 'cancelled'),
    avg(happened_at - queued_at) FILTER (outcome = 'completed'),
    avg(waited_s) FILTER (starts > 0),
    CAST(sum(output_tokens) AS BIGINT),
    sum(output_tokens) FILTER (decode_s > 0) / sum(decode_s) FILTER (decode_s > 0)
FROM jobs_ended
WHERE happened_at >= $since AND happened_at < $until
GROUP BY model
ORDER BY count(*) DESC, model;
