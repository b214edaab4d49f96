-- Version 1 of the store. Durations are milliseconds; what a row does not say is NULL.
--
-- `time_unix_ms` is the row's own time, `time` the same for people, for partitions and for
-- expiry: clamped to what ClickHouse's dates can hold. `json` gives the row as it came. The
-- other columns are taken from it, to search and sum by.
--
-- Delivery is at least once. A repeated row is equal in every column, so that all copies have
-- one sorting key and one partition: merges leave one of them, and a query with FINAL sees one
-- already. Always query with FINAL, or a row may count twice.
--
-- A part is on the disk before its insert is answered (fsync): the gateway forgets a row then.
-- A statement ends where a line ends with a semicolon.

-- One call by a client.
CREATE TABLE IF NOT EXISTS inference (
    id String,
    time_unix_ms UInt64,
    time DateTime64(3, 'UTC') DEFAULT fromUnixTimestamp64Milli(toInt64(least(time_unix_ms, 4291747199999)), 'UTC'),
    -- The row without its request and response, where in it they stood (in bytes, 0: not
    -- there), and the two as they came. They are blank once settings.content_days are over.
    frame String CODEC(ZSTD(1)),
    request_at UInt32,
    response_at UInt32,
    request String CODEC(ZSTD(1)),
    response String CODEC(ZSTD(1)),
    whole String ALIAS if(request_at <= response_at,
        concat(substring(frame, 1, request_at), if(request_at = 0, '', if(request = '', 'null', request)),
            substring(frame, request_at + 1, response_at - request_at), if(response_at = 0, '', if(response = '', 'null', response)),
            substring(frame, response_at + 1)),
        concat(substring(frame, 1, response_at), if(response_at = 0, '', if(response = '', 'null', response)),
            substring(frame, response_at + 1, request_at - response_at), if(request_at = 0, '', if(request = '', 'null', request)),
            substring(frame, request_at + 1))),
    -- A row whose content is gone says so.
    json String ALIAS if(request_at > 0 AND request = '' OR response_at > 0 AND response = '',
        replaceOne(whole, '"content":"full"', '"content":"metadata"'), whole),
    -- The words of request and response, each once, in lower case.
    words Array(String) CODEC(ZSTD(1)),
    dialect LowCardinality(Nullable(String)),
    key LowCardinality(Nullable(String)),
    function LowCardinality(Nullable(String)),
    variant LowCardinality(Nullable(String)),
    model LowCardinality(Nullable(String)),    -- as the client named it
    endpoint LowCardinality(Nullable(String)), -- provider/model that answered
    outcome LowCardinality(Nullable(String)),  -- ok, error or cancelled
    error_kind LowCardinality(Nullable(String)),
    error_code LowCardinality(Nullable(String)),
    finish_reason LowCardinality(Nullable(String)),
    status Nullable(UInt16),             -- HTTP status that the client got
    stream Nullable(Bool),
    content LowCardinality(Nullable(String)),  -- full or metadata: what was kept
    episode_id Nullable(String),
    response_id Nullable(String),        -- `id` of the answer that the client got
    trace_id Nullable(String),
    span_id Nullable(String),
    parent_span_id Nullable(String),
    generation Nullable(UInt64),
    snapshot LowCardinality(Nullable(String)),
    attempts Nullable(UInt32),
    overhead_us Nullable(UInt64),        -- microseconds
    ttft_ms Nullable(Float64),           -- time to first token
    total_ms Nullable(Float64),
    has_usage Bool,                      -- there is a `usage`
    estimated Bool,                      -- the gateway counted, not the provider
    input_tokens Nullable(UInt64),
    cached_input_tokens Nullable(UInt64),
    cache_write_tokens Nullable(UInt64),
    output_tokens Nullable(UInt64),
    reasoning_tokens Nullable(UInt64),
    audio_tokens Nullable(UInt64),
    cost_usd Nullable(Float64),
    cost_source LowCardinality(Nullable(String)), -- provider, catalog or mixed
    tags Map(LowCardinality(String), String),
    INDEX by_id id TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX by_episode episode_id TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX by_response response_id TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX by_word words TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (time_unix_ms, id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- One attempt at an endpoint.
CREATE TABLE IF NOT EXISTS model_inference (
    id String,
    time_unix_ms UInt64,
    time DateTime64(3, 'UTC') DEFAULT fromUnixTimestamp64Milli(toInt64(least(time_unix_ms, 4291747199999)), 'UTC'),
    inference_id String,                 -- the call that it was made for
    -- As in `inference`.
    frame String CODEC(ZSTD(1)),
    raw_request_at UInt32,
    raw_response_at UInt32,
    raw_request String CODEC(ZSTD(1)),
    raw_response String CODEC(ZSTD(1)),
    json String ALIAS if(raw_request_at <= raw_response_at,
        concat(substring(frame, 1, raw_request_at), if(raw_request_at = 0, '', if(raw_request = '', 'null', raw_request)),
            substring(frame, raw_request_at + 1, raw_response_at - raw_request_at), if(raw_response_at = 0, '', if(raw_response = '', 'null', raw_response)),
            substring(frame, raw_response_at + 1)),
        concat(substring(frame, 1, raw_response_at), if(raw_response_at = 0, '', if(raw_response = '', 'null', raw_response)),
            substring(frame, raw_response_at + 1, raw_request_at - raw_response_at), if(raw_request_at = 0, '', if(raw_request = '', 'null', raw_request)),
            substring(frame, raw_request_at + 1))),
    key LowCardinality(Nullable(String)),
    function LowCardinality(Nullable(String)),
    variant LowCardinality(Nullable(String)),
    model LowCardinality(Nullable(String)),
    endpoint LowCardinality(Nullable(String)), -- provider/model
    attempt Nullable(UInt32),            -- position among the attempts of the call
    reason LowCardinality(Nullable(String)),   -- first, fallback, hedge or resume
    outcome LowCardinality(Nullable(String)),  -- ok, error, cancelled or lost
    error_kind LowCardinality(Nullable(String)),
    error_code LowCardinality(Nullable(String)),
    status Nullable(UInt16),             -- HTTP status of the provider
    stream Nullable(Bool),
    episode_id Nullable(String),
    trace_id Nullable(String),
    span_id Nullable(String),
    ttft_ms Nullable(Float64),           -- time to first token
    total_ms Nullable(Float64),
    has_usage Bool,                      -- there is a `usage`
    estimated Bool,                      -- the gateway counted, not the provider
    input_tokens Nullable(UInt64),
    cached_input_tokens Nullable(UInt64),
    cache_write_tokens Nullable(UInt64),
    output_tokens Nullable(UInt64),
    reasoning_tokens Nullable(UInt64),
    audio_tokens Nullable(UInt64),
    cost_usd Nullable(Float64),
    cost_source LowCardinality(Nullable(String)), -- provider, catalog or mixed
    INDEX by_inference inference_id TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (time_unix_ms, id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- What somebody thought of an inference or of an episode.
CREATE TABLE IF NOT EXISTS feedback (
    id String,
    time_unix_ms UInt64,
    time DateTime64(3, 'UTC') DEFAULT fromUnixTimestamp64Milli(toInt64(least(time_unix_ms, 4291747199999)), 'UTC'),
    json String CODEC(ZSTD(1)),
    target LowCardinality(Nullable(String)),   -- inference or episode
    inference_id Nullable(String),       -- of an episode: none
    episode_id Nullable(String),
    metric LowCardinality(Nullable(String)),
    value Nullable(Float64),             -- of a number, or 0 and 1 of a boolean
    text Nullable(String) CODEC(ZSTD(1)), -- of a comment or a demonstration
    tags Map(LowCardinality(String), String),
    key LowCardinality(Nullable(String)),
    function LowCardinality(Nullable(String)),
    variant LowCardinality(Nullable(String)),
    INDEX by_inference inference_id TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX by_episode episode_id TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (time_unix_ms, id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- A decision apart from an inference.
CREATE TABLE IF NOT EXISTS decision (
    id String,
    time_unix_ms UInt64,
    time DateTime64(3, 'UTC') DEFAULT fromUnixTimestamp64Milli(toInt64(least(time_unix_ms, 4291747199999)), 'UTC'),
    json String CODEC(ZSTD(1)),
    inference_id String
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (time_unix_ms, id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Something that happened to a plugin.
CREATE TABLE IF NOT EXISTS plugin_event (
    id String,
    time_unix_ms UInt64,
    time DateTime64(3, 'UTC') DEFAULT fromUnixTimestamp64Milli(toInt64(least(time_unix_ms, 4291747199999)), 'UTC'),
    json String CODEC(ZSTD(1)),
    plugin LowCardinality(Nullable(String)),
    event LowCardinality(Nullable(String)),    -- killed, quarantined or released
    reason Nullable(String),
    generation Nullable(UInt64)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (time_unix_ms, id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- A configuration that was in use.
CREATE TABLE IF NOT EXISTS snapshot (
    id String,
    time_unix_ms UInt64,
    time DateTime64(3, 'UTC') DEFAULT fromUnixTimestamp64Milli(toInt64(least(time_unix_ms, 4291747199999)), 'UTC'),
    json String CODEC(ZSTD(1)),
    generation Nullable(UInt64),
    hash Nullable(String),
    version LowCardinality(Nullable(String))   -- of torana
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (time_unix_ms, id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
