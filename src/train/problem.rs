//! The corpus as training sees it: which pairs, which words can be sources and targets, what each
//! word is worth before anything is learned.

use super::{
    Options,
    corpus::{Corpus, Sample, is_number},
    random::Random,
};

/// Named pairs are at most this many for eight described ones.
const NAMED_EIGHTHS: usize = 5;
/// A source stands in so many passages, of so many groups.
const SOURCE_PASSAGES_MIN: u32 = 5;
const SOURCE_GROUPS_MIN: u32 = 2;
/// A target is asked for in so many queries, of so many groups.
const TARGET_QUERIES_MIN: u32 = 8;
const TARGET_GROUPS_MIN: u32 = 3;
/// A table's columns are u16.
const TARGETS_MAX: usize = 20_000;

/// Not a source, or not a target.
pub(super) const NONE: u32 = u32::MAX;

pub(super) struct Problem<'a> {
    pub(super) corpus: &'a Corpus,
    /// The chosen samples, by group.
    pub(super) samples: Vec<Sample>,
    /// Words that are sources, rising; and the place of each word among them.
    pub(super) sources: Vec<u32>,
    pub(super) source_of: Vec<u32>,
    /// Words that are targets, rising; and the place of each word among them.
    pub(super) targets: Vec<u32>,
    pub(super) target_of: Vec<u32>,
    /// In how many chosen passages each word is, and in how many chosen queries.
    pub(super) passages_with: Vec<u32>,
    pub(super) queries_with: Vec<u32>,
    /// Share of passages with each word.
    pub(super) shares: Vec<f32>,
    /// Saturated weight of each word of each passage, in the order of the passages' bags.
    pub(super) weights: Vec<f32>,
    weight_starts: Vec<u32>,
}

impl<'a> Problem<'a> {
    pub(super) fn new(corpus: &'a mut Corpus, options: &Options) -> Problem<'a> {
        if let Some(base) = &options.base {
            corpus.know((0..base.word_count()).filter_map(|id| base.word(id)));
        }
        let corpus = &*corpus;
        let samples = choose(corpus, options);
        let count = corpus.words.list.len();
        let mut passages = Frequencies::new(count);
        let mut queries = Frequencies::new(count);
        for sample in &samples {
            for (term, _, _) in corpus.passages.get(sample.passage) {
                passages.add(term, sample.group);
            }
            for &term in corpus.query(sample) {
                queries.add(term, sample.group);
            }
        }
        let source_groups = SOURCE_GROUPS_MIN.min(corpus.groups);
        let target_groups = TARGET_GROUPS_MIN.min(corpus.groups);
        let base_words = |word: u32| {
            let base = options.base.as_ref();
            base.and_then(|base| base.find(&corpus.words.list[word as usize]))
        };
        let mut sources = passages.at_least(SOURCE_PASSAGES_MIN, source_groups);
        let mut targets = queries.at_least(TARGET_QUERIES_MIN, target_groups);
        targets.retain(|&word| !is_number(&corpus.words.list[word as usize]));
        keep_most(&mut sources, options.words, &passages.counts);
        keep_most(&mut targets, TARGETS_MAX, &queries.counts);
        if let Some(base) = &options.base {
            for word in 0..super::corpus::small(count) {
                if let Some(id) = base_words(word) {
                    sources.push(word);
                    if id < base.target_count() {
                        targets.push(word);
                    }
                }
            }
            for list in [&mut sources, &mut targets] {
                list.sort_unstable();
                list.dedup();
            }
        }
        let mut shares = shares(corpus);
        if let Some(base) = &options.base {
            mix_shares(corpus, base, &mut shares);
        }
        let mut problem = Problem {
            source_of: places(&sources, count),
            target_of: places(&targets, count),
            sources,
            targets,
            passages_with: passages.counts,
            queries_with: queries.counts,
            shares,
            weights: Vec::with_capacity(corpus.passages.terms.len()),
            weight_starts: Vec::with_capacity(corpus.passages.len()),
            corpus,
            samples,
        };
        problem.weigh();
        problem
    }

    /// How many pairs were chosen: described, named.
    pub(super) fn pair_counts(&self) -> (usize, usize) {
        let named = self.samples.iter().filter(|sample| sample.is_named).count();
        (self.samples.len() - named, named)
    }

    /// Words of a passage with their weights.
    pub(super) fn weighted(&self, passage: u32) -> impl Iterator<Item = (u32, f32)> + '_ {
        let start = self.weight_starts[passage as usize] as usize;
        let terms = self.corpus.passages.get(passage);
        let len = terms.len();
        let weights = &self.weights[start..start + len];
        terms
            .zip(weights)
            .map(|((term, _, _), weight)| (term, *weight))
    }

    /// The inverse document frequency of a word by the corpus alone.
    pub(super) fn idf(&self, word: u32) -> f32 {
        crate::encode::prior_idf(self.shares[word as usize])
    }

    fn weigh(&mut self) {
        for bag in 0..super::corpus::small(self.corpus.passages.len()) {
            self.weight_starts
                .push(super::corpus::small(self.weights.len()));
            let counts = || {
                let terms = self.corpus.passages.get(bag);
                terms.map(|(_, all, inside)| crate::encode::frequency(all, inside))
            };
            let length = counts().sum();
            let weights = counts().map(|frequency| crate::encode::code_weight(frequency, length));
            self.weights.extend(weights);
        }
    }
}

/// The described pairs and a part of the named ones, by group.
fn choose(corpus: &Corpus, options: &Options) -> Vec<Sample> {
    let (named, described): (Vec<Sample>, Vec<Sample>) = corpus
        .samples
        .iter()
        .cloned()
        .partition(|sample| sample.is_named);
    let mut random = Random::new(options.seed);
    let mut chosen = at_most(described, options.pairs, &mut random);
    // A tree without comments still has names.
    let most = (chosen.len() / 8 * NAMED_EIGHTHS).max(options.pairs / 4);
    chosen.append(&mut at_most(named, most, &mut random));
    chosen.sort_by_key(|sample| (sample.group, sample.passage));
    chosen
}

/// At most `most` of `samples`: where there are more, the largest groups give up theirs first, so
/// that no package fills the table with its habits.
fn at_most(mut samples: Vec<Sample>, most: usize, random: &mut Random) -> Vec<Sample> {
    random.shuffle(&mut samples);
    samples.sort_by_key(|sample| sample.group);
    let groups = || samples.chunk_by(|a, b| a.group == b.group);
    let kept = |share: usize| -> usize { groups().map(|group| group.len().min(share)).sum() };
    let (mut low, mut high) = (0, samples.len());
    while low < high {
        let middle = (low + high).div_ceil(2);
        if kept(middle) <= most {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    let shares = groups().flat_map(|group| &group[..group.len().min(low)]);
    shares.cloned().collect()
}

/// How often words were seen, and in how many groups; groups come one after the other.
struct Frequencies {
    counts: Vec<u32>,
    groups: Vec<u32>,
    last_group: Vec<u32>,
}

impl Frequencies {
    fn new(words: usize) -> Frequencies {
        Frequencies {
            counts: vec![0; words],
            groups: vec![0; words],
            last_group: vec![NONE; words],
        }
    }

    fn add(&mut self, word: u32, group: u32) {
        let at = word as usize;
        self.counts[at] += 1;
        if self.last_group[at] != group {
            self.last_group[at] = group;
            self.groups[at] += 1;
        }
    }

    fn at_least(&self, count: u32, groups: u32) -> Vec<u32> {
        let words = 0..super::corpus::small(self.counts.len());
        let enough = |word: &u32| {
            let at = *word as usize;
            self.counts[at] >= count && self.groups[at] >= groups
        };
        words.filter(enough).collect()
    }
}

/// Of `words` the `most` most frequent, rising.
fn keep_most(words: &mut Vec<u32>, most: usize, counts: &[u32]) {
    words.sort_by_key(|&word| (std::cmp::Reverse(counts[word as usize]), word));
    words.truncate(most);
    words.sort_unstable();
}

fn places(list: &[u32], words: usize) -> Vec<u32> {
    let mut places = vec![NONE; words];
    for (place, word) in (0_u32..).zip(list) {
        places[*word as usize] = place;
    }
    places
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a share needs no more than 24 bits"
)]
fn shares(corpus: &Corpus) -> Vec<f32> {
    let total = corpus.passage_count.max(1) as f32;
    let mut shares: Vec<f32> = corpus
        .frequencies
        .iter()
        .map(|&count| count as f32 / total)
        .collect();
    shares.resize(corpus.words.list.len(), 0.0);
    shares
}

/// Mixes the shares that a base knows with those of the corpus, by how many passages each is of.
#[expect(
    clippy::cast_precision_loss,
    reason = "a share needs no more than 24 bits"
)]
fn mix_shares(corpus: &Corpus, base: &crate::encode::StaticTable, shares: &mut [f32]) {
    let ours = corpus.passage_count as f32;
    let theirs = base.passage_count() as f32;
    for (share, word) in shares.iter_mut().zip(&corpus.words.list) {
        let known = base.find(word).map_or(0.0, |id| base.share(id));
        *share = (*share * ours + known * theirs) / (ours + theirs).max(1.0);
    }
}
