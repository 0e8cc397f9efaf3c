-- One table per kind of fact, as columns of analytics/recorder.py name them. Facts only: no prompts, no answers.
-- Times are unix seconds, durations seconds; zero and '' mean unknown. Every row carries its fact's seq.
-- Plain tables on purpose: a write-ahead log with keys or indexes in it is what DuckDB fails to replay after a crash.

CREATE TABLE meta (schema_version BIGINT, last_seq BIGINT);

CREATE TABLE queued (
    seq BIGINT, happened_at DOUBLE, job_id VARCHAR, kind VARCHAR, model VARCHAR, priority BIGINT, "user" VARCHAR,
    conversation_id VARCHAR, body_bytes BIGINT, due_at DOUBLE, deadline_at DOUBLE, replay_of VARCHAR,
    parent VARCHAR, schedule VARCHAR, priority_rule VARCHAR, runner VARCHAR, blocked_by BIGINT
);

CREATE TABLE starts (
    seq BIGINT, happened_at DOUBLE, job_id VARCHAR, epoch BIGINT, worker VARCHAR, starts BIGINT, waited_s DOUBLE,
    predicted_from DOUBLE, predicted_until DOUBLE, resident BOOLEAN
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
CREATE TABLE jobs_ended (
    seq BIGINT, happened_at DOUBLE, job_id VARCHAR, kind VARCHAR, model VARCHAR, priority BIGINT, "user" VARCHAR,
    conversation_id VARCHAR, queued_at DOUBLE, started_at DOUBLE, waited_s DOUBLE, ran_s DOUBLE, epoch BIGINT,
    starts BIGINT, failures BIGINT, losses BIGINT, worker VARCHAR, engine VARCHAR, lines BIGINT,
    prompt_tokens BIGINT, output_tokens BIGINT, load_s DOUBLE, prompt_s DOUBLE, decode_s DOUBLE, first_token_s DOUBLE,
    total_s DOUBLE, done_reason VARCHAR, truncated BOOLEAN, outcome VARCHAR, code VARCHAR, detail VARCHAR,
    trace VARCHAR, parent VARCHAR
);

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
