//! Looks into an index: what it holds, whether it is whole, and what can be saved of it.
//!
//! ```text
//! inspect stats INDEX [--json]
//! inspect verify INDEX [--quick | --full] [--json]
//! inspect repair INDEX [--write] [--json]
//! inspect export INDEX LINES.jsonl [--json]
//! inspect import LINES.jsonl INDEX [--json]
//! ```
//!
//! `-` for LINES.jsonl is the standard output or input. Exits with 0 when all is well, with 1 when
//! there is damage or something was lost, with 2 when the command could not do its work.

mod check;
mod lines;
mod stats;

use std::{
    fmt::Display,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use serde_json::Value;
use sparsely::{Error, ErrorKind};

/// Looks into an index: what it holds, whether it is whole, and what can be saved of it.
#[derive(Debug, Parser)]
#[command(name = "inspect", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Answer in JSON, one object on one line
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Counts documents, segments and bytes
    Stats { index: PathBuf },
    /// Looks for damage and says where it is
    Verify {
        index: PathBuf,
        /// Only what opening looks at: takes milliseconds
        #[arg(long, conflicts_with = "full")]
        quick: bool,
        /// Every byte (the default)
        #[arg(long)]
        full: bool,
    },
    /// Says what a repair would drop; with --write makes a commit without it
    Repair {
        index: PathBuf,
        /// Drop what is damaged, for good
        #[arg(long)]
        write: bool,
    },
    /// Writes everything that can be read as lines of JSON
    Export {
        index: PathBuf,
        /// A new file; - for the standard output
        lines: PathBuf,
    },
    /// Reads lines of JSON into an index, which is created where it is missing
    Import {
        /// What `export` wrote; - for the standard input
        lines: PathBuf,
        index: PathBuf,
    },
}

/// What a command has to say.
struct Answer {
    json: Value,
    text: String,
    is_well: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let answer = match &arguments.command {
        Command::Stats { index } => stats::stats(index),
        Command::Verify { index, quick, .. } => check::verify(index, *quick),
        Command::Repair { index, write } => check::repair(index, *write),
        Command::Export { index, lines } => lines::export(index, lines),
        Command::Import { lines, index } => lines::import(lines, index),
    };
    match answer {
        Ok(answer) => {
            let to_stdout =
                !matches!(&arguments.command, Command::Export { lines, .. } if is_standard(lines));
            let said = match arguments.json {
                true => answer.json.to_string(),
                false => answer.text,
            };
            let written = match to_stdout {
                true => writeln!(io::stdout(), "{said}"),
                // The lines themselves are there.
                false => writeln!(io::stderr(), "{said}"),
            };
            match written {
                // A reader that has seen enough (`| head`) is no failure.
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                    eprintln!("inspect: cannot write the output: {error}");
                    ExitCode::from(2)
                }
                _ => ExitCode::from(u8::from(!answer.is_well)),
            }
        }
        Err(message) => {
            eprintln!("inspect: {message}");
            ExitCode::from(2)
        }
    }
}

fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// An error as somebody sees it who gave this command the directory `index`.
fn told(index: &Path, error: &Error) -> String {
    let index = index.display();
    match error.kind() {
        ErrorKind::NotFound if error.to_string().starts_with("an index in") => {
            format!("no index at {index}: check the path")
        }
        ErrorKind::Corrupt => format!(
            "{index}: {error}\ninspect: `inspect repair {index}` says what a repair would drop, \
             `inspect export {index} saved.jsonl` saves what can be read"
        ),
        _ => error.to_string(),
    }
}

/// "1 document", "2 documents".
fn count(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// At most so many names on a screen; JSON has all.
const SHOWN: usize = 20;

fn list<T: Display>(names: &[T]) -> String {
    // Keys are any bytes; a terminal must not obey them.
    let escaped = |letter: char| match letter.is_control() {
        true => letter.escape_default().to_string(),
        false => letter.to_string(),
    };
    let mut shown = String::new();
    for name in names.iter().take(SHOWN) {
        shown += "\n  ";
        shown.extend(name.to_string().chars().map(escaped));
    }
    if names.len() > SHOWN {
        let more = names.len() - SHOWN;
        shown += &format!("\n  and {more} more (--json lists all)");
    }
    shown
}
