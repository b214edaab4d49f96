//! The binary under strace, which makes a chosen system call fail or kill the process.
//!
//! strace counts calls for each thread and each system call by itself. The rest is done by
//! configuration: with one worker thread and no sink, `pwrite64` is the journal's and nothing
//! else, so the Nth is the Nth append.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::gateway::both;
use crate::process::{Missing, run};

/// Far more than a program takes that does nothing.
const TRIAL: Duration = Duration::from_secs(20);

/// What happens at the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The disk is broken.
    Eio,
    /// The disk is full.
    Enospc,
    /// The process dies before the call is made.
    Kill,
}

impl Fault {
    pub const ALL: [Self; 3] = [Self::Eio, Self::Enospc, Self::Kill];

    fn injected(self) -> &'static str {
        match self {
            Self::Eio => "error=EIO",
            Self::Enospc => "error=ENOSPC",
            Self::Kill => "signal=KILL",
        }
    }
}

/// Which call is hit.
#[derive(Debug, Clone, Copy)]
pub struct Injection<'a> {
    pub fault: Fault,
    pub calls: &'a str,
    /// strace's `when`: `N`, or `N+` for all from the Nth on.
    pub when: &'a str,
    /// Only calls about these files; all when empty.
    pub files: &'a [PathBuf],
}

/// Whether programs can be traced here.
///
/// # Errors
///
/// There is no strace. Where it is there and not permitted, that is an error inside.
pub fn permitted() -> Result<Result<(), Missing>, Missing> {
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "--seccomp-bpf", "-o", "/dev/null", "-e", "trace=fsync", "true"]);
    match run(&mut command, TRIAL) {
        Err(error) => Err(Missing(format!("strace: {error}"))),
        Ok(output) if output.status.success() && output.stderr.is_empty() => Ok(Ok(())),
        Ok(output) => Ok(Err(Missing(format!("strace is not permitted: {}", both(&output))))),
    }
}

/// `program` under strace. The process that is started is the program itself: it can be
/// signalled and measured as if nobody watched. What was hit is written to `log`.
pub fn traced(program: &Command, injection: &Injection<'_>, log: &Path) -> Command {
    let Injection { fault, calls, when, files } = injection;
    let mut command = Command::new("strace");
    command.env_clear();
    for (name, value) in program.get_envs() {
        value.map(|value| command.env(name, value));
    }
    command.env("TOKIO_WORKER_THREADS", "1");
    command.args(["-D", "-f", "-qq", "-y", "-e", "signal=none", "-o"]).arg(log);
    if *fault != Fault::Kill {
        // Stops at these calls alone, and so is fast. From such a stop no signal can be sent:
        // ptrace(2) knows no injection there.
        command.arg("--seccomp-bpf");
    }
    command.arg("-e").arg(format!("trace={calls}"));
    command.arg("-e").arg(format!("inject={calls}:{}:when={when}", fault.injected()));
    for file in *files {
        command.arg("-P").arg(file);
    }
    command.arg("--").arg(program.get_program()).args(program.get_args());
    command
}

/// How often the fault was injected, by a log of [`traced`].
pub fn hits(log: &Path) -> usize {
    let text = std::fs::read_to_string(log).expect("strace writes its log");
    text.lines().filter(|line| line.contains("(INJECTED)")).count()
}
