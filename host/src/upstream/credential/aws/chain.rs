//! Finds keys where AWS's own kits look for them, in their order.
//!
//! A source that is set up is used or is the error; only one that is not set up is passed
//! over, and the error for an empty search says why each one was.

use super::{Keys, metadata, profile, web_identity};
use crate::upstream::credential::error::CredentialError;
use crate::upstream::credential::exchange::Surroundings;
use crate::upstream::credential::refresh::Fresh;

/// Keys, or why there are none. A named profile is the only source.
pub(super) async fn find(
    world: &Surroundings,
    named: Option<&str>,
) -> Result<Fresh<Keys>, CredentialError> {
    if named.is_none() {
        if let Some(keys) = environment(world)? {
            return Ok(keys.lasting(None));
        }
        if let Some(role) = web_identity::Role::of_environment(world)? {
            return role.assume(world).await;
        }
    }
    if let Some(keys) = profile::find(world, named).await? {
        return Ok(keys);
    }
    if let Some(keys) = metadata::container(world).await? {
        return Ok(keys);
    }
    match metadata::instance(world).await? {
        metadata::Instance::Keys(keys) => Ok(keys),
        metadata::Instance::Absent(reason) => Err(CredentialError::NotFound {
            cloud: "AWS",
            looked: format!(
                "AWS_ACCESS_KEY_ID and AWS_WEB_IDENTITY_TOKEN_FILE are not set, there is no \
                 default profile, AWS_CONTAINER_CREDENTIALS_FULL_URI is not set, {reason}"
            ),
            remedy: "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run \
                     the gateway where a role is attached",
        }),
    }
}

fn environment(world: &Surroundings) -> Result<Option<Keys>, CredentialError> {
    const ID: &str = "AWS_ACCESS_KEY_ID";
    const SECRET: &str = "AWS_SECRET_ACCESS_KEY";
    match (world.variable(ID), world.variable(SECRET)) {
        (Some(id), Some(secret)) => {
            Ok(Some(Keys::new(id, secret, world.variable("AWS_SESSION_TOKEN"))))
        }
        (Some(_), None) => Err(CredentialError::HalfSet { found: ID, missing: SECRET }),
        (None, Some(_)) => Err(CredentialError::HalfSet { found: SECRET, missing: ID }),
        (None, None) => Ok(None),
    }
}
