//! The step that makes the table: every entry is moved so that each query finds its own passage
//! among 511 others, most of them hard.
//!
//! Loss: softmax cross-entropy over the passages of a batch on half the score. Steps: Adagrad
//! (Duchi et al., 2011). Work is split by passages, then by sources, and every sum has one order,
//! so the number of threads does not show in the result.

use super::{
    Options,
    corpus::small,
    finish::OWN_KEPT,
    negatives::KEPT,
    pattern::Pattern,
    problem::{NONE, Problem},
    random::Random,
};
use crate::encode::{StaticTable, own_slopes, own_weight, squashed, squashed_slope};

/// Queries of a batch; each brings its passage and this many hard ones.
const QUERIES: usize = 128;
const NEGATIVES: usize = 3;
const TEMPERATURE: f32 = 0.5;
/// Slopes are those of a batch's mean loss.
const MEAN: f32 = 1.0 / 128.0;
/// Rates and first accumulators of Adagrad, for entries and for factors.
const ENTRY_RATE: f32 = 0.08;
const ENTRY_START: f32 = 0.02;
const FACTOR_RATE: f32 = 0.02;
const FACTOR_START: f32 = 0.08;
const LATER_EPOCHS: f32 = 0.4;
/// Where a sum is not positive only gradients that raise it pass, weakened to this.
const SLOPE_BELOW_ZERO: f32 = 0.3;
/// Entries start at this share of their translation probability.
const START_SHARE: f32 = 0.3;
/// A table is asked for its state this many times an epoch.
const REPORTS: usize = 10;

const NO_SLOT: u16 = u16::MAX;

/// Everything that is learned.
pub(super) struct Model {
    pub(super) pattern: Pattern,
    pub(super) entries: Vec<f32>,
    entry_sums: Vec<f32>,
    /// Logarithms of the factors of each word, in passages and in queries.
    pub(super) own: Factors,
    pub(super) query: Factors,
    /// Gradients of entries; zero between batches.
    gradients: Vec<f32>,
}

pub(super) struct Factors {
    pub(super) logs: Vec<f32>,
    sums: Vec<f32>,
}

impl Factors {
    fn new(logs: Vec<f32>) -> Factors {
        Factors {
            sums: vec![FACTOR_START; logs.len()],
            logs,
        }
    }

    fn step(&mut self, word: u32, gradient: f32, rate: f32) {
        let at = word as usize;
        self.sums[at] += gradient * gradient;
        self.logs[at] -= rate * gradient / self.sums[at].sqrt();
    }
}

impl Model {
    pub(super) fn new(
        problem: &Problem<'_>,
        pattern: Pattern,
        likely: Vec<f32>,
        base: Option<&StaticTable>,
    ) -> Model {
        let words = &problem.corpus.words;
        let known =
            |word: u32| base.and_then(|base| Some((base, base.find(&words.list[word as usize])?)));
        let mut entries = likely;
        for source in 0..small(problem.sources.len()) {
            let word = problem.sources[source as usize];
            let base_row: Vec<(u32, f32)> = known(word)
                .into_iter()
                .flat_map(|(base, id)| {
                    base.row(id)
                        .filter_map(|(to, value)| Some((words.find(base.word(to)?)?, value)))
                })
                .collect();
            for entry in pattern.row(source) {
                let target = problem.targets[usize::from(pattern.columns[entry])];
                entries[entry] *= START_SHARE;
                if target == word {
                    entries[entry] = 0.0;
                }
                if let Some((_, value)) = base_row.iter().find(|(to, _)| *to == target) {
                    entries[entry] = *value;
                }
            }
        }
        let logs = |factor: fn(&StaticTable, u32) -> f32, kept: f32| {
            let each = 0..small(words.list.len());
            each.map(|word| known(word).map_or(0.0, |(base, id)| factor(base, id).ln() / kept))
                .collect()
        };
        Model {
            entry_sums: vec![ENTRY_START; entries.len()],
            gradients: vec![0.0; entries.len()],
            own: Factors::new(logs(StaticTable::own_factor, OWN_KEPT)),
            query: Factors::new(logs(StaticTable::query_factor, 1.0)),
            pattern,
            entries,
        }
    }

    /// One pass over the samples, to be carried out tenth by tenth.
    pub(super) fn epoch<'a>(
        &'a mut self,
        problem: &'a Problem<'a>,
        hard: &'a [[u32; KEPT]],
        options: &Options,
        epoch: u32,
    ) -> Epoch<'a> {
        let mut random = Random::new(options.seed.wrapping_add(u64::from(epoch) << 32));
        let mut order: Vec<u32> = (0..small(problem.samples.len())).collect();
        random.shuffle(&mut order);
        Epoch {
            model: self,
            problem,
            hard,
            order,
            done: 0,
            random,
            rate: if epoch == 0 { 1.0 } else { LATER_EPOCHS },
            threads: options.threads.max(1),
            batch: Batch::new(problem),
        }
    }
}

pub(super) struct Epoch<'a> {
    model: &'a mut Model,
    problem: &'a Problem<'a>,
    hard: &'a [[u32; KEPT]],
    order: Vec<u32>,
    done: usize,
    random: Random,
    rate: f32,
    threads: usize,
    batch: Batch,
}

impl Epoch<'_> {
    pub(super) fn model(&self) -> &Model {
        self.model
    }

    pub(super) fn progress(&self) -> (u64, u64) {
        (self.done as u64, self.order.len() as u64)
    }

    /// Learns from the next tenth of the samples; their mean loss, or `None` at the end.
    pub(super) fn tenth(&mut self) -> Option<f32> {
        let end = (self.done + self.order.len().div_ceil(REPORTS)).min(self.order.len());
        let (mut loss, mut queries) = (0.0_f64, 0_u32);
        while self.done < end {
            let len = QUERIES.min(self.order.len() - self.done);
            let chosen = self.done..self.done + len;
            self.done += len;
            let chosen = &self.order[chosen];
            self.batch
                .choose(self.problem, chosen, self.hard, &mut self.random);
            loss += self
                .batch
                .learn(self.problem, self.model, self.rate, self.threads);
            queries += small(len);
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a mean loss is a small number"
        )]
        let mean = (loss / f64::from(queries.max(1))) as f32;
        (queries > 0).then_some(mean)
    }
}

/// A word of a passage that can stand for others.
struct Use {
    source: u32,
    passage: u32,
    weight: f32,
}

/// The work space of a batch. A slot is a word that a query of the batch asks for; matrices have a
/// row per passage and a column per slot.
struct Batch {
    queries: Vec<u32>,
    passages: Vec<u32>,
    slot_of_word: Vec<u16>,
    slot_of_target: Vec<u16>,
    slots: Vec<u32>,
    /// Words of each query as slots, flat, and their weight by slot.
    asked: Vec<Vec<u16>>,
    asked_weights: Vec<f32>,
    /// The factor of each slot's word in passages.
    own_factors: Vec<f32>,
    /// Weights of own words; after the way back the slopes of their factors' logarithms.
    own: Vec<f32>,
    /// What a passage's words say of each slot.
    sums: Vec<f32>,
    values: Vec<f32>,
    slopes: Vec<f32>,
    /// A row per passage, a column per query.
    scores: Vec<f32>,
    uses: Vec<Use>,
}

impl Batch {
    fn new(problem: &Problem<'_>) -> Batch {
        Batch {
            queries: Vec::new(),
            passages: Vec::new(),
            slot_of_word: vec![NO_SLOT; problem.corpus.words.list.len()],
            slot_of_target: vec![NO_SLOT; problem.targets.len()],
            slots: Vec::new(),
            asked: Vec::new(),
            asked_weights: Vec::new(),
            own_factors: Vec::new(),
            own: Vec::new(),
            sums: Vec::new(),
            values: Vec::new(),
            slopes: Vec::new(),
            scores: Vec::new(),
            uses: Vec::new(),
        }
    }

    fn choose(
        &mut self,
        problem: &Problem<'_>,
        chosen: &[u32],
        hard: &[[u32; KEPT]],
        random: &mut Random,
    ) {
        self.queries.clear();
        self.queries.extend_from_slice(chosen);
        self.passages.clear();
        self.passages.extend_from_slice(chosen);
        for &own in chosen {
            let mut left = hard[own as usize];
            for taken in 0..NEGATIVES {
                left.swap(taken, taken + random.below(KEPT - taken));
                let other = match left[taken] {
                    other if other == own => small(random.below(problem.samples.len())),
                    other => other,
                };
                self.passages.push(other);
            }
        }
        for &word in &self.slots {
            self.slot_of_word[word as usize] = NO_SLOT;
            let target = problem.target_of[word as usize];
            if target != NONE {
                self.slot_of_target[target as usize] = NO_SLOT;
            }
        }
        self.slots.clear();
        self.asked.clear();
        for &own in chosen {
            let mut slots = Vec::new();
            for &word in problem.corpus.query(&problem.samples[own as usize]) {
                let slot = &mut self.slot_of_word[word as usize];
                if *slot == NO_SLOT {
                    // More than 65,534 words in 128 queries of at most 1,000 bytes cannot be.
                    *slot = u16::try_from(self.slots.len()).unwrap_or(NO_SLOT);
                    self.slots.push(word);
                    let target = problem.target_of[word as usize];
                    if target != NONE {
                        self.slot_of_target[target as usize] = *slot;
                    }
                }
                slots.push(*slot);
            }
            self.asked.push(slots);
        }
    }

    /// Learns from the batch; returns the sum of its losses.
    fn learn(
        &mut self,
        problem: &Problem<'_>,
        model: &mut Model,
        rate: f32,
        threads: usize,
    ) -> f64 {
        let width = self.slots.len();
        let cells = self.passages.len() * width;
        self.asked_weights.clear();
        self.asked_weights.extend(
            self.slots
                .iter()
                .map(|&word| problem.idf(word) * model.query.logs[word as usize].exp()),
        );
        self.own_factors.clear();
        self.own_factors.extend(
            self.slots
                .iter()
                .map(|&word| model.own.logs[word as usize].exp()),
        );
        for matrix in [
            &mut self.own,
            &mut self.sums,
            &mut self.values,
            &mut self.slopes,
        ] {
            matrix.clear();
            matrix.resize(cells, 0.0);
        }
        self.scores.clear();
        self.scores
            .resize(self.passages.len() * self.queries.len(), 0.0);
        self.forward(problem, model, threads);
        let loss = self.softmax();
        self.backward(threads);
        self.step_factors(problem, model, rate);
        self.step_entries(problem, model, rate, threads);
        loss
    }

    /// Sums, values and scores of every passage.
    fn forward(&mut self, problem: &Problem<'_>, model: &Model, threads: usize) {
        let width = self.slots.len();
        let share = self.passages.len().div_ceil(threads);
        let work = self
            .passages
            .chunks(share)
            .zip(self.own.chunks_mut(share * width))
            .zip(self.sums.chunks_mut(share * width))
            .zip(self.values.chunks_mut(share * width))
            .zip(self.scores.chunks_mut(share * self.queries.len()));
        let (by_word, by_target) = (&self.slot_of_word, &self.slot_of_target);
        let (asked, weights) = (&self.asked, &self.asked_weights);
        let factors = &self.own_factors;
        in_parallel(work, |((((passages, own), sums), values), scores)| {
            let rows = own.chunks_mut(width).zip(sums.chunks_mut(width));
            let rows = rows.zip(values.chunks_mut(width));
            let rows = rows.zip(scores.chunks_mut(asked.len()));
            for (&number, (((own, sums), values), scores)) in passages.iter().zip(rows) {
                let passage = problem.samples[number as usize].passage;
                for (word, weight) in problem.weighted(passage) {
                    let slot = by_word[word as usize];
                    if slot != NO_SLOT {
                        own[usize::from(slot)] = weight;
                    }
                    let source = problem.source_of[word as usize];
                    if source == NONE {
                        continue;
                    }
                    let row = model.pattern.row(source);
                    let columns = &model.pattern.columns[row.clone()];
                    for (column, entry) in columns.iter().zip(&model.entries[row]) {
                        let slot = by_target[usize::from(*column)];
                        if slot != NO_SLOT {
                            sums[usize::from(slot)] += weight * entry;
                        }
                    }
                }
                let cells = own.iter().zip(factors).zip(sums.iter());
                for (((&own, factor), &sum), value) in cells.zip(values.iter_mut()) {
                    if own > 0.0 {
                        *value = own_weight(own, own * factor, sum);
                    } else if sum > 0.0 {
                        *value = squashed(sum);
                    }
                }
                for (score, slots) in scores.iter_mut().zip(asked) {
                    *score = slots
                        .iter()
                        .map(|&slot| weights[usize::from(slot)] * values[usize::from(slot)])
                        .sum();
                }
            }
        });
    }

    /// Turns scores into the slopes of the loss; returns the loss.
    fn softmax(&mut self) -> f64 {
        let queries = self.queries.len();
        let mut losses = 0.0;
        for query in 0..queries {
            let own = self.passages[query];
            let is_twin = |at: usize| at != query && self.passages[at] == own;
            let mut most = f32::MIN;
            for at in 0..self.passages.len() {
                let score = &mut self.scores[at * queries + query];
                *score = if is_twin(at) {
                    f32::NEG_INFINITY
                } else {
                    *score * TEMPERATURE
                };
                most = most.max(*score);
            }
            let mut total = 0.0;
            for at in 0..self.passages.len() {
                let score = &mut self.scores[at * queries + query];
                *score = (*score - most).exp();
                total += *score;
            }
            let own = self.scores[query * queries + query] / total;
            losses -= f64::from(own.max(f32::MIN_POSITIVE).ln());
            for at in 0..self.passages.len() {
                self.scores[at * queries + query] *= TEMPERATURE / total * MEAN;
            }
            self.scores[query * queries + query] -= TEMPERATURE * MEAN;
        }
        losses
    }

    /// Slopes of the loss by the sum of each slot of each passage, and by the factors of own words.
    /// `values` become what each adds to the slope of the slot's weight in queries.
    fn backward(&mut self, threads: usize) {
        let width = self.slots.len();
        let share = self.passages.len().div_ceil(threads);
        let work = self
            .own
            .chunks_mut(share * width)
            .zip(self.sums.chunks(share * width))
            .zip(self.values.chunks_mut(share * width))
            .zip(self.slopes.chunks_mut(share * width))
            .zip(self.scores.chunks(share * self.queries.len()));
        let (asked, weights) = (&self.asked, &self.asked_weights);
        let factors = &self.own_factors;
        in_parallel(work, |((((own, sums), values), slopes), scores)| {
            let rows = own.chunks_mut(width).zip(sums.chunks(width));
            let rows = rows.zip(values.chunks_mut(width));
            let rows = rows
                .zip(slopes.chunks_mut(width))
                .zip(scores.chunks(asked.len()));
            for ((((own, sums), values), slopes), scores) in rows {
                for (score, slots) in scores.iter().zip(asked) {
                    // Slopes that small move nothing and are most of them.
                    if score.abs() > 1e-6 {
                        for &slot in slots {
                            slopes[usize::from(slot)] += score * weights[usize::from(slot)];
                        }
                    }
                }
                let cells = own.iter_mut().zip(factors).zip(sums);
                let cells = cells.zip(values.iter_mut()).zip(slopes);
                for ((((own, factor), &sum), value), slope) in cells {
                    *value *= *slope;
                    let below = if *slope < 0.0 { SLOPE_BELOW_ZERO } else { 0.0 };
                    if *own > 0.0 {
                        let (by_sum, by_factor) = own_slopes(*own, *own * factor, sum, below);
                        *own = *slope * by_factor;
                        *slope *= by_sum;
                    } else {
                        *slope *= squashed_slope(sum, below);
                    }
                }
            }
        });
    }

    fn step_factors(&mut self, problem: &Problem<'_>, model: &mut Model, rate: f32) {
        let width = self.slots.len();
        let mut in_queries = vec![0.0_f32; width];
        let mut in_passages = vec![0.0_f32; width];
        self.uses.clear();
        for (at, &number) in (0_u32..).zip(&self.passages) {
            let row = at as usize * width..(at as usize + 1) * width;
            for (sum, value) in in_queries.iter_mut().zip(&self.values[row.clone()]) {
                *sum += value;
            }
            for (sum, slope) in in_passages.iter_mut().zip(&self.own[row]) {
                *sum += slope;
            }
            let passage = problem.samples[number as usize].passage;
            for (word, weight) in problem.weighted(passage) {
                let source = problem.source_of[word as usize];
                if source != NONE {
                    self.uses.push(Use {
                        source,
                        passage: at,
                        weight,
                    });
                }
            }
        }
        for ((&word, in_query), in_passage) in self.slots.iter().zip(in_queries).zip(in_passages) {
            model.query.step(word, in_query, FACTOR_RATE * rate);
            model.own.step(word, in_passage, FACTOR_RATE * rate);
        }
        // By source, so that each source's entries are walked through once and stay near.
        self.uses.sort_by_key(|used| used.source);
    }

    fn step_entries(
        &mut self,
        problem: &Problem<'_>,
        model: &mut Model,
        rate: f32,
        threads: usize,
    ) {
        let width = self.slots.len();
        let share = self.uses.len().div_ceil(threads).max(1);
        // Cut between sources, so that no two threads share an entry.
        let mut work = Vec::new();
        let (mut uses, mut first_entry) = (&self.uses[..], 0);
        let (mut entries, mut sums, mut gradients) = (
            &mut model.entries[..],
            &mut model.entry_sums[..],
            &mut model.gradients[..],
        );
        while !uses.is_empty() {
            let mut len = share.min(uses.len());
            while len < uses.len() && uses[len].source == uses[len - 1].source {
                len += 1;
            }
            let (part, rest) = uses.split_at(len);
            uses = rest;
            let end = model.pattern.row(part[len - 1].source).end;
            let cut = end - first_entry;
            let (part_entries, rest_entries) = entries.split_at_mut(cut);
            let (part_sums, rest_sums) = sums.split_at_mut(cut);
            let (part_gradients, rest_gradients) = gradients.split_at_mut(cut);
            work.push((part, first_entry, part_entries, part_sums, part_gradients));
            (entries, sums, gradients) = (rest_entries, rest_sums, rest_gradients);
            first_entry = end;
        }
        let (pattern, slopes, by_target) = (&model.pattern, &self.slopes, &self.slot_of_target);
        let _ = problem;
        in_parallel(
            work.into_iter(),
            |(uses, first, entries, sums, gradients)| {
                for same in uses.chunk_by(|a, b| a.source == b.source) {
                    let row = pattern.row(same[0].source);
                    let columns = &pattern.columns[row.clone()];
                    let row = row.start - first..row.end - first;
                    let gradients = &mut gradients[row.clone()];
                    for used in same {
                        let slopes = &slopes[used.passage as usize * width..][..width];
                        for (column, gradient) in columns.iter().zip(gradients.iter_mut()) {
                            let slot = by_target[usize::from(*column)];
                            if slot != NO_SLOT {
                                *gradient += used.weight * slopes[usize::from(slot)];
                            }
                        }
                    }
                    let moved = entries[row.clone()].iter_mut().zip(&mut sums[row]);
                    for ((entry, sum), gradient) in moved.zip(gradients) {
                        if *gradient != 0.0 {
                            *sum += *gradient * *gradient;
                            *entry -= ENTRY_RATE * rate * *gradient / sum.sqrt();
                            *gradient = 0.0;
                        }
                    }
                }
            },
        );
    }
}

/// Does each piece of work, on a thread of its own where there are several.
fn in_parallel<W: Send>(work: impl Iterator<Item = W>, each: impl Fn(W) + Sync) {
    let mut work: Vec<W> = work.collect();
    let Some(last) = work.pop() else { return };
    std::thread::scope(|scope| {
        for piece in work {
            scope.spawn(|| each(piece));
        }
        each(last);
    });
}
