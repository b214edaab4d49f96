//! Other people's programs, run so that they end: a program that is waited for has a deadline,
//! one that runs beside a test ends with its handle, and both take their children with them.
//!
//! What is missing on a developer's machine is a notice and a skipped test; on CI (`CI` is
//! set) it is a failure, since a skipped test proves nothing there.

use std::io::{self, Read};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::gateway::both;

/// Short beside a program's run, long enough to leave the processor alone.
const PAUSE: Duration = Duration::from_millis(20);

/// Why something that is not part of this repository is not there.
#[derive(Debug, Clone)]
pub struct Missing(pub String);

impl Missing {
    /// What is there, or a notice that `test` is skipped.
    ///
    /// # Panics
    ///
    /// On CI.
    pub fn or_skip<T>(found: Result<T, Self>, test: &str) -> Option<T> {
        match found {
            Ok(found) => Some(found),
            Err(Self(why)) if std::env::var_os("CI").is_some() => panic!("{test}: {why}"),
            Err(Self(why)) => {
                eprintln!("skipped: {test}: {why}");
                None
            }
        }
    }
}

/// Runs a program to its end.
///
/// # Errors
///
/// It cannot be started, or it was killed because it took longer than `limit`; what it printed
/// by then is in the message.
pub fn run(command: &mut Command, limit: Duration) -> io::Result<Output> {
    let mut program = Background::start(command)?;
    let stdout = read(program.child.stdout.take());
    let stderr = read(program.child.stderr.take());
    let status = program.wait(limit)?;
    // Before the pipes are read to their end: a child left behind would hold them open.
    drop(program);
    let text = |reader: JoinHandle<Vec<u8>>| reader.join().unwrap_or_default();
    let (stdout, stderr) = (text(stdout), text(stderr));
    let output = Output { status: status.unwrap_or_default(), stdout, stderr };
    if status.is_none() {
        let message = format!("killed after {limit:?}:\n{}", both(&output));
        return Err(io::Error::new(io::ErrorKind::TimedOut, message));
    }
    Ok(output)
}

/// Runs a program that has to succeed, as part of getting something that may be missing.
///
/// # Errors
///
/// It did not succeed, with what it printed.
pub fn prepare(command: &mut Command, limit: Duration) -> Result<Output, Missing> {
    match run(command, limit) {
        Ok(output) if output.status.success() => Ok(output),
        Ok(output) => Err(Missing(format!("{command:?}: {}", both(&output)))),
        Err(error) => Err(Missing(format!("{command:?}: {error}"))),
    }
}

/// A program that runs beside a test. Ends with this handle, and its children with it.
pub struct Background {
    pub child: Child,
}

impl Background {
    /// Its output is piped: who starts a program that prints much has to read it.
    ///
    /// # Errors
    ///
    /// It cannot be started.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(Self { child: command.process_group(0).spawn()? })
    }

    /// Absent when it still runs after `limit`.
    fn wait(&mut self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            if start.elapsed() > limit {
                return Ok(None);
            }
            std::thread::sleep(PAUSE);
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // Failing means that the whole group has ended already.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        drop(self.child.wait());
    }
}

fn read(from: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut from) = from {
            // What was read before an error is still worth showing.
            drop(from.read_to_end(&mut bytes));
        }
        bytes
    })
}
