//! The address of a PostgreSQL database, as everybody writes it: `postgres://user:password@…`.
//!
//! It is a secret as a whole, since there is a password in it. Read when the configuration is,
//! so that a mistake shows there; no error quotes it.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use sha2::{Digest as _, Sha256};
use tokio_postgres::config::{Host, SslMode};

use super::Secret;

/// A database and how to get into it.
#[derive(Clone)]
pub struct DatabaseUrl {
    address: tokio_postgres::Config,
    root_file: Option<PathBuf>,
    roots: Vec<CertificateDer<'static>>,
    digest: [u8; 32],
}

/// Why there is no database at the end of a reference.
#[derive(Debug, thiserror::Error)]
pub(super) enum DatabaseUrlError {
    #[error(
        "what it names is no URL of a PostgreSQL database; expected one such as \
         postgres://user:password@host:5432/database?sslmode=require, with % in front of what is \
         not a letter or a digit in user and password (RFC 3986)"
    )]
    NotUrl,
    #[error("the URL names no host")]
    NoHost,
    #[error("sslrootcert {}: {source}", path.display())]
    Roots { path: PathBuf, source: rustls::pki_types::pem::Error },
    #[error("sslrootcert {} has no certificate in PEM", .0.display())]
    NoRoots(PathBuf),
}

impl DatabaseUrl {
    pub(super) fn parse(secret: &Secret) -> Result<Self, DatabaseUrlError> {
        let url = secret.expose();
        if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(DatabaseUrlError::NotUrl);
        }
        // From behind: passwords have question marks.
        let (place, parameters) = url.rsplit_once('?').unwrap_or((url, ""));
        let mut root_file = None;
        let mut kept = Vec::new();
        for parameter in parameters.split('&') {
            match parameter.split_once('=') {
                // A certificate is always checked, and the name in it.
                Some(("sslmode", "verify-full" | "verify-ca")) => kept.push("sslmode=require"),
                // The roots that are compiled in.
                Some(("sslrootcert", "system")) => {}
                Some(("sslrootcert", path)) => {
                    let path = percent_decode_str(path).decode_utf8();
                    let path = path.map_err(|_| DatabaseUrlError::NotUrl)?;
                    root_file = Some(PathBuf::from(path.as_ref()));
                }
                _ => kept.push(parameter),
            }
        }
        let address = format!("{place}?{}", kept.join("&"));
        let address: tokio_postgres::Config =
            address.parse().map_err(|_| DatabaseUrlError::NotUrl)?;
        if address.get_hosts().is_empty() && address.get_hostaddrs().is_empty() {
            return Err(DatabaseUrlError::NoHost);
        }
        // The driver ends the password at the first @: what comes behind it is no host.
        let is_host = |host: &Host| !matches!(host, Host::Tcp(name) if name.contains('@'));
        if !address.get_hosts().iter().all(is_host) {
            return Err(DatabaseUrlError::NotUrl);
        }
        let roots = root_file.as_deref().map(roots).transpose()?.unwrap_or_default();
        let mut digest = Sha256::new();
        digest.update(url);
        roots.iter().for_each(|root| digest.update(root));
        Ok(Self { address, root_file, roots, digest: digest.finalize().into() })
    }

    /// For the one place that connects.
    pub fn address(&self) -> &tokio_postgres::Config {
        &self.address
    }

    /// Where [`DatabaseUrl::roots`] were read.
    pub(super) fn root_file(&self) -> Option<&Path> {
        self.root_file.as_deref()
    }

    /// Authorities of certificates, beside Mozilla's.
    pub fn roots(&self) -> &[CertificateDer<'static>] {
        &self.roots
    }

    /// Tells one from another.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Password and rows may go over a network, and unencrypted.
    pub(super) fn is_readable_on_the_way(&self) -> bool {
        if self.address.get_ssl_mode() == SslMode::Require {
            return false;
        }
        // Where addresses are given, it is they that are connected to.
        let addresses = self.address.get_hostaddrs();
        if !addresses.is_empty() {
            return !addresses.iter().all(IpAddr::is_loopback);
        }
        self.address.get_hosts().iter().any(|host| match host {
            Host::Tcp(name) => {
                let is_local = name == "localhost"
                    || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
                !is_local
            }
            #[cfg(unix)]
            Host::Unix(_) => false,
        })
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[database]")
    }
}

fn roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, DatabaseUrlError> {
    let unreadable = |source| DatabaseUrlError::Roots { path: path.to_owned(), source };
    let roots = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(unreadable)?;
    if roots.is_empty() { Err(DatabaseUrlError::NoRoots(path.to_owned())) } else { Ok(roots) }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]
    use super::*;

    fn parse(url: &str) -> Result<DatabaseUrl, DatabaseUrlError> {
        DatabaseUrl::parse(&Secret::new(url))
    }

    #[test]
    fn what_libpq_says_more_than_the_driver_is_understood() {
        for (parameters, mode) in [
            ("", SslMode::Prefer),
            ("?sslmode=disable", SslMode::Disable),
            ("?sslmode=verify-full&connect_timeout=3", SslMode::Require),
            ("?sslmode=verify-ca&sslrootcert=system", SslMode::Require),
        ] {
            let url = parse(&format!("postgresql://u:p%40ss@db:5433/torana{parameters}")).unwrap();
            assert_eq!(url.address().get_ssl_mode(), mode, "{parameters}");
            assert_eq!(url.address().get_password(), Some(&b"p@ss"[..]));
            assert_eq!(url.is_readable_on_the_way(), mode != SslMode::Require);
        }
        let url = parse("postgres://u:p?ss@db/torana?sslmode=verify-full").unwrap();
        assert_eq!(url.address().get_password(), Some(&b"p?ss"[..]));
        for (url, is_readable) in [
            ("postgres://u@127.0.0.1/x", false),
            ("postgres://u@%2Fvar%2Frun/x", false),
            ("postgres://u@localhost/x?hostaddr=10.0.0.5", true),
            ("postgres://u@db/x?hostaddr=127.0.0.1", false),
        ] {
            assert_eq!(parse(url).unwrap().is_readable_on_the_way(), is_readable, "{url}");
        }
    }

    #[test]
    fn no_error_and_no_debug_quotes_the_url() {
        for url in [
            "hunter2",
            "postgres://u:hunter2@db:port/torana",
            "postgres://u:p@hunter2@db/torana",
            "postgres://u:hunter2@db/torana?hunter2=1",
            "postgres:///torana?user=hunter2",
            "postgres://u:hunter2@db/torana?sslrootcert=/nowhere",
        ] {
            let error = parse(url).expect_err(url);
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
        let url = parse("postgres://u:hunter2@db/torana").unwrap();
        assert_eq!(format!("{url:?}"), "[database]");
    }

    #[test]
    fn another_password_is_another_database() {
        let digest = |url: &str| parse(url).unwrap().digest();
        assert_ne!(digest("postgres://u:a@db/x"), digest("postgres://u:b@db/x"));
        assert_eq!(digest("postgres://u:a@db/x"), digest("postgres://u:a@db/x"));
    }
}
