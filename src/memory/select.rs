//! From candidates to the episodes that come back: weights, then diversity. Pure functions over
//! plain values; the store finds the candidates.

use crate::sparse::SparseVector;

use super::{
    keys::KeyKind,
    recall::{Recall, Recency},
};

/// How an episode has been used, by the caller's own account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// How often it was retrieved for a task.
    pub retrieved: u64,
    /// How often it helped there.
    pub helped: u64,
}

/// An episode that the search found, before it is loaded.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) id: String,
    pub(super) relevance: f32,
    pub(super) encoder_score: f32,
    pub(super) found_by: KeyKind,
    pub(super) time: Option<i64>,
    pub(super) usage: Usage,
    /// The vector of the key that found it; empty unless diversity is asked for.
    pub(super) vector: SparseVector,
}

/// The weighed relevance of a candidate.
pub(super) fn weigh(candidate: &Candidate, recall: &Recall) -> f32 {
    let recency = recall.recency.map_or(0.0, |recency| {
        recency.weight * freshness(recency, candidate.time)
    });
    candidate.relevance * (1.0 + recency) * (1.0 + recall.utility * utility(candidate.usage))
}

/// The order in which `count` of the candidates are taken; `relevance` is weighed already. Equal
/// ones by the encoder's score, then by rising id, so that the answer does not depend on how the store is laid out.
pub(super) fn choose(candidates: &[Candidate], count: usize, balance: Option<f32>) -> Vec<usize> {
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    order.sort_by(|&one, &other| {
        let (one, other) = (&candidates[one], &candidates[other]);
        other
            .relevance
            .total_cmp(&one.relevance)
            .then_with(|| other.encoder_score.total_cmp(&one.encoder_score))
            .then_with(|| one.id.cmp(&other.id))
    });
    match balance {
        Some(balance) if balance < 1.0 => diversify(candidates, order, count, balance),
        _ => {
            order.truncate(count);
            order
        }
    }
}

/// Maximal marginal relevance (Carbonell and Goldstein 1998) over candidates in falling order.
fn diversify(
    candidates: &[Candidate],
    mut rest: Vec<usize>,
    count: usize,
    balance: f32,
) -> Vec<usize> {
    let best = rest.first().map_or(0.0, |&at| candidates[at].relevance);
    let mut nearest = vec![0.0_f32; candidates.len()];
    let mut chosen = Vec::new();
    while chosen.len() < count && !rest.is_empty() {
        let value = |at: usize| {
            let relevance = match best > 0.0 {
                true => candidates[at].relevance / best,
                false => 0.0,
            };
            balance * relevance - (1.0 - balance) * nearest[at]
        };
        let mut pick = 0;
        for at in 1..rest.len() {
            if value(rest[at]) > value(rest[pick]) {
                pick = at;
            }
        }
        let taken = rest.remove(pick);
        for &other in &rest {
            let likeness = cosine(&candidates[taken].vector, &candidates[other].vector);
            nearest[other] = nearest[other].max(likeness);
        }
        chosen.push(taken);
    }
    chosen
}

/// 0 when either is empty.
pub(super) fn cosine(one: &SparseVector, other: &SparseVector) -> f32 {
    let norms = one.dot(one) * other.dot(other);
    match norms > 0.0 {
        true => one.dot(other) / norms.sqrt(),
        false => 0.0,
    }
}

fn freshness(recency: Recency, time: Option<i64>) -> f32 {
    let Some(time) = time else { return 0.0 };
    // Seconds as a float: exact up to 2^53, which is 285 million years.
    #[expect(clippy::cast_precision_loss, reason = "ages of a year need 25 bits")]
    let age = recency.now.saturating_sub(time).max(0) as f64;
    #[expect(clippy::cast_possible_truncation, reason = "a ratio between 0 and 1")]
    let freshness = (-age / recency.half_life).exp2() as f32;
    freshness
}

/// Laplace's estimate of how often an episode helps, so that one that nobody tried counts a half.
fn utility(usage: Usage) -> f32 {
    #[expect(clippy::cast_precision_loss, reason = "counters only weigh")]
    let (helped, retrieved) = (usage.helped as f32, usage.retrieved as f32);
    ((helped + 1.0) / (retrieved + 2.0)).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(id: &str, relevance: f32, terms: &[u32]) -> Candidate {
        Candidate {
            id: id.to_owned(),
            relevance,
            encoder_score: 0.0,
            found_by: KeyKind::Task,
            time: None,
            usage: Usage::default(),
            vector: SparseVector::new(terms.iter().map(|&term| (term, 1.0))).unwrap(),
        }
    }

    fn ids(candidates: &[Candidate], count: usize, balance: Option<f32>) -> Vec<&str> {
        let chosen = choose(candidates, count, balance);
        chosen.into_iter().map(|at| &*candidates[at].id).collect()
    }

    #[test]
    fn equal_relevance_is_decided_by_id() {
        let candidates = [
            candidate("b", 1.0, &[1]),
            candidate("a", 1.0, &[1]),
            candidate("c", 2.0, &[1]),
        ];
        assert_eq!(ids(&candidates, 2, None), ["c", "a"]);
        assert_eq!(ids(&candidates, 9, Some(1.0)), ["c", "a", "b"]);
    }

    #[test]
    fn diversity_passes_over_a_repetition() {
        let candidates = [
            candidate("first", 1.0, &[1, 2]),
            candidate("again", 0.95, &[1, 2]),
            candidate("other", 0.8, &[7]),
        ];
        assert_eq!(ids(&candidates, 2, Some(0.7)), ["first", "other"]);
        assert_eq!(ids(&candidates, 2, Some(1.0)), ["first", "again"]);
        assert_eq!(ids(&candidates, 3, Some(0.7)), ["first", "other", "again"]);
    }

    #[test]
    fn weights_multiply_relevance() {
        let mut fresh = candidate("a", 2.0, &[]);
        fresh.time = Some(100);
        let plain = Recall::at_start("t");
        assert_eq!(weigh(&fresh, &plain), 2.0);
        let recent = plain.clone().recency(1.0, 50.0, 150).unwrap();
        assert!((weigh(&fresh, &recent) - 3.0).abs() < 1e-6);
        fresh.time = None;
        assert_eq!(weigh(&fresh, &recent), 2.0);
        fresh.usage = Usage {
            retrieved: 8,
            helped: 4,
        };
        assert_eq!(weigh(&fresh, &plain.utility(1.0).unwrap()), 3.0);
    }
}
