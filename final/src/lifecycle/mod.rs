//! A container outlives the command that started it.
//!
//! | module | its part |
//! |---|---|
//! | `start` | by hand, by its monitor, after a reboot |
//! | `restart` | the policies, which its monitor obeys |
//! | `stop` | asked to end, killed, waited for |
//! | `rename`, `remove` | its name, and its end |

mod remove;
mod rename;
mod restart;
mod start;
mod stop;

pub use start::Outcome;
pub use stop::{StopRequest, parse_signal};

use crate::container::Status;
use crate::report::Refusal;

/// Why nothing can be done with the program of a container that has this status.
pub(crate) fn not_up(reference: &str, status: &Status) -> anyhow::Error {
    if matches!(status, Status::Restarting(_)) {
        let refusal = Refusal::new(format!("container `{reference}` is restarting"));
        return refusal.help("wait until it runs").code(1).into();
    }
    not_running(reference)
}

pub(crate) fn is_paused(reference: &str) -> anyhow::Error {
    Refusal::new(format!("container `{reference}` is paused")).help("`tara unpause` lets it go on").code(1).into()
}

pub(crate) fn not_running(reference: &str) -> anyhow::Error {
    Refusal::new(format!("container `{reference}` is not running")).help("`tara start` starts it again").code(1).into()
}
