//! `[server]`, `[admin]`, `[journal]` and `[plugin_host]`: the gateway itself.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use super::super::problem::{Located, Spot};
use super::super::reader::Table;
use super::super::{
    Admin, Auth, Bounds, Content, Decisions, Journal, OnDisconnect, PluginHost, Pointer, Redaction,
    Server, StructuredOutput, SyncMode, TraceHeaders, UnsupportedParams, WhenFull,
};

/// Data plane: this machine only, so that a first start exposes nothing.
const SERVER_LISTEN: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 3000));

/// Control plane: never on the listener that clients reach.
const ADMIN_LISTEN: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 3001));

/// Holds about 20 images inline; above the limits of the large providers.
const BODY_LIMIT_MIB: u64 = 32;

/// Twice a request: an answer may hold generated images and audio.
const ANSWER_LIMIT_MIB: u64 = 64;

/// An idle connection waits for its next headers too: longer than the 60 s for which load
/// balancers and client pools keep one, so that it is they who close it.
const HEADER_TIMEOUT_MS: u64 = 75_000;

/// A full body at about 1 MiB/s.
const BODY_TIMEOUT_MS: u64 = 30_000;

/// What orchestrators give a process between the signal to end and the kill.
const DRAIN_TIMEOUT_MS: u64 = 30_000;

/// Below the 30 to 60 s after which proxies and browsers give up on a silent stream.
const KEEP_ALIVE_COMMENT_MS: u64 = 15_000;

/// With two sockets a connection this needs 20,000 descriptors; more is a second gateway.
const MAX_CONNECTIONS: u64 = 10_000;

/// Long enough for any body, short enough to be a timeout: one hour.
const LONGEST_MS: u64 = 3_600_000;

/// Small enough that dropping the oldest loses little, large enough that there are few files.
const SEGMENT_MIB: u64 = 64;

/// About 200,000 calls of 5 KiB; fits any disk that holds a container image.
const JOURNAL_MAX_MIB: u64 = 1024;

/// Holds most conversations whole; two of them an attempt are what a segment can take some 500
/// calls of.
const RAW_KIB: u64 = 64;

/// Rows are held in memory until they are written.
const MOST_RAW_KIB: u64 = 4096;

/// Each is looked up in every body that is kept.
const MOST_POINTERS: usize = 64;

/// Some 10,000 rows of 5 KiB: enough to see what a store objects to, and small beside the
/// journal that it lies in.
const DEAD_LETTER_MIB: u64 = 64;

/// Four times what 250 concurrent streams of one provider need; 1,000 instances that use
/// their 64 MiB to the full would be 64 GiB, which no real load comes near.
const INSTANCES: u64 = 1000;

/// Each instance reserves 4 GiB of addresses: this many fill a third of the 128 TiB there are.
const MOST_INSTANCES: u64 = 10_000;

/// Each costs a whole call, so nobody pays for one without having asked for it.
const REASKS: u64 = 0;
/// What did not help three times does not help.
const MOST_REASKS: u64 = 3;

/// `[server]`, before it is known whether there are client keys.
pub(in super::super) struct WrittenServer {
    /// `auth` holds a placeholder until `resolve.rs` decides.
    pub(in super::super) values: Server,
    /// As written.
    pub(in super::super) auth: Option<Located<Auth>>,
    pub(in super::super) listen: Spot,
}

pub(super) fn read_server(table: &Table<'_>) -> WrittenServer {
    let listen = table.socket_address("listen", SERVER_LISTEN);
    let auth = table.choice("auth", &[("keys", Auth::Keys), ("none", Auth::None)]);
    let comment =
        table.milliseconds("keep_alive_comment_ms", 0..=LONGEST_MS, KEEP_ALIVE_COMMENT_MS);
    let on_disconnect = table.choice_or(
        "on_disconnect",
        ("cancel", OnDisconnect::Cancel),
        &[("drain", OnDisconnect::Drain)],
    );
    let max_connections = table.integer_or("max_connections", 1..=1_000_000, MAX_CONNECTIONS);
    let values = Server {
        listen: listen.value,
        auth: Auth::Keys,
        body_limit_bytes: bytes(table.mebibytes("body_limit_mib", 1..=1024, BODY_LIMIT_MIB)),
        answer_limit_bytes: bytes(table.mebibytes("answer_limit_mib", 1..=1024, ANSWER_LIMIT_MIB)),
        header_timeout: table.milliseconds("header_timeout_ms", 1..=LONGEST_MS, HEADER_TIMEOUT_MS),
        body_timeout: table.milliseconds("body_timeout_ms", 1..=LONGEST_MS, BODY_TIMEOUT_MS),
        drain_timeout: table.milliseconds("drain_timeout_ms", 0..=LONGEST_MS, DRAIN_TIMEOUT_MS),
        keep_alive_comment: (comment > Duration::ZERO).then_some(comment),
        max_connections: bytes(max_connections),
        on_disconnect,
        json: read_bounds(table),
        unsupported_params: table.choice_or(
            "unsupported_params",
            ("drop-and-report", UnsupportedParams::DropAndReport),
            &[("reject", UnsupportedParams::Reject), ("ignore", UnsupportedParams::Ignore)],
        ),
        trace_headers: table.choice_or(
            "trace_headers",
            ("both", TraceHeaders::Both),
            &[("in", TraceHeaders::In), ("none", TraceHeaders::None)],
        ),
    };
    WrittenServer { values, auth, listen: listen.spot }
}

fn read_bounds(table: &Table<'_>) -> Bounds {
    let default = Bounds::default();
    let bound = |key, range, default: usize| bytes(table.integer_or(key, range, default as u64));
    Bounds {
        max_depth: bound("json_max_depth", 8..=100, default.max_depth),
        max_values: bound("json_max_values", 100..=100_000_000, default.max_values),
    }
}

pub(super) fn read_structured_output(table: &Table<'_>) -> StructuredOutput {
    let reasks = table.integer_or("max_reasks", 0..=MOST_REASKS, REASKS);
    StructuredOutput {
        repair: table.boolean("repair", true),
        max_reasks: u32::try_from(reasks).unwrap_or(u32::MAX),
    }
}

pub(super) fn read_admin(table: &Table<'_>) -> Located<Admin> {
    let listen = table.socket_address("listen", ADMIN_LISTEN);
    let value = Admin { listen: listen.value, allow_remote: table.boolean("allow_remote", false) };
    Located { value, spot: listen.spot }
}

pub(super) fn read_journal(table: &Table<'_>) -> Journal {
    let journal = Journal {
        path: table.path_or("path", "data/journal"),
        segment_bytes: table.mebibytes("segment_mib", 1..=1024, SEGMENT_MIB),
        max_bytes: table.mebibytes("max_mib", 2..=1024 * 1024, JOURNAL_MAX_MIB),
        when_full: table.choice_or(
            "when_full",
            ("drop-oldest", WhenFull::DropOldest),
            &[("shed", WhenFull::Shed)],
        ),
        sync: table.choice_or("sync", ("os", SyncMode::Os), &[("always", SyncMode::Always)]),
        content: table.choice_or(
            "content",
            ("full", Content::Full),
            &[("metadata", Content::Metadata), ("none", Content::None)],
        ),
        redaction: read_redaction(table),
        raw_bytes: bytes(table.integer_or("raw_kib", 0..=MOST_RAW_KIB, RAW_KIB)) * 1024,
        decisions: table.choice_or(
            "decisions",
            ("full", Decisions::Full),
            &[("plan", Decisions::Plan)],
        ),
        dead_letter_bytes: table.mebibytes("dead_letter_mib", 2..=1024 * 1024, DEAD_LETTER_MIB),
    };
    // One segment is being written while the oldest is read or dropped.
    if journal.max_bytes / 2 < journal.segment_bytes {
        let message = "max_mib is less than twice segment_mib; expected room for two segments";
        table.report(table.spot().error(message));
    }
    journal
}

fn read_redaction(table: &Table<'_>) -> Redaction {
    let expected = "a list of JSON pointers such as \"/messages/*/content\"";
    let written = table.strings("redact", expected);
    if let Some(surplus) = written.get(MOST_POINTERS) {
        let message = format!("found {}; expected at most {MOST_POINTERS}", written.len());
        table.report(surplus.spot.error(message));
    }
    let pointers = written.into_iter().take(MOST_POINTERS).filter_map(|text| {
        let read = text.value.parse::<Pointer>();
        read.map_err(|error| table.report(text.spot.error(error.to_string()))).ok()
    });
    Redaction::of(pointers.collect())
}

pub(super) fn read_plugin_host(table: &Table<'_>) -> PluginHost {
    let instances = table.integer_or("instances", 1..=MOST_INSTANCES, INSTANCES);
    PluginHost {
        cache: table.path_or("cache", "data/cache"),
        instances: u32::try_from(instances).unwrap_or(u32::MAX),
    }
}

/// A bounded count or size as the machine counts them.
fn bytes(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
