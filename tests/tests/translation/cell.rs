//! Tries one feature with one client at one provider, and finds the word for what happened.
//!
//! Nothing is taken from what a codec says of itself: the word follows from what the scripted
//! model was asked, and from what the client was answered.

use serde_json::Value;
use torana_tests::client::{Reply, Request};
use torana_tests::gateway::Gateway;
use torana_tests::provider::Asked;

use super::client::Client;
use super::embedding::{VECTOR, base64};
use super::feature::Feature;
use super::need::{Need, What};
use super::places::Wire;
use super::reply::{Said, Wrong};
use super::row::Running;
use super::saying::{
    ANSWER, FAILURE, Failure, INPUT, OUTPUT, PROPERTY, RETRY_AFTER, SIGNATURE, Saying, THOUGHT,
    TOOL, arguments,
};

/// What became of a feature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cell {
    /// Bytes passed as they are.
    Native,
    Yes,
    /// Asked for in a roundabout way.
    Emulated,
    /// Left out and named in a header.
    Reported,
    /// 400, with the feature and the endpoint.
    Refused,
    /// The provider has no such thing.
    Absent,
    /// Gone without a word, or wrong: why.
    Lost(String),
}

/// What is lost, and why that is borne.
pub(crate) struct KnownLoss {
    pub(crate) clients: &'static [Client],
    pub(crate) providers: &'static [&'static str],
    pub(crate) feature: Feature,
    pub(crate) reason: &'static str,
}

/// An attempt: what the client sent and got, and what the provider was asked.
struct Attempt {
    sent: Value,
    reply: Reply,
    asked: Option<Asked>,
}

impl Cell {
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Yes => "yes",
            Self::Emulated => "emulated",
            Self::Reported => "reported",
            Self::Refused => "refused",
            Self::Absent => "–",
            Self::Lost(_) => "**lost**",
        }
    }
}

/// Tries it; absent where the client's dialect has no such thing.
pub(crate) fn cell(
    gateway: &Gateway,
    running: &Running,
    client: Client,
    feature: Feature,
) -> Option<Cell> {
    let row = running.row;
    let is_embedding = client == Client::Embeddings;
    let model = match (is_embedding, row.embedding_model) {
        (true, "") | (false, _) => row.model,
        (true, model) => model,
    };
    let body = client.question(feature, &format!("{}/{model}", row.name))?;
    if row.lacks.contains(&feature) {
        return Some(Cell::Absent);
    }
    running.upstream.say(&feature.saying());
    let trial = Trial { gateway, running, client, feature };
    let found = match feature {
        Feature::CountTokens => trial.count_tokens(body),
        Feature::Signature => trial.two_turns(body),
        _ if is_embedding => trial.embed(body),
        _ => trial.ask(body),
    };
    Some(found.unwrap_or_else(|wrong| Cell::Lost(wrong.0)))
}

struct Trial<'a> {
    gateway: &'a Gateway,
    running: &'a Running,
    client: Client,
    feature: Feature,
}

/// A cell, or what is wrong.
type Found = Result<Cell, Wrong>;

impl Trial<'_> {
    fn ask(&self, body: Value) -> Found {
        let mut cells = Vec::new();
        if !self.feature.is_only_streamed() {
            cells.push(self.whole(body.clone())?);
        }
        if self.feature.is_streamed() {
            let streamed = self.client.streamed(&body);
            cells.push(
                self.streamed(streamed).map_err(|wrong| Wrong(format!("streamed: {}", wrong.0)))?,
            );
        }
        let first = cells.swap_remove(0);
        match cells.into_iter().find(|other| *other != first) {
            Some(other) => {
                Err(Wrong(format!("{} as a whole, {} streamed", first.word(), other.word())))
            }
            None => Ok(first),
        }
    }

    fn whole(&self, body: Value) -> Found {
        let attempt = self.send(body, self.client.path());
        if self.feature.saying().failure.is_some() {
            return self.failed(&attempt);
        }
        if let Some(cell) = self.refused(&attempt)? {
            return Ok(cell);
        }
        let said = Said::whole(self.client, &attempt.json()?);
        self.judge(&attempt, &said)
    }

    fn streamed(&self, body: Value) -> Found {
        let mut stream = self.client.request(&body).stream(self.gateway.address());
        if stream.status != 200 {
            let reply = stream.into_reply().map_err(|error| Wrong(error.to_string()))?;
            let attempt = Attempt { sent: body, reply, asked: self.running.upstream.last_asked() };
            if self.feature.saying().failure.is_some() {
                return self.failed(&attempt);
            }
            return self.refused(&attempt)?.ok_or_else(|| Wrong("no stream".to_owned()));
        }
        let (events, _) = stream.rest();
        let said = Said::streamed(self.client, &events)?;
        // Headers of a stream are those of a whole answer.
        let reply = stream.into_reply().map_err(|error| Wrong(error.to_string()))?;
        let attempt = Attempt { sent: body, reply, asked: self.running.upstream.last_asked() };
        self.judge(&attempt, &said)
    }

    /// Reasoning with its proof, a tool call, and both sent back with the result.
    fn two_turns(&self, body: Value) -> Found {
        let stream = self.client.streamed(&body);
        let (events, _) = self.client.request(&stream).stream(self.gateway.address()).rest();
        if !events.iter().any(|event| event.contains(SIGNATURE)) {
            return Err(Wrong(format!("streamed: no signature in {events:?}")));
        }
        self.running.upstream.say(&self.feature.saying());
        let first = self.send(body.clone(), self.client.path());
        let answer = first.json()?;
        let said = Said::whole(self.client, &answer);
        if said.thought.trim() != THOUGHT || said.calls.len() != 1 {
            return Err(Wrong(format!("the first turn says {said:?}")));
        }
        self.running.upstream.say(&Saying::text());
        let second = self.send(self.client.next_turn(&body, &answer), self.client.path());
        if let Some(cell) = self.refused(&second)? {
            return Ok(cell);
        }
        let said = Said::whole(self.client, &second.json()?);
        if said.text != ANSWER {
            return Err(Wrong(format!("the second turn says {said:?}")));
        }
        self.arrived(&second)
    }

    fn embed(&self, body: Value) -> Found {
        let attempt = self.send(body, self.client.path());
        if self.feature.saying().failure.is_some() && attempt.asked.is_some() {
            return self.failed(&attempt);
        }
        if let Some(cell) = self.refused(&attempt)? {
            return Ok(cell);
        }
        let answer = attempt.json()?;
        let count = if self.feature == Feature::Several { 2 } else { 1 };
        let data = answer["data"].as_array().map_or(&[][..], Vec::as_slice);
        let expected = match self.feature {
            Feature::Base64 => Value::from(base64()),
            _ => VECTOR.into_iter().collect(),
        };
        let is_right = |(at, item): (usize, &Value)| {
            item["embedding"] == expected && item["index"].as_u64() == Some(at as u64)
        };
        if data.len() != count || !data.iter().enumerate().all(is_right) {
            return Err(Wrong(format!("the vectors are {answer}")));
        }
        self.arrived(&attempt)
    }

    fn count_tokens(&self, mut body: Value) -> Found {
        if let Some(fields) = body.as_object_mut() {
            fields.remove("max_tokens");
        }
        let attempt = self.send(body, "/v1/messages/count_tokens");
        let counted = attempt.json()?["input_tokens"].as_u64();
        match (counted, attempt.reply.header("x-torana-estimated")) {
            (Some(INPUT), None) if attempt.is_forwarded(self.client) => Ok(Cell::Native),
            (Some(1..), Some(_)) if attempt.asked.is_none() => Ok(Cell::Emulated),
            _ => Err(Wrong(format!("counted: {}", attempt.reply))),
        }
    }

    fn send(&self, body: Value, path: &str) -> Attempt {
        let reply = Request::post(path, &body).send(self.gateway.address());
        Attempt { sent: body, reply, asked: self.running.upstream.last_asked() }
    }

    /// A refusal in good order, or nothing refused.
    fn refused(&self, attempt: &Attempt) -> Result<Option<Cell>, Wrong> {
        let reply = &attempt.reply;
        if reply.status == 200 {
            return Ok(None);
        }
        let text = reply.text();
        let endpoint = format!("{}/", self.running.row.name);
        let nouns = match self.client {
            Client::Embeddings => &["embedding"],
            _ => self.feature.nouns(),
        };
        let names_feature = nouns.iter().any(|noun| text.contains(noun));
        let is_refusal = reply.status == 400
            && text.contains(&endpoint)
            && text.contains("unsupported_feature")
            && names_feature
            && attempt.asked.is_none();
        if is_refusal { Ok(Some(Cell::Refused)) } else { Err(Wrong(format!("{reply}"))) }
    }

    /// The provider's failure in the client's dialect.
    fn failed(&self, attempt: &Attempt) -> Found {
        let reply = &attempt.reply;
        let (body, status) = (reply.json(), reply.status);
        let message = body["error"]["message"].as_str().unwrap_or_default();
        let kind = body["error"]["type"].as_str().unwrap_or_default();
        let code = body["error"]["code"].as_str().unwrap_or_default();
        let is_anthropic = self.client == Client::Messages;
        let failure = self.feature.saying().failure.unwrap_or(Failure::Server);
        let (is_status, anthropic_kinds) = match failure {
            Failure::RateLimit => (status == 429, ["rate_limit_error", ""]),
            Failure::Authentication => {
                (matches!(status, 401 | 403), ["authentication_error", "permission_error"])
            }
            Failure::ContextLength => (status == 400, ["invalid_request_error", ""]),
            Failure::Server => (status >= 500, ["api_error", ""]),
        };
        let waits = reply.header("retry-after") == Some(RETRY_AFTER);
        let is_named = match failure {
            _ if is_anthropic => body["type"] == "error" && anthropic_kinds.contains(&kind),
            Failure::ContextLength => code.contains("context_length"),
            _ => !code.is_empty() && !kind.is_empty(),
        };
        let is_told = is_status && is_named && message.contains(FAILURE);
        if !is_told || failure == Failure::RateLimit && !waits {
            return Err(Wrong(format!("{reply}")));
        }
        Ok(if attempt.is_forwarded(self.client) { Cell::Native } else { Cell::Yes })
    }

    fn judge(&self, attempt: &Attempt, said: &Said) -> Found {
        if let Some(wrong) = self.misunderstood(said) {
            return Err(Wrong(format!("{wrong}: {said:?}")));
        }
        self.arrived(attempt)
    }

    /// What the client was not told as the model said it.
    fn misunderstood(&self, said: &Said) -> Option<&'static str> {
        let saying = self.feature.saying();
        let structure = arguments(0);
        let text_is_right = match saying.structure {
            true => serde_json::from_str::<Value>(&said.text).ok() == Some(structure),
            false => said.text == saying.text.unwrap_or_default(),
        };
        let calls: Vec<_> = saying
            .tool_calls()
            .into_iter()
            .map(|(id, arguments)| (id, TOOL.to_owned(), arguments))
            .collect();
        let thought = if saying.thought { THOUGHT } else { "" };
        let checks = [
            (text_is_right, "the text is another"),
            (said.calls == calls, "the calls are others"),
            (said.thought.trim() == thought, "the reasoning is another"),
            (said.end == Some(saying.end()), "the end is another"),
            ((said.input, said.output) == (INPUT, OUTPUT), "the usage is another"),
            (said.cached == saying.cached_tokens(), "the cached tokens are others"),
            (self.feature != Feature::Stream || said.text_pieces > 1, "the text came whole"),
            (
                self.feature != Feature::StreamedArguments || said.argument_pieces > 1,
                "the arguments came whole",
            ),
        ];
        checks.into_iter().find(|(holds, _)| !holds).map(|(_, wrong)| wrong)
    }

    /// What the provider was asked, if the client was told well.
    fn arrived(&self, attempt: &Attempt) -> Found {
        if attempt.is_forwarded(self.client) {
            return Ok(Cell::Native);
        }
        if self.is_reported(attempt) {
            return Ok(Cell::Reported);
        }
        let asked =
            attempt.asked.as_ref().ok_or_else(|| Wrong("the provider was not asked".to_owned()))?;
        let wire = match self.client {
            Client::Embeddings => Wire::Embeddings,
            _ => Wire::of(&asked.path),
        };
        let body = asked.json();
        let needs = wire.needs(self.feature);
        let Some(missing) = needs.iter().find(|need| !need.is_met(&body)) else {
            return Ok(Cell::Yes);
        };
        if self.feature == Feature::StructuredOutput {
            let what = What::Json(Value::from(PROPERTY));
            let roundabout = Need { places: wire.emulated_structure(), what };
            if roundabout.is_met(&body) {
                return Ok(Cell::Emulated);
            }
        }
        Err(Wrong(format!("nothing at {}: {}", missing.places, asked.text())))
    }

    fn is_reported(&self, attempt: &Attempt) -> bool {
        let dropped = attempt.reply.header("x-torana-dropped-params").unwrap_or_default();
        let names: Vec<&str> = dropped.split(", ").collect();
        let parameters = self.feature.parameters();
        parameters.iter().any(|name| names.contains(&self.client.parameter(name)))
    }
}

impl Attempt {
    fn json(&self) -> Result<Value, Wrong> {
        match self.reply.status {
            200 => Ok(self.reply.json()),
            _ => Err(Wrong(format!("{}", self.reply))),
        }
    }

    /// The provider was asked as the client asked, on the same route, but for the model's name and the wish for
    /// usage at the end.
    fn is_forwarded(&self, client: Client) -> bool {
        let plain = |body: &Value| {
            let mut body = body.clone();
            if let Some(fields) = body.as_object_mut() {
                ["model", "stream_options", "anthropic_version"].iter().for_each(|key| {
                    fields.remove(*key);
                });
            }
            body
        };
        let is_same = |asked: &Asked| {
            client.is_own_route(&asked.path) && plain(&asked.json()) == plain(&self.sent)
        };
        self.asked.as_ref().is_some_and(is_same)
    }
}
