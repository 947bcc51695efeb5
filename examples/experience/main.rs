//! Experience memory on the command line: import episodes, recall and render them, export training
//! examples, and evaluate retrieval on a file of episodes.
//!
//! ```text
//! cargo run --release --example experience -- import episodes.jsonl --store memory
//! cargo run --release --example experience -- recall "Your task is to boil lead." --store memory
//! cargo run --release --example experience -- evaluate episodes.jsonl --json
//! ```

mod arguments;
mod baseline;
mod commands;
mod evaluate;
mod measures;
mod scale;

use std::{
    fmt,
    io::{self, Write},
    process::ExitCode,
};

use clap::Parser;

use crate::arguments::{Arguments, Command};

/// Prints a line. A reader that has seen enough (`| head`) ends the program, and is no failure.
fn say(line: fmt::Arguments<'_>) {
    if let Err(error) = writeln!(io::stdout(), "{line}") {
        if error.kind() == io::ErrorKind::BrokenPipe {
            std::process::exit(0);
        }
        eprintln!("experience: cannot write the output: {error}");
        std::process::exit(1);
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.command {
        Command::Import(import) => commands::import(import, arguments.json),
        Command::Recall(recall) => commands::recall(recall, arguments.json),
        Command::Render(render) => commands::render(render, arguments.json),
        Command::ExportSft(export) => commands::export(export, arguments.json),
        Command::Evaluate(evaluate) => evaluate::run(evaluate, arguments.json),
        Command::Scale(scale) => scale::run(scale, arguments.json),
        Command::Stats(stats) => commands::stats(stats, arguments.json),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("experience: {error}");
            ExitCode::FAILURE
        }
    }
}
