//! Long documents that are indexed as passages: results by document.

use std::{collections::BTreeMap, num::NonZero};

use super::{Searcher, filter::Filter, hits::Hit, query::Query, scratch::Scratch};
use crate::{
    error::{Error, Result},
    segment::{DocKey, Value},
};

/// The first look goes this many passages deep for each group that is wanted.
const PASSAGES_A_GROUP: usize = 4;
const DEPTH_MIN: usize = 64;
/// Where more documents than this would have to be looked up, going deeper is cheaper.
const LOOKUPS_MAX: usize = 16;
/// Bounds are sums that may be rounded otherwise than the sums they bound.
const SLACK: f64 = 1e-12;

/// How the scores of a document's passages become the document's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupScore {
    /// The best passage's (MaxP of Dai and Callan, *Deeper text understanding for IR with
    /// contextual neural language modeling*, SIGIR 2019). The default: over documents of ten unrelated
    /// abstracts or functions each it beat every sum.
    #[default]
    Best,
    /// The sum over the best so many passages: a document that speaks of the matter in several
    /// places counts more.
    SumOfBest(NonZero<usize>),
}

/// Searches passages and answers with the documents that they belong to.
///
/// Passages are indexed as documents of their own; a field says which document each belongs to,
/// and one without it is a group by itself. [`Query::top`] and [`Query::offset`] count groups,
/// everything else about the query concerns passages: a passage under its
/// [`least_score`](Query::least_score) or outside its filter does not count.
///
/// The groups are those, in order, that scoring every passage and grouping everything would give:
/// score falling, equal scores by rising name. The search goes deeper until no passage that it has
/// not seen could change that, and asks for the missing passages of single documents where that
/// decides it sooner.
///
/// ```
/// use sparsely::{Config, Document, GroupScore, Grouping, Index, Query, SparseVector};
/// let index = Index::in_memory(Config::new())?;
/// let mut writer = index.writer()?;
/// for (key, of, weight) in [("a.1", "a", 1.0), ("a.2", "a", 3.0), ("b.1", "b", 2.5), ("b.2", "b", 2.0)] {
///     let vector = SparseVector::new([(7, weight)])?;
///     writer.upsert(Document::new(key, vector).field("of", of))?;
/// }
/// writer.commit()?;
/// let query = Query::new(SparseVector::new([(7, 1.0)])?).top(1);
/// let snapshot = index.snapshot()?;
///
/// let groups = Grouping::by("of").search(&snapshot, &query)?;
/// assert_eq!(groups.as_slice()[0].name.to_string(), "a");
/// assert_eq!(groups.as_slice()[0].passages[0].key().to_string(), "a.2");
///
/// let two = std::num::NonZero::new(2).unwrap();
/// let sum = Grouping::by("of").score(GroupScore::SumOfBest(two));
/// assert_eq!(sum.search(&snapshot, &query)?.as_slice()[0].name.to_string(), "b");
/// # Ok::<(), sparsely::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grouping {
    field: String,
    score: GroupScore,
}

/// What a group is called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupName {
    /// The value of the field that groups.
    Value(Value),
    /// The key of a passage that lacks the field.
    Passage(DocKey),
}

/// A document with the passages that speak for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Which document it is.
    pub name: GroupName,
    /// The sum of its passages' scores.
    pub score: f64,
    /// The passages that count, best first: one, or as many as are summed up. Each carries the
    /// field that groups, and those that the query named.
    pub passages: Vec<Hit>,
}

/// Groups by falling score; equal scores by rising name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Groups {
    groups: Vec<Group>,
    proven_exact: bool,
}

impl std::fmt::Display for GroupName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            GroupName::Value(value) => value.fmt(f),
            GroupName::Passage(key) => key.fmt(f),
        }
    }
}

impl Groups {
    /// Whether these are proven to be the groups of scoring every passage; see
    /// [`Hits::proven_exact`](crate::Hits::proven_exact).
    #[must_use]
    pub fn proven_exact(&self) -> bool {
        self.proven_exact
    }

    /// The groups, best first.
    #[must_use]
    pub fn as_slice(&self) -> &[Group] {
        &self.groups
    }
}

impl IntoIterator for Groups {
    type Item = Group;
    type IntoIter = std::vec::IntoIter<Group>;

    fn into_iter(self) -> Self::IntoIter {
        self.groups.into_iter()
    }
}

impl Grouping {
    /// Groups passages by the value of the field `name`, by their best passage.
    #[must_use]
    pub fn by(name: impl Into<String>) -> Grouping {
        Grouping {
            field: name.into(),
            score: GroupScore::Best,
        }
    }

    /// How passages' scores become a group's; [`GroupScore::Best`] unless said.
    #[must_use]
    pub fn score(self, score: GroupScore) -> Grouping {
        Grouping { score, ..self }
    }

    /// The best groups.
    ///
    /// # Errors
    /// As [`Searcher::search`]; [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) where no
    /// document has the field, and [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for a
    /// query that asks for [rescoring](Query::rescore), whose scores do not fall with depth.
    pub fn search(&self, searcher: &dyn Searcher, query: &Query) -> Result<Groups> {
        self.search_with(searcher, query, &mut Scratch::new())
    }

    /// As [`Grouping::search`], with working memory that is kept between queries.
    ///
    /// # Errors
    /// As [`Grouping::search`].
    pub fn search_with(
        &self,
        searcher: &dyn Searcher,
        query: &Query,
        scratch: &mut Scratch,
    ) -> Result<Groups> {
        if query.rescore.is_some() {
            let remedy = "leave `rescore` out, or group its hits";
            return Err(Error::unsupported("grouping of rescored hits", remedy));
        }
        let wanted = query.offset.saturating_add(query.top);
        let mut asked = query.clone().offset(0);
        if !asked.fields.contains(&self.field) {
            asked.fields.push(self.field.clone());
        }
        let mut search = Search {
            grouping: self,
            searcher,
            asked,
            scratch,
            wanted,
            whole: BTreeMap::new(),
            proven_exact: true,
        };
        let groups = search.best()?;
        Ok(Groups {
            groups: groups
                .into_iter()
                .skip(query.offset)
                .take(query.top)
                .collect(),
            proven_exact: search.proven_exact,
        })
    }

    /// How many passages of a group count.
    fn counted(&self) -> usize {
        match self.score {
            GroupScore::Best => 1,
            GroupScore::SumOfBest(count) => count.get(),
        }
    }
}

struct Search<'a> {
    grouping: &'a Grouping,
    searcher: &'a dyn Searcher,
    asked: Query,
    scratch: &'a mut Scratch,
    wanted: usize,
    /// Groups whose passages were asked for by name.
    whole: BTreeMap<GroupName, Vec<Hit>>,
    proven_exact: bool,
}

impl Search<'_> {
    fn best(&mut self) -> Result<Vec<Group>> {
        let mut depth = self
            .wanted
            .saturating_mul(self.grouping.counted())
            .saturating_mul(PASSAGES_A_GROUP)
            .max(DEPTH_MIN);
        if self.wanted == 0 {
            return Ok(Vec::new());
        }
        loop {
            let hits = self.ask(&self.asked.clone().top(depth))?;
            // What was not seen scores at most as the last hit does; nothing, if that was all.
            let last = match hits.last() {
                Some(last) if hits.len() >= depth => f64::from(last.score()) * (1.0 + SLACK),
                _ => 0.0,
            };
            let unseen = last * as_f64(self.grouping.counted());
            if let Some(best) = self.best_of(hits, last)? {
                let is_full = best.len() == self.wanted;
                let is_decided = best.last().is_some_and(|worst| worst.score > unseen);
                if last == 0.0 || is_full && is_decided {
                    return Ok(best);
                }
            }
            depth = depth.saturating_mul(2);
        }
    }

    /// The best of the groups that `hits` belong to, each with its true score, where what is not
    /// among them scores at most `last`; nothing where that takes too many look-ups, which it never
    /// does when `last` is 0.
    fn best_of(&mut self, hits: Vec<Hit>, last: f64) -> Result<Option<Vec<Group>>> {
        let counted = self.grouping.counted();
        let mut seen: BTreeMap<GroupName, Vec<Hit>> = BTreeMap::new();
        for hit in hits {
            let passages = seen.entry(self.name(&hit)).or_default();
            if passages.len() < counted {
                passages.push(hit);
            }
        }
        let mut open: Vec<(f64, Group)> = Vec::with_capacity(seen.len());
        for (name, passages) in seen {
            let (passages, missing) = match (self.whole.get(&name), &name) {
                (Some(whole), _) => (whole.clone(), 0),
                (None, GroupName::Passage(_)) => (passages, 0),
                (None, GroupName::Value(_)) => {
                    let missing = counted - passages.len();
                    (passages, missing)
                }
            };
            let group = Group::new(name, passages);
            open.push((group.score + last * as_f64(missing), group));
        }
        // The most promising first: each group that is looked up raises what the rest must reach.
        open.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.name.cmp(&b.1.name)));
        let mut best: Vec<Group> = Vec::new();
        let mut lookups = 0;
        for (most, group) in open {
            if best.len() == self.wanted && best.last().is_some_and(|worst| worst.score > most) {
                break;
            }
            let is_whole = most <= group.score;
            lookups += usize::from(!is_whole);
            if lookups > LOOKUPS_MAX {
                return Ok(None);
            }
            let group = match is_whole {
                true => group,
                false => self.complete(group.name)?,
            };
            let at = best.partition_point(|other| other.is_before(&group));
            best.insert(at, group);
            best.truncate(self.wanted);
        }
        Ok(Some(best))
    }

    /// Looks up the passages of one group that count.
    fn complete(&mut self, name: GroupName) -> Result<Group> {
        if let GroupName::Value(value) = &name {
            let filter = Filter::equals(&self.grouping.field, value.clone());
            let asked = self.asked.clone().filter(filter);
            let hits = self.ask(&asked.top(self.grouping.counted()))?;
            self.whole.insert(name.clone(), hits);
        }
        let passages = self.whole.get(&name).cloned().unwrap_or_default();
        Ok(Group::new(name, passages))
    }

    fn ask(&mut self, query: &Query) -> Result<Vec<Hit>> {
        let hits = self.searcher.search_with(query, self.scratch)?;
        self.proven_exact &= hits.proven_exact();
        Ok(hits.into_iter().collect())
    }

    fn name(&self, hit: &Hit) -> GroupName {
        match hit.value(&self.grouping.field) {
            Some(value) => GroupName::Value(value.clone()),
            None => GroupName::Passage(hit.key().clone()),
        }
    }
}

impl Group {
    fn new(name: GroupName, passages: Vec<Hit>) -> Group {
        let scores = passages.iter().map(|hit| f64::from(hit.score()));
        Group {
            name,
            score: scores.sum(),
            passages,
        }
    }

    fn is_before(&self, other: &Group) -> bool {
        match other.score.total_cmp(&self.score) {
            std::cmp::Ordering::Equal => self.name < other.name,
            order => order.is_lt(),
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a bound may be a little high or low only beyond 2^53 passages"
)]
fn as_f64(count: usize) -> f64 {
    count as f64
}
