//! A provider that asks another host by itself. The gateway has to refuse it when it is loaded, before anything of it runs.

use torana_plugin_sdk::chat::Request;
use torana_plugin_sdk::provider::{Built, CredentialScheme, Endpoint, Info, NoStream, Provider};
use torana_plugin_sdk::{CallError, CallErrorKind, NoSettings, SettingsError};

struct Reaching;

impl Provider for Reaching {
    type Settings = NoSettings;
    type Stream = NoStream;

    fn describe(_: &NoSettings) -> Result<Info, SettingsError> {
        Ok(Info::new([], CredentialScheme::None))
    }

    fn build(endpoint: &Endpoint<NoSettings>, _: Request) -> Result<Built, CallError> {
        Err(CallError::new(CallErrorKind::Server, reach_out(&endpoint.model)))
    }

    fn stream(_: &Endpoint<NoSettings>) -> NoStream {
        NoStream
    }
}

fn reach_out(model: &str) -> String {
    let request = torana_plugin_sdk::host::http::Request {
        method: "GET".into(),
        url: format!("http://127.0.0.1:1/{model}"),
        headers: Vec::new(),
        body: Vec::new(),
        timeout_ms: 1_000,
    };
    format!("{:?}", torana_plugin_sdk::host::http::send(&request))
}

torana_plugin_sdk::export_provider!(Reaching);
