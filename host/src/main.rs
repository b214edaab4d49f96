//! The command line of `torana`: parse, then one function a command.

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;

/// A call allocates some hundred times, on threads that free what others made.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    torana::command::Command::parse().run()
}
