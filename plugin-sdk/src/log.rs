//! Lines for the gateway's own log; every plugin may write there.
//!
//! The host keeps at most 100 lines a second per plugin and 8 KiB a line, and counts what
//! it drops. Natively, lines go to standard error.
//!
//! ```
//! use torana_plugin_sdk::log;
//!
//! log::warn!("{} rows were refused", 3);
//! ```

pub use crate::bindings::host::log::Level;

/// Writes one line. The macros of this module format it first.
pub fn write(level: Level, message: &str) {
    #[cfg(target_arch = "wasm32")]
    crate::bindings::host::log::write(level, message);
    #[cfg(not(target_arch = "wasm32"))]
    eprintln!("{level:?}: {message}");
}

/// Writes a line that matters only when following single calls.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_trace {
    ($($format:tt)*) => {
        $crate::log::write($crate::log::Level::Trace, &::std::format!($($format)*))
    };
}

/// Writes a line for whoever looks for a fault.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_debug {
    ($($format:tt)*) => {
        $crate::log::write($crate::log::Level::Debug, &::std::format!($($format)*))
    };
}

/// Writes a line about something that happens rarely and rightly.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_info {
    ($($format:tt)*) => {
        $crate::log::write($crate::log::Level::Info, &::std::format!($($format)*))
    };
}

/// Writes a line about something the operator should look at.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_warn {
    ($($format:tt)*) => {
        $crate::log::write($crate::log::Level::Warn, &::std::format!($($format)*))
    };
}

/// Writes a line about something that failed.
#[doc(hidden)]
#[macro_export]
macro_rules! __log_error {
    ($($format:tt)*) => {
        $crate::log::write($crate::log::Level::Error, &::std::format!($($format)*))
    };
}

#[doc(inline)]
pub use crate::{
    __log_debug as debug, __log_error as error, __log_info as info, __log_trace as trace,
    __log_warn as warn,
};
