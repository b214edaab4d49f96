//! Providers: presets filled in, credentials fetched.
//!
//! A preset's credential belongs to the preset's host. A provider that is moved elsewhere
//! does not take it along: a key for `api.openai.com` must not reach a host whose name the
//! operator only wanted to try. Neither does it take along what the preset says of data.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::super::file::provider::WrittenProvider;
use super::super::nearest::advice;
use super::super::preset::Preset;
use super::super::problem::Located;
use super::super::secret::{SecretError, SecretReference};
use super::super::{BaseUrl, Credential, DataPolicy, Offer, Provider};
use super::Resolver;
use super::plugin::{Kind, Plugins};

impl Resolver<'_> {
    pub(super) fn providers(
        &mut self,
        written: BTreeMap<String, WrittenProvider>,
        plugins: &mut Plugins<'_>,
    ) -> BTreeMap<String, Provider> {
        written
            .into_iter()
            .map(|(name, provider)| {
                let provider = self.provider(&name, provider, plugins);
                (name, provider)
            })
            .collect()
    }

    /// The name of a provider that is there.
    pub(super) fn provider_named(
        &self,
        written: Option<Located<String>>,
        providers: &BTreeMap<String, Provider>,
    ) -> Option<String> {
        let name = written?;
        if !providers.contains_key(&name.value) {
            let advice = advice(&name.value, providers.keys().map(String::as_str));
            let message = format!("no provider {:?}; {advice}", name.value);
            self.report(name.spot.error(message));
        }
        Some(name.value)
    }

    fn provider(
        &mut self,
        name: &str,
        written: WrittenProvider,
        plugins: &mut Plugins<'_>,
    ) -> Provider {
        let catalog = self.catalog;
        let preset_name = self.preset_name(name, &written);
        let preset = preset_name.as_ref().and_then(|name| catalog.presets.get(name));
        let plugin = written.plugin.clone().or_else(|| {
            Some(Located { value: preset?.plugin.clone()?, spot: written.spot.clone() })
        });
        if let Some(plugin) = &plugin {
            plugins.require(plugin, Kind::Provider);
        }
        let mut settings = preset.map(|preset| preset.settings.clone()).unwrap_or_default();
        settings.extend(written.settings.clone());
        let own = preset.and_then(|preset| self.preset_url(&written, preset, &settings));
        let is_moved = match (&written.base_url, &own) {
            (Some(written), Some(preset)) => written.value.origin() != preset.origin(),
            (Some(_), None) => preset.is_some_and(|preset| preset.base_url_template.is_some()),
            (None, _) => false,
        };
        let base_url = written.base_url.as_ref().map(|url| url.value.clone()).or(own);
        let is_missing = base_url.is_none() && !written.is_incomplete;
        if is_missing && preset.is_some_and(|preset| preset.requires_base_url) {
            let message = "no base_url; expected one, such as \"http://127.0.0.1:8000/v1\"";
            self.report(written.spot.error(message));
        }
        let credential = self.credential(&written, preset, base_url.as_ref(), is_moved);
        let (data_policy, catalog) = self.terms(&written, preset_name.as_deref(), is_moved);
        Provider {
            plugin: plugin.map(|plugin| plugin.value).unwrap_or_default(),
            preset: preset_name,
            base_url,
            credential,
            headers: written.headers,
            settings,
            forward: written.forward,
            any_model: written.any_model,
            timeouts: written.timeouts,
            data_policy,
            catalog,
        }
    }

    /// What becomes of data, and what is known of the models. Elsewhere than at the preset's
    /// host nobody promised what the preset says of data.
    fn terms(
        &self,
        written: &WrittenProvider,
        preset: Option<&str>,
        is_moved: bool,
    ) -> (DataPolicy, Arc<BTreeMap<String, Offer>>) {
        let known = preset.and_then(|preset| self.catalog.models.get(preset));
        let known = known.cloned().unwrap_or_default();
        if is_moved {
            let mut known = BTreeMap::clone(&known);
            known.values_mut().for_each(|offer| offer.data_policy = DataPolicy::default());
            return (written.data_policy, Arc::new(known));
        }
        let preset = preset.and_then(|preset| self.catalog.presets.get(preset));
        let promised = preset.map(|preset| preset.data_policy).unwrap_or_default();
        (written.data_policy.or(promised), known)
    }

    /// Which preset is meant: the one that is written, or the one of the provider's name.
    fn preset_name(&self, name: &str, written: &WrittenProvider) -> Option<String> {
        let presets = &self.catalog.presets;
        let names = presets.keys().map(String::as_str);
        if let Some(preset) = &written.preset {
            if !presets.contains_key(&preset.value) {
                let advice = advice(&preset.value, names);
                let message = format!("no preset {:?}; {advice}", preset.value);
                self.report(preset.spot.error(message));
            }
            return Some(preset.value.clone());
        }
        if presets.contains_key(name) {
            return Some(name.to_owned());
        }
        if written.plugin.is_none() {
            let message = format!(
                "{name:?} is not the name of a preset ({}); expected preset or plugin to say \
                 what it is",
                advice(name, names)
            );
            self.report(written.spot.error(message));
        }
        None
    }

    /// The preset's own URL, the settings put in where it leaves room for them.
    fn preset_url(
        &self,
        written: &WrittenProvider,
        preset: &Preset,
        settings: &Map<String, Value>,
    ) -> Option<BaseUrl> {
        let Some(template) = &preset.base_url_template else { return preset.base_url.clone() };
        if written.base_url.is_some() {
            return None;
        }
        let mut url = template.clone();
        for (key, value) in settings {
            // Nothing that could be more than one label or segment.
            let plain = |text: &&str| {
                text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            };
            if let Some(value) = value.as_str().filter(plain) {
                url = url.replace(&format!("{{{key}}}"), value);
            }
        }
        if let Some((_, rest)) = url.split_once('{') {
            let key = rest.split('}').next().unwrap_or_default();
            let message = format!(
                "no settings.{key}; expected letters, digits and dashes for {template:?}, or a \
                 base_url"
            );
            self.report(written.spot.error(message));
            return None;
        }
        url.parse().ok()
    }

    fn credential(
        &mut self,
        written: &WrittenProvider,
        preset: Option<&Preset>,
        base_url: Option<&BaseUrl>,
        is_moved: bool,
    ) -> Credential {
        if let Some(reference) = &written.credential {
            if reference.value == SecretReference::Ambient {
                return Credential::Ambient;
            }
            let Some(secret) = self.secret(reference.clone()) else {
                return Credential::Missing(reference.value.clone());
            };
            if let Some(url) = base_url.filter(|url| url.is_readable_on_the_way()) {
                let message = format!("is sent to {url} unencrypted");
                self.report(reference.spot.notice(message));
            }
            return Credential::Present(secret);
        }
        let Some(reference) = preset.and_then(|preset| preset.credential.as_ref()) else {
            return Credential::None;
        };
        if written.is_incomplete {
            return Credential::Missing(reference.clone());
        }
        if is_moved {
            let message = format!(
                "the preset's credential ({reference}) is not sent to another host than the \
                 preset's; write credential to send one"
            );
            self.report(written.spot.notice(message));
            return Credential::None;
        }
        if *reference == SecretReference::Ambient {
            return Credential::Ambient;
        }
        match reference.fetch(self.environment) {
            Ok(secret) => Credential::Present(secret),
            Err(SecretError::NotSet(_) | SecretError::Empty(_)) => {
                let message = format!("{reference} is not set; calls to it fail until it is");
                self.report(written.spot.notice(message));
                Credential::Missing(reference.clone())
            }
            Err(error) => {
                self.report(written.spot.error(error.to_string()));
                Credential::Missing(reference.clone())
            }
        }
    }
}
