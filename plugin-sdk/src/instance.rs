//! The value that a component keeps from call to call, and the start of its life.
//!
//! A component instance runs one call at a time, on one thread, and holds one value: a
//! policy or a sink. Setting it again replaces it. Every exported function calls [`start`]
//! first, so that a panic is in the gateway's log before it becomes a trap.

use std::any::Any;
use std::cell::{Cell, RefCell};

thread_local! {
    static INSTANCE: RefCell<Option<Box<dyn Any>>> = const { RefCell::new(None) };
    static STARTED: Cell<bool> = const { Cell::new(false) };
}

/// Sends panics to the gateway's log, from the first call on.
pub(crate) fn start() {
    if !STARTED.replace(true) && cfg!(target_arch = "wasm32") {
        std::panic::set_hook(Box::new(|panic| {
            // Place and message stand on lines of their own; a log line is one.
            let line = panic.to_string().replace('\n', " ");
            crate::log::write(crate::log::Level::Error, &line);
        }));
    }
}

/// Keeps `value` for the calls to come.
pub(crate) fn set<T: 'static>(value: T) {
    INSTANCE.with(|instance| {
        // A component is never entered twice at once, so nothing can hold the cell.
        if let Ok(mut instance) = instance.try_borrow_mut() {
            *instance = Some(Box::new(value));
        }
    });
}

/// Lends the value that [`set`] kept; absent before it.
pub(crate) fn with<T: 'static, R>(use_value: impl FnOnce(&mut T) -> R) -> Option<R> {
    INSTANCE.with(|instance| {
        let mut instance = instance.try_borrow_mut().ok()?;
        instance.as_mut()?.downcast_mut().map(use_value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_is_absent_then_kept_then_replaced() {
        assert_eq!(with(|value: &mut u32| *value), None);
        set(1_u32);
        with(|value: &mut u32| *value += 1);
        assert_eq!(with(|value: &mut u32| *value), Some(2));
        set(9_u32);
        assert_eq!(with(|value: &mut u32| *value), Some(9));
    }
}
