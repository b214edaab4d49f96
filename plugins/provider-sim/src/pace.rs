//! When each token comes: the first after `ttft_ms`, the others at `tokens_per_second`.
//!
//! A whole answer takes as long as its stream would. A stream that is to break off ends with
//! its failure: no stop, no usage, no finish.

use std::time::Duration;

use torana_plugin_sdk::chat::Usage;
use torana_plugin_sdk::provider::PacedEvent;
use torana_plugin_sdk::{BlockKind, CallError, StreamEvent};

use crate::answer::{Answer, Kind};
use crate::milliseconds;
use crate::settings::Settings;

/// How long a whole answer of so many tokens takes.
pub(crate) fn total(settings: &Settings, tokens: usize) -> Duration {
    let further = tokens.saturating_sub(1) as f64;
    milliseconds(settings.ttft_ms + further * interval_ms(settings))
}

/// The answer as a stream; with `break_off`, failing after so many tokens.
pub(crate) fn events(
    id: String,
    model: &str,
    answer: Answer,
    usage: Usage,
    settings: &Settings,
    break_off: Option<(u32, CallError)>,
) -> Vec<PacedEvent> {
    let model = model.to_owned();
    let index = 0;
    let (kind, delta): (_, fn(u32, String) -> StreamEvent) = match answer.kind {
        Kind::Text => (BlockKind::Text, |index, text| StreamEvent::TextDelta { index, text }),
        Kind::ToolCall { id, name } => (BlockKind::ToolCall { id, name }, |index, arguments| {
            StreamEvent::ToolCallDelta { index, arguments }
        }),
    };
    let said = break_off.as_ref().map_or(usize::MAX, |(after, _)| *after as usize);
    let interval = milliseconds(interval_ms(settings));
    let mut events = vec![
        PacedEvent {
            after: milliseconds(settings.ttft_ms),
            event: StreamEvent::Started { id, model },
        },
        at_once(StreamEvent::BlockStart { index, kind }),
    ];
    for (position, token) in answer.tokens.into_iter().take(said).enumerate() {
        events.push(PacedEvent {
            after: if position == 0 { Duration::ZERO } else { interval },
            event: delta(index, token),
        });
    }
    let end = match break_off {
        Some((_, error)) => vec![StreamEvent::Failed(error)],
        None => vec![
            StreamEvent::BlockStop { index },
            StreamEvent::Usage(usage),
            StreamEvent::Finish(answer.finish_reason),
        ],
    };
    events.extend(end.into_iter().map(at_once));
    events
}

fn at_once(event: StreamEvent) -> PacedEvent {
    PacedEvent { after: Duration::ZERO, event }
}

fn interval_ms(settings: &Settings) -> f64 {
    settings.tokens_per_second.map_or(0.0, |rate| 1_000.0 / rate)
}
