//! What the relay does when a stream breaks off: another endpoint goes on, where `resume` has
//! one, or the stream ends with an error.
//!
//! The client's stream stays open and gets comments while the next endpoint is waited for.
//! The attempt that broke off is settled as failed, and each one after it on its own. What is
//! told in the end, when nobody goes on, is why the stream broke off, not why those that
//! were asked to go on did not.

use std::time::Duration;

use bytes::Bytes;

use super::super::answer::{Content, Source, Stream};
use super::super::resume::MARK;
use super::{KEEP_ALIVE, Phase, Relay};
use crate::error::AttemptError;

impl Relay {
    /// Has another endpoint go on, where one may, or ends the stream.
    pub(super) async fn break_off(&mut self, out: Vec<u8>, error: AttemptError) -> Bytes {
        let (Some(resume), Some(record)) = (&mut self.resume, &mut self.record) else {
            return self.fail(out, &error).await;
        };
        let Some(started) = resume.ask(&error, &self.call, record) else {
            return self.fail(out, &error).await;
        };
        record.waited(self.source.waited().saturating_sub(self.waited_before));
        self.settle.observe(record, resume.joint.last_usage(true), Some(&error));
        self.settle.next(started);
        // Whatever the provider still has to say goes to nobody.
        self.source = Source::none();
        self.waited_before = Duration::ZERO;
        self.broke = Some(error);
        self.phase = Phase::Resuming;
        out.into()
    }

    /// Waits for the endpoint that is to go on.
    pub(super) async fn resumed(&mut self) -> Bytes {
        let (Some(resume), Some(record)) = (&mut self.resume, &mut self.record) else {
            // Only a stream that has both is ever resumed.
            return self.fail(Vec::new(), &AttemptError::Truncated).await;
        };
        let answer = match self.keep_alive {
            None => resume.answer().await,
            Some(silence) => match tokio::time::timeout(silence, resume.answer()).await {
                Ok(answer) => answer,
                Err(_) => return Bytes::from_static(KEEP_ALIVE),
            },
        };
        let broke = self.broke.take().unwrap_or(AttemptError::Truncated);
        let Some((endpoint, ended)) = answer else {
            return self.fail(Vec::new(), &broke).await;
        };
        record.waited(ended.waited);
        let content = match ended.result {
            Ok(content) => content,
            Err(error) => {
                if ended.sent || !error.is_refusal() {
                    self.settle.observe(record, None, Some(&error));
                } else {
                    self.settle.refused(record, &error);
                    self.settle.gateway.budgets.retry.give_back();
                }
                return self.ask_again(broke).await;
            }
        };
        record.attempt_answered(self.settle.row);
        record.dropped(&ended.dropped);
        record.resumed(&endpoint, resume.joint.text().map_or(0, |text| text.chars().count()));
        resume.joint.go_on();
        let Stream { first, source, .. } = match content {
            Content::Stream(stream) => *stream,
            Content::Whole(whole) => Stream::replayed(&whole.response),
        };
        self.waited_before = source.waited();
        self.first = first;
        self.source = source;
        self.phase = Phase::Running;
        format!(": {}: {}\n\n", MARK, endpoint.name).into()
    }

    /// The endpoint that was to go on failed as well.
    async fn ask_again(&mut self, broke: AttemptError) -> Bytes {
        let (Some(resume), Some(record)) = (&mut self.resume, &mut self.record) else {
            return self.fail(Vec::new(), &broke).await;
        };
        let Some(started) = resume.ask(&broke, &self.call, record) else {
            return self.fail(Vec::new(), &broke).await;
        };
        self.settle.next(started);
        self.broke = Some(broke);
        Bytes::new()
    }
}
