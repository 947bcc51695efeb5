//! Answers and progress.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, IsTerminal, Write},
    ops::ControlFlow,
    path::Path,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::{Serialize, de::DeserializeOwned};
use sparsely::{Error, Result, Step};

/// Prints `answer` as JSON, or as `text`.
pub(crate) fn answer(
    answer: &impl Serialize,
    json: bool,
    text: impl FnOnce() -> String,
) -> Result<()> {
    let text = if json {
        serde_json::to_string(answer)
            .map_err(|why| Error::invalid("the answer", "something to write", why.to_string()))?
    } else {
        text()
    };
    match writeln!(io::stdout(), "{text}") {
        // Whoever reads has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(|error| Error::io("write", "standard output", error)),
    }
}

/// A bar on a terminal; elsewhere a line now and then.
pub(crate) struct Bar {
    bar: ProgressBar,
    is_terminal: bool,
    said: (&'static str, u64),
}

impl Bar {
    pub(crate) fn new() -> Bar {
        let bar = ProgressBar::new(0);
        let is_terminal = io::stderr().is_terminal();
        if !is_terminal {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        if let Ok(style) = ProgressStyle::with_template("{msg} {bar:40} {pos}/{len}, {eta} left") {
            bar.set_style(style);
        }
        Bar {
            bar,
            is_terminal,
            said: ("", 0),
        }
    }

    pub(crate) fn step(&mut self, stage: &'static str, done: u64, total: u64) {
        self.bar.set_message(stage);
        self.bar.set_length(total);
        self.bar.set_position(done);
        // Twenty lines a stage.
        let part = (done * 20).checked_div(total).unwrap_or(0);
        if !self.is_terminal && self.said != (stage, part) {
            eprintln!("sae: {stage}, {done} of {total}");
            self.said = (stage, part);
        }
    }

    /// For [`sparsely::Progress`].
    pub(crate) fn report(&mut self) -> impl FnMut(Step) -> ControlFlow<()> + '_ {
        |step| {
            self.step(step.stage, step.done, step.total);
            ControlFlow::Continue(())
        }
    }

    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

/// A longer line is no text to learn from.
const LINE_BYTES_MAX: u64 = 64 << 20;

/// Reads a file of JSON objects, one a line; empty lines are skipped.
pub(crate) fn read_lines<T: DeserializeOwned>(path: &Path, expected: &str) -> Result<Vec<T>> {
    let file = File::open(path).map_err(|error| Error::io("open", path, error))?;
    let mut reader = BufReader::new(file);
    let mut all = Vec::new();
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let read = io::Read::take(&mut reader, LINE_BYTES_MAX + 1)
            .read_until(b'\n', &mut line)
            .map_err(|error| Error::io("read", path, error))?;
        if read == 0 {
            break;
        }
        let fail =
            |found: String| Error::invalid(format!("{}:{number}", path.display()), expected, found);
        if read as u64 > LINE_BYTES_MAX {
            return Err(fail(format!("a line of more than {LINE_BYTES_MAX} bytes")));
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        all.push(serde_json::from_slice(&line).map_err(|error| fail(error.to_string()))?);
    }
    Ok(all)
}

/// Writes objects, one a line.
pub(crate) fn write_lines<T: Serialize>(path: &Path, lines: &[T]) -> Result<()> {
    let failed = |error| Error::io("write", path, error);
    let mut out =
        io::BufWriter::new(File::create(path).map_err(|error| Error::io("create", path, error))?);
    for line in lines {
        serde_json::to_writer(&mut out, line).map_err(|error| failed(error.into()))?;
        out.write_all(b"\n").map_err(failed)?;
    }
    out.flush().map_err(failed)
}
