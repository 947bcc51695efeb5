//! Progress of long work, and the way to stop it.

use std::ops::ControlFlow;

use crate::error::{Error, Result};

/// What a progress callback is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step {
    /// What is going on, as in "ordering documents".
    pub stage: &'static str,
    /// How much of it is done, in the stage's own units.
    pub done: u64,
    /// How much there is, where that is known; 0 otherwise.
    pub total: u64,
}

/// A callback that long work calls now and then, on the thread that asked for the work.
///
/// Returning [`ControlFlow::Break`] stops the work with
/// [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled); what was committed before stands.
///
/// ```
/// use std::ops::ControlFlow;
/// use sparsely::Progress;
/// let mut stages = Vec::new();
/// let mut report = |step: sparsely::Step| { stages.push(step.stage); ControlFlow::Continue(()) };
/// let mut progress = Progress::new(&mut report);
/// progress.step("encoding", 1, 2).unwrap();
/// assert_eq!(stages, ["encoding"]);
/// ```
#[derive(Default)]
pub struct Progress<'a> {
    report: Option<&'a mut dyn FnMut(Step) -> ControlFlow<()>>,
}

impl<'a> Progress<'a> {
    /// Reports to `report`.
    pub fn new(report: &'a mut dyn FnMut(Step) -> ControlFlow<()>) -> Progress<'a> {
        Progress {
            report: Some(report),
        }
    }

    /// Reports to nobody and never stops.
    #[must_use]
    pub fn none() -> Progress<'static> {
        Progress { report: None }
    }

    /// Tells the callback where the work stands.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled) when the callback breaks.
    pub fn step(&mut self, stage: &'static str, done: u64, total: u64) -> Result<()> {
        match &mut self.report {
            None => Ok(()),
            Some(report) => match report(Step { stage, done, total }) {
                ControlFlow::Continue(()) => Ok(()),
                ControlFlow::Break(()) => Err(Error::cancelled(stage)),
            },
        }
    }
}

impl std::fmt::Debug for Progress<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Progress")
            .field("reports", &self.report.is_some())
            .finish()
    }
}
