//! The stores that can be asked, held against the contract: `wit/sink/sink.wit`.
//!
//! `conformance` hands the very same rows to every store, through the components that the
//! gateway uses, and asks them everything; each answer has to be that of `oracle`, which is the
//! contract in its plainest form. `clickhouse` and `postgres` are about what only a server can
//! do: be down, be restarted, refuse a row, refuse the user. `gateway` does both through the
//! real binary.
//!
//! Run with `cargo test -p torana-tests --test stores`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod clickhouse;
mod conformance;
mod gateway;
mod oracle;
mod postgres;
mod questions;
mod rows;
mod store;
