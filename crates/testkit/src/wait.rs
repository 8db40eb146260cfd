//! Waiting for something to become true, without sleeping longer than needed.

use std::time::{Duration, Instant};

/// How long [`until`] waits before the test fails.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// Asks `question` until it gives `Some`, and returns that.
///
/// # Panics
/// After [`DEADLINE`], with `what` in the message.
pub fn until<T>(what: &str, mut question: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(answer) = question() {
            return answer;
        }
        assert!(begin.elapsed() < DEADLINE, "waited {DEADLINE:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
