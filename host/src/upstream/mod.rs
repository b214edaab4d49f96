//! The way to providers: connections, credentials, and cutting answers into frames.

pub mod address;
pub mod credential;
pub mod framing;
pub mod pool;
pub mod tls;
