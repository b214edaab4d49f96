//! The way to providers: requests put together, credentials, connections, and cutting
//! answers into frames.

pub mod address;
pub mod credential;
pub mod framing;
pub mod pool;
pub mod request;
pub mod tls;
