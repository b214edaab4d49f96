//! From the path on the command line to the texts of the files behind it.
//!
//! The path is a file, or a pattern whose last part has `*` or `?`; its files are taken in
//! the order of their names. Refuses more files or bytes than a configuration has, anything
//! that is not a regular file, and an empty file: an editor truncates before it writes, and
//! an empty configuration must not replace a working one in that moment.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::SourceFile;
use super::problem::Problem;

/// Largest configuration file: about 50,000 endpoints.
const LARGEST_CONFIGURATION_BYTES: u64 = 4 * 1024 * 1024;

/// Largest template. What is longer does not fit a prompt.
const LARGEST_TEMPLATE_BYTES: u64 = 1024 * 1024;

/// Most files a pattern may match; more is a wrong pattern.
const MOST_FILES: usize = 256;

/// A file and what is in it.
pub(super) struct SourceText {
    pub(super) source: SourceFile,
    pub(super) text: String,
}

/// Why a file is not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceError {
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    #[error("not a regular file")]
    NotFile,
    #[error("larger than {} MiB", .0 / (1024 * 1024))]
    TooLarge(u64),
    #[error("not UTF-8 text")]
    NotText,
}

/// Reads every file that the path names.
///
/// # Errors
/// One problem for each file that cannot be used, or for the path itself.
pub(super) fn read_all(path: &str) -> Result<Vec<SourceText>, Vec<Problem>> {
    let files = find(path).map_err(|problem| vec![problem])?;
    let mut texts = Vec::new();
    let mut problems = Vec::new();
    for file in files {
        match read(&file, LARGEST_CONFIGURATION_BYTES) {
            Ok(found) if found.text.trim().is_empty() => problems
                .push(Problem::of_file(&file, "the configuration is empty; was it being written?")),
            Ok(found) => texts.push(found),
            Err(error) => problems.push(Problem::of_file(&file, error.to_string())),
        }
    }
    if problems.is_empty() { Ok(texts) } else { Err(problems) }
}

/// Reads a template.
///
/// # Errors
/// As [`SourceError`] says.
pub(super) fn read_template(path: &Path) -> Result<SourceText, SourceError> {
    read(path, LARGEST_TEMPLATE_BYTES)
}

/// Whether the path stands for whatever files match it.
pub(super) fn is_pattern(path: &Path) -> bool {
    path.to_string_lossy().contains(['*', '?']) && !path.exists()
}

/// The files that a pattern matches, by name. Hidden files, such as what editors and
/// ConfigMaps leave beside a file, only match a pattern that starts with a dot.
///
/// # Errors
/// When the directory cannot be listed.
pub(super) fn matches(pattern: &Path) -> io::Result<Vec<PathBuf>> {
    let directory = match pattern.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let wanted = pattern.file_name().unwrap_or_default().to_string_lossy();
    let mut found = Vec::new();
    for entry in directory.read_dir()? {
        let name = entry?.file_name();
        let text = name.to_string_lossy();
        let shown = wanted.starts_with('.') || !text.starts_with('.');
        let path = pattern.with_file_name(&name);
        if shown && is_match(wanted.as_bytes(), text.as_bytes()) && path.is_file() {
            found.push(path);
            if found.len() > MOST_FILES {
                break;
            }
        }
    }
    found.sort();
    Ok(found)
}

fn find(path: &str) -> Result<Vec<PathBuf>, Problem> {
    let path = Path::new(path);
    if !is_pattern(path) {
        return Ok(vec![path.to_path_buf()]);
    }
    let parent = path.parent().unwrap_or(Path::new(""));
    if is_pattern(parent) {
        let message = "'*' and '?' are understood in the name of the file only";
        return Err(Problem::of_file(path, message));
    }
    let files = matches(path)
        .map_err(|error| Problem::of_file(path, format!("cannot be listed: {error}")))?;
    match files.len() {
        0 => Err(Problem::of_file(path, "no file matches")),
        1..=MOST_FILES => Ok(files),
        _ => Err(Problem::of_file(path, format!("more than {MOST_FILES} files match"))),
    }
}

fn read(path: &Path, limit: u64) -> Result<SourceText, SourceError> {
    // Opening a pipe would wait for a writer.
    if !path.metadata()?.is_file() {
        return Err(SourceError::NotFile);
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(SourceError::TooLarge(limit));
    }
    let sha256 = Sha256::digest(&bytes).into();
    Ok(SourceText {
        text: String::from_utf8(bytes).map_err(|_| SourceError::NotText)?,
        source: SourceFile { path: path.to_path_buf(), sha256 },
    })
}

/// Shell matching of `*` and `?` over bytes, in time `pattern × name`: on a mismatch only the
/// last `*` gives way.
fn is_match(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut in_name) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = name.get(in_name) {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at + 1, in_name));
                at += 1;
            }
            Some(wanted) if *wanted == b'?' || wanted == byte => {
                at += 1;
                in_name += 1;
            }
            _ => match star {
                Some((after_star, taken)) => {
                    at = after_star;
                    in_name = taken + 1;
                    star = Some((after_star, taken + 1));
                }
                None => return false,
            },
        }
    }
    pattern.get(at..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::fs;

    use proptest::prelude::*;

    use super::*;

    fn problems(path: &Path) -> Vec<String> {
        let problems = read_all(path.to_str().unwrap()).err().unwrap();
        problems.iter().map(|problem| problem.message.clone()).collect()
    }

    #[test]
    fn a_pattern_gives_its_files_by_name_and_no_hidden_ones() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["b.toml", "a.toml", ".hidden.toml", "a.toml.swp", "c.txt"] {
            fs::write(directory.path().join(name), name).unwrap();
        }
        fs::create_dir(directory.path().join("d.toml")).unwrap();
        let pattern = directory.path().join("*.toml");
        let texts = read_all(pattern.to_str().unwrap()).ok().unwrap();
        let names: Vec<&str> = texts.iter().map(|text| text.text.as_str()).collect();
        assert_eq!(names, ["a.toml", "b.toml"]);
    }

    #[test]
    fn files_that_are_no_configuration_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("torana.toml");
        assert!(problems(&path)[0].starts_with("cannot be read: "));
        fs::write(&path, " \n\t\n").unwrap();
        assert_eq!(problems(&path), ["the configuration is empty; was it being written?"]);
        fs::write(&path, [0xff]).unwrap();
        assert_eq!(problems(&path), ["not UTF-8 text"]);
        fs::write(&path, vec![b'#'; 4 * 1024 * 1024 + 1]).unwrap();
        assert_eq!(problems(&path), ["larger than 4 MiB"]);
        assert_eq!(problems(directory.path()), ["not a regular file"]);
        assert_eq!(problems(&directory.path().join("*.none")), ["no file matches"]);
        assert_eq!(
            problems(&directory.path().join("*/x.toml")),
            ["'*' and '?' are understood in the name of the file only"]
        );
    }

    #[test]
    fn a_file_whose_name_looks_like_a_pattern_is_still_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("what?.toml");
        fs::write(&path, "x").unwrap();
        fs::write(directory.path().join("whatX.toml"), "y").unwrap();
        assert_eq!(read_all(path.to_str().unwrap()).ok().unwrap().len(), 1);
    }

    #[test]
    fn matching_is_that_of_the_shell() {
        for (pattern, name, expected) in [
            ("*.toml", "a.toml", true),
            ("*.toml", "a.tom", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(is_match(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }

    proptest! {
        #[test]
        fn a_name_matches_itself_and_stars_around_its_parts(name in "[a-c]{0,12}", cut in 0usize..12) {
            let (left, right) = name.split_at(cut.min(name.len()));
            prop_assert!(is_match(name.as_bytes(), name.as_bytes()));
            for pattern in [format!("{left}*{right}"), format!("*{right}"), format!("{left}*")] {
                prop_assert!(is_match(pattern.as_bytes(), name.as_bytes()));
            }
        }
    }
}
