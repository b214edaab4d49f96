//! Outgoing HTTP, for kinds that do I/O. Grant: `http = ["https://host:port", …]`.
//!
//! The origin of a URL must be granted literally; redirects are not followed; a response
//! body has at most 16 MiB and an exchange at most 60 seconds.

pub use crate::bindings::host::http::{Error, Request, Response};

/// Sends one request and waits for the whole response, whatever its status.
///
/// # Errors
///
/// What the host refused or what broke. Natively always [`Error::NotGranted`].
pub fn send(request: &Request) -> Result<Response, Error> {
    #[cfg(target_arch = "wasm32")]
    return crate::bindings::host::http::send(request);
    #[cfg(not(target_arch = "wasm32"))]
    Err(Error::NotGranted(request.url.clone()))
}
