//! Plugins: which component a name means, what it may do, and whether it is of the right
//! kind where its kind is known.

use std::collections::{BTreeMap, BTreeSet};

use super::super::file::plugin::{WrittenGrants, WrittenPlugin, default_limits};
use super::super::nearest::advice;
use super::super::preset::Catalog;
use super::super::problem::{Located, Problem};
use super::super::reader::Reading;
use super::super::{Grants, Isolation, Plugin, PluginSource};

/// What a plugin is asked to be. Bundled plugins say it in their name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Provider,
    Router,
    Experiment,
    Sink,
}

/// The plugins there are, and those that are used.
pub(super) struct Plugins<'a> {
    bundled: &'a [&'a str],
    catalog: &'a Catalog,
    reading: &'a Reading,
    /// Written in `[plugins]`, or bundled and named somewhere.
    used: BTreeMap<String, Plugin>,
    /// Written in `[plugins]` with a source that is reported already.
    broken: BTreeSet<String>,
}

impl Kind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Provider => "provider-",
            Self::Router => "router-",
            Self::Experiment => "experiment-",
            Self::Sink => "sink-",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Router => "router",
            Self::Experiment => "experiment",
            Self::Sink => "sink",
        }
    }
}

impl<'a> Plugins<'a> {
    pub(super) fn new(
        bundled: &'a [&'a str],
        catalog: &'a Catalog,
        written: BTreeMap<String, WrittenPlugin>,
        reading: &'a Reading,
    ) -> Self {
        let mut plugins =
            Self { bundled, catalog, reading, used: BTreeMap::new(), broken: BTreeSet::new() };
        for (name, plugin) in written {
            match plugins.written(&name, plugin) {
                Some(plugin) => {
                    plugins.used.insert(name, plugin);
                }
                None => {
                    plugins.broken.insert(name);
                }
            }
        }
        plugins
    }

    /// Makes sure that a plugin is there and, if it is bundled, that it is of the kind.
    pub(super) fn require(&mut self, name: &Located<String>, kind: Kind) {
        let plugin = name.value.as_str();
        if self.broken.contains(plugin) {
            return;
        }
        let bundled = self.bundled;
        let source = match self.used.get(plugin).map(|plugin| &plugin.source) {
            Some(PluginSource::File(_)) => return,
            Some(PluginSource::Bundled(source)) => Some(source.as_str()),
            None => bundled.iter().copied().find(|bundled| *bundled == plugin),
        };
        let Some(source) = source else {
            let ours = bundled.iter().copied().filter(|name| name.starts_with(kind.prefix()));
            let known = ours.chain(self.used.keys().map(String::as_str));
            let message = format!("no plugin {plugin:?}; {}", advice(plugin, known));
            self.report(name.spot.error(message));
            return;
        };
        if !source.starts_with(kind.prefix()) {
            let message =
                format!("{plugin:?} is not a {}; expected a plugin that is one", kind.name());
            self.report(name.spot.error(message));
        }
        if !self.used.contains_key(plugin) {
            let plugin = Plugin {
                source: PluginSource::Bundled(source.to_owned()),
                grants: self.grants(source, &WrittenGrants::default()),
                limits: default_limits(),
                isolation: Isolation::Pooled,
                log_content: false,
            };
            self.used.insert(name.value.clone(), plugin);
        }
    }

    /// What a plugin may do that is there.
    pub(super) fn grants_of(&self, name: &str) -> Option<&Grants> {
        self.used.get(name).map(|plugin| &plugin.grants)
    }

    pub(super) fn into_used(self) -> BTreeMap<String, Plugin> {
        self.used
    }

    fn written(&self, name: &str, written: WrittenPlugin) -> Option<Plugin> {
        let source = self.source(name, &written)?;
        let grants = match &source {
            PluginSource::Bundled(bundled) => self.grants(bundled, &written.grants),
            PluginSource::File(_) => granted(&written.grants, &WrittenGrants::default()),
        };
        let WrittenPlugin { limits, isolation, log_content, .. } = written;
        Some(Plugin { source, grants, limits, isolation, log_content })
    }

    fn source(&self, name: &str, written: &WrittenPlugin) -> Option<PluginSource> {
        let bundled = |name: &str| {
            let found = self.bundled.contains(&name);
            found.then(|| PluginSource::Bundled(name.to_owned()))
        };
        let Some(source) = &written.source else {
            let found = bundled(name);
            if found.is_none() {
                let message = format!(
                    "{name:?} is not a bundled plugin ({}); expected source = \"file:PATH\"",
                    advice(name, self.bundled.iter().copied())
                );
                self.report(written.spot.error(message));
            }
            return found;
        };
        if let Some(path) = source.value.strip_prefix("file:").filter(|path| !path.is_empty()) {
            let path = source.spot.resolve_path(path);
            if path.is_file() {
                return Some(PluginSource::File(path));
            }
            let message = format!("there is no file {}", path.display());
            self.report(source.spot.error(message));
            return None;
        }
        if source.value.starts_with("oci://") {
            let message =
                "oci:// is not supported yet; fetch the component and write \"file:PATH\"";
            self.report(source.spot.error(message));
            return None;
        }
        let found = bundled(&source.value);
        if found.is_none() {
            let message = format!(
                "found {:?}; expected \"file:PATH\" or the name of a bundled plugin; {}",
                source.value,
                advice(&source.value, self.bundled.iter().copied())
            );
            self.report(source.spot.error(message));
        }
        found
    }

    fn grants(&self, bundled: &str, written: &WrittenGrants) -> Grants {
        match self.catalog.grants.get(bundled) {
            Some(default) => granted(written, default),
            None => granted(written, &WrittenGrants::default()),
        }
    }

    fn report(&self, problem: Problem) {
        self.reading.report(problem);
    }
}

/// What is written counts before what is granted by default; what neither says is denied.
fn granted(written: &WrittenGrants, default: &WrittenGrants) -> Grants {
    Grants {
        clock: written.clock.or(default.clock).unwrap_or(false),
        random: written.random.or(default.random).unwrap_or(false),
        http: written.http.clone().or_else(|| default.http.clone()).unwrap_or_default(),
        sql: written.sql.or(default.sql).unwrap_or(false),
        file: written.file.or(default.file).unwrap_or(false),
        kv_bytes: written.kv_bytes.or(default.kv_bytes),
    }
}
