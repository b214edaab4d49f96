//! TLS towards providers: rustls with ring, and the Mozilla roots compiled in, so that one
//! binary in an empty container works.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;

/// A configuration without client certificates.
pub fn client_configuration() -> Result<rustls::ClientConfig, rustls::Error> {
    client_configuration_with(&[])
}

/// Likewise, for a server that may also have a certificate of one of these authorities.
pub fn client_configuration_with(
    authorities: &[CertificateDer<'static>],
) -> Result<rustls::ClientConfig, rustls::Error> {
    let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for authority in authorities {
        roots.add(authority.clone())?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
