//! For sinks whose store is a receiver of HTTP requests: what its answers mean, and how a
//! batch is brought to it.
//!
//! [`Verdict`] sorts answers by who has to act: nobody, time, the operator, or the rows.
//! [`Delivery`] cuts a batch where the receiver finds it too large or finds fault with it,
//! down to the single row, and remembers what is settled: a batch that is repeated after an
//! outage goes on where it stopped. It promises that one call begins no request after
//! [`BEGIN`] and that pauses grow up to [`LONGEST_PAUSE_MS`]. It keeps nothing of a row but
//! its id, and logs no word of the receiver's: those may quote a row.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::time::{Duration, Instant, SystemTime};

use super::{Outcome, Rejection, Row};
use crate::host::http::{Error, Response};
use crate::{Header, log};

/// One call begins no further request after so long: with the time of that request it has to
/// stay below the host's 10 s for a call of a sink.
pub const BEGIN: Duration = Duration::from_secs(2);

/// Pauses while a receiver is away: doubled from the first to the longest, and drawn at
/// random from the upper half, so that many gateways do not come at once.
const FIRST_PAUSE_MS: u32 = 500;
/// The longest pause that nobody asked for.
pub const LONGEST_PAUSE_MS: u32 = 30_000;
/// The longest pause that a receiver may ask for.
const LONGEST_ASKED_MS: u32 = 300_000;

/// The same complaint is made at most this often.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// What the receiver's own words are cut to.
const MOST_WORDS: usize = 300;

/// What an answer to a request with rows means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The receiver has the rows: 2xx.
    Taken,
    /// Come again, after so many milliseconds if it said so: 408, 425, 429, 5xx, no answer.
    Later(Option<u32>),
    /// The address, the credentials or the grant are wrong, not the rows: 3xx, 401, 403, 404,
    /// 405, 407, 410, 421, or a request that the host does not send. Says what to look at.
    Misdirected(&'static str),
    /// Fewer rows may pass: 413.
    TooLarge,
    /// Something in the rows is not to its liking: every other 4xx.
    Refused,
}

impl Verdict {
    /// Of what the host gave for a request.
    pub fn of(answer: &Result<Response, Error>) -> Self {
        match answer {
            Ok(response) => Self::of_response(response),
            Err(Error::Timeout | Error::Connection(_) | Error::TooLarge) => Self::Later(None),
            Err(Error::NotGranted(_)) => {
                Self::Misdirected("grant the origin of its url under `grants.http`")
            }
            Err(Error::BlockedAddress(_)) => {
                Self::Misdirected("its name leads to a private address; grant the address itself")
            }
            Err(Error::InvalidRequest(_)) => Self::Misdirected("its url cannot be asked"),
        }
    }

    fn of_response(response: &Response) -> Self {
        match response.status {
            200..=299 => Self::Taken,
            300..=399 => Self::Misdirected("redirects are not followed; write the final url"),
            401 | 403 | 407 => Self::Misdirected("check its credentials: `headers` of the sink"),
            404 | 405 | 410 | 421 => Self::Misdirected("check its url"),
            408 | 425 | 429 | 500.. => Self::Later(retry_after_ms(&response.headers)),
            413 => Self::TooLarge,
            _ => Self::Refused,
        }
    }
}

/// `retry-after` in milliseconds: seconds, or a date (RFC 9110 §10.2.3).
pub fn retry_after_ms(headers: &[Header]) -> Option<u32> {
    let header = headers.iter().find(|it| it.name.eq_ignore_ascii_case("retry-after"))?;
    let value = header.value.trim();
    let wait = match value.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = httpdate::parse_http_date(value).ok()?;
            date.duration_since(SystemTime::now()).unwrap_or_default()
        }
    };
    Some(u32::try_from(wait.as_millis()).unwrap_or(u32::MAX).min(LONGEST_ASKED_MS))
}

/// Text for the reason of a rejection: one line, bounded.
pub fn words(text: &str) -> String {
    let line: String = text
        .chars()
        .take(MOST_WORDS)
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect();
    line.trim().to_owned()
}

/// What became of some rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// The receiver has all of them.
    Taken,
    /// It has none of them, and nothing is wrong with them: a pause in milliseconds if it asked
    /// for one, and a line for the log.
    Later(Option<u32>, String),
    /// They are too many at once, or one of them is at fault. Carries the reason, for the
    /// dead-letter file.
    Refused(String),
    /// The same, where fewer at once should go from now on.
    TooLarge(String),
    /// None of them may be sent again, and not all were taken. Carries the reason.
    Lost(String),
}

/// Brings batches to a receiver, one after the other.
#[derive(Debug, Default)]
pub struct Delivery {
    batch: Option<Progress>,
    /// Rows at once that the receiver found too large.
    too_many: Option<usize>,
    failures: u32,
    complained: Option<(Instant, String)>,
}

/// How far a batch is settled.
#[derive(Debug)]
struct Progress {
    /// Ids of the first and last row, and their number: tells a batch from the next.
    identity: (String, String, usize),
    /// Rows before this one are taken or rejected.
    next: usize,
    /// Rows to try at once.
    at_once: usize,
    rejected: Vec<Rejection>,
}

impl Delivery {
    /// Sends the rows of a batch in order, in as few pieces as the receiver takes.
    pub fn deliver(&mut self, batch: &[Row], mut send: impl FnMut(&[Row]) -> Sent) -> Outcome {
        let mut progress = self.resume(batch);
        let began = Instant::now();
        loop {
            let rest = batch.get(progress.next..).unwrap_or_default();
            let most = self.too_many.map_or(usize::MAX, |too_many| (too_many / 2).max(1));
            let size = progress.at_once.min(most).min(rest.len());
            let piece = rest.get(..size).unwrap_or_default();
            if piece.is_empty() {
                return finish(progress.rejected);
            }
            if began.elapsed() > BEGIN {
                self.batch = Some(progress);
                return Outcome::Retry(0);
            }
            match send(piece) {
                Sent::Taken => progress.pass(size, None),
                Sent::Lost(reason) => progress.pass(size, Some(&reason)),
                Sent::Refused(reason) | Sent::TooLarge(reason) if size == 1 => {
                    progress.pass(size, Some(&reason));
                }
                Sent::Refused(_) => progress.at_once = size / 2,
                Sent::TooLarge(_) => {
                    self.too_many = Some(size);
                    progress.at_once = size / 2;
                }
                Sent::Later(asked, line) => {
                    self.batch = Some(progress);
                    self.complain(&line);
                    return Outcome::Retry(self.pause(asked));
                }
            }
            self.failures = 0;
        }
    }

    /// Writes a warning, unless the last one was the same and less than a minute ago.
    pub fn complain(&mut self, line: &str) {
        let is_new = self
            .complained
            .as_ref()
            .is_none_or(|(when, last)| last != line || when.elapsed() >= COMPLAIN_EVERY);
        if is_new {
            self.complained = Some((Instant::now(), line.to_owned()));
            log::warn!("{line}");
        }
    }

    fn resume(&mut self, batch: &[Row]) -> Progress {
        let id = |row: Option<&Row>| row.map(|row| row.id.clone()).unwrap_or_default();
        let identity = (id(batch.first()), id(batch.last()), batch.len());
        self.batch.take().filter(|before| before.identity == identity).unwrap_or_else(|| Progress {
            identity,
            next: 0,
            at_once: batch.len(),
            rejected: Vec::new(),
        })
    }

    fn pause(&mut self, asked: Option<u32>) -> u32 {
        let doubled = FIRST_PAUSE_MS.saturating_mul(1 << self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        let pause = doubled.min(LONGEST_PAUSE_MS);
        asked.unwrap_or_else(|| pause / 2 + random_below(pause / 2))
    }
}

impl Progress {
    /// `size` rows are settled: taken, or rejected for this reason.
    fn pass(&mut self, size: usize, reason: Option<&str>) {
        if let Some(reason) = reason {
            let rows = (self.next..self.next + size).filter_map(|row| u32::try_from(row).ok());
            self.rejected.extend(rows.map(|row| Rejection { row, reason: reason.to_owned() }));
        }
        self.next += size;
        // What follows a row that was at fault is most likely fine.
        self.at_once = size.saturating_mul(2);
    }
}

fn finish(rejected: Vec<Rejection>) -> Outcome {
    if rejected.is_empty() { Outcome::Ack } else { Outcome::Reject(rejected) }
}

/// The standard library's seed for hash maps: enough to spread pauses, and it needs no grant.
fn random_below(bound: u32) -> u32 {
    let random = RandomState::new().build_hasher().finish();
    u32::try_from(random % u64::from(bound.max(1))).unwrap_or(0)
}

#[cfg(test)]
mod tests;
