-- Version 2 of the store: what it is made of now. Times are Unix milliseconds, durations
-- milliseconds unless their name says otherwise, booleans 0 and 1. Any column may be null where
-- the journal's row says nothing, but for those that are NOT NULL. The column `json` holds that
-- row as it came; it stands last, so that what filters and sums need not read past it. `number`
-- is the row's own, kept by VACUUM, for what refers to it.
-- A statement ends where a line ends with a semicolon.

ALTER TABLE inference RENAME TO inference_1;
ALTER TABLE model_inference RENAME TO model_inference_1;
ALTER TABLE feedback RENAME TO feedback_1;
ALTER TABLE row RENAME TO row_1;
DROP INDEX inference_by_time;
DROP INDEX inference_by_function;
DROP INDEX inference_by_model;
DROP INDEX inference_by_endpoint;
DROP INDEX inference_by_episode;
DROP INDEX model_inference_by_inference;
DROP INDEX model_inference_by_endpoint;
DROP INDEX feedback_by_inference;
DROP INDEX feedback_by_metric;
DROP INDEX row_by_kind;
DROP INDEX row_by_inference;

-- One call by a client.
CREATE TABLE inference (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    time_unix_ms INTEGER NOT NULL,
    dialect TEXT,                 -- such as openai-chat
    key TEXT,                     -- name of the client's key
    function TEXT,
    variant TEXT,
    model TEXT,                   -- as the client named it
    endpoint TEXT,                -- provider/model that answered
    outcome TEXT,                 -- ok, error or cancelled
    error_kind TEXT,              -- such as rate_limited
    error_code TEXT,
    status INTEGER,               -- HTTP status that the client got
    finish_reason TEXT,
    stream INTEGER,
    episode_id TEXT,
    response_id TEXT,             -- the id in the answer that the client got
    trace_id TEXT,
    generation INTEGER,
    attempts INTEGER,
    ttft_ms REAL,                 -- time to first token
    total_ms REAL,
    overhead_us INTEGER,          -- microseconds that the gateway itself took
    input_tokens INTEGER,
    cached_input_tokens INTEGER,
    cache_write_tokens INTEGER,
    output_tokens INTEGER,
    reasoning_tokens INTEGER,
    audio_tokens INTEGER,
    cost_usd REAL,                -- of all attempts, as far as it is known
    cost_source TEXT,             -- provider, catalog or mixed
    unpriced INTEGER NOT NULL,    -- there is usage, and nobody knows its cost
    tags TEXT,                    -- an object of strings; null where there are none
    content TEXT NOT NULL,        -- full: json holds request and response; else metadata
    json TEXT NOT NULL
) STRICT;

-- One attempt at an endpoint. What it shares with its inference means the same.
CREATE TABLE model_inference (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    time_unix_ms INTEGER NOT NULL,
    inference_id TEXT,            -- the call that it was made for
    attempt INTEGER,              -- position among the attempts of the call, from 1
    reason TEXT,                  -- first, fallback, hedge or resume
    key TEXT,
    function TEXT,
    variant TEXT,
    model TEXT,
    endpoint TEXT,                -- provider/model that was asked
    outcome TEXT,                 -- ok, error, cancelled or lost
    error_kind TEXT,
    error_code TEXT,
    status INTEGER,               -- HTTP status of the provider
    stream INTEGER,
    episode_id TEXT,
    trace_id TEXT,
    ttft_ms REAL,
    total_ms REAL,
    input_tokens INTEGER,
    cached_input_tokens INTEGER,
    cache_write_tokens INTEGER,
    output_tokens INTEGER,
    reasoning_tokens INTEGER,
    audio_tokens INTEGER,
    cost_usd REAL,
    cost_source TEXT,             -- provider or catalog
    unpriced INTEGER NOT NULL,
    content TEXT NOT NULL,        -- full: json holds a raw body; else metadata
    json TEXT NOT NULL
) STRICT;

-- What somebody thought of an inference or of an episode.
CREATE TABLE feedback (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    time_unix_ms INTEGER NOT NULL,
    target TEXT NOT NULL,         -- inference or episode
    target_id TEXT,               -- inference_id or episode_id, as target says
    inference_id TEXT,
    episode_id TEXT,
    key TEXT,
    function TEXT,
    variant TEXT,
    metric TEXT,
    value_type TEXT,              -- boolean, number, string or object
    value REAL,                   -- of a number, or 0 and 1 of a boolean
    text TEXT,                    -- of a string
    json TEXT NOT NULL
) STRICT;

-- A decision apart from an inference.
CREATE TABLE decision (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    time_unix_ms INTEGER NOT NULL,
    inference_id TEXT,
    json TEXT NOT NULL
) STRICT;

-- Something that happened to a plugin.
CREATE TABLE plugin_event (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    time_unix_ms INTEGER NOT NULL,
    plugin TEXT,
    event TEXT,                   -- killed, quarantined or released
    reason TEXT,
    generation INTEGER,
    json TEXT NOT NULL
) STRICT;

-- A configuration that was in use.
CREATE TABLE snapshot (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    time_unix_ms INTEGER NOT NULL,
    generation INTEGER,
    hash TEXT,
    version TEXT,                 -- of torana
    json TEXT NOT NULL
) STRICT;

-- The tags of inferences once more, to be found by.
CREATE TABLE inference_tag (
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    number INTEGER NOT NULL,      -- of the inference
    PRIMARY KEY (name, value, number)
) STRICT, WITHOUT ROWID;

-- The words of request and response, each once and in lower case; its rowid is the number of
-- the inference. The sink cuts the words: the tokenizer only has to part them at spaces.
CREATE VIRTUAL TABLE inference_text USING fts5(
    words, tokenize = 'ascii', detail = none, content = '', contentless_delete = 1
);

INSERT INTO inference
SELECT NULL, id, time_unix_ms, CAST(row ->> '$.dialect' AS TEXT), CAST(row ->> '$.key' AS TEXT),
    function, variant, model, endpoint, outcome, error_kind,
    CAST(row ->> '$.error.code' AS TEXT), status, CAST(row ->> '$.finish_reason' AS TEXT),
    CAST(row ->> '$.stream' AS INTEGER), episode_id, CAST(row ->> '$.response_id' AS TEXT),
    CAST(row ->> '$.trace_id' AS TEXT), CAST(row ->> '$.generation' AS INTEGER), attempts,
    ttft_ms, total_ms, CAST(row ->> '$.overhead_us' AS INTEGER), input_tokens,
    cached_input_tokens, CAST(row ->> '$.usage.cache_write' AS INTEGER), output_tokens,
    CAST(row ->> '$.usage.reasoning' AS INTEGER), CAST(row ->> '$.usage.audio' AS INTEGER), cost,
    CAST(row ->> '$.cost_source' AS TEXT), coalesce(cost IS NULL AND row ->> '$.usage' IS NOT NULL, 0),
    NULL, iif(coalesce(row ->> '$.request', row ->> '$.response') IS NULL, 'metadata', 'full'), json
FROM (
    SELECT *, coalesce(
        CAST(row ->> '$.cost_usd' AS REAL), cost_usd,
        (SELECT sum(CAST(iif(json_valid(attempt.json), attempt.json ->> '$.cost_usd', NULL) AS REAL))
         FROM model_inference_1 AS attempt WHERE attempt.inference_id = whole.id)) AS cost
    FROM (SELECT *, iif(json_valid(json), json, '{}') AS row FROM inference_1) AS whole)
ORDER BY time_unix_ms, id;

INSERT INTO model_inference
SELECT NULL, part.id, part.time_unix_ms, part.inference_id, part.attempt,
    CAST(part.row ->> '$.reason' AS TEXT), call.key, call.function, call.variant, call.model,
    part.endpoint, part.outcome, part.error_kind, CAST(part.row ->> '$.error.code' AS TEXT),
    part.status, call.stream, call.episode_id, call.trace_id, part.ttft_ms, part.total_ms,
    part.input_tokens, part.cached_input_tokens, CAST(part.row ->> '$.usage.cache_write' AS INTEGER),
    part.output_tokens, CAST(part.row ->> '$.usage.reasoning' AS INTEGER),
    CAST(part.row ->> '$.usage.audio' AS INTEGER), part.cost,
    CAST(part.row ->> '$.cost_source' AS TEXT),
    coalesce(part.cost IS NULL AND part.row ->> '$.usage' IS NOT NULL, 0),
    iif(coalesce(part.row ->> '$.raw_request', part.row ->> '$.raw_response') IS NULL,
        'metadata', 'full'),
    part.json
FROM (
    SELECT *, coalesce(CAST(row ->> '$.cost_usd' AS REAL), cost_usd) AS cost
    FROM (SELECT *, iif(json_valid(json), json, '{}') AS row FROM model_inference_1)) AS part
LEFT JOIN inference AS call ON call.id = part.inference_id
ORDER BY part.time_unix_ms, part.id;

INSERT INTO feedback
SELECT NULL, id, time_unix_ms, target, iif(target = 'episode', episode_id, inference_id),
    inference_id, episode_id, CAST(row ->> '$.key' AS TEXT), CAST(row ->> '$.function' AS TEXT),
    CAST(row ->> '$.variant' AS TEXT), metric,
    CASE json_type(row, '$.value')
        WHEN 'true' THEN 'boolean' WHEN 'false' THEN 'boolean' WHEN 'integer' THEN 'number'
        WHEN 'real' THEN 'number' WHEN 'text' THEN 'string' WHEN 'object' THEN 'object' END,
    value, text, json
FROM (
    SELECT *, iif(inference_id IS NULL, 'episode', 'inference') AS target,
        iif(json_valid(json), json, '{}') AS row FROM feedback_1)
ORDER BY time_unix_ms, id;

INSERT INTO decision
SELECT NULL, id, time_unix_ms, inference_id, json FROM row_1 WHERE kind = 'decision'
ORDER BY time_unix_ms, id;

INSERT INTO plugin_event
SELECT NULL, id, time_unix_ms, CAST(row ->> '$.plugin' AS TEXT), CAST(row ->> '$.event' AS TEXT),
    CAST(row ->> '$.reason' AS TEXT), CAST(row ->> '$.generation' AS INTEGER), json
FROM (
    SELECT *, iif(json_valid(json), json, '{}') AS row FROM row_1 WHERE kind = 'plugin_event')
ORDER BY time_unix_ms, id;

INSERT INTO snapshot
SELECT NULL, id, time_unix_ms, CAST(row ->> '$.generation' AS INTEGER),
    CAST(row ->> '$.hash' AS TEXT), CAST(row ->> '$.version' AS TEXT), json
FROM (SELECT *, iif(json_valid(json), json, '{}') AS row FROM row_1 WHERE kind = 'snapshot')
ORDER BY time_unix_ms, id;

DROP TABLE inference_1;
DROP TABLE model_inference_1;
DROP TABLE feedback_1;
DROP TABLE row_1;

-- One for each filter that is selective; a listing goes by time and id.
CREATE INDEX inference_by_time ON inference (time_unix_ms, id);
CREATE INDEX inference_by_key ON inference (key, time_unix_ms, id);
CREATE INDEX inference_by_function ON inference (function, time_unix_ms, id)
    WHERE function IS NOT NULL;
CREATE INDEX inference_by_model ON inference (model, time_unix_ms, id);
CREATE INDEX inference_by_endpoint ON inference (endpoint, time_unix_ms, id);
CREATE INDEX inference_by_episode ON inference (episode_id, time_unix_ms, id);
CREATE INDEX inference_by_response ON inference (response_id) WHERE response_id IS NOT NULL;
CREATE INDEX inference_with_content ON inference (time_unix_ms) WHERE content = 'full';
CREATE INDEX model_inference_by_time ON model_inference (time_unix_ms, id);
CREATE INDEX model_inference_by_inference ON model_inference (inference_id, attempt, id);
CREATE INDEX model_inference_by_endpoint ON model_inference (endpoint, time_unix_ms, id);
CREATE INDEX model_inference_with_content ON model_inference (time_unix_ms)
    WHERE content = 'full';
CREATE INDEX feedback_by_time ON feedback (time_unix_ms, id);
CREATE INDEX feedback_by_target ON feedback (target_id, metric, time_unix_ms, id);
CREATE INDEX feedback_by_metric ON feedback (metric, time_unix_ms, id);
CREATE INDEX decision_by_time ON decision (time_unix_ms, id);
CREATE INDEX plugin_event_by_time ON plugin_event (time_unix_ms, id);
CREATE INDEX snapshot_by_time ON snapshot (time_unix_ms, id);

-- Tags and words go with their inference, whoever deletes it.
CREATE TRIGGER inference_tagged AFTER INSERT ON inference WHEN NEW.tags IS NOT NULL BEGIN
    INSERT INTO inference_tag SELECT key, value, NEW.number FROM json_each(NEW.tags); END;
CREATE TRIGGER inference_untagged AFTER DELETE ON inference WHEN OLD.tags IS NOT NULL BEGIN
    DELETE FROM inference_tag WHERE number = OLD.number
    AND (name, value) IN (SELECT key, value FROM json_each(OLD.tags)); END;
CREATE TRIGGER inference_deleted AFTER DELETE ON inference WHEN OLD.content = 'full' BEGIN
    DELETE FROM inference_text WHERE rowid = OLD.number; END;
CREATE TRIGGER inference_emptied AFTER UPDATE OF content ON inference
    WHEN OLD.content = 'full' AND NEW.content <> 'full' BEGIN
    DELETE FROM inference_text WHERE rowid = OLD.number; END;
