//! A provider that reads a file. The gateway has to refuse it when it is loaded, before anything of it runs.

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
    format!("{:?}", std::fs::read(format!("/{model}")))
}

torana_plugin_sdk::export_provider!(Reaching);
