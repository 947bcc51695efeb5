//! Measures how well encoders find: indexes collections in BEIR's layout, runs their queries and
//! compares with their judgments.
//!
//! ```text
//! evaluate BEIR_DIR... [--encoder lexical,static,MODEL_DIR] [--markdown | --json] [--plot FILE.svg]
//! evaluate BEIR_DIR... --fuse lexical,static [--method rrf|linear]
//! evaluate --compare RUN_A RUN_B --qrels FILE
//! evaluate BEIR_DIR --compare lexical static
//! evaluate cross-lingual BEIR_DIR [--encoder NAME] [--queries LANGS] [--documents LANGS]
//! ```
//!
//! The answer goes to standard output, warnings to standard error. Exits with 1 on failure and 2 on
//! wrong use.

mod arguments;
mod compare;
mod cross_lingual;
mod encoders;
mod filling;
mod measure;
mod passages;
mod plot;
mod report;
mod system;

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::Path,
    process::ExitCode,
};

use clap::Parser;
use sparsely::{Error, Result};

use crate::{arguments::Arguments, measure::Judged};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    let answer = if words.get(1).is_some_and(|word| word == cross_lingual::NAME) {
        cross_lingual::run(words.into_iter().skip(1))
    } else {
        let arguments = Arguments::parse();
        match arguments.compare.as_slice() {
            [] => evaluate(&arguments),
            [first, second, ..] => compare::compare([first, second], &arguments),
            [_] => unreachable!("clap takes two"),
        }
    };
    match answer.and_then(|text| print(&text)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("evaluate: {error}");
            ExitCode::FAILURE
        }
    }
}

fn print(text: &str) -> Result<()> {
    match writeln!(io::stdout(), "{text}") {
        // Whoever reads has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(|error| Error::io("write", "standard output", error)),
    }
}

fn evaluate(arguments: &Arguments) -> Result<String> {
    let systems = arguments.encoder.len().max(1) * arguments.collections.len();
    if systems > 1 && arguments.run.is_some() {
        return Err(Error::invalid(
            "--run",
            "one collection and one encoder",
            format!("{systems} of them"),
        ));
    }
    // Before the work, so that a wrong weight or place costs nothing.
    arguments.fusion.fusion(&arguments.fuse)?;
    let run_file = arguments.run.as_deref().map(create).transpose()?;
    let plot_file = arguments.plot.as_deref().map(create).transpose()?;
    let mut reports = Vec::new();
    for named in &arguments.collections {
        let judged = Judged::open(named, arguments.split.as_deref())?;
        let (measured, last) = measure::measure(&judged, arguments)?;
        reports.extend(measured);
        if let (Some(file), Some(path)) = (&run_file, &arguments.run) {
            let path = path.display().to_string();
            last.write_trec(BufWriter::new(file), "sparsely", &path)?;
        }
    }
    if let (Some(_), Some(path)) = (plot_file, &arguments.plot) {
        fs::write(path, plot::draw(&reports)).map_err(|error| Error::io("write", path, error))?;
    }
    Ok(match reports.as_slice() {
        all if arguments.json => report::to_json(all),
        [only] if !arguments.markdown => only.to_string(),
        all => report::to_markdown(all),
    })
}

fn create(path: &Path) -> Result<File> {
    File::create(path).map_err(|error| Error::io("create", path, error))
}
