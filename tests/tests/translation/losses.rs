//! What is lost without a word, and why that is borne. A loss that is not here fails the test,
//! and so does an entry that is no loss any more.

use super::cell::KnownLoss;
use super::client::Client;
use super::feature::Feature;

const GEMINI: &[&str] = &["gemini", "vertex-gemini"];
const OPENAI_CLIENTS: &[Client] = &[Client::Chat, Client::Responses];

pub(crate) const KNOWN_LOSSES: &[KnownLoss] = &[
    KnownLoss {
        clients: &[Client::Chat, Client::Responses, Client::Messages, Client::Completions],
        providers: &["cohere"],
        feature: Feature::CachedTokens,
        reason: "Cohere counts its own hidden prompt among them, which is not billed and not \
                 part of the usage",
    },
    KnownLoss {
        clients: OPENAI_CLIENTS,
        providers: &["anthropic", "gemini", "vertex-gemini", "vertex-anthropic", "bedrock"],
        feature: Feature::ImageDetail,
        reason: "these models decide themselves how closely they look; Gemini's resolution is \
                 one for the whole request",
    },
    KnownLoss {
        clients: &[Client::Chat, Client::Responses, Client::Messages],
        providers: GEMINI,
        feature: Feature::FileName,
        reason: "inline data has no name there",
    },
    KnownLoss {
        clients: OPENAI_CLIENTS,
        providers: &["anthropic", "gemini", "vertex-gemini", "vertex-anthropic", "cohere"],
        feature: Feature::SchemaName,
        reason: "schemas are nameless there",
    },
    KnownLoss {
        clients: &[Client::Responses],
        providers: &["deepseek", "hyperbolic", "tgi"],
        feature: Feature::SchemaName,
        reason: "the schema stands in the prompt, where the name would say nothing",
    },
];
