//! Indexes a source tree and answers questions about it.
//!
//! ```text
//! code_search PATH QUERY            index what changed below PATH, then search
//! code_search index PATH
//! code_search search QUERY
//! code_search status
//! code_search verify
//! ```

mod answer;
mod encoders;
mod failure;
mod files;
mod hash;
mod json;
mod languages;
mod ledger;
mod lines;
mod passages;
mod place;
mod progress;
mod show;
mod snippet;
mod status;
mod structure;
mod update;
mod walk;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};

use crate::{
    answer::Request, encoders::PassageEncoder, failure::Failure, progress::Reporter, show::Screen,
};

/// Searches source code by what it does.
///
/// Indexes the functions of a source tree and answers questions in words or code. Indexing again
/// reads only what changed; it can be stopped and killed at any moment.
#[derive(Debug, Parser)]
#[command(
    name = "code_search",
    args_conflicts_with_subcommands = true,
    arg_required_else_help = true,
    after_long_help = json::HELP,
    override_usage = "code_search PATH QUERY [OPTIONS]\n       code_search <COMMAND>"
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// The root of the tree to index and search
    #[arg(required = true)]
    path: Option<PathBuf>,
    /// Words or code to look for
    #[arg(required = true)]
    query: Vec<String>,
    #[command(flatten)]
    options: SearchOptions,
    #[command(flatten)]
    place: PlaceOptions,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Bring the index of a source tree up to date
    Index {
        /// The root of the tree
        path: PathBuf,
        #[command(flatten)]
        place: PlaceOptions,
    },
    /// Ask an index
    Search {
        /// Words or code to look for
        #[arg(required = true)]
        query: Vec<String>,
        #[command(flatten)]
        options: SearchOptions,
        #[command(flatten)]
        place: PlaceOptions,
    },
    /// Say what an index holds
    Status {
        #[command(flatten)]
        place: PlaceOptions,
    },
    /// Look for damage in an index, byte by byte
    Verify {
        #[command(flatten)]
        place: PlaceOptions,
    },
}

#[derive(Debug, Args)]
struct SearchOptions {
    /// How many results
    #[arg(long, value_name = "K", default_value_t = 10)]
    top: usize,
    /// Only passages in this language (rust, python, ts, c++, ...)
    #[arg(long, value_name = "L")]
    language: Option<String>,
    /// Show which terms make up each score
    #[arg(long)]
    explain: bool,
}

#[derive(Debug, Args)]
struct PlaceOptions {
    /// The directory of the index [default: .sparsely in PATH, else in the current directory]
    #[arg(long, value_name = "DIR")]
    index: Option<PathBuf>,
    /// `static` (learned), `lexical` (words only), or the directory of a model [default: the one that
    /// the index was built with, `static` for a new one]
    #[arg(long, value_name = "NAME")]
    encoder: Option<String>,
    /// Print JSON (see --help)
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (json, result) = match arguments.command {
        Some(Command::Index { path, place }) => (place.json, index(&path, &place)),
        Some(Command::Search {
            query,
            options,
            place,
        }) => (place.json, search(Path::new("."), &query, &options, &place)),
        Some(Command::Status { place }) => (place.json, status(&place)),
        Some(Command::Verify { place }) => (place.json, verify(&place)),
        None => (arguments.place.json, index_and_search(&arguments)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if json && !failure.is_told {
                println!("{}", json::failure(&failure));
            } else if !json {
                eprintln!("code_search: {failure}");
            }
            ExitCode::from(failure.exit)
        }
    }
}

fn index(path: &Path, place: &PlaceOptions) -> Result<(), Failure> {
    if !path.is_dir() {
        let what = if path.exists() {
            "not a directory"
        } else {
            "no such directory"
        };
        return Err(Failure::new(
            "no_path",
            format!("{}: {what}", path.display()),
        ));
    }
    let dir = place::index_dir(place.index.as_deref(), path);
    let encoder = PassageEncoder::choose(place.encoder.as_deref(), &dir)?;
    let summary = update::update(path, &dir, &encoder, &Reporter::new())?;
    let bytes = place::size(&dir);
    if place.json {
        return print(&json::summary(&summary, &dir, bytes));
    }
    shown(Screen::new().summary(&summary, &dir, bytes))?;
    if place.encoder.is_none() && !encoder.is_default() {
        eprintln!(
            "note: this index goes on with the lexical encoder that it was built with; for the learned default remove {} and index again",
            dir.display()
        );
    }
    Ok(())
}

fn search(
    root: &Path,
    query: &[String],
    options: &SearchOptions,
    place: &PlaceOptions,
) -> Result<(), Failure> {
    let dir = place::index_dir(place.index.as_deref(), root);
    let encoder = PassageEncoder::choose(place.encoder.as_deref(), &dir)?;
    let request = Request {
        query: query.join(" "),
        top: options.top,
        language: options.language.clone(),
        explain: options.explain,
    };
    let answer = answer::answer(&dir, &encoder, &request)?;
    if place.json {
        return print(&json::answer(&answer, &request, &dir));
    }
    shown(Screen::new().answer(&answer))?;
    for note in &answer.notes {
        eprintln!("note: {note}");
    }
    Ok(())
}

fn index_and_search(arguments: &Arguments) -> Result<(), Failure> {
    let path = arguments.path.as_deref().unwrap_or(Path::new("."));
    if !path.is_dir() {
        return Err(Failure::usage(format!(
            "{}: no such directory, and no command either: the commands are index, search, status and verify",
            path.display()
        )));
    }
    index(path, &arguments.place)?;
    search(path, &arguments.query, &arguments.options, &arguments.place)
}

fn status(place: &PlaceOptions) -> Result<(), Failure> {
    let dir = place::index_dir(place.index.as_deref(), Path::new("."));
    let encoder = PassageEncoder::choose(place.encoder.as_deref(), &dir)?;
    let status = status::status(&dir, &encoder)?;
    if place.json {
        return print(&json::status(&status, &dir));
    }
    shown(Screen::new().status(&status, &dir))
}

fn verify(place: &PlaceOptions) -> Result<(), Failure> {
    let dir = place::index_dir(place.index.as_deref(), Path::new("."));
    let found = status::verify(&dir)?;
    match place.json {
        true => print(&json::verification(&found, &dir))?,
        false => shown(Screen::new().verification(&found, &dir))?,
    }
    match found.is_clean() {
        true => Ok(()),
        false if place.json => Err(Failure::told("damaged")),
        false => Err(Failure::new(
            "damaged",
            format!(
                "{dir} is damaged; all of it comes from your files: remove {dir} and run `code_search index` again",
                dir = dir.display()
            ),
        )),
    }
}

fn print(value: &serde_json::Value) -> Result<(), Failure> {
    shown(writeln!(io::stdout(), "{value}"))
}

/// A reader that has seen enough (`| head`) is no failure.
fn shown(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::new(
            "output",
            format!("cannot write the output: {error}"),
        )),
        Ok(()) => Ok(()),
    }
}
