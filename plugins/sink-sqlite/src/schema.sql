-- Version 1 of the store. Times are Unix milliseconds, durations milliseconds. Any column
-- but the first three may be null where the journal's row says nothing. The column `json`
-- holds that row as it came, the others are taken from it to search and sum by.
-- A statement ends where a line ends with a semicolon.

-- One call by a client.
CREATE TABLE inference (
    id TEXT PRIMARY KEY,
    time_unix_ms INTEGER NOT NULL,
    json TEXT NOT NULL,
    function TEXT,
    variant TEXT,
    model TEXT,              -- as the client named it
    endpoint TEXT,           -- provider/model that answered
    outcome TEXT,            -- ok, error or cancelled
    error_kind TEXT,         -- such as rate_limited
    status INTEGER,          -- HTTP status that the client got
    episode_id TEXT,
    attempts INTEGER,
    ttft_ms REAL,            -- time to first token
    total_ms REAL,
    input_tokens INTEGER,
    cached_input_tokens INTEGER,
    output_tokens INTEGER,
    cost_usd REAL            -- as the provider reported it
) STRICT;

-- One for each filter that is selective; the listing goes by time and id.
CREATE INDEX inference_by_time ON inference (time_unix_ms, id);
CREATE INDEX inference_by_function ON inference (function, time_unix_ms, id);
CREATE INDEX inference_by_model ON inference (model, time_unix_ms, id);
CREATE INDEX inference_by_endpoint ON inference (endpoint, time_unix_ms, id);
CREATE INDEX inference_by_episode ON inference (episode_id, time_unix_ms, id);

-- One attempt at an endpoint.
CREATE TABLE model_inference (
    id TEXT PRIMARY KEY,
    time_unix_ms INTEGER NOT NULL,
    json TEXT NOT NULL,
    inference_id TEXT,       -- the call that it was made for
    endpoint TEXT,           -- provider/model
    attempt INTEGER,         -- position among the attempts of the call
    outcome TEXT,
    error_kind TEXT,
    status INTEGER,          -- HTTP status of the provider
    ttft_ms REAL,
    total_ms REAL,
    input_tokens INTEGER,
    cached_input_tokens INTEGER,
    output_tokens INTEGER,
    cost_usd REAL
) STRICT;

CREATE INDEX model_inference_by_inference ON model_inference (inference_id, attempt, id);
CREATE INDEX model_inference_by_endpoint ON model_inference (endpoint, time_unix_ms);

-- What somebody thought of an inference or of an episode.
CREATE TABLE feedback (
    id TEXT PRIMARY KEY,
    time_unix_ms INTEGER NOT NULL,
    json TEXT NOT NULL,
    inference_id TEXT,
    episode_id TEXT,
    metric TEXT,
    value REAL,              -- of a number, or 0 and 1 of a boolean
    text TEXT                -- of a comment
) STRICT;

CREATE INDEX feedback_by_inference ON feedback (inference_id);
CREATE INDEX feedback_by_metric ON feedback (metric, time_unix_ms);

-- Rows of every other kind.
CREATE TABLE row (
    id TEXT PRIMARY KEY,
    time_unix_ms INTEGER NOT NULL,
    json TEXT NOT NULL,
    kind TEXT NOT NULL,      -- decision, plugin_event or snapshot
    inference_id TEXT        -- of a decision
) STRICT;

CREATE INDEX row_by_kind ON row (kind, time_unix_ms);
CREATE INDEX row_by_inference ON row (inference_id);
