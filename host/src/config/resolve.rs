//! From what is written to what is meant: defaults that depend on other tables, presets,
//! credentials, and whether everything that is named is there.
//!
//! [`load`] is the way in. It collects problems over the whole configuration before it gives
//! up; only when a file cannot be read or parsed does it stop earlier, because everything
//! that file would have defined would then be reported as missing. It reads files and the
//! given environment, and changes nothing.

mod model;
mod plugin;
mod provider;
mod sink;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::file::plugin::WrittenKey;
use super::file::server::WrittenServer;
use super::file::{self, TABLES_BY_NAME, Written};
use super::preset::{Catalog, read_catalog};
use super::problem::{Located, Place, Problem, Problems};
use super::reader::{KnownKey, Reading};
use super::source::{self, SourceText};
use super::{
    Admin, Auth, ClientKey, Config, PluginSource, Secret, SecretReference, Server, SourceFile,
    document,
};
use plugin::Plugins;

/// Reads a configuration.
///
/// `path` is a file, or a pattern (`*`, `?` in its last part) whose files make one document.
/// `environment` looks up a variable. `bundled` are the names of the embedded plugins,
/// `catalog` the names and texts of the embedded catalog files.
///
/// # Errors
/// All that keeps the configuration from being used, at once.
pub fn load(
    path: &str,
    environment: &dyn Fn(&str) -> Option<String>,
    bundled: &[&str],
    catalog: &[(&str, &str)],
) -> Result<Config, Problems> {
    let catalog = read_catalog(catalog).map_err(Problems)?;
    let texts = source::read_all(path).map_err(Problems)?;
    let documents = parse_all(&texts).map_err(Problems)?;

    let mut problems = Vec::new();
    let whole = document::merge(documents, &TABLES_BY_NAME, &mut problems);
    let reading = Reading::default();
    for problem in problems {
        reading.report(problem);
    }
    let sources: Vec<SourceFile> = texts.into_iter().map(|text| text.source).collect();
    let first = sources.first().map_or(Path::new(path), |source| &source.path);
    let place = Place { file: Arc::from(first), line: None };
    let written = reading.document(&whole, place, file::read);
    let places = document::places(&whole, &TABLES_BY_NAME);

    let resolver = Resolver {
        reading: &reading,
        environment,
        bundled,
        catalog: &catalog,
        watched: vec![PathBuf::from(path)],
        sources,
    };
    let config = resolver.resolve(written);
    let (errors, notices) = reading.into_problems();
    if errors.is_empty() { Ok(Config { places, notices, ..config }) } else { Err(Problems(errors)) }
}

/// Every key that a configuration may have, in the order of the tables.
pub fn known_keys() -> Vec<KnownKey> {
    let reading = Reading::of_schema();
    let place = Place { file: Arc::from(Path::new("")), line: None };
    reading.document(&document::Entries::new(), place, file::read);
    reading.into_known_keys()
}

fn parse_all(texts: &[SourceText]) -> Result<Vec<document::Entries>, Vec<Problem>> {
    let mut documents = Vec::new();
    let mut problems = Vec::new();
    for text in texts {
        let file: Arc<Path> = Arc::from(text.source.path.as_path());
        match document::parse(&file, &text.text) {
            Ok(document) => documents.push(document),
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(documents) } else { Err(problems) }
}

/// What resolving needs at hand, and the files it comes by.
struct Resolver<'a> {
    reading: &'a Reading,
    environment: &'a dyn Fn(&str) -> Option<String>,
    bundled: &'a [&'a str],
    catalog: &'a Catalog,
    sources: Vec<SourceFile>,
    watched: Vec<PathBuf>,
}

impl Resolver<'_> {
    fn resolve(mut self, written: Written) -> Config {
        let mut plugins = Plugins::new(self.bundled, self.catalog, written.plugins, self.reading);
        let keys = self.keys(written.keys);
        let server = self.server(written.server, !keys.is_empty());
        let admin = self.admin(written.admin);
        let providers = self.providers(written.providers, &mut plugins);
        let default_provider = self.provider_named(written.default_provider, &providers);
        let resource_provider = self.provider_named(written.resource_provider, &providers);
        let mut routers = self.routers(written.routers, &mut plugins);
        self.use_router(&written.default_router, &mut routers, &mut plugins);
        let models = self.models(
            written.models,
            &written.default_router.value,
            &providers,
            &mut routers,
            &mut plugins,
        );
        let functions = self.functions(written.functions, &models, &providers, &mut plugins);
        let named = sink::Named { functions: &functions, keys: &keys };
        let query_sink = written.query_sink.as_ref();
        let sinks = self.sinks(written.sinks, query_sink, &named, &mut plugins);
        let plugins = plugins.into_used();
        self.watched.extend(plugins.values().filter_map(|plugin| match &plugin.source {
            PluginSource::File(path) => Some(path.clone()),
            PluginSource::Bundled(_) => None,
        }));
        Config {
            server,
            admin,
            journal: written.journal,
            plugin_host: written.plugin_host,
            keys,
            providers,
            models,
            routing: written.routing,
            default_router: written.default_router.value,
            routers,
            functions,
            metrics: written.metrics,
            plugins,
            sinks,
            query_sink: written.query_sink.map(|name| name.value),
            default_provider,
            resource_provider,
            structured_output: written.structured_output,
            places: BTreeMap::new(),
            notices: Vec::new(),
            sources: self.sources,
            watched: self.watched,
        }
    }

    fn keys(&mut self, written: BTreeMap<String, WrittenKey>) -> Vec<ClientKey> {
        let mut keys: Vec<ClientKey> = Vec::new();
        for (name, key) in written {
            let Some(reference) = key.secret.clone() else {
                continue;
            };
            let spot = reference.spot.clone();
            let Some(secret) = self.secret(reference) else {
                continue;
            };
            let sha256: [u8; 32] = Sha256::digest(secret.expose().as_bytes()).into();
            if let Some(same) = keys.iter().find(|other| other.sha256 == sha256) {
                let message =
                    format!("the same secret as keys.{}; expected one of its own", same.name);
                self.report(spot.error(message));
            }
            let WrittenKey { unsupported_params, content, reads, .. } = key;
            keys.push(ClientKey { name, sha256, unsupported_params, content, reads });
        }
        keys
    }

    /// Fetches a secret that the operator asked for; without it the configuration is no good.
    fn secret(&mut self, reference: Located<SecretReference>) -> Option<Secret> {
        if let SecretReference::File(path) = &reference.value {
            self.watched.push(path.clone());
        }
        match reference.value.fetch(self.environment) {
            Ok(secret) => Some(secret),
            Err(error) => {
                self.report(reference.spot.error(error.to_string()));
                None
            }
        }
    }

    fn server(&self, written: WrittenServer, has_keys: bool) -> Server {
        let listen = written.values.listen;
        let auth = match &written.auth {
            Some(auth) => auth.value,
            None if has_keys => Auth::Keys,
            None => Auth::None,
        };
        match (&written.auth, auth) {
            (Some(written), Auth::Keys) if !has_keys => {
                let message = "\"keys\" without any key; expected a [keys.NAME] table, or nobody \
                               can call";
                self.report(written.spot.error(message));
            }
            (Some(written), Auth::None) if has_keys => {
                let message = "\"none\": anybody may call, and [keys] are not asked for";
                self.report(written.spot.notice(message));
            }
            (None, Auth::None) if !listen.ip().is_loopback() => {
                let message = format!(
                    "{listen} can be reached from elsewhere and no key is configured; expected a \
                     [keys.NAME] table, a loopback address, or auth = \"none\""
                );
                self.report(written.listen.error(message));
            }
            _ => {}
        }
        Server { auth, ..written.values }
    }

    fn admin(&self, admin: Located<Admin>) -> Admin {
        let listen = admin.value.listen;
        if !listen.ip().is_loopback() && !admin.value.allow_remote {
            let message = format!(
                "{listen} can be reached from elsewhere, and whoever reaches it controls the \
                 gateway; expected a loopback address, or allow_remote = true"
            );
            self.report(admin.spot.error(message));
        }
        admin.value
    }

    fn report(&self, problem: Problem) {
        self.reading.report(problem);
    }
}
