//! A real PostgreSQL server, as the machine's packages bring it.
//!
//! Promises a server on a port of its own, with a database `torana` and a user `torana` with a
//! password, that speaks TLS with a certificate of its own authority, and can be stopped like a
//! machine that loses power, started again with the same data, and asked past the gateway.

use std::io::{BufRead as _, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::eventually::within;
use crate::gateway::both;
use crate::process::{Background, Missing, prepare, run};
use crate::provider::refusing_port;

/// A cluster is made in seconds; two cores may be busy with other tests.
const START: Duration = Duration::from_secs(120);

pub const PASSWORD: &str = "correct horse";

/// A server, running or stopped. Ends with this handle.
pub struct Postgres {
    programs: PathBuf,
    /// Root may not run the server: who does.
    owner: Option<Owner>,
    folder: TempDir,
    address: SocketAddr,
    program: Option<Background>,
}

#[derive(Debug, Clone, Copy)]
struct Owner {
    user: u32,
    group: u32,
}

impl Postgres {
    /// A running server with an empty database.
    ///
    /// # Errors
    ///
    /// PostgreSQL is not installed, or cannot make a cluster.
    pub fn start() -> Result<Self, Missing> {
        let missing = |error: std::io::Error| Missing(format!("PostgreSQL: {error}"));
        let programs = programs()?;
        let owner = if rustix::process::geteuid().is_root() { Some(owner()?) } else { None };
        let folder = tempfile::tempdir().map_err(missing)?;
        own(folder.path(), owner).map_err(missing)?;
        // Another program may take the port in between; then the server says so and ends.
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, refusing_port()));
        let mut server = Self { programs, owner, folder, address, program: None };
        server.certify();
        let password = server.file("password", PASSWORD);
        let mut command = server.command("initdb");
        command.arg("--pgdata").arg(server.data()).arg("--pwfile").arg(password);
        command.args(["--username=torana", "--auth=scram-sha-256", "--encoding=UTF8"]);
        command.args(["--locale=C.UTF-8", "--no-sync", "--no-instructions"]);
        prepare(&mut command, START)?;
        server.resume();
        server.in_database("postgres", "CREATE DATABASE torana");
        Ok(server)
    }

    /// Its database, in plain text, which is what this machine is asked with.
    pub fn url(&self) -> String {
        self.url_with("sslmode=disable")
    }

    /// The same with other parameters.
    pub fn url_with(&self, parameters: &str) -> String {
        let password = PASSWORD.replace(' ', "%20");
        // By its name: the certificate is of that.
        format!(
            "postgres://torana:{password}@localhost:{}/torana?{parameters}",
            self.address.port()
        )
    }

    /// The certificate of the authority that the server's is of.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    /// Ends the processes as a power failure does.
    pub fn stop(&mut self) {
        self.program = None;
    }

    /// Starts a stopped server again, with its data and on its port.
    pub fn resume(&mut self) {
        // The processes of the one before end on their own once it is gone, and until then keep
        // a new one from the data.
        let started = within(START, "a PostgreSQL server that stays", || {
            let mut program = self.launch();
            let answers = within(START, "the PostgreSQL server", || {
                let ended = program.child.try_wait().expect("a child can be waited for");
                if ended.is_some() {
                    return Some(false);
                }
                self.try_in_database("postgres", "SELECT 1").is_ok().then_some(true)
            });
            answers.then_some(program)
        });
        self.program = Some(started);
    }

    /// Runs a statement in the database; it must succeed. Rows by line, columns by `|`.
    #[track_caller]
    pub fn query(&self, sql: &str) -> String {
        self.in_database("torana", sql)
    }

    /// What a statement gives, or what the client says.
    ///
    /// # Errors
    ///
    /// The client's output.
    pub fn try_query(&self, sql: &str) -> Result<String, String> {
        self.try_in_database("torana", sql)
    }

    #[track_caller]
    fn in_database(&self, database: &str, sql: &str) -> String {
        self.try_in_database(database, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    fn try_in_database(&self, database: &str, sql: &str) -> Result<String, String> {
        let mut command = Command::new(self.programs.join("psql"));
        command.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", "torana"]);
        command.args(["-p", &self.address.port().to_string(), "-d", database, "-c", sql]);
        command.env("PGPASSWORD", PASSWORD).env("PGCONNECT_TIMEOUT", "5");
        match run(&mut command, START) {
            Ok(output) if output.status.success() => {
                Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
            }
            Ok(output) => Err(both(&output)),
            Err(error) => Err(error.to_string()),
        }
    }

    fn launch(&self) -> Background {
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data()).arg("-p").arg(self.address.port().to_string());
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=20",
            "shared_buffers=32MB",
            "ssl=on",
        ] {
            command.args(["-c", setting]);
        }
        for (setting, file) in [("ssl_cert_file", "server.pem"), ("ssl_key_file", "server.key")] {
            command.arg("-c").arg(format!("{setting}={}", self.folder.path().join(file).display()));
        }
        let mut program = Background::start(&mut command).expect("the server is installed");
        show(program.child.stdout.take());
        show(program.child.stderr.take());
        program
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        if let Some(Owner { user, group }) = self.owner {
            command.uid(user).gid(group);
        }
        // It may not read the folder that the tests run in.
        command.current_dir(self.folder.path());
        command
    }

    /// An authority, and a certificate for `localhost` of it.
    fn certify(&self) {
        let own_key = rcgen::KeyPair::generate().expect("a key");
        let mut own = rcgen::CertificateParams::default();
        own.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority = own.self_signed(&own_key).expect("an authority");
        let issuer = rcgen::Issuer::new(own, own_key);
        let key = rcgen::KeyPair::generate().expect("a key");
        let server = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("a name");
        let server = server.signed_by(&key, &issuer).expect("a certificate");
        self.file("authority.pem", &authority.pem());
        self.file("server.pem", &server.pem());
        self.file("server.key", &key.serialize_pem());
    }

    /// A file that the server alone may read, as it demands of keys.
    fn file(&self, name: &str, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("a folder of our own");
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&path, mode).expect("a file of our own");
        own(&path, self.owner).expect("root may give away");
        path
    }
}

fn own(path: &Path, owner: Option<Owner>) -> std::io::Result<()> {
    owner.map_or(Ok(()), |owner| chown(path, Some(owner.user), Some(owner.group)))
}

/// The user that the package made.
fn owner() -> Result<Owner, Missing> {
    let id = |what| {
        let output = prepare(Command::new("id").args([what, "postgres"]), START)?;
        let text = String::from_utf8_lossy(&output.stdout);
        text.trim().parse().map_err(|_| Missing(format!("id {what} postgres: {text}")))
    };
    Ok(Owner { user: id("-u")?, group: id("-g")? })
}

/// Where the server and its tools are: in the path, or where Debian and Red Hat put them.
fn programs() -> Result<PathBuf, Missing> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut versions: Vec<PathBuf> =
        versions.filter_map(|entry| Some(entry.ok()?.path().join("bin"))).collect();
    versions.sort();
    folders.extend(versions.into_iter().rev());
    folders.push("/usr/pgsql/bin".into());
    let is_whole =
        |folder: &PathBuf| ["postgres", "initdb", "psql"].iter().all(|it| folder.join(it).exists());
    folders.into_iter().find(is_whole).ok_or_else(|| {
        Missing(
            "PostgreSQL's server is not installed, such as by `apt-get install postgresql`".into(),
        )
    })
}

/// What a server says belongs to the output of the test that started it.
fn show(from: Option<impl Read + Send + 'static>) {
    let Some(from) = from else { return };
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            eprintln!("postgres: {line}");
        }
    });
}
