//! What was measured, for people and for programs.

use std::fmt;

use serde::Serialize;

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) collection: String,
    pub(crate) split: String,
    pub(crate) encoder: String,
    pub(crate) documents: u64,
    /// Queries that were run: those that are judged and have a text.
    pub(crate) queries: usize,
    pub(crate) ndcg_at_10: f64,
    pub(crate) mrr_at_10: f64,
    pub(crate) map: f64,
    pub(crate) recall_at_100: f64,
    pub(crate) recall_at_1000: f64,
    /// Reading, encoding, writing and committing.
    pub(crate) index_seconds: f64,
    /// Encoding and searching.
    pub(crate) query_p50_us: f64,
    /// The size of the index, stored texts included.
    pub(crate) bytes: u64,
}

impl Report {
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("numbers and strings are JSON")
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
        writeln!(f, "indexed in   {:.2} s", self.index_seconds)?;
        writeln!(f, "query p50    {:.0} us", self.query_p50_us)?;
        write!(f, "index        {} bytes", self.bytes)
    }
}
