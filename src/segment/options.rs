//! How a segment is written, and what came of it.

use super::{parallel::Resources, postings::Layout, schema::Schema};
use crate::quantize::Scale;

/// How a segment is written. Everything here is fixed per index, but for layout and resources.
#[derive(Clone, Debug)]
pub(crate) struct SegmentOptions {
    /// The scale of all impacts of the index.
    pub(crate) scale: Scale,
    pub(crate) layout: Layout,
    pub(crate) order: Order,
    /// The field that comes before similarity in the order.
    pub(crate) partition: Option<String>,
    /// Whether to keep what [`Statistics`](crate::Statistics) are made of.
    pub(crate) statistics: StatisticsKept,
    /// Whether to keep the encoder's own weights beside the impacts.
    pub(crate) keeps_weights: bool,
    pub(crate) resources: Resources,
    /// Effort of zstd on stored texts: 1 to 19.
    pub(crate) compression_level: i32,
}

impl SegmentOptions {
    pub(crate) fn new(scale: Scale) -> SegmentOptions {
        SegmentOptions {
            scale,
            layout: Layout::Windows,
            order: Order::Given,
            partition: None,
            statistics: StatisticsKept::None,
            keeps_weights: false,
            resources: Resources {
                threads: 1,
                memory: 256 << 20,
            },
            compression_level: 3,
        }
    }
}

/// The order of documents in a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Order {
    /// As they were given; in a merge, segment after segment.
    #[default]
    Given,
    /// Similar ones together.
    Similarity,
}

/// What a segment keeps for statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum StatisticsKept {
    /// Nothing: document frequencies are 0.
    #[default]
    None,
    /// How many documents have each term as their own.
    OwnTerms,
}

/// What was written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SegmentSummary {
    pub(crate) doc_count: u32,
    /// Bytes of the file.
    pub(crate) file_len: u64,
    pub(crate) posting_count: u64,
    /// Weights over the scale's limit, which were cut to it.
    pub(crate) saturated_count: u64,
    /// The fields of the segment's documents.
    pub(crate) schema: Schema,
}
