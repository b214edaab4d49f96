//! What the host offers to plugins, beside the log.
//!
//! Each module is a capability: a plugin that calls into it needs the grant its page names,
//! and is refused at load without it. One that never calls into a module does not import it.

pub mod clock;
pub mod file;
pub mod http;
pub mod kv;
pub mod random;
pub mod sql;
