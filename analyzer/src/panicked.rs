//! A panic to an error: what happens inside a call stays inside of it.

use core::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Something panicked: most likely the caller's state, which is the only foreign
/// code that runs. Nothing is left half-done; whether the state can still be
/// used, its owner knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("panicked: {message}")]
pub struct PanickedError {
    /// What the panic said.
    pub message: String,
}

impl PanickedError {
    /// Runs `work`, which must drop whatever it changes, and gives its panic as
    /// an error. Where the program is built to abort on panics, it aborts.
    pub fn catch<T>(work: impl FnOnce() -> T) -> Result<T, Self> {
        // What a panic may leave inconsistent was made by `work` and dropped with it.
        catch_unwind(AssertUnwindSafe(work))
            .map_err(|payload| Self { message: message(payload.as_ref()) })
    }
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("without a message").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_with_its_message() {
        assert_eq!(PanickedError::catch(|| 7), Ok(7));
        let number = 7;
        let said = |work: fn(i32) -> i32| PanickedError::catch(|| work(number)).unwrap_err();
        assert_eq!(said(|_| panic!("plain")).message, "plain");
        assert_eq!(said(|number| panic!("number {number}")).message, "number 7");
        assert_eq!(said(|_| std::panic::panic_any(7)).message, "without a message");
    }
}
