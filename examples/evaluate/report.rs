//! What was measured, for people and for programs.

use std::fmt::{self, Write};

use serde::Serialize;

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) collection: String,
    pub(crate) split: String,
    /// As it was named, or how rankings were fused.
    pub(crate) system: String,
    /// Fingerprints.
    pub(crate) encoder: String,
    pub(crate) documents: u64,
    /// Queries that were run: those that are judged and have a text.
    pub(crate) queries: usize,
    pub(crate) ndcg_at_10: f64,
    /// How likely chance makes such a difference to the first system of the collection in nDCG@10,
    /// by a paired randomization test; nothing for the first.
    pub(crate) p_against_first: Option<f64>,
    pub(crate) mrr_at_10: f64,
    pub(crate) map: f64,
    pub(crate) recall_at_100: f64,
    pub(crate) recall_at_1000: f64,
    /// Reading, encoding, writing and committing.
    pub(crate) index_seconds: f64,
    /// Documents or passages that were taken from an index of an earlier run.
    pub(crate) reused: u64,
    /// Encoding and searching; of fused rankings, one after the other, and fusing.
    pub(crate) query_p50_us: f64,
    /// The size of the index, stored texts included; of fused rankings, of all their indexes.
    pub(crate) bytes: u64,
}

impl Report {
    /// The name of the collection's folder with the split.
    pub(crate) fn place(&self) -> String {
        let path = self.collection.trim_end_matches('/');
        let folder = path.rsplit('/').next().unwrap_or(path);
        format!("{folder} ({})", self.split)
    }

    pub(crate) fn bytes_per_document(&self) -> f64 {
        self.bytes as f64 / self.documents.max(1) as f64
    }
}

/// An object for one report, else a list.
pub(crate) fn to_json(reports: &[Report]) -> String {
    let json = match reports {
        [only] => serde_json::to_string(only),
        several => serde_json::to_string(several),
    };
    json.expect("numbers and strings are JSON")
}

/// A table with a row a report, and the best of each collection in bold.
pub(crate) fn to_markdown(reports: &[Report]) -> String {
    let mut table = String::from(
        "| collection | system | nDCG@10 | p against first | MRR@10 | MAP | recall@100 | recall@1000 | query p50 us | bytes/doc |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    );
    for report in reports {
        let rivals = reports
            .iter()
            .filter(|other| other.place() == report.place());
        let best = |of: fn(&Report) -> f64| {
            let mark = match rivals.clone().all(|other| of(other) <= of(report)) {
                true if rivals.clone().count() > 1 => "**",
                _ => "",
            };
            format!("{mark}{:.4}{mark}", of(report))
        };
        let row = write!(
            table,
            "\n| {} | {} | {} | {} | {} | {} | {} | {} | {:.0} | {:.0} |",
            report.place(),
            report.system,
            best(|report| report.ndcg_at_10),
            report.p_against_first.map_or_else(String::new, shown),
            best(|report| report.mrr_at_10),
            best(|report| report.map),
            best(|report| report.recall_at_100),
            best(|report| report.recall_at_1000),
            report.query_p50_us,
            report.bytes_per_document(),
        );
        row.expect("a string takes everything");
    }
    table
}

/// Smaller ones than the permutations can tell are all the same.
fn shown(p: f64) -> String {
    match p {
        small if small < 0.001 => "< 0.001".to_owned(),
        p => format!("{p:.3}"),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ({}), {}", self.collection, self.split, self.encoder)?;
        writeln!(f, "documents    {}", self.documents)?;
        writeln!(f, "queries      {}", self.queries)?;
        writeln!(f, "nDCG@10      {:.4}", self.ndcg_at_10)?;
        writeln!(f, "MRR@10       {:.4}", self.mrr_at_10)?;
        writeln!(f, "MAP          {:.4}", self.map)?;
        writeln!(f, "recall@100   {:.4}", self.recall_at_100)?;
        writeln!(f, "recall@1000  {:.4}", self.recall_at_1000)?;
        write!(f, "indexed in   {:.2} s", self.index_seconds)?;
        match self.reused {
            0 => writeln!(f)?,
            reused => writeln!(f, ", {reused} of them before")?,
        }
        writeln!(f, "query p50    {:.0} us", self.query_p50_us)?;
        write!(f, "index        {} bytes", self.bytes)
    }
}
