//! Progress on a terminal; nothing at all in a pipe.

use std::{io::IsTerminal, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};

/// Shows how far indexing is.
pub(crate) struct Reporter {
    bar: ProgressBar,
}

impl Reporter {
    pub(crate) fn new() -> Reporter {
        let bar = if std::io::stderr().is_terminal() {
            let bar = ProgressBar::new_spinner();
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        } else {
            ProgressBar::hidden()
        };
        Reporter { bar }
    }

    /// `bytes` of source lie ahead.
    pub(crate) fn begin(&self, bytes: u64) {
        let template = "{bar:30} {bytes}/{total_bytes} of source, {eta} left {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.bar.set_style(style);
        }
        self.bar.set_message("");
        self.bar.set_length(bytes);
    }

    pub(crate) fn advance(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    pub(crate) fn stage(&self, stage: &'static str) {
        self.bar.set_message(stage);
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
