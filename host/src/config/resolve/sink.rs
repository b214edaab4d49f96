//! Sinks: their plugins, the secrets in their headers, and whether what they name is there.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value};

use super::super::address::origin_of;
use super::super::database::DatabaseUrl;
use super::super::file::sink::{WrittenOnly, WrittenSink, WrittenValue};
use super::super::nearest::advice;
use super::super::problem::Located;
use super::super::secret::SecretReference;
use super::super::{
    BaseUrl, ClientKey, Function, Grants, HttpGrant, Sink, SinkHeader, SinkHeaderValue, SinkRows,
};
use super::Resolver;
use super::plugin::{Kind, Plugins};

/// What filters may name.
pub(super) struct Named<'a> {
    pub(super) functions: &'a BTreeMap<String, Function>,
    pub(super) keys: &'a [ClientKey],
}

impl Resolver<'_> {
    pub(super) fn sinks(
        &mut self,
        written: BTreeMap<String, WrittenSink>,
        query_sink: Option<&Located<String>>,
        named: &Named<'_>,
        plugins: &mut Plugins<'_>,
    ) -> BTreeMap<String, Sink> {
        if let Some(name) = query_sink.filter(|name| !written.contains_key(&name.value)) {
            let advice = advice(&name.value, written.keys().map(String::as_str));
            let message = format!("no sink {:?}; {advice}", name.value);
            self.report(name.spot.error(message));
        }
        self.one_file_each(&written);
        let mut sinks = BTreeMap::new();
        for (name, sink) in written {
            let Some(plugin) = sink.plugin else { continue };
            plugins.require(&plugin, Kind::Sink);
            let grants = plugins.grants_of(&plugin.value).cloned().unwrap_or_default();
            let url = self.url(&sink.settings, &grants, &plugin.value);
            self.check_names(&sink.only, named);
            let headers = self.headers(sink.headers, &grants, url.as_deref());
            let rows =
                SinkRows { content: sink.content, sample: sink.sample, only: sink.only.filters };
            let database = self.database(sink.database, &grants, &sink.settings, &plugin);
            let settings = sink.settings.value;
            let plugin = plugin.value;
            sinks.insert(name, Sink { plugin, settings, headers, database, rows });
        }
        sinks
    }

    /// Two that write to one file spoil it for each other.
    fn one_file_each(&self, written: &BTreeMap<String, WrittenSink>) {
        let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
        for (name, sink) in written {
            let Some(path) = sink.settings.value.get("path").and_then(Value::as_str) else {
                continue;
            };
            if let Some(owner) = owners.get(path) {
                let message = format!("path is the file of sinks.{owner}; expected one of its own");
                self.report(sink.settings.spot.error(message));
            } else {
                owners.insert(path, name);
            }
        }
    }

    /// The origin of the `url` that a sink delivers to, where its grant rests on that.
    fn url(
        &self,
        settings: &Located<Map<String, Value>>,
        grants: &Grants,
        plugin: &str,
    ) -> Option<String> {
        if !grants.http.contains(&HttpGrant::SettingsUrl) {
            return None;
        }
        let Some(Value::String(url)) = settings.value.get("url") else {
            let message = format!(
                "no url; {plugin} calls the origin of its url, expected one such as \
                 \"https://clickhouse.internal:8443\""
            );
            self.report(settings.spot.error(message));
            return None;
        };
        match origin_of(url) {
            Ok(origin) => Some(origin),
            Err(error) => {
                // Not the URL itself: some have a token in them.
                self.report(settings.spot.error(format!("url: {error}")));
                None
            }
        }
    }

    /// The server that the operator names. A plugin that may use a database needs one, or a
    /// file of its own.
    fn database(
        &mut self,
        written: Option<Option<Located<SecretReference>>>,
        grants: &Grants,
        settings: &Located<Map<String, Value>>,
        plugin: &Located<String>,
    ) -> Option<DatabaseUrl> {
        let has_file = settings.value.contains_key("path");
        let Some(written) = written else {
            if grants.sql && !has_file {
                let message = format!(
                    "{} keeps rows in a database, and none is named; expected settings.path for \
                     a file, or, of a server, database = \"env:DATABASE_URL\"",
                    plugin.value
                );
                self.report(plugin.spot.error(message));
            }
            return None;
        };
        let written = written?;
        let spot = written.spot.clone();
        if !grants.sql {
            self.report(spot.notice("is never used: its plugin has no sql grant"));
        } else if has_file {
            let message = "a database beside settings.path, which names another; expected one of \
                           the two";
            self.report(spot.error(message));
        }
        let secret = self.secret(written)?;
        match DatabaseUrl::parse(&secret) {
            Ok(database) => {
                self.watched.extend(database.root_file().map(Into::into));
                if database.is_readable_on_the_way() {
                    let message = "password and rows may go there unencrypted; write \
                                   sslmode=require into the URL";
                    self.report(spot.notice(message));
                }
                Some(database)
            }
            Err(error) => {
                self.report(spot.error(error.to_string()));
                None
            }
        }
    }

    fn check_names(&self, only: &WrittenOnly, named: &Named<'_>) {
        for function in &only.functions {
            if !named.functions.contains_key(&function.value) {
                let advice = advice(&function.value, named.functions.keys().map(String::as_str));
                let message = format!("no function {:?}; {advice}", function.value);
                self.report(function.spot.error(message));
            }
        }
        for key in &only.keys {
            if !named.keys.iter().any(|known| known.name == key.value) {
                let advice = advice(&key.value, named.keys.iter().map(|key| key.name.as_str()));
                self.report(key.spot.error(format!("no key {:?}; {advice}", key.value)));
            }
        }
    }

    fn headers(
        &mut self,
        written: Vec<Located<(HeaderName, WrittenValue)>>,
        grants: &Grants,
        url: Option<&str>,
    ) -> Vec<SinkHeader> {
        let mut headers = Vec::new();
        for Located { value: (name, value), spot } in written {
            if grants.http.is_empty() {
                let message = "is sent with what the sink sends by HTTP; its plugin has no http \
                               grant";
                self.report(spot.notice(message));
            }
            let value = match value {
                WrittenValue::Literal(value) => SinkHeaderValue::Literal(value),
                WrittenValue::Reference(reference) => {
                    let spot = spot.clone();
                    let located = Located { value: reference, spot: spot.clone() };
                    let Some(secret) = self.secret(located) else { continue };
                    if HeaderValue::from_str(secret.expose()).is_err() {
                        let message = "what it names is no value for a header; expected visible \
                                       ASCII characters";
                        self.report(spot.error(message));
                        continue;
                    }
                    let readable = |url: &&str| {
                        url.parse::<BaseUrl>().is_ok_and(|url| url.is_readable_on_the_way())
                    };
                    if let Some(url) = url.filter(readable) {
                        self.report(spot.notice(format!("is sent to {url} unencrypted")));
                    }
                    SinkHeaderValue::Secret(secret)
                }
            };
            headers.push(SinkHeader { name, value });
        }
        headers
    }
}
