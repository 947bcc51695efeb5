//! What a training did, for people and for programs.

use std::fmt;

use serde_json::json;
use sparsely::{
    StaticTable,
    train::{Counts, Report},
};

pub(crate) struct Summary<'a> {
    pub(crate) counts: &'a Counts,
    pub(crate) report: &'a Report,
    pub(crate) table: &'a StaticTable,
    pub(crate) seconds: f64,
}

impl Summary<'_> {
    pub(crate) fn to_json(&self) -> String {
        let Summary { counts, report, .. } = self;
        json!({
            "files": counts.files,
            "left_out": {
                "empty": counts.empty,
                "repeated": counts.repeated,
                "boilerplate": counts.boilerplate,
                "not_text": counts.not_text,
                "too_large": counts.too_large,
            },
            "languages": counts.languages,
            "described_pairs": report.pairs.0,
            "named_pairs": report.pairs.1,
            "groups": report.groups,
            "candidates": report.candidates,
            "losses": report.losses,
            "words": report.words,
            "targets": report.targets,
            "entries": report.entries,
            "bytes": self.table.as_bytes().len(),
            "start_seconds": report.start_time.as_secs_f64(),
            "negatives_seconds": report.negatives_time.as_secs_f64(),
            "gradient_seconds": report.gradient_time.as_secs_f64(),
            "seconds": self.seconds,
        })
        .to_string()
    }
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { counts, report, .. } = self;
        let (described, named) = report.pairs;
        writeln!(
            f,
            "{described} described and {named} named pairs in {} groups",
            report.groups
        )?;
        writeln!(
            f,
            "left out: {} repeated, {} boilerplate, {} empty, {} files that are not text, {} too large",
            counts.repeated, counts.boilerplate, counts.empty, counts.not_text, counts.too_large
        )?;
        writeln!(f, "described pairs by language: {:?}", counts.languages)?;
        writeln!(
            f,
            "{} words, {} of them targets, {} entries of {} candidates, {} bytes",
            report.words,
            report.targets,
            report.entries,
            report.candidates,
            self.table.as_bytes().len()
        )?;
        let ends = report.losses.first().zip(report.losses.last());
        let (first, last) = ends.unwrap_or((&0.0, &0.0));
        write!(f, "loss {first:.3} to {last:.3}, {:.0} s", self.seconds)
    }
}
