//! Pairs of a query and a passage: the file that tuning reads, and making one of a tree of code.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use sparsely::{
    Error, Progress, Result,
    train::{PairKind, pairs_of_tree},
};

use crate::print::{Bar, answer, read_lines, write_lines};

/// A line of a file of pairs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) query: String,
    pub(crate) passage: String,
    /// Passages that are wrong or worse.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) negatives: Vec<String>,
    /// A teacher's score of the passage and of each negative; null where it has not seen them.
    #[serde(default)]
    pub(crate) scores: Option<Vec<f32>>,
    /// Where it is from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) group: String,
}

pub(crate) fn read(path: &Path) -> Result<Vec<Line>> {
    read_lines(
        path,
        "an object with `query` and `passage`, perhaps `negatives` and `scores`",
    )
}

/// Arguments of `pairs`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Folders or files of source code; each is a group
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// Where the pairs go
    #[arg(long, value_name = "PAIRS.jsonl")]
    out: PathBuf,

    /// What pairs are made of
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["described", "named"], value_name = "KIND,...")]
    kinds: Vec<Kind>,

    /// At most so many pairs of a group
    #[arg(long, default_value_t = 2000, value_name = "N")]
    group_most: usize,

    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A function and the comment before it
    Described,
    /// A function and its name
    Named,
    /// A comment inside a function and the lines under it
    Remarks,
}

impl From<PairKind> for Kind {
    fn from(kind: PairKind) -> Kind {
        match kind {
            PairKind::Described => Kind::Described,
            PairKind::Named => Kind::Named,
            PairKind::Remark => Kind::Remarks,
        }
    }
}

#[derive(Serialize)]
struct Answer {
    pairs: usize,
    described: usize,
    named: usize,
    remarks: usize,
    groups: usize,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut bar = Bar::new();
    let mut found = Answer {
        pairs: 0,
        described: 0,
        named: 0,
        remarks: 0,
        groups: 0,
    };
    let mut lines = Vec::new();
    for path in &arguments.paths {
        let mut pairs = pairs_of_tree(path, &mut Progress::new(&mut bar.report()))?;
        pairs.retain(|pair| arguments.kinds.contains(&pair.kind.into()));
        let group = path
            .file_name()
            .unwrap_or(path.as_os_str())
            .to_string_lossy();
        // Evenly over the group, whose files are in order.
        let step = pairs.len().div_ceil(arguments.group_most.max(1)).max(1);
        let before = lines.len();
        for pair in pairs.into_iter().step_by(step) {
            match pair.kind {
                PairKind::Described => found.described += 1,
                PairKind::Named => found.named += 1,
                PairKind::Remark => found.remarks += 1,
            }
            lines.push(Line {
                query: pair.query,
                passage: pair.passage,
                negatives: Vec::new(),
                scores: None,
                group: group.to_string(),
            });
        }
        found.groups += usize::from(lines.len() > before);
    }
    found.pairs = lines.len();
    if lines.is_empty() {
        return Err(Error::invalid(
            "the source files",
            "functions of the kinds that are asked for",
            "none",
        ));
    }
    write_lines(&arguments.out, &lines)?;
    bar.clear();
    answer(&found, arguments.json, || {
        format!(
            "{} pairs of {} groups: {} functions by their comments, {} by their names, {} comments inside them",
            found.pairs, found.groups, found.described, found.named, found.remarks
        )
    })
}
