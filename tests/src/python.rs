//! Python with the client packages of `sdk/requirements.txt`, installed from the registry
//! into a virtual environment in the target folder, once for all tests and kept between runs.
//!
//! The packages of a list share one environment: their versions are pinned together, so that
//! what runs today runs tomorrow. Another list is another environment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::gateway::{Config, both};
use crate::process::{Missing, prepare, run};
use crate::repository;

/// From a cold cache, over a slow line, on a busy machine; the largest package has 180 MB.
const INSTALL: Duration = Duration::from_secs(600);

/// Plugins that langchain-tests brings, which refuse sockets, record traffic or measure.
const FOREIGN_PYTEST_PLUGINS: [&str; 6] =
    ["pytest_socket", "recording", "codspeed", "benchmark", "syrupy", "schemathesis"];

/// An interpreter with every package of the list.
#[derive(Debug, Clone)]
pub struct Python {
    interpreter: PathBuf,
}

impl Python {
    /// # Errors
    ///
    /// There is no Python, or the registry does not give the packages.
    pub fn install() -> Result<Self, Missing> {
        Self::with("requirements.txt")
    }

    /// With the packages of another list of `sdk/`.
    ///
    /// # Errors
    ///
    /// There is no Python, or the registry does not give the packages.
    pub fn with(list: &'static str) -> Result<Self, Missing> {
        static INSTALLED: Mutex<BTreeMap<&str, Result<Python, Missing>>> =
            Mutex::new(BTreeMap::new());
        // Held while it installs: nobody else needs less.
        let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
        installed.entry(list).or_insert_with(|| install(list)).clone()
    }

    /// The interpreter, in the environment of this process but for what changes the clients.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.interpreter);
        let settings = ["OPENAI_", "ANTHROPIC_", "LANGCHAIN_", "LANGSMITH_", "PYTEST_"];
        for (name, _) in std::env::vars() {
            if settings.iter().any(|prefix| name.starts_with(prefix)) {
                command.env_remove(name);
            }
        }
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("NO_PROXY", "127.0.0.1");
        command
    }

    /// Runs a program of `sdk/`, which has to succeed within `limit`.
    #[track_caller]
    pub fn script(&self, name: &str, arguments: &[&str], limit: Duration) {
        expect_success(self.command().arg(sdk(name)).args(arguments), limit);
    }

    /// pytest in `folder`, without its plugins for other things than these tests.
    pub fn pytest(&self, folder: &Path) -> Command {
        let mut command = self.command();
        command.current_dir(folder).args(["-m", "pytest", "-q", "-p", "no:cacheprovider"]);
        for plugin in FOREIGN_PYTEST_PLUGINS {
            command.args(["-p", &format!("no:{plugin}")]);
        }
        command
    }

    /// The source distribution of a package of the list, unpacked. Kept between runs.
    ///
    /// # Errors
    ///
    /// The registry does not give it.
    pub fn source(&self, package: &str) -> Result<PathBuf, Missing> {
        let version = version(package)?;
        let name = format!("{package}-{version}");
        let folder = folder().join("sources");
        let unpacked = folder.join(&name);
        if unpacked.join("unpacked").exists() {
            return Ok(unpacked);
        }
        let pip = ["-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", package];
        let pinned = format!("{package}=={version}");
        prepare(self.command().args(pip).arg("--dest").arg(&folder).arg(pinned), INSTALL)?;
        let archive = folder.join(format!("{name}.tar.gz"));
        let extract = ["-m", "tarfile", "--filter", "data", "--extract"];
        prepare(self.command().args(extract).arg(archive).arg(&folder), INSTALL)?;
        write(&unpacked.join("unpacked"), "")?;
        Ok(unpacked)
    }
}

/// Runs a program that has to succeed within `limit`, and shows what it printed if not. One at
/// a time: suites keep a processor busy, and other tests measure time.
#[track_caller]
pub fn expect_success(command: &mut Command, limit: Duration) {
    static ALONE: Mutex<()> = Mutex::new(());
    // A suite that failed leaves nothing behind that the next could stumble over.
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    match run(command, limit) {
        Ok(output) if output.status.success() => {}
        Ok(output) => panic!("{command:?}: {}\n{}", output.status, both(&output)),
        Err(error) => panic!("{command:?}: {error}"),
    }
}

/// Something in the folder of programs and lists of packages.
pub fn sdk(name: &str) -> PathBuf {
    repository().join("tests/sdk").join(name)
}

/// Where packages of other languages are installed.
pub fn folder() -> PathBuf {
    Config::cache_path().with_file_name("torana-tests-packages")
}

fn install(name: &str) -> Result<Python, Missing> {
    let list = read(&sdk(name))?;
    let environment = match name.strip_suffix("_requirements.txt") {
        Some(other) => folder().join(format!("python-{other}")),
        None => folder().join("python"),
    };
    let (interpreter, stamp) = (environment.join("bin/python"), environment.join("installed.txt"));
    let python = Python { interpreter };
    // Written last: an environment without it was left half installed.
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == list) {
        return Ok(python);
    }
    let venv = ["-m", "venv", "--clear"];
    prepare(Command::new("python3").args(venv).arg(&environment), INSTALL)?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
    prepare(python.command().args(pip).arg(sdk(name)), INSTALL)?;
    write(&stamp, &list)?;
    Ok(python)
}

/// The pinned version of a package.
fn version(package: &str) -> Result<String, Missing> {
    let list = read(&sdk("requirements.txt"))?;
    let pinned = list.lines().find_map(|line| line.strip_prefix(&format!("{package}==")));
    pinned.map(str::to_owned).ok_or_else(|| Missing(format!("{package} is not in the list")))
}

fn read(path: &Path) -> Result<String, Missing> {
    let text = std::fs::read_to_string(path);
    text.map_err(|error| Missing(format!("{}: {error}", path.display())))
}

fn write(path: &Path, text: &str) -> Result<(), Missing> {
    std::fs::write(path, text).map_err(|error| Missing(format!("{}: {error}", path.display())))
}
