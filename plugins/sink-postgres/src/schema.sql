-- Version 1 of the store. Times are Unix milliseconds, durations milliseconds unless their name
-- says otherwise. Any column may be null where the journal's row says nothing, but for those
-- that are NOT NULL. The column `json` holds that row as it came: `json::jsonb -> 'request'`.
-- Text is compared byte for byte, hence "C". Names that clients choose may be longer than an
-- index takes, hence left(…, 256); a question asks for both, the beginning and the whole.
-- A statement ends where a line ends with a semicolon; {schema} is settings.schema.

-- One call by a client.
CREATE TABLE {schema}.inference (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text COLLATE "C" NOT NULL UNIQUE,
    time_unix_ms bigint NOT NULL,
    -- The same for people; what lies beyond the calendar is cut off.
    time timestamptz GENERATED ALWAYS AS (to_timestamp(least(time_unix_ms, 9000000000000000) / 1000.0)) STORED,
    dialect text COLLATE "C",      -- such as openai-chat
    key text COLLATE "C",          -- name of the client's key
    function text COLLATE "C",
    variant text COLLATE "C",
    model text COLLATE "C",        -- as the client named it
    endpoint text COLLATE "C",     -- provider/model that answered
    outcome text COLLATE "C",      -- ok, error or cancelled
    error_kind text COLLATE "C",   -- such as rate_limited
    error_code text COLLATE "C",
    status bigint,                 -- HTTP status that the client got
    finish_reason text COLLATE "C",
    stream boolean,
    episode_id text COLLATE "C",
    response_id text COLLATE "C",  -- the id in the answer that the client got
    trace_id text COLLATE "C",
    generation bigint,
    attempts bigint,
    ttft_ms double precision,      -- time to first token
    total_ms double precision,
    overhead_us bigint,            -- microseconds that the gateway itself took
    input_tokens bigint,
    cached_input_tokens bigint,
    cache_write_tokens bigint,
    output_tokens bigint,
    reasoning_tokens bigint,
    audio_tokens bigint,
    cost_usd double precision,     -- of all attempts, as far as it is known
    cost_source text COLLATE "C",  -- provider, catalog or mixed
    unpriced boolean NOT NULL,     -- there is usage, and nobody knows its cost
    tags jsonb,                    -- an object of strings; null where there are none
    content text COLLATE "C" NOT NULL, -- full: json holds request and response; else metadata
    words text[] COLLATE "C" NOT NULL, -- of request and response, each once and in lower case
    json text NOT NULL
);

-- One attempt at an endpoint. What it shares with its inference means the same.
CREATE TABLE {schema}.model_inference (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text COLLATE "C" NOT NULL UNIQUE,
    time_unix_ms bigint NOT NULL,
    time timestamptz GENERATED ALWAYS AS (to_timestamp(least(time_unix_ms, 9000000000000000) / 1000.0)) STORED,
    inference_id text COLLATE "C", -- the call that it was made for
    attempt bigint,                -- position among the attempts of the call, from 1
    reason text COLLATE "C",       -- first, fallback, hedge or resume
    key text COLLATE "C",
    function text COLLATE "C",
    variant text COLLATE "C",
    model text COLLATE "C",
    endpoint text COLLATE "C",     -- provider/model that was asked
    outcome text COLLATE "C",      -- ok, error, cancelled or lost
    error_kind text COLLATE "C",
    error_code text COLLATE "C",
    status bigint,                 -- HTTP status of the provider
    stream boolean,
    episode_id text COLLATE "C",
    trace_id text COLLATE "C",
    ttft_ms double precision,
    total_ms double precision,
    input_tokens bigint,
    cached_input_tokens bigint,
    cache_write_tokens bigint,
    output_tokens bigint,
    reasoning_tokens bigint,
    audio_tokens bigint,
    cost_usd double precision,
    cost_source text COLLATE "C",  -- provider or catalog
    unpriced boolean NOT NULL,
    content text COLLATE "C" NOT NULL, -- full: json holds a raw body; else metadata
    json text NOT NULL
);

-- What somebody thought of an inference or of an episode.
CREATE TABLE {schema}.feedback (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text COLLATE "C" NOT NULL UNIQUE,
    time_unix_ms bigint NOT NULL,
    time timestamptz GENERATED ALWAYS AS (to_timestamp(least(time_unix_ms, 9000000000000000) / 1000.0)) STORED,
    target text COLLATE "C" NOT NULL, -- inference or episode
    target_id text COLLATE "C",    -- inference_id or episode_id, as target says
    inference_id text COLLATE "C",
    episode_id text COLLATE "C",
    key text COLLATE "C",
    function text COLLATE "C",
    variant text COLLATE "C",
    metric text COLLATE "C",
    value_type text COLLATE "C",   -- boolean, number, string or object
    value double precision,        -- of a number, or 0 and 1 of a boolean
    text text COLLATE "C",         -- of a string
    json text NOT NULL
);

-- A decision apart from an inference.
CREATE TABLE {schema}.decision (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text COLLATE "C" NOT NULL UNIQUE,
    time_unix_ms bigint NOT NULL,
    time timestamptz GENERATED ALWAYS AS (to_timestamp(least(time_unix_ms, 9000000000000000) / 1000.0)) STORED,
    inference_id text COLLATE "C",
    json text NOT NULL
);

-- Something that happened to a plugin.
CREATE TABLE {schema}.plugin_event (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text COLLATE "C" NOT NULL UNIQUE,
    time_unix_ms bigint NOT NULL,
    time timestamptz GENERATED ALWAYS AS (to_timestamp(least(time_unix_ms, 9000000000000000) / 1000.0)) STORED,
    plugin text COLLATE "C",
    event text COLLATE "C",        -- killed, quarantined or released
    reason text COLLATE "C",
    generation bigint,
    json text NOT NULL
);

-- A configuration that was in use.
CREATE TABLE {schema}.snapshot (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text COLLATE "C" NOT NULL UNIQUE,
    time_unix_ms bigint NOT NULL,
    time timestamptz GENERATED ALWAYS AS (to_timestamp(least(time_unix_ms, 9000000000000000) / 1000.0)) STORED,
    generation bigint,
    hash text COLLATE "C",
    version text COLLATE "C",      -- of torana
    json text NOT NULL
);

-- One for each filter that is selective; a listing goes by time and id. For questions by hand
-- that go by `time`, its ranges of pages: next to nothing on disk.
CREATE INDEX inference_by_time ON {schema}.inference (time_unix_ms, id);
CREATE INDEX inference_by_date ON {schema}.inference USING brin (time);
CREATE INDEX inference_by_key ON {schema}.inference (left(key, 256), time_unix_ms, id)
    WHERE key IS NOT NULL;
CREATE INDEX inference_by_function ON {schema}.inference (left(function, 256), time_unix_ms, id)
    WHERE function IS NOT NULL;
CREATE INDEX inference_by_model ON {schema}.inference (left(model, 256), time_unix_ms, id);
CREATE INDEX inference_by_endpoint ON {schema}.inference (left(endpoint, 256), time_unix_ms, id);
CREATE INDEX inference_by_episode ON {schema}.inference (left(episode_id, 256), time_unix_ms, id);
CREATE INDEX inference_by_response ON {schema}.inference (left(response_id, 256))
    WHERE response_id IS NOT NULL;
CREATE INDEX inference_with_content ON {schema}.inference (time_unix_ms) WHERE content = 'full';
CREATE INDEX inference_by_words ON {schema}.inference USING gin (words);
CREATE INDEX inference_by_tags ON {schema}.inference USING gin (tags jsonb_path_ops);
CREATE INDEX model_inference_by_time ON {schema}.model_inference (time_unix_ms, id);
CREATE INDEX model_inference_by_date ON {schema}.model_inference USING brin (time);
CREATE INDEX model_inference_by_inference
    ON {schema}.model_inference (inference_id, attempt, time_unix_ms, id);
CREATE INDEX model_inference_by_endpoint
    ON {schema}.model_inference (left(endpoint, 256), time_unix_ms, id);
CREATE INDEX model_inference_with_content ON {schema}.model_inference (time_unix_ms)
    WHERE content = 'full';
CREATE INDEX feedback_by_time ON {schema}.feedback (time_unix_ms, id);
CREATE INDEX feedback_by_target ON {schema}.feedback (target_id, metric, time_unix_ms, id);
CREATE INDEX feedback_by_metric ON {schema}.feedback (metric, time_unix_ms, id);
CREATE INDEX decision_by_time ON {schema}.decision (time_unix_ms, id);
CREATE INDEX plugin_event_by_time ON {schema}.plugin_event (time_unix_ms, id);
CREATE INDEX snapshot_by_time ON {schema}.snapshot (time_unix_ms, id);
