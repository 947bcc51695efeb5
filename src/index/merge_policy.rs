//! Which segments to merge, by counts alone.
//!
//! Segments fall into tiers by the number of their live documents: tier `t` holds those of
//! `FACTOR^t` up to `FACTOR^(t+1)`. A tier that has `FACTOR` segments is merged, and with it the
//! tiers below; when the result would complete the next tier, that is taken in too, so that a
//! commit writes each document at most once. So `n` documents in commits of one lie in at most
//! `(FACTOR - 1) * (log_FACTOR(n) + 1)` segments, and each is rewritten at most
//! `log_FACTOR(n)` times. Segments with many deletes are rewritten too, so that deleted documents
//! never hold more than a quarter of the postings.

/// Segments of a tier that are merged.
const FACTOR: u64 = 4;

/// A segment with more deleted documents than one in this many is rewritten.
const DELETED_SHARE: u64 = 4;

/// Counts of one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentSize {
    pub(super) live: u32,
    pub(super) deleted: u32,
}

/// The positions of the segments to merge into one, rising; none when all is well.
pub(super) fn candidates(segments: &[SegmentSize]) -> Vec<usize> {
    let mut tiers: Vec<(u32, usize)> = segments
        .iter()
        .enumerate()
        .map(|(at, segment)| (tier(u64::from(segment.live)), at))
        .collect();
    tiers.sort_unstable();

    let mut chosen: Vec<usize> = Vec::new();
    let mut chosen_live = 0;
    let mut passed: Vec<usize> = Vec::new();
    for group in tiers.chunk_by(|a, b| a.0 == b.0) {
        let members = group.iter().map(|(_, at)| *at);
        let carried = !chosen.is_empty() && tier(chosen_live) >= group[0].0;
        passed.extend(members);
        // What is merged so far counts as one segment of the tier that it reaches.
        if group.len() as u64 + u64::from(carried) >= FACTOR {
            chosen.append(&mut passed);
            let live = |at: &usize| u64::from(segments[*at].live);
            chosen_live = chosen.iter().map(live).sum();
        }
    }

    let is_wasteful = |segment: &SegmentSize| {
        let all = u64::from(segment.live) + u64::from(segment.deleted);
        u64::from(segment.deleted) * DELETED_SHARE > all
    };
    let wasteful = segments
        .iter()
        .enumerate()
        .filter(|(_, segment)| is_wasteful(segment));
    chosen.extend(wasteful.map(|(at, _)| at));
    chosen.sort_unstable();
    chosen.dedup();
    chosen
}

fn tier(live: u64) -> u32 {
    live.max(1).ilog(FACTOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(counts: &[u32]) -> Vec<SegmentSize> {
        let size = |&live| SegmentSize { live, deleted: 0 };
        counts.iter().map(size).collect()
    }

    #[test]
    fn small_commits_stay_few_segments_and_are_rewritten_seldom() {
        let mut segments: Vec<u32> = Vec::new();
        let mut rewritten = 0_u64;
        for _ in 0..10_000 {
            segments.push(1);
            let chosen = candidates(&live(&segments));
            let merged: u32 = chosen.iter().map(|at| segments[*at]).sum();
            rewritten += u64::from(merged);
            let mut at = 0;
            segments.retain(|_| {
                at += 1;
                !chosen.contains(&(at - 1))
            });
            segments.extend((merged > 0).then_some(merged));
            assert!(segments.len() <= 21, "{segments:?}");
        }
        assert_eq!(segments.iter().sum::<u32>(), 10_000);
        assert!(rewritten <= 7 * 10_000, "{rewritten}");
    }

    #[test]
    fn a_merge_that_completes_the_next_tier_takes_it_in() {
        let segments = live(&[16, 16, 4, 16, 4, 4, 1, 1, 1, 1]);
        assert_eq!(candidates(&segments), (0..10).collect::<Vec<_>>());
        assert_eq!(candidates(&live(&[16, 16, 1, 1, 1])), [0; 0]);
        assert_eq!(candidates(&live(&[16, 16, 1, 1, 1, 1])), [2, 3, 4, 5]);
        assert_eq!(candidates(&[]), [0; 0]);
    }

    #[test]
    fn deletes_are_reclaimed() {
        let segment = |live, deleted| SegmentSize { live, deleted };
        assert_eq!(candidates(&[segment(75, 25), segment(30, 0)]), [0; 0]);
        assert_eq!(candidates(&[segment(74, 26), segment(30, 0)]), [0]);
    }
}
