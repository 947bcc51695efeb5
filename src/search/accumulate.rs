//! Windowed accumulation: every posting of the query, window by window, into an array of scores.
//!
//! The cost is that of reading the postings, whatever the query, `k` or filter: the bound on all
//! other ways. Windows that hold no allowed document, or whose heaviest impacts cannot reach the
//! threshold, are left out.

use super::{
    doc_set::DocSet,
    postings::SegmentQuery,
    scratch::{QueryLists, Scratch},
    top_k::TopK,
};
use crate::{
    id::DocId,
    segment::postings::windows::WindowsView,
    simd::{Level, Plain},
};

/// What a `u16` can address.
const SCORES_LEN: usize = 1 << 16;

/// Postings that are loaded together: one load each of place and impact costs a tenth of the time.
const WORD: usize = 8;

/// Scores that share one comparison with the threshold, and one word of a set.
const GROUP: usize = 64;

pub(super) fn search(
    view: &WindowsView<'_>,
    query: &SegmentQuery<'_>,
    top: &mut TopK,
    scratch: &mut Scratch,
) {
    let level = scratch.level();
    let Scratch { scores, lists, .. } = scratch;
    scores.resize(SCORES_LEN, 0);
    let Some(scores) = scores.first_chunk_mut::<SCORES_LEN>() else {
        return;
    };
    lists.clear();
    for &(term, weight) in query.query.terms() {
        let range = view.lists(term);
        if !range.is_empty() {
            lists.push(QueryLists {
                weight: u32::from(weight),
                next: range.start,
                end: range.end,
            });
        }
    }
    for window in 0..view.window_count() {
        let docs = view.documents(window);
        let bound = bound(view, window, lists);
        if bound >= top.threshold() && query.allowed.any_in(docs.clone()) {
            scores[..docs.len()].fill(0);
            for list in lists.iter().filter(|list| has(view, list, window)) {
                let (places, impacts) = view.postings(list.next);
                add(places, impacts, list.weight, scores);
            }
            offer(docs.start, &scores[..docs.len()], query, level, top);
        }
        for list in lists.iter_mut() {
            if has(view, list, window) {
                list.next += 1;
            }
        }
    }
}

fn has(view: &WindowsView<'_>, list: &QueryLists, window: u32) -> bool {
    list.next < list.end && view.window(list.next) == window
}

/// What a document of the window can reach at most: impacts fall, so the first is the heaviest.
fn bound(view: &WindowsView<'_>, window: u32, lists: &[QueryLists]) -> u32 {
    let heaviest = lists
        .iter()
        .filter(|list| has(view, list, window))
        .map(|list| {
            let impact = view.postings(list.next).1.first();
            list.weight * u32::from(impact.copied().unwrap_or(0))
        });
    heaviest.fold(0, u32::saturating_add)
}

/// `scores[places[i]] += weight * impacts[i]`.
///
/// A score of true postings fits `u32` (see [`QUERY_TERMS_MAX`](crate::quantize)); damaged lists
/// that repeat a document may wrap, which is as wrong as any other number.
fn add(places: &[[u8; 2]], impacts: &[u8], weight: u32, scores: &mut [u32; SCORES_LEN]) {
    let mut add = |place: u16, impact: u8| {
        let score = &mut scores[usize::from(place)];
        *score = score.wrapping_add(weight * u32::from(impact));
    };
    let (words, last_places) = places.as_chunks::<WORD>();
    let (impact_words, last_impacts) = impacts.as_chunks::<WORD>();
    for (places, impacts) in words.iter().zip(impact_words) {
        let places = u128::from_le_bytes(bytemuck::cast(*places));
        let impacts = u64::from_le_bytes(*impacts);
        for at in 0..WORD {
            #[expect(clippy::cast_possible_truncation, reason = "one of those in the word")]
            add((places >> (16 * at)) as u16, (impacts >> (8 * at)) as u8);
        }
    }
    for (place, &impact) in last_places.iter().zip(last_impacts) {
        add(u16::from_le_bytes(*place), impact);
    }
}

/// Offers the allowed documents of a window, the first of which is a multiple of [`GROUP`].
fn offer(first: u32, scores: &[u32], query: &SegmentQuery<'_>, level: Level, top: &mut TopK) {
    let DocSet::Few(docs) = query.allowed else {
        return level.run(Offer {
            first,
            scores,
            query,
            top,
        });
    };
    // The threshold rises with allowed documents only, and few of them raise it late: looking
    // the others up in the set would cost more than the postings did.
    let docs = docs.get(docs.partition_point(|doc| doc.0 < first)..);
    for doc in docs.unwrap_or_default() {
        let Some(&score) = scores.get(DocId(doc.0 - first).index()) else {
            return;
        };
        if score >= top.threshold() {
            top.push(score, query.rank(*doc), *doc);
        }
    }
}

/// Offers all allowed documents of a window. Compiled for each level: the vectors that every x86-64
/// has lack a largest of 32 bits.
struct Offer<'a> {
    first: u32,
    scores: &'a [u32],
    query: &'a SegmentQuery<'a>,
    top: &'a mut TopK,
}

impl Plain for Offer<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let mut threshold = self.top.threshold();
        let bases = (self.first..).step_by(GROUP);
        for (base, group) in bases.zip(self.scores.chunks(GROUP)) {
            let allowed = self.query.allowed.group(base);
            let most = group.iter().fold(0, |most, &score| most.max(score));
            if allowed == 0 || most < threshold {
                continue;
            }
            for (lane, &score) in (0..).zip(group) {
                if score >= threshold && allowed >> lane & 1 == 1 {
                    let doc = DocId(base + lane);
                    self.top.push(score, self.query.rank(doc), doc);
                    threshold = self.top.threshold();
                }
            }
        }
    }
}
