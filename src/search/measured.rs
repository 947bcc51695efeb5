//! Measurements that need the inside of the engine: no promise, so not run unless asked for.
//!
//! `SPARSELY_VECTORS=DOCS.csr SPARSELY_QUERIES=QUERIES.csr cargo test --release --lib -- --ignored
//! --nocapture orders_compared`

#![expect(clippy::print_stdout, reason = "a measurement is for people to read")]

use std::{collections::BTreeMap, path::Path, time::Instant};

use super::{
    doc_set::DocSet,
    postings::{Effort, Proof, SegmentQuery, search_postings},
    scratch::Scratch,
    top_k::TopK,
};
use crate::{
    error::Result,
    id::{DocId, TermId},
    progress::Progress,
    quantize::{ImpactVector, QuantizedQuery, Scale},
    segment::{
        order::{Parts, by_similarity, clusters},
        postings::{self, Layout, Postings, testing, testing::RESOURCES},
        source::ImpactSource,
    },
    sparse::SparseVector,
};

struct Ordered<'a> {
    docs: &'a [ImpactVector],
    order: Vec<u32>,
}

impl ImpactSource for Ordered<'_> {
    fn doc_count(&self) -> u32 {
        u32::try_from(self.order.len()).unwrap()
    }

    fn read(&self, doc: DocId, into: &mut ImpactVector) -> Result<()> {
        into.clone_from(&self.docs[self.order[doc.index()] as usize]);
        Ok(())
    }

    fn term_limit(&self) -> u64 {
        self.docs.term_limit()
    }

    fn posting_estimate(&self) -> u64 {
        self.docs.posting_estimate()
    }
}

#[test]
#[ignore = "a measurement on vectors of the caller's choice"]
fn orders_compared() {
    let (Ok(vectors), Ok(queries)) = (
        std::env::var("SPARSELY_VECTORS"),
        std::env::var("SPARSELY_QUERIES"),
    ) else {
        println!("skipped: set SPARSELY_VECTORS and SPARSELY_QUERIES to .csr files");
        return;
    };
    let vectors = read(Path::new(&vectors));
    let limit = vectors.iter().flat_map(SparseVector::weights);
    let scale = Scale::new(limit.copied().fold(0.0, f32::max)).unwrap();
    let docs: Vec<ImpactVector> = vectors
        .iter()
        .map(|vector| ImpactVector::from_vector(vector, scale))
        .collect();
    let queries: Vec<QuantizedQuery> = read(Path::new(&queries))
        .iter()
        .take(300)
        .map(|vector| QuantizedQuery::new(vector).unwrap())
        .collect();
    let count = u32::try_from(docs.len()).unwrap();
    println!("| order | seconds | bytes a document | blocks, k = 10 | k = 100 |");
    for name in [
        "as given",
        "k-means",
        "bisection",
        "k-means, then bisection inside",
    ] {
        let start = Instant::now();
        let none = &mut Progress::none();
        let order = match name {
            "k-means" => clusters::order(&docs),
            "bisection" => by_similarity(&&docs[..], Parts::one(count), RESOURCES, none).unwrap(),
            "k-means, then bisection inside" => {
                by_similarity(&&docs[..], clusters::parts(&docs, 4096), RESOURCES, none).unwrap()
            }
            _ => (0..count).collect(),
        };
        let seconds = start.elapsed().as_secs_f64();
        let source = Ordered { docs: &docs, order };
        let bytes = testing::file_with(|file| {
            postings::write(
                &source,
                Layout::Blocks,
                RESOURCES,
                file,
                &mut Progress::none(),
            )
            .unwrap();
        });
        let len = bytes.len() as f64 / f64::from(count);
        let postings = testing::open(bytes, count).unwrap();
        let blocks = [10, 100].map(|k| blocks_needed(&postings, &queries, k));
        println!(
            "| {name} | {seconds:.1} | {len:.0} | {:.1} | {:.1} |",
            blocks[0], blocks[1]
        );
    }
}

/// The mean over queries of the least number of blocks (after the first few, which are not counted)
/// with which the answer is proven.
fn blocks_needed(postings: &Postings, queries: &[QuantizedQuery], k: usize) -> f64 {
    let mut scratch = Scratch::new();
    let mut top = TopK::default();
    let total: u64 = queries
        .iter()
        .map(|query| {
            let mut is_proven = |most: u32| {
                let query = SegmentQuery {
                    query,
                    allowed: &DocSet::All,
                    ranks: &[],
                    effort: Effort::Blocks(most),
                };
                top.reset(k, 0);
                search_postings(postings, &query, &mut top, &mut scratch).unwrap() == Proof::Exact
            };
            let mut most = 1;
            while !is_proven(most) {
                most *= 2;
            }
            let (mut low, mut high) = (most / 2, most);
            while low + 1 < high {
                let middle = u32::midpoint(low, high);
                if is_proven(middle) {
                    high = middle;
                } else {
                    low = middle;
                }
            }
            u64::from(high)
        })
        .sum();
    total as f64 / queries.len() as f64
}

/// A `.csr` file, read whole; the reader of other floors is above this one.
fn read(path: &Path) -> Vec<SparseVector> {
    let bytes = std::fs::read(path).unwrap();
    let long = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let long = |at: usize| usize::try_from(long(at)).unwrap();
    let rows = long(0);
    let values = long(16);
    let terms_at = 24 + 8 * (rows + 1);
    let four = |at: usize| <[u8; 4]>::try_from(&bytes[at..at + 4]).unwrap();
    (0..rows)
        .map(|row| {
            let range = long(24 + 8 * row)..long(32 + 8 * row);
            let pairs: BTreeMap<TermId, f32> = range
                .map(|at| {
                    let term = u32::from_le_bytes(four(terms_at + 4 * at));
                    let weight = f32::from_le_bytes(four(terms_at + 4 * (values + at)));
                    (TermId::from(term), weight)
                })
                .collect();
            SparseVector::from_sorted(
                pairs.keys().copied().collect(),
                pairs.values().copied().collect(),
            )
            .unwrap()
        })
        .collect()
}
