//! An embedded search library for **learned sparse retrieval**: an index on disk that takes sparse
//! vectors in, keeps them safe, and answers exact top-k queries. No server, no schema, no threads of
//! its own.
//!
//! ```
//! use sparsely::{Config, Document, Encoder, Index, LexicalEncoder, Query, Searcher};
//!
//! let encoder = LexicalEncoder::auto();
//! let index = Index::in_memory(Config::for_encoder(&encoder))?; // or Index::open_or_create(path, …)
//! let mut writer = index.writer()?;
//! writer.upsert(Document::from_text(&encoder, "a", "fn open_lock_file(path: &Path)")?)?;
//! writer.upsert(Document::from_text(&encoder, "b", "fn merge_sorted_lists(lists: Vec<List>)")?)?;
//! writer.commit()?;
//!
//! let snapshot = index.snapshot()?;
//! let query = Query::new(encoder.encode_query_for("merge lists", &snapshot)?);
//! let hits = snapshot.search(&query)?;
//! assert_eq!(hits.iter().next().map(|hit| hit.key().to_string()), Some("b".into()));
//! # Ok::<(), sparsely::Error>(())
//! ```
//!
//! # The parts
//!
//! - An [`Encoder`] turns text into a [`SparseVector`]; bring your own vectors and you need none.
//! - An [`Index`] hands out one [`Writer`] at a time and any number of [`Snapshot`]s. A commit is
//!   atomic and durable; a snapshot never changes.
//! - A [`Query`] carries a vector, top-k, a [`Filter`] and a [`Mode`]; [`Searcher::explain`] says
//!   which terms made a score.
//! - [`memory`] keeps an agent's experience; [`evaluate`] measures rankings; [`interchange`] speaks
//!   other tools' formats.
//!
//! # Quirks
//!
//! 1. Scores are sums of 8-bit impacts and 12-bit query weights. "Exact" means the same results as
//!    scoring every document so, ties included; rank differences to `f32` scoring stay within the
//!    rounding that [`Config::weight_limit`] sets.
//! 2. Equal scores are ordered by key, so answers do not depend on how an index was built.
//! 3. A document without terms is stored and never found by a vector.
//! 4. Files are mapped: nobody but this library may change an index's files.
//!
//! # Features
//!
//! None is on by default. `json` (collections and interchange), `static-table` (the learned table of
//! [`StaticEncoder`], 2 MB), `train` (training of such tables), `tokenizers`, `native` and `onnx`
//! (models; see `docs/models.md`), `sae` (sparse autoencoders; see `docs/sae.md`). No feature changes
//! what is there without it.

#![cfg_attr(doctest, doc = include_str!("../README.md"))]
#![warn(missing_docs, unnameable_types)]
#![deny(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used
)]

const _: () = assert!(usize::BITS >= 32, "document ids index arrays");

mod bytes;
mod codec;
pub mod encode;
mod error;
pub mod evaluate;
mod format;
mod id;
mod index;
pub mod interchange;
pub mod memory;
#[cfg(sparsely_planted)]
#[doc(hidden)]
pub mod planted;
mod progress;
mod quantize;
mod search;
mod segment;
mod simd;
mod sparse;
mod statistics;
pub mod storage;
mod sync;
pub mod text;
#[cfg(feature = "train")]
pub mod train;

#[cfg(feature = "json")]
pub use crate::index::{Export, Import};
pub use crate::{
    encode::{Encoder, Fingerprint, LexicalEncoder, StaticEncoder, StaticTable, TableEncoder},
    error::{Error, ErrorKind, Result},
    id::{CommitId, SegmentId, TermId},
    index::{
        Checks, Config, Damage, Durability, Fallback, Index, IndexWriter, MemoryIndex, MergeJob,
        MergedSegment, Merging, PartStats, Repair, SegmentStats, Snapshot, Stats, Verification,
        Verify, Writer,
    },
    progress::{Progress, Step},
    search::{
        Approximation, Exhaustive, Explanation, Federated, Filter, Fused, FusedPart, Fusion, Group,
        GroupName, GroupScore, Grouping, Groups, Hit, Hits, Mode, Normalization, Origin, Query,
        Scratch, Searcher, TermExplanation, TwoStep,
    },
    segment::{DocKey, Document, FieldType, StoredDocument, Value},
    simd::InstructionSet,
    sparse::SparseVector,
    statistics::Statistics,
};
