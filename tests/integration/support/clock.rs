//! Time that this thread spent working: a bound on it holds on a machine that does other things, or
//! that was suspended, where one on the clock on the wall would not.

use std::time::{Duration, Instant};

pub(crate) struct Work {
    begun: Instant,
    spent: Option<Duration>,
}

impl Work {
    pub(crate) fn begin() -> Self {
        Self {
            begun: Instant::now(),
            spent: processor_time(),
        }
    }

    /// Of a processor where the system tells, and else on the wall.
    pub(crate) fn spent(&self) -> Duration {
        match (self.spent, processor_time()) {
            (Some(before), Some(now)) => now.saturating_sub(before),
            _ => self.begun.elapsed(),
        }
    }
}

/// Linux tells nanoseconds first; other systems have no such file.
fn processor_time() -> Option<Duration> {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds = told.split_ascii_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}
