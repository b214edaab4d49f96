//! The real binary in a folder of its own: started on free ports, configured, signalled,
//! asked, and gone when the test is.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, kill_process};
use serde_json::Value;
use tempfile::TempDir;

pub use rustix::process::Signal;

use crate::client::{Reply, Request, Stream};
use crate::eventually::{eventually, within};
use crate::openai;

/// A first start compiles components in a debug build, on a machine that does other things.
const START: Duration = Duration::from_secs(120);

/// Exit code of a configuration or a plugin that is wrong.
pub const MISCONFIGURED: i32 = 78;

/// A configuration file in parts, so that tests write only what they are about.
#[derive(Debug, Clone, Default)]
pub struct Config {
    top: String,
    server: String,
    tables: String,
}

impl Config {
    /// `tables` is TOML that begins with a table; `[server]`, `[admin]` and `[plugin_host]`
    /// are written already.
    pub fn new(tables: impl Into<String>) -> Self {
        Self { tables: tables.into(), ..Self::default() }
    }

    /// Keys before the first table.
    #[must_use]
    pub fn top(mut self, keys: &str) -> Self {
        let _ = writeln!(self.top, "{keys}");
        self
    }

    /// Keys of `[server]`.
    #[must_use]
    pub fn server(mut self, keys: &str) -> Self {
        let _ = writeln!(self.server, "{keys}");
        self
    }

    /// More tables.
    #[must_use]
    pub fn and(mut self, tables: &str) -> Self {
        let _ = writeln!(self.tables, "\n{tables}");
        self
    }

    /// Compiled components of all tests: each is compiled once.
    pub fn cache_path() -> PathBuf {
        target_folder().join("torana-tests-cache")
    }

    /// The same with other words.
    #[must_use]
    pub fn replace(mut self, old: &str, new: &str) -> Self {
        assert!(self.tables.contains(old), "no {old:?} in {}", self.tables);
        self.tables = self.tables.replace(old, new);
        self
    }

    /// The file as it is written.
    pub fn text(&self) -> String {
        let Self { top, server, tables } = self;
        let cache = Self::cache_path();
        format!(
            "{top}\n[server]\nlisten = \"127.0.0.1:0\"\n{server}\n\
             [admin]\nlisten = \"127.0.0.1:0\"\n\
             [plugin_host]\ncache = {cache:?}\ninstances = 200\n\n{tables}\n"
        )
    }
}

/// A folder with a configuration file, before anything runs in it.
#[derive(Clone)]
pub struct Folder {
    folder: Arc<TempDir>,
}

impl Folder {
    pub fn new(config: &Config) -> Self {
        Self::with_files(config, &[])
    }

    /// With more files beside the configuration.
    pub fn with_files(config: &Config, files: &[(&str, &str)]) -> Self {
        let created = Self::with_text(&config.text());
        for (name, text) in files {
            created.put(name, text.as_bytes());
        }
        created
    }

    /// With a configuration as it stands here.
    pub fn with_text(config: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let created = Self { folder: Arc::new(folder) };
        created.put("torana.toml", config.as_bytes());
        created
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn config_path(&self) -> PathBuf {
        self.path("torana.toml")
    }

    /// Writes the configuration as most editors do: a new file, renamed over the old one.
    pub fn configure(&self, config: &Config) {
        self.put("torana.toml", config.text().as_bytes());
    }

    /// A file, renamed into its place.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let new = self.path(&format!(".{name}.new"));
        std::fs::write(&new, bytes).expect("the folder can be written");
        std::fs::rename(&new, self.path(name)).expect("the folder can be written");
    }

    /// A file, emptied and written again in its place.
    pub fn overwrite(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).expect("the folder can be written");
    }

    /// `torana <arguments> --config <the file>`.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let config = self.config_path();
        let mut command = torana();
        command.args(arguments).arg("--config").arg(&config);
        command.output().expect("the binary runs")
    }

    /// `torana serve` with this configuration.
    pub fn serve(&self) -> Command {
        let mut command = torana();
        command.arg("serve").arg("--config").arg(self.config_path());
        command
    }

    /// What `torana check` says, and whether it was content.
    pub fn check(&self) -> (bool, String) {
        let output = self.run(&["check"]);
        let code = output.status.code();
        assert!(matches!(code, Some(0 | MISCONFIGURED)), "{output:?}");
        (output.status.success(), both(&output))
    }
}

/// A gateway that never listened.
#[derive(Debug)]
pub struct Ended {
    /// Exit code, or the signal that ended it as a negative number.
    pub code: i32,
    pub log: String,
}

/// A running gateway.
pub struct Gateway {
    pub folder: Folder,
    child: Child,
    data: SocketAddr,
    admin: SocketAddr,
    log: Arc<Mutex<String>>,
}

impl Gateway {
    /// Starts the binary and waits until it listens.
    #[track_caller]
    pub fn start(config: &Config) -> Self {
        Self::start_in(Folder::new(config), &[])
    }

    /// The same in a folder that is there already, with these environment variables.
    #[track_caller]
    pub fn start_in(folder: Folder, environment: &[(&str, &str)]) -> Self {
        Self::start_with(folder, environment, &[])
    }

    /// The same with more arguments of `torana serve`.
    #[track_caller]
    pub fn start_with(folder: Folder, environment: &[(&str, &str)], arguments: &[&str]) -> Self {
        let mut command = folder.serve();
        command.args(arguments);
        command.envs(environment.iter().copied());
        Self::try_start(folder, command).unwrap_or_else(|ended| panic!("it ended:\n{}", ended.log))
    }

    /// Starts a command that becomes the binary, such as one that is traced.
    ///
    /// # Errors
    ///
    /// It ended before it listened.
    pub fn try_start(folder: Folder, mut command: Command) -> Result<Self, Ended> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary runs");
        let log = Arc::new(Mutex::new(String::new()));
        let readers =
            [collect(child.stdout.take(), log.clone()), collect(child.stderr.take(), log.clone())];
        let port = |child: &mut Child, line: &str| {
            within(START, line, || {
                if let Some(address) = address_after(&log.lock().expect("no panics"), line) {
                    return Some(Ok(address));
                }
                let status = child.try_wait().expect("a child can be waited for")?;
                Some(Err(status))
            })
        };
        let listening = port(&mut child, "listening on http://")
            .and_then(|data| Ok((data, port(&mut child, "admin on http://")?)));
        match listening {
            Ok((data, admin)) => Ok(Self { folder, child, data, admin, log }),
            Err(status) => {
                // All of what it said, which may come after its end.
                readers.into_iter().for_each(|reader| drop(reader.join()));
                let log = log.lock().expect("no holder panics").clone();
                Err(Ended { code: exit_code(status), log })
            }
        }
    }

    /// The data plane.
    pub fn address(&self) -> SocketAddr {
        self.data
    }

    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// Asks the data plane.
    pub fn send(&self, request: &Request) -> Reply {
        request.send(self.data)
    }

    pub fn get(&self, path: &str) -> Reply {
        self.send(&Request::get(path))
    }

    /// Asks for a chat completion.
    pub fn chat(&self, body: &Value) -> Reply {
        self.send(&openai::completion(body))
    }

    pub fn chat_stream(&self, body: &Value) -> Stream {
        openai::completion(body).stream(self.data)
    }

    pub fn admin(&self, path: &str) -> Reply {
        Request::get(path).send(self.admin)
    }

    pub fn status(&self) -> Value {
        self.admin("/status").expect(200).json()
    }

    /// The entry of one plugin in `/status`.
    #[track_caller]
    pub fn plugin(&self, name: &str) -> Value {
        let status = self.status();
        let plugins = status["plugins"].as_array().unwrap_or_else(|| panic!("{status:#}"));
        let found = plugins.iter().find(|plugin| plugin["name"] == name);
        found.unwrap_or_else(|| panic!("no plugin {name}: {status:#}")).clone()
    }

    /// A counter of one plugin in `/status`.
    #[track_caller]
    pub fn account(&self, name: &str, counter: &str) -> u64 {
        let plugin = self.plugin(name);
        plugin["account"][counter].as_u64().unwrap_or_else(|| panic!("{counter}: {plugin:#}"))
    }

    pub fn metrics(&self) -> String {
        self.admin("/metrics").expect(200).text()
    }

    /// One figure of `/metrics`, by its name and labels as they stand there. None if it is not
    /// there, or the gateway is not.
    pub fn metric(&self, series: &str) -> Option<u64> {
        let metrics = Request::get("/metrics").try_send(self.admin).ok()?.text();
        let mut lines = metrics.lines().filter_map(|line| line.rsplit_once(' '));
        let (_, value) = lines.find(|(name, _)| *name == series)?;
        value.parse().ok()
    }

    pub fn generation(&self) -> u64 {
        let status = self.status();
        status["generation"].as_u64().unwrap_or_else(|| panic!("no generation: {status:#}"))
    }

    /// `POST /reload`.
    pub fn reload(&self) -> Reply {
        Request::new("POST", "/reload", Vec::new()).send(self.admin)
    }

    /// Waits for a later snapshot than `generation`.
    pub fn later_than(&self, generation: u64) -> u64 {
        let what = format!("a generation after {generation}");
        eventually(&what, || Some(self.generation()).filter(|now| *now > generation))
    }

    /// The record of a call, once the sink has it.
    pub fn inference(&self, id: &str) -> Value {
        let path = format!("/v1/inferences/{id}");
        eventually(&format!("{path} in the sink"), || {
            let reply = self.get(&path);
            match reply.status {
                200 => Some(reply.json()),
                404 => None,
                _ => panic!("{reply}"),
            }
        })
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("the process is there");
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child can be waited for").is_none()
    }

    /// Waits for the end: exit code, or the signal that ended it as a negative number.
    pub fn wait_for_end(&mut self, deadline: Duration) -> i32 {
        within(deadline, "the end of the process", || {
            self.child.try_wait().expect("a child can be waited for").map(exit_code)
        })
    }

    /// Everything it printed.
    pub fn log(&self) -> String {
        self.log.lock().expect("no holder panics").clone()
    }

    /// Resident memory in bytes.
    pub fn resident_bytes(&self) -> u64 {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.child.id()));
        let statm = statm.expect("Linux tells about processes");
        let pages = statm.split(' ').nth(1).and_then(|it| it.parse::<u64>().ok());
        pages.expect("pages in memory") * rustix::param::page_size() as u64
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended already, which is what some tests are about.
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            eprintln!("--- log of the gateway ---\n{}", self.log());
        }
    }
}

/// The binary, without this process's environment: a key that happens to be set must not
/// change what is tested.
pub fn torana() -> Command {
    let path = match std::env::var_os("TORANA_BINARY") {
        Some(path) => PathBuf::from(path),
        None => target_folder().join("torana"),
    };
    let hint = "build it with `cargo build -p torana`, in the same profile, or set TORANA_BINARY";
    assert!(path.exists(), "no binary at {}: {hint}", path.display());
    let mut command = Command::new(path);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

/// What `torana <arguments>` prints; it must succeed.
pub fn run(arguments: &[&str]) -> String {
    let output = torana().args(arguments).output().expect("the binary runs");
    assert!(output.status.success(), "torana {arguments:?}: {output:?}");
    both(&output)
}

/// Standard output and error of a command that ended.
pub fn both(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

/// Where cargo put this test: `target/<profile>/deps/<test>`.
fn target_folder() -> PathBuf {
    let this = std::env::current_exe().expect("a process knows its file");
    let folder = this.parent().and_then(Path::parent).expect("a test is in target/<profile>/deps");
    folder.to_owned()
}

fn exit_code(status: ExitStatus) -> i32 {
    let signal = status.signal().map(|signal| -signal);
    status.code().or(signal).expect("a process ends by itself or by a signal")
}

fn collect(
    from: Option<impl Read + Send + 'static>,
    log: Arc<Mutex<String>>,
) -> std::thread::JoinHandle<()> {
    let from = BufReader::new(from.expect("the stream is piped"));
    std::thread::spawn(move || {
        for line in from.split(b'\n').map_while(Result::ok) {
            let mut log = log.lock().expect("no holder panics");
            log.push_str(&String::from_utf8_lossy(&line));
            log.push('\n');
        }
    })
}

fn address_after(log: &str, words: &str) -> Option<SocketAddr> {
    let (_, rest) = log.split_once(words)?;
    let end = rest.find(|it: char| !it.is_ascii_digit() && it != '.' && it != ':')?;
    rest.get(..end)?.parse().ok()
}
