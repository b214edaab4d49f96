//! The name an operator probably meant.

/// Similarity (Jaro–Winkler, 0 to 1) from which a guess helps more than it misleads.
const PLAUSIBLE: f64 = 0.8;

/// Longest name that is compared: the comparison is quadratic, and nobody mistypes a novel.
const COMPARED_BYTES: usize = 64;

/// The candidate most like `name`, if any is alike.
pub(super) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    if name.len() > COMPARED_BYTES {
        return None;
    }
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= COMPARED_BYTES)
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(similarity, _)| *similarity >= PLAUSIBLE)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, candidate)| candidate)
}

/// What to tell about a name that is not among the candidates: the nearest, or else all.
pub(super) fn advice<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str> + Clone,
) -> String {
    /// More than a screenful of names advises nobody.
    const LISTED: usize = 20;
    if let Some(candidate) = nearest(name, candidates.clone()) {
        return format!("did you mean {candidate:?}?");
    }
    let mut names: Vec<&str> = candidates.into_iter().collect();
    names.sort_unstable();
    names.dedup();
    match names.len() {
        0 => "there is none yet".to_owned(),
        1..=LISTED => format!("known: {}", names.join(", ")),
        count => {
            names.truncate(LISTED);
            format!("known: {} and {} more", names.join(", "), count - LISTED)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_is_named_and_nonsense_gets_the_list() {
        let known = ["listen", "body_limit_mib", "auth"];
        assert_eq!(nearest("lisetn", known), Some("listen"));
        assert_eq!(nearest("body_limit", known), Some("body_limit_mib"));
        assert_eq!(nearest("zzz", known), None);
        assert_eq!(nearest(&"listen".repeat(1000), known), None);
        assert_eq!(advice("zzz", known), "known: auth, body_limit_mib, listen");
        assert_eq!(advice("zzz", []), "there is none yet");
    }

    #[test]
    fn a_long_list_of_names_is_cut() {
        let names: Vec<String> = (0..25).map(|number| format!("n{number:02}")).collect();
        let text = advice("zzz", names.iter().map(String::as_str));
        assert!(text.ends_with("n19 and 5 more"), "{text}");
    }
}
