//! Everything that goes wrong at a provider, as scripts.

use serde_json::json;

use crate::openai;
use crate::provider::Asked;
use crate::script::{Gate, Script};

/// A fault before the first byte of an answer: another endpoint can still help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Early {
    /// An error status with OpenAI's error body.
    Status(u16),
    /// An error status with a page for people.
    Html(u16),
    /// Takes the request and says nothing.
    Silence,
    /// Closes the connection instead of answering.
    Close,
    Reset,
    /// Something that is not HTTP.
    Garbage,
    /// Nobody listens.
    Refused,
}

impl Early {
    pub const ALL: [Self; 12] = [
        Self::Status(429),
        Self::Status(500),
        Self::Status(502),
        Self::Status(503),
        Self::Status(504),
        Self::Status(529),
        Self::Html(502),
        Self::Silence,
        Self::Close,
        Self::Reset,
        Self::Garbage,
        Self::Refused,
    ];

    /// What a provider with this fault does. Nobody listens for [`Early::Refused`].
    pub fn script(self) -> Script {
        match self {
            Self::Status(status) => {
                let error = openai::error("scripted failure", "server_error", "scripted");
                Script::json(status, &error)
            }
            Self::Html(status) => {
                Script::whole(status, "text/html", "<html><h1>Bad Gateway</h1></html>")
            }
            Self::Silence => Script::default().until_closed(),
            Self::Close | Self::Refused => Script::default().close(),
            Self::Reset => Script::default().reset(),
            Self::Garbage => Script::default().raw("SSH-2.0-OpenSSH_9.6\r\n").close(),
        }
    }
}

/// A fault inside an answer: too late for another endpoint, and it must show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Late {
    /// The connection is closed inside the body.
    Fin,
    Reset,
    /// The body ends as HTTP wants it, and the stream has neither finish nor `[DONE]`.
    CleanEnd,
    /// The provider reports an error in an event.
    ErrorEvent,
    /// An event that is no JSON.
    Garbage,
    /// An event that never ends, then the end of the body.
    HalfEvent,
    /// Nothing more comes.
    Silence,
}

impl Late {
    pub const ALL: [Self; 7] = [
        Self::Fin,
        Self::Reset,
        Self::CleanEnd,
        Self::ErrorEvent,
        Self::Garbage,
        Self::HalfEvent,
        Self::Silence,
    ];

    /// Half of the ordinary stream and, once the gate is open, the fault. A whole answer
    /// breaks in its middle.
    pub fn script(self, asked: &Asked, gate: &Gate) -> Script {
        if !asked.streams() {
            return self.whole();
        }
        let events = openai::events(openai::TEXT);
        let (half, _) = events.split_at(events.len() / 2);
        let begun = Script::sse().bytes(openai::sse(half)).gate(gate);
        match self {
            Self::Fin => begun.close(),
            Self::Reset => begun.reset(),
            Self::CleanEnd => begun,
            Self::ErrorEvent => {
                let error = json!({ "error": { "message": "the model fell over",
                    "type": "server_error", "param": null, "code": "scripted" } });
                begun.bytes(format!("data: {error}\n\n"))
            }
            Self::Garbage => begun.bytes("data: {\"choices\":[{\"delta\":\n\n"),
            Self::HalfEvent => begun.bytes("data: {\"choices\":[{\"del"),
            Self::Silence => begun.until_closed(),
        }
    }

    fn whole(self) -> Script {
        let body = openai::answer(openai::TEXT).to_string();
        let (half, _) = body.as_bytes().split_at(body.len() / 2);
        let begun = Script::promise("application/json", body.len()).bytes(half);
        match self {
            Self::Fin => begun.close(),
            Self::Reset => begun.reset(),
            Self::Silence => begun.until_closed(),
            Self::CleanEnd | Self::Garbage | Self::HalfEvent => {
                Script::whole(200, "application/json", half)
            }
            Self::ErrorEvent => Script::whole(200, "text/html", "<h1>Welcome</h1>"),
        }
    }
}
