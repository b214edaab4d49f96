//! What files looked like, and whether they look different now.
//!
//! A file whose metadata is as before is not read again, so looking is cheap enough to poll.
//! The exception is a file written in the last moments before it was looked at: a second
//! write within the resolution of the clock would leave the same metadata.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use super::super::source::{is_pattern, matches};

/// Coarser than the time stamps of any file system in use (FAT: two seconds).
const CLOCK_RESOLUTION: Duration = Duration::from_secs(2);

/// Bytes hashed of a file. Components have a few MiB; of what is larger, metadata must do.
const HASHED_BYTES: u64 = 64 * 1024 * 1024;

/// The looks of some files, by path.
#[derive(Debug, Default)]
pub(super) struct Fingerprints {
    /// As asked for: what a path was resolved from.
    asked: Vec<PathBuf>,
    files: BTreeMap<PathBuf, Option<Fingerprint>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Fingerprint {
    stamp: Stamp,
    /// It was written so shortly before it was looked at that the stamp proves nothing.
    is_fresh: bool,
    /// Of the content. Absent if it is too large or could not be read.
    sha256: Option<[u8; 32]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
    /// Inode and device: another file in the same place.
    identity: (u64, u64),
}

impl Fingerprints {
    pub(super) fn of(paths: &[PathBuf]) -> Self {
        Self::default().look_again(paths)
    }

    /// Looks at these paths, reading only what may have changed.
    pub(super) fn look_again(&self, paths: &[PathBuf]) -> Self {
        let mut files = BTreeMap::new();
        for path in paths {
            if is_pattern(path) {
                for file in matches(path).unwrap_or_default() {
                    let fingerprint = self.look(&file);
                    files.insert(file, fingerprint);
                }
            } else {
                files.insert(path.clone(), self.look(path));
            }
        }
        Self { asked: paths.to_vec(), files }
    }

    /// Takes over what was seen of paths that were not asked for until now.
    pub(super) fn adopt(&mut self, seen: &Self) {
        for path in &seen.asked {
            if !self.asked.contains(path) {
                self.asked.push(path.clone());
            }
        }
        for (file, fingerprint) in &seen.files {
            self.files.entry(file.clone()).or_insert_with(|| fingerprint.clone());
        }
    }

    /// Whether anything that both were asked for changed, came or went.
    pub(super) fn differs_from(&self, before: &Self) -> bool {
        let is_shared = |asked: &PathBuf| before.asked.contains(asked);
        let shared: Vec<&PathBuf> = self.asked.iter().filter(|asked| is_shared(asked)).collect();
        let belongs = |file: &PathBuf| {
            let same_directory =
                |asked: &PathBuf| is_pattern(asked) && asked.parent() == file.parent();
            shared.iter().any(|asked| *asked == file || same_directory(asked))
        };
        let files = self.files.keys().chain(before.files.keys());
        files.filter(|file| belongs(file)).any(|file| {
            let now = self.files.get(file).and_then(Option::as_ref);
            let then = before.files.get(file).and_then(Option::as_ref);
            match (now, then) {
                (Some(now), Some(then)) => now.differs_from(then),
                (None, None) => false,
                _ => true,
            }
        })
    }

    fn look(&self, path: &Path) -> Option<Fingerprint> {
        let metadata = fs::metadata(path).ok().filter(Metadata::is_file)?;
        let stamp = Stamp::of(&metadata);
        let known = self.files.get(path).and_then(Option::as_ref);
        if let Some(known) = known.filter(|known| known.stamp == stamp && !known.is_fresh) {
            return Some(known.clone());
        }
        let is_fresh = stamp.modified.is_some_and(|modified| {
            // A time stamp in the future proves nothing either.
            modified.elapsed().map_or(true, |age| age < CLOCK_RESOLUTION)
        });
        Some(Fingerprint { stamp, is_fresh, sha256: hash(path).ok().flatten() })
    }
}

impl Fingerprint {
    fn differs_from(&self, other: &Self) -> bool {
        match (self.sha256, other.sha256) {
            (Some(now), Some(then)) => now != then,
            _ => self.stamp != other.stamp || self.sha256 != other.sha256,
        }
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            bytes: metadata.len(),
            modified: metadata.modified().ok(),
            identity: identity(metadata),
        }
    }
}

#[cfg(unix)]
fn identity(metadata: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (metadata.dev(), metadata.ino())
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> (u64, u64) {
    (0, 0)
}

/// None for a file that is too large.
fn hash(path: &Path) -> io::Result<Option<[u8; 32]>> {
    /// A read of this size is as fast as any.
    const CHUNK_BYTES: usize = 64 * 1024;
    let mut file = File::open(path)?.take(HASHED_BYTES + 1);
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let count = file.read(&mut chunk)?;
        let Some(bytes @ [_, ..]) = chunk.get(..count) else {
            break;
        };
        hasher.update(bytes);
    }
    Ok((file.limit() > 0).then(|| hasher.finalize().into()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_file_differs_by_content_and_by_being_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let paths = [path.clone()];
        let absent = Fingerprints::of(&paths);
        fs::write(&path, "a").unwrap();
        let first = absent.look_again(&paths);
        assert!(first.differs_from(&absent));
        assert!(absent.differs_from(&first));
        fs::write(&path, "a").unwrap();
        assert!(!first.look_again(&paths).differs_from(&first));
        fs::write(&path, "b").unwrap();
        assert!(first.look_again(&paths).differs_from(&first));
    }

    #[test]
    fn a_second_write_within_the_clocks_resolution_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let paths = [path.clone()];
        fs::write(&path, "a").unwrap();
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        let first = Fingerprints::of(&paths);
        let mut options = File::options();
        let file = options.write(true).open(&path).unwrap();
        io::Write::write_all(&mut &file, b"b").unwrap();
        file.set_modified(modified).unwrap();
        assert!(first.look_again(&paths).differs_from(&first));
    }

    #[test]
    fn a_path_that_is_asked_for_anew_is_no_difference() {
        let directory = tempfile::tempdir().unwrap();
        let [one, two] = ["one", "two"].map(|name| directory.path().join(name));
        fs::write(&one, "a").unwrap();
        fs::write(&two, "a").unwrap();
        let before = Fingerprints::of(std::slice::from_ref(&one));
        let both = before.look_again(&[one.clone(), two]);
        assert!(!both.differs_from(&before));
        assert!(!before.look_again(&[one]).differs_from(&both));
    }
}
