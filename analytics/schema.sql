-- One table per kind of fact, as columns of analytics/recorder.py name them. Facts only: no prompts, no answers.
-- Times are unix seconds, durations seconds; zero and '' mean unknown. Every row carries its fact's seq.
-- Plain tables on purpose: a write-ahead log with keys or indexes in it is what DuckDB fails to replay after a crash.

-- clock: where analytics/timekeeper.py stands after the fact clock_seq. What is rolled up has tables of rollups.py.
CREATE TABLE meta (schema_version BIGINT, last_seq BIGINT, clock BLOB, clock_seq BIGINT);

CREATE TABLE queued (
    seq BIGINT, happened_at DOUBLE, job_id VARCHAR, kind VARCHAR, model VARCHAR, priority BIGINT, "user" VARCHAR,
    conversation_id VARCHAR, body_bytes BIGINT, due_at DOUBLE, deadline_at DOUBLE, replay_of VARCHAR,
    parent VARCHAR, schedule VARCHAR, priority_rule VARCHAR, runner VARCHAR, blocked_by BIGINT
);

CREATE TABLE starts (
    seq BIGINT, happened_at DOUBLE, job_id VARCHAR, epoch BIGINT, worker VARCHAR, starts BIGINT, waited_s DOUBLE,
    predicted_from DOUBLE, predicted_until DOUBLE, resident BOOLEAN, limited_s DOUBLE
);

CREATE TABLE requeues (
    seq BIGINT, happened_at DOUBLE, job_id VARCHAR, epoch BIGINT, reason VARCHAR, due_at DOUBLE, failures BIGINT,
    losses BIGINT, code VARCHAR, detail VARCHAR, trace VARCHAR
);

CREATE TABLE dues (seq BIGINT, happened_at DOUBLE, job_id VARCHAR);

CREATE TABLE unblocks (seq BIGINT, happened_at DOUBLE, job_id VARCHAR);

CREATE TABLE shares (seq BIGINT, happened_at DOUBLE, job_id VARCHAR, claims BIGINT);

CREATE TABLE priority_changes (seq BIGINT, happened_at DOUBLE, job_id VARCHAR, priority BIGINT, was BIGINT);

CREATE TABLE cancel_requests (seq BIGINT, happened_at DOUBLE, job_id VARCHAR, epoch BIGINT);

-- outcome: completed, failed (dead for good) or cancelled. code and detail: of the failure.
-- All from source on is worked out by analytics/timekeeper.py; behind_s to retry_s make up waited_s.
CREATE TABLE jobs_ended (
    seq BIGINT, happened_at DOUBLE, job_id VARCHAR, kind VARCHAR, model VARCHAR, priority BIGINT, "user" VARCHAR,
    conversation_id VARCHAR, queued_at DOUBLE, started_at DOUBLE, waited_s DOUBLE, ran_s DOUBLE, epoch BIGINT,
    starts BIGINT, failures BIGINT, losses BIGINT, worker VARCHAR, engine VARCHAR, lines BIGINT,
    prompt_tokens BIGINT, output_tokens BIGINT, load_s DOUBLE, prompt_s DOUBLE, decode_s DOUBLE, first_token_s DOUBLE,
    total_s DOUBLE, done_reason VARCHAR, truncated BOOLEAN, outcome VARCHAR, code VARCHAR, detail VARCHAR,
    trace VARCHAR, parent VARCHAR,
    source VARCHAR, schedule VARCHAR, runner VARCHAR, body_bytes BIGINT, due_at DOUBLE, resident BOOLEAN,
    predicted_from DOUBLE, predicted_until DOUBLE,
    behind_s DOUBLE, limited_s DOUBLE, paused_s DOUBLE, no_worker_s DOUBLE, delayed_s DOUBLE, blocked_s DOUBLE,
    retry_s DOUBLE, gpu_s DOUBLE, energy_wh DOUBLE,
    response_b SMALLINT, wait_b SMALLINT, first_token_b SMALLINT
);

-- How many jobs waited: waited_job_s is the area under the curve from happened_at on for span_s, most its peak.
CREATE TABLE depth (happened_at DOUBLE, span_s DOUBLE, model VARCHAR, waited_job_s DOUBLE, most BIGINT);

-- How many slots a worker had and how many were busy, as areas under the curve.
CREATE TABLE slots (happened_at DOUBLE, span_s DOUBLE, worker VARCHAR, slot_s DOUBLE, busy_s DOUBLE);

CREATE TABLE worker_joins (
    seq BIGINT, happened_at DOUBLE, worker VARCHAR, session VARCHAR, host VARCHAR, pid BIGINT, engine VARCHAR,
    engine_version VARCHAR, slots BIGINT, models VARCHAR, problem VARCHAR, labels VARCHAR
);

CREATE TABLE worker_changes (
    seq BIGINT, happened_at DOUBLE, worker VARCHAR, engine VARCHAR, engine_version VARCHAR, slots BIGINT,
    models VARCHAR, problem VARCHAR, labels VARCHAR
);

CREATE TABLE worker_retirements (seq BIGINT, happened_at DOUBLE, worker VARCHAR, session VARCHAR, grace_s DOUBLE);

CREATE TABLE worker_leaves (seq BIGINT, happened_at DOUBLE, worker VARCHAR, reason VARCHAR);

CREATE TABLE pauses (seq BIGINT, happened_at DOUBLE, scope VARCHAR, name VARCHAR, draining BOOLEAN);

CREATE TABLE resumes (seq BIGINT, happened_at DOUBLE, scope VARCHAR, name VARCHAR);

CREATE TABLE drains (seq BIGINT, happened_at DOUBLE, scope VARCHAR, name VARCHAR);

CREATE TABLE batches_opened (
    seq BIGINT, happened_at DOUBLE, batch_id VARCHAR, name VARCHAR, "user" VARCHAR, total BIGINT
);

CREATE TABLE batches_ended (
    seq BIGINT, happened_at DOUBLE, batch_id VARCHAR, completed BIGINT, dead BIGINT, cancelled BIGINT
);

CREATE TABLE schedules_set (
    seq BIGINT, happened_at DOUBLE, schedule_id VARCHAR, name VARCHAR, cron VARCHAR, timezone VARCHAR, enabled BOOLEAN
);

CREATE TABLE schedules_removed (seq BIGINT, happened_at DOUBLE, schedule_id VARCHAR);

CREATE TABLE schedule_skips (seq BIGINT, happened_at DOUBLE, schedule_id VARCHAR, ticks BIGINT, reason VARCHAR);
