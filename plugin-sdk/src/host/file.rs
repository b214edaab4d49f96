//! The plugin's own append-only file. Grant: `file = true`.
//!
//! The file is the `path` of the plugin's settings. Write against [`Log`] and hand in
//! [`Own`]: a test hands in one of its own.

pub use crate::bindings::host::file::{Compression, Error};

/// A file that only grows, and its rotated predecessors.
pub trait Log {
    /// Appends `data` and waits until it is on the disk: all of it or, with an error, none.
    /// Creates the file where there is none. Gives its size in bytes afterwards, so that
    /// empty `data` asks for the size.
    ///
    /// # Errors
    ///
    /// Why nothing was written.
    fn append(&mut self, data: &[u8]) -> Result<u64, Error>;

    /// Renames the file to `path.1`, that to `path.2` and so on, and deletes what comes
    /// after `path.<keep>`. The next [`Log::append`] begins a new file. Renamed files are
    /// compressed afterwards, in the background, if asked for.
    ///
    /// # Errors
    ///
    /// Why the file could not be renamed.
    fn rotate(&mut self, keep: u32, compression: Option<Compression>) -> Result<(), Error>;
}

/// The file that the host keeps for this plugin.
#[derive(Debug, Clone, Copy, Default)]
pub struct Own;

#[cfg(target_arch = "wasm32")]
impl Log for Own {
    fn append(&mut self, data: &[u8]) -> Result<u64, Error> {
        crate::bindings::host::file::append(data)
    }

    fn rotate(&mut self, keep: u32, compression: Option<Compression>) -> Result<(), Error> {
        crate::bindings::host::file::rotate(keep, compression)
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Log for Own {
    fn append(&mut self, _: &[u8]) -> Result<u64, Error> {
        Err(Error::Storage("there is no host".into()))
    }

    fn rotate(&mut self, _: u32, _: Option<Compression>) -> Result<(), Error> {
        Err(Error::Storage("there is no host".into()))
    }
}
