//! TLS towards providers: rustls with ring, and the Mozilla roots compiled in, so that one
//! binary in an empty container works.

use std::sync::Arc;

/// A configuration without client certificates.
pub fn client_configuration() -> Result<rustls::ClientConfig, rustls::Error> {
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
