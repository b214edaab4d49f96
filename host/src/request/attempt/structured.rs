//! An attempt at an endpoint of another dialect, where the answer shall have a structure.
//!
//! The request is put so that the endpoint can take it (`structure::Plan`), the answer is put
//! back and checked; a whole answer that does not match is mended or asked for again, within
//! the bound of `[structured_output]`. A stream is put back on its way and only flagged.

use torana_wire::chat::Request;

use super::super::answer::Content;
use super::super::decode::Call;
use super::super::structure::{self, Expected, Native, Plan, Validity};
use super::upstream::Upstream;
use crate::error::AttemptError;
use crate::plugin::provider::StructuredOutput;

impl Upstream<'_> {
    /// The chat payload, with the structure that is asked for made of what the endpoint can
    /// do. A whole answer that does not match is mended, or asked for again.
    pub(super) async fn structured(
        &mut self,
        call: &Call,
        payload: &Request,
    ) -> Result<Content, AttemptError> {
        let plan = Plan::of(payload, native(self.endpoint.info.structured_output));
        let expected = tokio::task::block_in_place(|| Expected::of(payload));
        let expected = match (expected, &plan) {
            (Ok(Some(expected)), _) => expected,
            (Ok(None), _) => return self.translate(call, payload).await,
            // An endpoint that takes schemas itself may know better.
            (Err(_), None) => return self.translate(call, payload).await,
            (Err(source), Some(_)) => {
                let place = call.dialect.schema_place();
                return Err(AttemptError::Schema { place, source });
            }
        };
        self.bans_calls = plan.is_some() && payload.parallel_tool_calls.is_none();
        let settings = self.config.structured_output;
        let mut asked = payload.clone();
        let mut reasks = 0;
        loop {
            let rewritten = plan.as_ref().map(|plan| plan.request(&asked));
            let content = self.translate(call, rewritten.as_ref().unwrap_or(&asked)).await;
            let mut whole = match (content, self.best.take()) {
                (Ok(Content::Stream(mut stream)), _) => {
                    stream.rewriter = plan.as_ref().map(Plan::stream);
                    return Ok(Content::Stream(stream));
                }
                (Ok(Content::Whole(mut whole)), best) => {
                    let spent = best.and_then(|best| best.response.usage);
                    let usage = &mut whole.response.usage;
                    *usage = match (spent, *usage) {
                        (Some(spent), Some(more)) => Some(spent.and(more)),
                        (spent, more) => spent.or(more),
                    };
                    whole
                }
                // Asking again failed: what is there is delivered, and flagged.
                (Err(_), Some(best)) => return Ok(Content::Whole(best)),
                (Err(error), None) => return Err(error),
            };
            if let Some(plan) = &plan {
                whole.response = plan.response(std::mem::take(&mut whole.response));
            }
            let Some(text) = structure::answer_text(&whole.response) else {
                return Ok(Content::Whole(whole));
            };
            let validity = tokio::task::block_in_place(|| expected.validate(&text));
            let Validity::Invalid { errors } = validity else {
                return Ok(Content::Whole(whole));
            };
            if let Some(repaired) = expected.repair(&text).filter(|_| settings.repair) {
                structure::replace_text(&mut whole.response, repaired);
                return Ok(Content::Whole(whole));
            }
            if reasks == settings.max_reasks {
                // Delivered as it is; the relay finds out the same and says so.
                return Ok(Content::Whole(whole));
            }
            reasks += 1;
            asked = structure::reask(&asked, &text, &errors);
            if let Some(spent) = whole.response.usage {
                self.link.tape.spent(spent);
            }
            self.best = Some(whole);
        }
    }
}

fn native(way: StructuredOutput) -> Native {
    match way {
        StructuredOutput::JsonSchema => Native::JsonSchema,
        StructuredOutput::Tool => Native::Tool,
        StructuredOutput::JsonObject => Native::JsonObject,
        StructuredOutput::Prompt => Native::Prompt,
    }
}
