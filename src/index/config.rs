//! What an index is told once, when it is created, and what each opening of it may choose.

use std::time::Duration;

use crate::{
    encode::{Encoder, Fingerprint},
    error::{Error, Result},
    format::ManifestConfig,
    quantize::Scale,
    segment::FIELD_NAME_LEN_MAX,
    sparse::SparseVector,
    storage::Reading,
};

/// What a commit survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// A commit that returned stands after the process is killed, the system crashes or power
    /// fails, provided that the device keeps what it was told to sync. The default.
    #[default]
    Full,
    /// Nothing is synced. A commit that returned still stands after the process is killed. A crash of
    /// the system or a power cut may take any of it, older commits too: for indexes that can be
    /// built again. Answers are then those of a commit that is whole, or errors.
    OsCache,
}

/// When segments are merged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Merging {
    /// By [`Writer::commit`](crate::Writer::commit), as soon as there are enough segments of a
    /// size. The default.
    #[default]
    AtCommit,
    /// Only by [`Writer::merge`](crate::Writer::merge) and
    /// [`Writer::merge_all`](crate::Writer::merge_all), on the thread and at the time that the
    /// caller chooses.
    ByCaller,
}

/// When a segment's bytes are compared with their checksums. Either way nothing is answered from
/// bytes that were not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Checks {
    /// Manifests, deletes and tables when they are opened; everything else in pieces of 64 KiB,
    /// each when it is first needed. Damage that no query needs is not noticed. The default.
    #[default]
    OnTouch,
    /// Every byte, at the first opening of each segment, and every structure against the others:
    /// damage is noticed at once, and opening reads the whole index.
    Everything,
}

/// The configuration of an index.
///
/// The first group is fixed when the index is created and kept in it; an index that exists keeps
/// its own. The second group belongs to the opening.
///
/// | fixed at creation | default |
/// | --- | --- |
/// | encoder | none: vectors of any origin |
/// | [`term_count`](Config::term_count) | the encoder's, else any |
/// | [`weight_limit`](Config::weight_limit) | the encoder's, else from the first commit |
/// | [`keep_statistics`](Config::keep_statistics) | when the encoder asks for it |
/// | [`keep_labels`](Config::keep_labels) | when the encoder's vocabulary is open |
/// | [`keep_weights`](Config::keep_weights) | no |
/// | [`partition_by`](Config::partition_by) | no field |
///
/// | chosen at each opening | default |
/// | --- | --- |
/// | [`memory_budget`](Config::memory_budget) | 256 MiB |
/// | [`durability`](Config::durability) | [`Durability::Full`] |
/// | [`merging`](Config::merging) | [`Merging::AtCommit`] |
/// | [`lock_wait`](Config::lock_wait) | none: a second writer is refused at once |
/// | [`reading`](Config::reading) | [`Reading::Mapped`] |
/// | [`checks`](Config::checks) | [`Checks::OnTouch`] |
/// | [`threads`](Config::threads) | 1, the caller's own |
/// | [`ordered_from`](Config::ordered_from) | 50,000 documents |
/// | [`keep_lists`](Config::keep_lists) | no |
/// | [`calibration_queries`](Config::calibration_queries) | none: documents stand in for them |
/// | [`allow_other_encoder`](Config::allow_other_encoder) | another encoder is refused |
///
/// ```
/// use std::time::Duration;
/// use sparsely::{Config, Durability};
/// let config = Config::new()
///     .term_count(30_522)
///     .weight_limit(3.5)
///     .durability(Durability::OsCache)
///     .lock_wait(Duration::from_secs(2));
/// # let _ = config;
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    encoder: Option<Fingerprint>,
    term_count: Option<u32>,
    weight_limit: Option<f32>,
    keeps_statistics: bool,
    keeps_labels: bool,
    partition: Option<String>,
    keeps_weights: bool,
    allows_other_encoder: bool,
    pub(super) calibration_queries: Vec<SparseVector>,
    pub(super) memory_budget: usize,
    pub(super) durability: Durability,
    pub(super) merging: Merging,
    pub(super) lock_wait: Duration,
    pub(super) reading: Reading,
    pub(super) checks: Checks,
    pub(super) threads: usize,
    pub(super) ordered_from: u64,
    pub(super) keeps_lists: bool,
}

const MEMORY_BUDGET: usize = 256 * 1024 * 1024;
/// Below, accumulation over all postings is as fast as blocks with bounds, and far cheaper to
/// write.
const ORDERED_FROM: u64 = 50_000;

impl Default for Config {
    fn default() -> Config {
        Config {
            encoder: None,
            term_count: None,
            weight_limit: None,
            keeps_statistics: false,
            keeps_labels: false,
            partition: None,
            keeps_weights: false,
            allows_other_encoder: false,
            calibration_queries: Vec::new(),
            memory_budget: MEMORY_BUDGET,
            durability: Durability::Full,
            merging: Merging::AtCommit,
            lock_wait: Duration::ZERO,
            reading: Reading::Mapped,
            checks: Checks::OnTouch,
            threads: 1,
            ordered_from: ORDERED_FROM,
            keeps_lists: false,
        }
    }
}

impl Config {
    /// An index of vectors of any origin.
    #[must_use]
    pub fn new() -> Config {
        Config::default()
    }

    /// An index of `encoder`'s vectors: its fingerprint, its term count, its weight limit, and
    /// what it wants kept.
    pub fn for_encoder<E: Encoder + ?Sized>(encoder: &E) -> Config {
        Config {
            encoder: Some(encoder.fingerprint()),
            term_count: Some(encoder.term_count()),
            weight_limit: encoder.weight_limit(),
            keeps_statistics: encoder.uses_statistics(),
            keeps_labels: encoder.has_open_vocabulary(),
            ..Config::default()
        }
    }

    /// Refuses documents with term ids of `count` and above.
    #[must_use]
    pub fn term_count(mut self, count: u32) -> Config {
        self.term_count = Some(count);
        self
    }

    /// The weight that becomes the largest impact, 255. Heavier weights of documents saturate, and
    /// are counted. Fixed for ever.
    ///
    /// Where neither this nor the encoder says it, it is the largest weight of the first commit,
    /// doubled when that holds fewer than 1,000 documents, and 1 when that has no weights at all.
    #[must_use]
    pub fn weight_limit(mut self, limit: f32) -> Config {
        self.weight_limit = Some(limit);
        self
    }

    /// Counts in how many documents each term stands, for encoders that
    /// [weigh queries](crate::Encoder::weigh_query) by that.
    #[must_use]
    pub fn keep_statistics(mut self) -> Config {
        self.keeps_statistics = true;
        self
    }

    /// Keeps what terms mean, as documents bring it, for explanations.
    #[must_use]
    pub fn keep_labels(mut self) -> Config {
        self.keeps_labels = true;
        self
    }

    /// Lays the documents of large segments out by the values of `field`: all documents of one
    /// value lie together, ordered by similarity among themselves. A search that is filtered to one
    /// value then reads one stretch of each segment. For a field by which nearly all queries are
    /// filtered, such as a tenant; documents without it lie together too. No answer depends on
    /// it.
    ///
    /// The price is that similar documents of different values no longer share blocks: searches
    /// without that filter get slower, the more so the smaller the parts.
    #[must_use]
    pub fn partition_by(mut self, field: impl Into<String>) -> Config {
        self.partition = Some(field.into());
        self
    }

    /// Queries with which approximate search is calibrated when a large segment is written: a
    /// hundred or two that are like those to come. Without any, documents of the segment stand in for
    /// them.
    #[must_use]
    pub fn calibration_queries(mut self, queries: Vec<SparseVector>) -> Config {
        self.calibration_queries = queries;
        self
    }

    /// Keeps the encoder's own weights beside the impacts, 4 bytes for each term of each document,
    /// for [`Mode::FloatExact`](crate::Mode::FloatExact). Part of what an index is: it cannot be
    /// changed later.
    #[must_use]
    pub fn keep_weights(mut self) -> Config {
        self.keeps_weights = true;
        self
    }

    /// Opens an index that another encoder built. For encoders whose vectors are comparable, such
    /// as two builds of one model.
    #[must_use]
    pub fn allow_other_encoder(mut self) -> Config {
        self.allows_other_encoder = true;
        self
    }

    /// How many bytes a writer may take: for documents that it holds before it writes them out as a
    /// segment, and for merging. What is mapped from files does not count.
    ///
    /// A merge of very many documents needs more in any case: about 50 bytes for each, 100 for each
    /// term, and 3 MiB for each thread. With less than 130 bytes a document it orders by fewer
    /// terms, and searches get slower. Fields come on top: 8 bytes a document, and every value
    /// that occurs once.
    #[must_use]
    pub fn memory_budget(mut self, bytes: usize) -> Config {
        self.memory_budget = bytes;
        self
    }

    /// What a commit survives.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Config {
        self.durability = durability;
        self
    }

    /// When segments are merged.
    #[must_use]
    pub fn merging(mut self, merging: Merging) -> Config {
        self.merging = merging;
        self
    }

    /// How long to wait for another writer to end before giving up with
    /// [`ErrorKind::Locked`](crate::ErrorKind::Locked).
    #[must_use]
    pub fn lock_wait(mut self, wait: Duration) -> Config {
        self.lock_wait = wait;
        self
    }

    /// How files are read; of no meaning for a storage that the caller brings.
    #[must_use]
    pub fn reading(mut self, reading: Reading) -> Config {
        self.reading = reading;
        self
    }

    /// When a segment's bytes are compared with their checksums.
    #[must_use]
    pub fn checks(mut self, checks: Checks) -> Config {
        self.checks = checks;
        self
    }

    /// How many threads writing and merging segments may use, beside the caller's own when there are
    /// several, which then only writes and reports; at least 1. What is written does not depend on
    /// it.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Config {
        self.threads = threads.max(1);
        self
    }

    /// Merged segments of at least this many documents are ordered by similarity and laid out in
    /// blocks with bounds, for the fastest search; smaller ones keep plain lists. No answer depends
    /// on it.
    #[must_use]
    pub fn ordered_from(mut self, documents: u64) -> Config {
        self.ordered_from = documents;
        self
    }

    /// Keeps lists by term beside the blocks of large segments that are written from now on, for
    /// 3 bytes a term of a document more. Queries whose blocks would cost more than accumulating
    /// their lists then do that: without, a query of a hundred terms of one weight for a thousand
    /// results may take four times as long. Ordinary queries gain nothing.
    #[must_use]
    pub fn keep_lists(mut self) -> Config {
        self.keeps_lists = true;
        self
    }

    /// What is kept in a new index.
    pub(super) fn to_stored(&self) -> Result<ManifestConfig> {
        if let Some(limit) = self.weight_limit {
            Scale::new(limit)?;
        }
        if self.term_count == Some(0) {
            return Err(Error::invalid("term count", "at least 1", "0"));
        }
        if let Some(field) = &self.partition
            && !(1..=FIELD_NAME_LEN_MAX).contains(&field.len())
        {
            let expected = format!("a name of 1 to {FIELD_NAME_LEN_MAX} bytes");
            let found = format!("{} bytes", field.len());
            return Err(Error::invalid("partition field", expected, found));
        }
        let encoder = self.encoder.as_ref();
        Ok(ManifestConfig {
            encoder: encoder.map(|encoder| (encoder.name().to_owned(), encoder.digest())),
            term_count: self.term_count,
            weight_limit: self.weight_limit,
            keeps_statistics: self.keeps_statistics,
            keeps_labels: self.keeps_labels,
            keeps_weights: self.keeps_weights,
            created_with: env!("CARGO_PKG_VERSION").to_owned(),
            partition: self.partition.clone(),
        })
    }

    /// With what is kept in another index.
    #[cfg(feature = "json")]
    pub(super) fn with_stored(mut self, stored: &ManifestConfig) -> Config {
        let encoder = stored.encoder.as_ref();
        self.encoder = encoder.map(|(name, digest)| Fingerprint::from_parts(name, *digest));
        self.term_count = stored.term_count;
        self.weight_limit = stored.weight_limit;
        self.keeps_statistics = stored.keeps_statistics;
        self.keeps_labels = stored.keeps_labels;
        self.keeps_weights = stored.keeps_weights;
        self.partition.clone_from(&stored.partition);
        self
    }

    /// Refuses to open an index of another encoder.
    pub(super) fn check_encoder(&self, stored: &ManifestConfig) -> Result<()> {
        let (Some(own), Some((name, digest))) = (&self.encoder, &stored.encoder) else {
            return Ok(());
        };
        let theirs = Fingerprint::from_parts(name, *digest);
        if theirs == *own || self.allows_other_encoder {
            return Ok(());
        }
        Err(Error::encoder_mismatch(theirs.to_string(), own.to_string()))
    }
}
