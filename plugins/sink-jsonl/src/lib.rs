//! Sink: one JSON object a line, in a file that is rotated by size.
//!
//! A line is `{"id", "kind", "inference_id", "time_unix_ms", "row"}`, with the journal's row
//! as it came. A batch is one append, in order. Old files can be compressed; the current one
//! never is: it can be read while it grows, and a crash in the middle of an append costs no
//! more than the last line. Delivery is at least once: after a failure
//! lines may be there twice, and `id` tells them. Needs the grant `file`.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use torana_plugin_sdk::host::file::{self, Error, Log, Own};
use torana_plugin_sdk::sink::{Outcome, Rejection, Row, Sink};
use torana_plugin_sdk::{SettingsError, log};

/// How long to leave a disk alone that does not take anything.
const RETRY_MS: u32 = 1_000;
const MIB: u64 = 1 << 20;

/// The sink's `settings` table.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The file; the host opens it.
    path: String,
    /// The file is rotated before it would grow beyond this size, in MiB.
    #[serde(default = "default_rotate_mib")]
    rotate_mib: u64,
    /// Rotated files to keep: `path.1` is the newest.
    #[serde(default = "default_keep")]
    keep: u32,
    /// What becomes of rotated files: `path.1` is `path.1.gz` or `path.1.zst` then.
    #[serde(default)]
    compress: Compress,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Compress {
    #[default]
    None,
    Gzip,
    Zstd,
}

impl Compress {
    fn format(self) -> Option<file::Compression> {
        match self {
            Self::None => None,
            Self::Gzip => Some(file::Compression::Gzip),
            Self::Zstd => Some(file::Compression::Zstd),
        }
    }
}

fn default_rotate_mib() -> u64 {
    64
}

fn default_keep() -> u32 {
    8
}

/// A line, but for the line feed.
#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    kind: &'a str,
    inference_id: &'a str,
    time_unix_ms: u64,
    row: &'a RawValue,
}

struct JsonLines<L> {
    log: L,
    size: u64,
    rotate_bytes: u64,
    keep: u32,
    compress: Compress,
}

impl Sink for JsonLines<Own> {
    type Settings = Settings;

    fn open(settings: Settings) -> Result<Self, SettingsError> {
        Self::over(Own, &settings)
    }

    fn write(&mut self, batch: &[Row]) -> Outcome {
        self.take(batch)
    }
}

impl<L: Log> JsonLines<L> {
    fn over(mut log: L, settings: &Settings) -> Result<Self, SettingsError> {
        if settings.rotate_mib == 0 {
            let message = "0 leaves no room for any line: write 1 or more";
            return Err(SettingsError::at("/rotate_mib", message));
        }
        let size = log.append(&[]).map_err(|error| {
            let message = format!("cannot write to {:?}: {}", settings.path, words(&error));
            SettingsError::at("/path", message)
        })?;
        Ok(Self {
            log,
            size,
            rotate_bytes: settings.rotate_mib.saturating_mul(MIB),
            keep: settings.keep,
            compress: settings.compress,
        })
    }

    fn take(&mut self, batch: &[Row]) -> Outcome {
        let mut rejections = Vec::new();
        let mut lines = Vec::with_capacity(batch.len());
        for (position, row) in (0_u32..).zip(batch) {
            match line(row) {
                Ok(line) => lines.push((position, line)),
                Err(error) => rejections.push(Rejection {
                    row: position,
                    reason: format!("not a JSON document: {error}"),
                }),
            }
        }
        let bytes: Vec<u8> = lines.iter().flat_map(|(_, line)| line).copied().collect();
        let appended = match self.append(&bytes) {
            Err(Error::TooLarge) => self.append_each(&lines, &mut rejections),
            appended => appended,
        };
        if let Err(error) = appended {
            log::warn!("{}", words(&error));
            return Outcome::Retry(RETRY_MS);
        }
        if rejections.is_empty() { Outcome::Ack } else { Outcome::Reject(rejections) }
    }

    fn append_each(
        &mut self,
        lines: &[(u32, Vec<u8>)],
        rejections: &mut Vec<Rejection>,
    ) -> Result<(), Error> {
        for (position, line) in lines {
            match self.append(line) {
                Ok(()) => {}
                Err(Error::TooLarge) => rejections.push(Rejection {
                    row: *position,
                    reason: format!("{} bytes are more than one append takes", line.len()),
                }),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if bytes.is_empty() {
            return Ok(());
        }
        if self.size > 0 && self.size.saturating_add(bytes.len() as u64) > self.rotate_bytes {
            self.log.rotate(self.keep, self.compress.format())?;
            self.size = 0;
        }
        self.size = self.log.append(bytes)?;
        Ok(())
    }
}

fn line(row: &Row) -> Result<Vec<u8>, serde_json::Error> {
    let mut line = serde_json::to_vec(&Line {
        id: &row.id,
        kind: row.kind.as_str(),
        inference_id: &row.inference_id,
        time_unix_ms: row.time_unix_ms,
        row: serde_json::from_slice(&row.json)?,
    })?;
    // In valid JSON a line feed is white space: strings have it escaped.
    for byte in &mut line {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    line.push(b'\n');
    Ok(line)
}

fn words(error: &Error) -> &str {
    match error {
        Error::Storage(words) => words,
        Error::TooLarge => "more bytes than one append takes",
    }
}

torana_plugin_sdk::export_sink!(JsonLines<Own>);

#[cfg(test)]
mod tests;
