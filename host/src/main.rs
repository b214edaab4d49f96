//! The command line of `torana`: parse, then one function a command.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    torana::command::Command::parse().run()
}
