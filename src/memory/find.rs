//! Recall: from a request to episodes. One search over the keys, grouped by episode, then
//! selection; nothing here writes, and it needs no lock.

use std::collections::HashSet;

use crate::{
    encode::Encoder,
    error::Result,
    index::Snapshot,
    search::{Hit, Query, Scratch, Searcher},
    segment::Value,
    sparse::SparseVector,
};

use super::{
    keys::{KeyKind, KeyPlan},
    layout::{self, field},
    recall::{Ranking, Recall},
    render::Memory,
    select::{self, Candidate, Usage},
    store::read_episode,
    trajectory::{Outcome, Step},
    wording::Wording,
};

/// Candidates for selection, at least; [`POOL_FACTOR`] for each wanted episode.
const POOL_LEAST: usize = 32;
const POOL_FACTOR: usize = 8;

/// Terms that a query keeps, the heaviest: a partial trajectory has hundreds of words, and the
/// light ones cost time and decide nothing.
const QUERY_TERMS: usize = 128;

/// What the library needs to answer: a commit, the store's plan, and the encoder.
pub(super) struct Finder<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) plan: &'a KeyPlan,
    pub(super) encoder: &'a dyn Encoder,
}

impl Finder<'_> {
    /// The query of a request, before it is weighed for the collection: the maximum over the
    /// vectors of its pieces.
    pub(super) fn encode(&self, recall: &Recall) -> Result<SparseVector> {
        let kinds = recall.kinds(self.plan)?;
        let mut texts = vec![recall.first_text(&kinds)];
        texts.extend(recall.steps.iter().map(step_text));
        self.encode_pieces(&texts)
    }

    pub(super) fn encode_pieces(&self, texts: &[String]) -> Result<SparseVector> {
        let mut windows = Vec::new();
        for text in texts {
            windows.extend(self.plan.windows(std::slice::from_ref(text)).0);
        }
        let windows: Vec<&str> = windows.iter().map(String::as_str).collect();
        Ok(maximum(&self.encoder.encode_queries(&windows)?))
    }

    /// The answer to a request whose query is encoded already, with working memory of the caller.
    pub(super) fn find(
        &self,
        recall: &Recall,
        vector: &SparseVector,
        scratch: &mut Scratch,
    ) -> Result<Vec<Memory>> {
        let vector = self
            .encoder
            .weigh_query(vector.clone(), self.snapshot.statistics())
            .keep(QUERY_TERMS);
        let mut chosen = Vec::new();
        match recall.quota {
            None => {
                chosen = self.choose(
                    recall,
                    &vector,
                    &recall.filters.outcomes,
                    recall.top,
                    scratch,
                )?
            }
            Some(quota) => {
                for (outcome, count) in [
                    (Outcome::Success, quota.successes),
                    (Outcome::Failure, quota.failures),
                ] {
                    let wanted = &recall.filters.outcomes;
                    if wanted.is_empty() || wanted.contains(&outcome) {
                        chosen.extend(self.choose(recall, &vector, &[outcome], count, scratch)?);
                    }
                }
                chosen.sort_by(|one, other| other.relevance.total_cmp(&one.relevance));
            }
        }
        chosen
            .into_iter()
            .map(|candidate| {
                Ok(Memory {
                    trajectory: read_episode(self.snapshot, self.plan, &candidate.id)?,
                    score: candidate.relevance,
                    encoder_score: candidate.encoder_score,
                    found_by: candidate.found_by,
                })
            })
            .collect()
    }

    fn choose(
        &self,
        recall: &Recall,
        vector: &SparseVector,
        outcomes: &[Outcome],
        count: usize,
        scratch: &mut Scratch,
    ) -> Result<Vec<Candidate>> {
        let kinds = recall.kinds(self.plan)?;
        let ranking = recall
            .ranking
            .unwrap_or(match self.encoder.has_open_vocabulary() {
                true => Ranking::Wording,
                false => Ranking::Score,
            });
        let by_wording = ranking == Ranking::Wording;
        let reorders = by_wording
            || recall.diversity.is_some()
            || recall.recency.is_some()
            || recall.utility > 0.0;
        let pool = match reorders {
            true => POOL_LEAST.max(count.saturating_mul(POOL_FACTOR)),
            false => count,
        };
        let known: HashSet<&str> = self.snapshot.fields().map(|(name, _)| name).collect();
        let has = |name: &str| known.contains(name);
        let Some(filter) = layout::condition(recall, &kinds, outcomes, &has) else {
            return Ok(Vec::new());
        };
        let query = Query::new(vector.clone())
            .filter(filter)
            .least_score(recall.least_score)
            .fields(
                [field::TASK, field::WHEN, field::TAGS, field::TIME]
                    .into_iter()
                    .filter(|name| has(name)),
            );
        let asked = by_wording.then(|| Asked {
            wording: Wording::of(&recall.task),
            is_alone: kinds.iter().all(|kind| kind.is_instruction()),
        });
        let mut candidates = self.candidates(recall, query, (pool, asked.as_ref()), scratch)?;
        if recall.utility > 0.0 {
            for candidate in &mut candidates {
                candidate.usage = read_usage(self.snapshot, &candidate.id)?;
            }
        }
        for candidate in &mut candidates {
            candidate.relevance = select::weigh(candidate, recall);
        }
        let order = select::choose(&candidates, count, recall.diversity);
        Ok(order.into_iter().map(|at| candidates[at].clone()).collect())
    }

    /// The `pool` best episodes, each by its best key. Asks for more keys until that many episodes
    /// are there, or no more keys match.
    fn candidates(
        &self,
        recall: &Recall,
        query: Query,
        (pool, wording): (usize, Option<&Asked>),
        scratch: &mut Scratch,
    ) -> Result<Vec<Candidate>> {
        let mut top = pool.saturating_mul(2);
        loop {
            let hits = self
                .snapshot
                .search_with(&query.clone().top(top), scratch)?;
            let mut seen = HashSet::new();
            let mut candidates = Vec::new();
            for hit in &hits {
                let Some((kind, _, id)) = layout::parse_key(hit.key()) else {
                    continue;
                };
                if !layout::has_tags(hit.value(field::TAGS), &recall.filters.tags)
                    || !seen.insert(id.to_owned())
                {
                    continue;
                }
                candidates.push(Candidate {
                    id: id.to_owned(),
                    relevance: match wording {
                        None => hit.score(),
                        Some(asked) => asked.relevance(kind, hit),
                    },
                    encoder_score: hit.score(),
                    found_by: kind,
                    time: match hit.value(field::TIME) {
                        Some(Value::Integer(time)) => Some(*time),
                        _ => None,
                    },
                    usage: Usage::default(),
                    vector: match recall.diversity {
                        Some(_) => self.snapshot.vector(hit.key())?.unwrap_or_default(),
                        None => SparseVector::default(),
                    },
                });
                if candidates.len() == pool {
                    return Ok(candidates);
                }
            }
            if hits.len() < top {
                return Ok(candidates);
            }
            top = top.saturating_mul(4);
        }
    }
}

/// What [`Ranking::Wording`] compares with.
struct Asked {
    wording: Wording,
    /// Whether only keys that are instructions are searched.
    is_alone: bool,
}

impl Asked {
    fn relevance(&self, kind: KeyKind, hit: &Hit) -> f32 {
        let name = match kind {
            KeyKind::WhenToUse => field::WHEN,
            _ => field::TASK,
        };
        let text = match hit.value(name) {
            Some(Value::String(text)) => text,
            _ => "",
        };
        let likeness = self.wording.likeness(&Wording::of(text));
        match self.is_alone {
            true => likeness,
            false => hit.score() * likeness,
        }
    }
}

/// The counters of an episode; zero where nobody gave feedback.
pub(super) fn read_usage(snapshot: &Snapshot, id: &str) -> Result<Usage> {
    match snapshot.document(layout::usage_document(id))? {
        Some(document) => layout::decode_usage(document.payload().unwrap_or_default()),
        None => Ok(Usage::default()),
    }
}

/// What a step adds to a query.
pub(super) fn step_text(step: &Step) -> String {
    let mut text = String::new();
    step.push_text(&mut text);
    text
}

/// The largest weight of each term.
pub(super) fn maximum(vectors: &[SparseVector]) -> SparseVector {
    let mut pairs: Vec<_> = vectors.iter().flat_map(SparseVector::iter).collect();
    pairs.sort_unstable_by(|one, other| one.0.cmp(&other.0).then(other.1.total_cmp(&one.1)));
    pairs.dedup_by_key(|pair| pair.0);
    let (terms, weights) = pairs.into_iter().unzip();
    // Terms rise and weights come from vectors, so the check cannot fail.
    SparseVector::from_sorted(terms, weights).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_maximum_of_vectors() {
        let one = SparseVector::new([(1, 1.0), (5, 2.0)]).unwrap();
        let other = SparseVector::new([(1, 3.0), (4, 1.0), (5, 1.0)]).unwrap();
        let expected = SparseVector::new([(1, 3.0), (4, 1.0), (5, 2.0)]).unwrap();
        assert_eq!(maximum(&[one, other]), expected);
        assert!(maximum(&[]).is_empty());
    }
}
