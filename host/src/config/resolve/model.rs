//! Models, routers and functions: whether what they name is there, and what the catalog
//! knows of their endpoints.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::super::file::model::{WrittenEndpoint, WrittenFunction, WrittenModel, WrittenVariant};
use super::super::name::is_provider_model;
use super::super::nearest::advice;
use super::super::problem::Located;
use super::super::source;
use super::super::{Endpoint, Experiment, Function, Model, Provider, Router, Template, Variant};
use super::Resolver;
use super::plugin::{Kind, Plugins};

/// What a bundled policy's plugin is called: the router `priority` is `router-priority`.
const ROUTER_PREFIX: &str = "router-";

impl Resolver<'_> {
    pub(super) fn routers(
        &self,
        written: BTreeMap<String, Located<Router>>,
        plugins: &mut Plugins<'_>,
    ) -> BTreeMap<String, Router> {
        written
            .into_iter()
            .map(|(name, router)| {
                let plugin = Located { value: router.value.plugin.clone(), spot: router.spot };
                plugins.require(&plugin, Kind::Router);
                (name, router.value)
            })
            .collect()
    }

    /// Makes sure that a router is there: written, or bundled under its name.
    pub(super) fn use_router(
        &self,
        name: &Located<String>,
        routers: &mut BTreeMap<String, Router>,
        plugins: &mut Plugins<'_>,
    ) {
        if routers.contains_key(&name.value) {
            return;
        }
        let plugin = format!("{ROUTER_PREFIX}{}", name.value);
        if self.bundled.contains(&plugin.as_str()) {
            let plugin = Located { value: plugin, spot: name.spot.clone() };
            plugins.require(&plugin, Kind::Router);
            let router = Router { plugin: plugin.value, settings: serde_json::Map::new() };
            routers.insert(name.value.clone(), router);
            return;
        }
        let bundled = self.bundled.iter().filter_map(|name| name.strip_prefix(ROUTER_PREFIX));
        let known = routers.keys().map(String::as_str).chain(bundled);
        let message = format!("no router {:?}; {}", name.value, advice(&name.value, known));
        self.reading.report(name.spot.error(message));
    }

    pub(super) fn models(
        &self,
        written: BTreeMap<String, WrittenModel>,
        default_router: &str,
        providers: &BTreeMap<String, Provider>,
        routers: &mut BTreeMap<String, Router>,
        plugins: &mut Plugins<'_>,
    ) -> BTreeMap<String, Model> {
        let mut models = BTreeMap::new();
        for (name, model) in written {
            if let Some(router) = &model.router {
                self.use_router(router, routers, plugins);
            }
            let mut endpoints: Vec<Endpoint> = Vec::new();
            for endpoint in model.endpoints {
                let spot = endpoint.spot.clone();
                let endpoint = self.endpoint(endpoint, providers);
                let identity = endpoint.name();
                if endpoints.iter().any(|other| other.name() == identity) {
                    let message = format!("{identity} is already an endpoint of this model");
                    self.report(spot.error(message));
                }
                endpoints.push(endpoint);
            }
            if !endpoints.is_empty() && endpoints.iter().all(|endpoint| endpoint.weight == 0.0) {
                let message = "every endpoint has weight 0; expected one that may be called";
                self.report(model.spot.error(message));
            }
            let router = model.router.map(|router| router.value);
            let router = router.unwrap_or_else(|| default_router.to_owned());
            models.insert(name, Model { endpoints, router, resume: model.resume });
        }
        models
    }

    fn endpoint(
        &self,
        written: WrittenEndpoint,
        providers: &BTreeMap<String, Provider>,
    ) -> Endpoint {
        let name = &written.provider.value;
        let provider = providers.get(name);
        if provider.is_none() {
            let advice = advice(name, providers.keys().map(String::as_str));
            let message = format!("no provider {name:?}; {advice}");
            self.report(written.provider.spot.error(message));
        }
        let known = provider.map(|provider| provider.offer(&written.model)).unwrap_or_default();
        Endpoint {
            provider: written.provider.value,
            model: written.model,
            weight: written.weight,
            offer: written.offer.or(&known),
            settings: written.settings,
        }
    }

    pub(super) fn functions(
        &mut self,
        written: BTreeMap<String, WrittenFunction>,
        models: &BTreeMap<String, Model>,
        providers: &BTreeMap<String, Provider>,
        plugins: &mut Plugins<'_>,
    ) -> BTreeMap<String, Function> {
        let mut functions = BTreeMap::new();
        for (name, function) in written {
            plugins.require(&function.plugin, Kind::Experiment);
            if function.variants.is_empty() {
                let message = format!("no variants; expected [functions.{name}.variants.NAME]");
                self.report(function.spot.error(message));
            }
            let mut variants = BTreeMap::new();
            for (name, variant) in function.variants {
                if let Some(variant) = self.variant(variant, models, providers) {
                    variants.insert(name, variant);
                }
            }
            let experiment =
                Experiment { plugin: function.plugin.value, settings: function.settings };
            let function = Function { content: function.content, experiment, variants };
            functions.insert(name, function);
        }
        functions
    }

    fn variant(
        &mut self,
        written: WrittenVariant,
        models: &BTreeMap<String, Model>,
        providers: &BTreeMap<String, Provider>,
    ) -> Option<Variant> {
        let system = match written.system {
            Some(path) => self.template(path),
            None => None,
        };
        let model = written.model?;
        let is_endpoint = model.value.split_once('/').is_some_and(|(provider, model)| {
            providers.contains_key(provider) && is_provider_model(model)
        });
        if !models.contains_key(&model.value) && !is_endpoint {
            let names = models.keys().map(String::as_str);
            let advice = advice(&model.value, names);
            let message = format!("no model {:?} and no such provider; {advice}", model.value);
            self.report(model.spot.error(message));
        }
        Some(Variant {
            model: model.value,
            weight: written.weight,
            system,
            temperature: written.temperature,
            top_p: written.top_p,
            max_output_tokens: written.max_output_tokens,
        })
    }

    fn template(&mut self, path: Located<PathBuf>) -> Option<Template> {
        self.watched.push(path.value.clone());
        match source::read_template(&path.value) {
            Ok(found) => {
                if !self.sources.iter().any(|known| known.path == path.value) {
                    self.sources.push(found.source);
                }
                Some(Template { path: path.value, text: found.text })
            }
            Err(error) => {
                let message = format!("the template {}: {error}", path.value.display());
                self.report(path.spot.error(message));
                None
            }
        }
    }
}
