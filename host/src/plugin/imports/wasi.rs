//! The inert WASI minimum: what the Rust standard library links whether a guest uses it or
//! not. Environment and arguments are empty, standard input is at its end, standard output
//! and error go to the log, clocks and randomness work, and `exit` is a trap. Nothing here
//! reaches a file, a socket or another process.

use std::time::{SystemTime, UNIX_EPOCH};

use wasmtime::component::{Linker, Resource, ResourceType};
use wasmtime::{Result, StoreContextMut};

use super::{GuestState, random};

/// Streams have no state: standard input is empty, the other two are the log.
struct InputStream;
struct OutputStream;
struct StreamFailure;
struct Pollable;
struct TerminalInput;
struct TerminalOutput;

type Context<'a> = StoreContextMut<'a, GuestState>;
/// `wasi:io/streams.stream-error`.
#[derive(wasmtime::component::ComponentType, wasmtime::component::Lower)]
#[component(variant)]
enum StreamError {
    #[component(name = "last-operation-failed")]
    #[expect(dead_code, reason = "part of the type's shape; nothing here fails")]
    LastOperationFailed(Resource<StreamFailure>),
    #[component(name = "closed")]
    Closed,
}

/// `wasi:clocks/wall-clock.datetime`.
#[derive(wasmtime::component::ComponentType, wasmtime::component::Lower)]
#[component(record)]
struct Datetime {
    seconds: u64,
    nanoseconds: u32,
}

/// How much a guest may print with one call.
const WRITE_PERMIT: u64 = 4096;

/// A guest called `exit`.
#[derive(Debug, thiserror::Error)]
#[error("the plugin called exit; a plugin has no process to end")]
struct Exited;

pub(super) fn link(linker: &mut Linker<GuestState>) -> Result<()> {
    cli(linker)?;
    io(linker)?;
    clocks(linker)?;
    randomness(linker)
}

fn cli(linker: &mut Linker<GuestState>) -> Result<()> {
    let mut environment = linker.instance("wasi:cli/environment@0.2.0")?;
    environment
        .func_wrap("get-environment", |_: Context<'_>, ()| Ok((Vec::<(String, String)>::new(),)))?;
    environment.func_wrap("get-arguments", |_: Context<'_>, ()| Ok((Vec::<String>::new(),)))?;
    environment.func_wrap("initial-cwd", |_: Context<'_>, ()| Ok((None::<String>,)))?;

    let mut exit = linker.instance("wasi:cli/exit@0.2.0")?;
    exit.func_wrap("exit", |_: Context<'_>, (_,): (Result<(), ()>,)| -> Result<()> {
        Err(Exited.into())
    })?;

    linker
        .instance("wasi:cli/stdin@0.2.0")?
        .func_wrap("get-stdin", |_: Context<'_>, ()| Ok((Resource::<InputStream>::new_own(0),)))?;
    linker.instance("wasi:cli/stdout@0.2.0")?.func_wrap("get-stdout", |_: Context<'_>, ()| {
        Ok((Resource::<OutputStream>::new_own(1),))
    })?;
    linker.instance("wasi:cli/stderr@0.2.0")?.func_wrap("get-stderr", |_: Context<'_>, ()| {
        Ok((Resource::<OutputStream>::new_own(2),))
    })?;

    resource::<TerminalInput>(linker, "wasi:cli/terminal-input@0.2.0", "terminal-input")?;
    resource::<TerminalOutput>(linker, "wasi:cli/terminal-output@0.2.0", "terminal-output")?;
    linker
        .instance("wasi:cli/terminal-stdin@0.2.0")?
        .func_wrap("get-terminal-stdin", |_: Context<'_>, ()| {
            Ok((None::<Resource<TerminalInput>>,))
        })?;
    linker
        .instance("wasi:cli/terminal-stdout@0.2.0")?
        .func_wrap("get-terminal-stdout", |_: Context<'_>, ()| {
            Ok((None::<Resource<TerminalOutput>>,))
        })?;
    linker
        .instance("wasi:cli/terminal-stderr@0.2.0")?
        .func_wrap("get-terminal-stderr", |_: Context<'_>, ()| {
            Ok((None::<Resource<TerminalOutput>>,))
        })
}

fn io(linker: &mut Linker<GuestState>) -> Result<()> {
    resource::<StreamFailure>(linker, "wasi:io/error@0.2.0", "error")?;
    linker.instance("wasi:io/error@0.2.0")?.func_wrap(
        "[method]error.to-debug-string",
        |_: Context<'_>, (_,): (Resource<StreamFailure>,)| Ok((String::new(),)),
    )?;

    resource::<Pollable>(linker, "wasi:io/poll@0.2.0", "pollable")?;
    let mut poll = linker.instance("wasi:io/poll@0.2.0")?;
    // Everything here is ready at once, so nothing ever waits.
    poll.func_wrap("[method]pollable.ready", |_: Context<'_>, (_,): (Resource<Pollable>,)| {
        Ok((true,))
    })?;
    poll.func_wrap("[method]pollable.block", |_: Context<'_>, (_,): (Resource<Pollable>,)| Ok(()))?;
    poll.func_wrap("poll", |_: Context<'_>, (all,): (Vec<Resource<Pollable>>,)| {
        Ok(((0..u32::try_from(all.len()).unwrap_or(u32::MAX)).collect::<Vec<u32>>(),))
    })?;

    resource::<InputStream>(linker, "wasi:io/streams@0.2.0", "input-stream")?;
    resource::<OutputStream>(linker, "wasi:io/streams@0.2.0", "output-stream")?;
    let mut streams = linker.instance("wasi:io/streams@0.2.0")?;
    for read in ["[method]input-stream.read", "[method]input-stream.blocking-read"] {
        streams.func_wrap(read, |_: Context<'_>, (_, _): (Resource<InputStream>, u64)| {
            Ok((Err::<Vec<u8>, _>(StreamError::Closed),))
        })?;
    }
    streams.func_wrap(
        "[method]input-stream.subscribe",
        |_: Context<'_>, (_,): (Resource<InputStream>,)| Ok((Resource::<Pollable>::new_own(0),)),
    )?;
    streams.func_wrap(
        "[method]output-stream.subscribe",
        |_: Context<'_>, (_,): (Resource<OutputStream>,)| Ok((Resource::<Pollable>::new_own(0),)),
    )?;
    streams.func_wrap(
        "[method]output-stream.check-write",
        |_: Context<'_>, (_,): (Resource<OutputStream>,)| Ok((Ok::<_, StreamError>(WRITE_PERMIT),)),
    )?;
    for write in ["[method]output-stream.write", "[method]output-stream.blocking-write-and-flush"] {
        streams.func_wrap(
            write,
            |mut context: Context<'_>, (_, bytes): (Resource<OutputStream>, Vec<u8>)| {
                context.data_mut().print(&bytes);
                Ok((Ok::<_, StreamError>(()),))
            },
        )?;
    }
    for flush in ["[method]output-stream.flush", "[method]output-stream.blocking-flush"] {
        streams.func_wrap(flush, |_: Context<'_>, (_,): (Resource<OutputStream>,)| {
            Ok((Ok::<_, StreamError>(()),))
        })?;
    }
    Ok(())
}

fn clocks(linker: &mut Linker<GuestState>) -> Result<()> {
    let start = std::time::Instant::now();
    let mut monotonic = linker.instance("wasi:clocks/monotonic-clock@0.2.0")?;
    monotonic.func_wrap("now", move |_: Context<'_>, ()| {
        Ok((u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX),))
    })?;
    monotonic.func_wrap("resolution", |_: Context<'_>, ()| Ok((1u64,)))?;
    for subscribe in ["subscribe-instant", "subscribe-duration"] {
        monotonic.func_wrap(subscribe, |_: Context<'_>, (_,): (u64,)| {
            Ok((Resource::<Pollable>::new_own(0),))
        })?;
    }
    let mut wall = linker.instance("wasi:clocks/wall-clock@0.2.0")?;
    wall.func_wrap("now", |_: Context<'_>, ()| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok((Datetime { seconds: now.as_secs(), nanoseconds: now.subsec_nanos() },))
    })?;
    wall.func_wrap("resolution", |_: Context<'_>, ()| {
        Ok((Datetime { seconds: 0, nanoseconds: 1 },))
    })
}

fn randomness(linker: &mut Linker<GuestState>) -> Result<()> {
    let mut random = linker.instance("wasi:random/random@0.2.0")?;
    random.func_wrap("get-random-bytes", |_: Context<'_>, (length,): (u64,)| {
        // A guest asks for a hash seed; more than a page is not that.
        let mut buffer = vec![0u8; usize::try_from(length).unwrap_or(usize::MAX).min(4096)];
        random::fill(&mut buffer);
        Ok((buffer,))
    })?;
    random.func_wrap("get-random-u64", |_: Context<'_>, ()| Ok((random_u64(),)))?;
    linker
        .instance("wasi:random/insecure-seed@0.2.0")?
        .func_wrap("insecure-seed", |_: Context<'_>, ()| Ok(((random_u64(), random_u64()),)))
}

fn random_u64() -> u64 {
    let mut buffer = [0; 8];
    random::fill(&mut buffer);
    u64::from_le_bytes(buffer)
}

fn resource<R: 'static>(
    linker: &mut Linker<GuestState>,
    interface: &str,
    name: &str,
) -> Result<()> {
    linker.instance(interface)?.resource(name, ResourceType::host::<R>(), |_, _| Ok(()))
}
