//! Profiles in `~/.aws/credentials` and `~/.aws/config`.
//!
//! Source: "Configuration and credential file settings" of the AWS CLI user guide. A profile
//! gives keys, or a role and the file of a web identity. Lines that are indented belong to
//! nested settings, of which none is of use here.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::{Keys, web_identity};
use crate::upstream::credential::error::CredentialError;
use crate::upstream::credential::exchange::Surroundings;
use crate::upstream::credential::refresh::Fresh;

/// A file with hundreds of profiles has some tens of KiB.
const LARGEST_FILE_BYTES: u64 = 1024 * 1024;
/// Tools rewrite the file with temporary keys whose end it does not tell; reading it again
/// costs next to nothing.
const READ_AGAIN: Duration = Duration::from_secs(60);

/// What a profile says, by lower-case key. Holds secrets, so it cannot be printed.
pub(super) type Settings = BTreeMap<String, String>;

/// Which of the two files: they head a profile differently.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Headings {
    /// `[NAME]`
    Bare,
    /// `[profile NAME]`, but `[default]`
    Prefixed,
}

/// The keys of the named profile, else of `AWS_PROFILE`, else of `default`. `None` when only
/// the last is meant and it has none.
pub(super) async fn find(
    world: &Surroundings,
    named: Option<&str>,
) -> Result<Option<Fresh<Keys>>, CredentialError> {
    let chosen = named.map(str::to_owned).or_else(|| world.variable("AWS_PROFILE"));
    let name = chosen.as_deref().unwrap_or("default");
    let credentials = File::new(world, "AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials");
    let config = File::new(world, "AWS_CONFIG_FILE", "~/.aws/config");
    let in_config = config.profile(world, Headings::Prefixed, name).await?;
    let in_credentials = credentials.profile(world, Headings::Bare, name).await?;
    let is_missing = in_config.is_none() && in_credentials.is_none();
    let mut settings = in_config.unwrap_or_default();
    settings.extend(in_credentials.unwrap_or_default());
    match keys(world, name, settings).await? {
        Some(keys) => Ok(Some(keys)),
        None if chosen.is_none() => Ok(None),
        None if is_missing => Err(CredentialError::NoProfile {
            name: name.to_owned(),
            credentials: credentials.path,
            config: config.path,
        }),
        None => Err(CredentialError::NotFound {
            cloud: "AWS",
            looked: format!("the profile {name:?} has no aws_access_key_id"),
            remedy: "write aws_access_key_id and aws_secret_access_key into the profile",
        }),
    }
}

async fn keys(
    world: &Surroundings,
    name: &str,
    mut settings: Settings,
) -> Result<Option<Fresh<Keys>>, CredentialError> {
    const ID: &str = "aws_access_key_id";
    const SECRET: &str = "aws_secret_access_key";
    // A role comes before keys: those are then the role's source.
    if let Some(role_arn) = settings.remove("role_arn") {
        return match settings.remove("web_identity_token_file") {
            Some(file) => {
                let role = web_identity::Role {
                    role_arn,
                    token_file: world.path(&file),
                    session_name: settings.remove("role_session_name"),
                    named_by: "web_identity_token_file of the AWS profile",
                };
                Ok(Some(role.assume(world).await?))
            }
            None => Err(unsupported(name, "role_arn with source_profile or credential_source")),
        };
    }
    match (settings.remove(ID), settings.remove(SECRET)) {
        (Some(id), Some(secret)) => {
            let keys = Keys::new(id, secret, settings.remove("aws_session_token"));
            return Ok(Some(keys.lasting(world.now().checked_add(READ_AGAIN))));
        }
        (Some(_), None) => return Err(CredentialError::HalfSet { found: ID, missing: SECRET }),
        (None, Some(_)) => return Err(CredentialError::HalfSet { found: SECRET, missing: ID }),
        (None, None) => {}
    }
    for feature in ["credential_process", "sso_session", "sso_start_url", "login_session"] {
        if settings.contains_key(feature) {
            return Err(unsupported(name, feature));
        }
    }
    Ok(None)
}

fn unsupported(name: &str, feature: &str) -> CredentialError {
    CredentialError::Unsupported {
        origin: format!("the AWS profile {name:?}"),
        feature: feature.to_owned(),
        remedy: "put keys into the environment or a profile instead: aws configure \
                 export-credentials --profile NAME --format env",
    }
}

struct File {
    path: PathBuf,
    named_by: &'static str,
}

impl File {
    fn new(world: &Surroundings, variable: &'static str, usual: &str) -> Self {
        match world.variable(variable) {
            Some(path) => Self { path: world.path(&path), named_by: variable },
            None => Self { path: world.path(usual), named_by: "AWS's convention" },
        }
    }

    /// `None` when there is no file or no such profile in it.
    async fn profile(
        &self,
        world: &Surroundings,
        headings: Headings,
        name: &str,
    ) -> Result<Option<Settings>, CredentialError> {
        match world.read(&self.path, self.named_by, LARGEST_FILE_BYTES).await {
            Ok(text) => Ok(read_profile(&text, headings, name)),
            Err(CredentialError::Unreadable { source, .. })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// One profile out of a file's text. Lines that are neither heading nor setting are skipped,
/// as AWS's kits do.
pub(super) fn read_profile(text: &str, headings: Headings, name: &str) -> Option<Settings> {
    let mut found: Option<Settings> = None;
    let mut is_inside = false;
    for line in text.lines() {
        let is_indented = line.starts_with([' ', '\t']);
        let is_comment = line.starts_with(['#', ';']);
        if is_indented || is_comment || line.trim().is_empty() {
            continue;
        }
        if let Some(rest) = line.strip_prefix('[') {
            let heading = rest.split_once(']').map(|(heading, _)| heading.trim());
            is_inside = heading.is_some_and(|heading| is_of(heading, headings, name));
            if is_inside {
                found.get_or_insert_default();
            }
        } else if is_inside
            && let Some(settings) = &mut found
            && let Some((key, value)) = line.split_once('=')
        {
            settings.insert(key.trim().to_ascii_lowercase(), without_comment(value).to_owned());
        }
    }
    found.map(|mut settings| {
        settings.retain(|_, value| !value.is_empty());
        settings
    })
}

fn is_of(heading: &str, headings: Headings, name: &str) -> bool {
    let unquoted = |text: &str| text.trim().trim_matches(['"', '\'']).to_owned();
    match headings {
        Headings::Bare => unquoted(heading) == name,
        Headings::Prefixed if heading == "default" => name == "default",
        Headings::Prefixed => heading
            .strip_prefix("profile")
            .filter(|rest| rest.starts_with([' ', '\t']))
            .is_some_and(|rest| unquoted(rest) == name),
    }
}

/// A comment after a value begins with a space and a sign.
fn without_comment(value: &str) -> &str {
    let signs = [" #", " ;", "\t#", "\t;"];
    let end = signs.iter().filter_map(|sign| value.find(sign)).min();
    end.and_then(|end| value.get(..end)).unwrap_or(value).trim()
}

#[cfg(test)]
mod tests;
