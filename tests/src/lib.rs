//! Everything a test needs around the real binary.
//!
//! | module | what |
//! |---|---|
//! | `gateway` | the binary itself: its folder, configuration, ports, log, signals, end |
//! | `client` | an HTTP/1.1 client that keeps every byte and tells whether a body was complete |
//! | `chat` | what an answer says, whichever way it came: whole, streamed, forwarded, translated |
//! | `provider` | a scripted provider on a local port that records what it is asked |
//! | `script` | what such a provider does with a request, step by step |
//! | `openai` | OpenAI-shaped bodies and streams for scripts |
//! | `anthropic` | the same in Anthropic's shape |
//! | `bedrock`, `cohere`, `gemini` | the same in those providers' shapes |
//! | `dialects` | requests and answers of every client dialect |
//! | `mutate` | bodies with something wrong in them, the same ones every time |
//! | `obliging` | a provider that does as it is asked: calls the tool, fits the schema |
//! | `mock_server` | a mock of OpenAI made of its own API description |
//! | `clickhouse` | ClickHouse's SQL engine behind its HTTP interface |
//! | `postgres` | PostgreSQL, as the machine's packages bring it |
//! | `otlp` | a receiver of OpenTelemetry traces, with the official classes |
//! | `python`, `process` | real SDKs and their suites, installed and run within bounds |
//! | `faults` | everything that goes wrong at a provider, as scripts |
//! | `guest` | test components, and other versions of them |
//! | `load` | clients that keep asking while something else happens |
//! | `witness` | the calls whose last byte their clients had, whatever became of the gateway |
//! | `store` | what a sink keeps, read beside the gateway |
//! | `strace` | a disk that fails, or a process that dies, at a chosen system call |
//! | `turns` | measuring several targets side by side |
//! | `eventually` | bounded waiting for a state |
//!
//! Blocking sockets and threads: a test reads from top to bottom. Nothing here sleeps to let
//! something happen; a wait is always for a state and always bounded. A broken promise
//! panics, which fails the test that relied on it.

#![expect(clippy::expect_used, clippy::panic, reason = "test harness")]

pub mod anthropic;
pub mod bedrock;
pub mod chat;
pub mod clickhouse;
pub mod client;
pub mod cohere;
mod connection;
pub mod dialects;
pub mod eventually;
pub mod faults;
pub mod gateway;
pub mod gemini;
pub mod guest;
pub mod load;
pub mod mock_server;
pub mod mutate;
pub mod obliging;
pub mod openai;
pub mod otlp;
pub mod postgres;
pub mod process;
pub mod provider;
pub mod python;
pub mod script;
pub mod store;
pub mod strace;
pub mod turns;
pub mod witness;

/// The repository.
pub fn repository() -> &'static std::path::Path {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests crate is a folder of the repository")
}
