//! Turns the encoder of an autoencoder towards ranking.
//!
//! The backbone stays as it is and its hidden states are read from a cache; what learns is the
//! encoder's matrix and bias. The loss is that of SPLARE (arXiv 2603.13277, section 3.2): a teacher's
//! scores of a query's candidates are distilled, and FLOPS keeps vectors sparse. Where there are no
//! teacher's scores, the other passages of a batch are what the right one is told from.

mod loss;
mod measure;
mod slopes;
mod texts;

#[cfg(test)]
mod tests;

use std::{collections::HashMap, path::PathBuf};

pub use self::measure::Ranked;
use self::{
    loss::{distil, divergence, softmax},
    slopes::{Batch, Grouped, Moved, Side, flops},
    texts::{Head, Texts, scores},
};
use super::{
    adam::{Adam, Moments},
    cache::HiddenCache,
    checkpoint::{self, Place, named},
    order::Order,
    scheduled,
    weights::{add_scaled, dot, normalize},
};
use crate::{
    encode::sae::{Autoencoder, AutoencoderParts},
    error::{Error, Result},
    progress::Progress,
    train::random::{digest, mix},
};

/// A query with its candidates, as numbers of texts in a [`HiddenCache`].
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// The query.
    pub query: usize,
    /// Passages: the right one, then others that are wrong or worse.
    pub candidates: Vec<usize>,
    /// What a teacher gives each candidate, where there is a teacher.
    pub teacher: Option<Vec<f32>>,
}

/// What of a teacher's scores is imitated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distillation {
    /// Their softmax, by the Kullback-Leibler divergence.
    Divergence,
    /// The differences between the right candidate's and the others'.
    Margins,
}

/// How to tune for ranking. The defaults that have a source have the paper's values.
#[derive(Clone, Debug)]
pub struct RankingOptions {
    /// Queries of a step. 32.
    pub batch: usize,
    /// Passes over the examples. 1.
    pub epochs: u32,
    /// The highest learning rate. 0.0003.
    pub rate: f32,
    /// Share of the steps over which it rises. 0.05; it falls to nothing over the rest.
    pub warm_up: f32,
    /// Candidates of an example besides the right one; further ones are left out. 8.
    pub negatives: usize,
    /// Tokens of a query that count, and of a passage. 64 and 128.
    pub tokens: (usize, usize),
    /// By what scores are divided before the softmax. 20.
    pub temperature: f32,
    /// What is imitated of a teacher's scores.
    pub distillation: Distillation,
    /// Weight of the cross-entropy of the right passage among those of the batch, for examples without
    /// scores. 1.
    pub contrast: f32,
    /// Weight of a teacher that needs no scores: the softmax of the cosines of mean hidden states over
    /// the passages of the batch. For backbones that were trained to be used so; 0, the default, for none.
    pub pooled: f32,
    /// By what those cosines are multiplied. 20.
    pub pooled_scale: f32,
    /// Weights of FLOPS for queries and passages. 0.0001 and 0.0001.
    pub flops: (f32, f32),
    /// Share of the steps over which they rise, with the square of what is done. 0.3.
    pub flops_rise: f32,
    /// The last examples, which are not learned from but ranked among themselves. 0.05, as a share.
    pub held_out: f32,
    /// Latents of a query and of a passage that count where ranking is measured. 40 and 400.
    pub pruning: (usize, usize),
    /// Threads to work on; the result does not depend on it. 1.
    pub threads: usize,
    /// Decides every random choice. 1.
    pub seed: u64,
    /// As of [`AutoencoderOptions::checkpoint`](super::AutoencoderOptions::checkpoint).
    pub checkpoint: Option<PathBuf>,
    /// Steps between checkpoints, and between measurements on what is held out. 50.
    pub checkpoint_every: u64,
}

impl Default for RankingOptions {
    fn default() -> RankingOptions {
        RankingOptions {
            batch: 32,
            epochs: 1,
            rate: 3e-4,
            warm_up: 0.05,
            negatives: 8,
            tokens: (64, 128),
            temperature: 20.0,
            distillation: Distillation::Divergence,
            contrast: 1.0,
            pooled: 0.0,
            pooled_scale: 20.0,
            flops: (1e-4, 1e-4),
            flops_rise: 0.3,
            held_out: 0.05,
            pruning: (40, 400),
            threads: 1,
            seed: 1,
            checkpoint: None,
            checkpoint_every: 50,
        }
    }
}

/// What a tuning did.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RankingReport {
    /// Steps of gradient descent.
    pub steps: u64,
    /// Examples learned from in a pass.
    pub examples: usize,
    /// The loss of each step, regularizers included.
    pub losses: Vec<f32>,
    /// How the held-out examples rank before the first step, at every checkpoint of this run, and at
    /// the end, by step. Empty where none are held out.
    pub measured: Vec<(u64, Ranked)>,
}

/// Tunes the encoder of `autoencoder` on `examples`, whose texts are in `cache`.
///
/// # Errors
/// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when an option is out of its range, an
/// example names a text that is not there, has no candidates or as many scores as it should not, or
/// the cache is of another width; [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for
/// autoencoders that normalize; [`ErrorKind::Model`](crate::ErrorKind::Model) when a hidden state is not
/// finite or the loss overflows; [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled); what writing a checkpoint can fail with.
pub fn tune_for_ranking(
    autoencoder: &Autoencoder,
    cache: &HiddenCache,
    examples: &[Example],
    options: &RankingOptions,
    progress: &mut Progress<'_>,
) -> Result<(Autoencoder, RankingReport)> {
    options.check()?;
    check(examples, cache)?;
    let parts = autoencoder.to_parts();
    let (learned, held) = split(examples, options);
    let steps = (learned.len() as u64 * u64::from(options.epochs)).div_ceil(options.batch as u64);
    let digest =
        digest(format!("{} {} {:?}", options.words(), cache.digest(), examples).as_bytes());
    let head = Head::new(parts.clone(), cache.width())?;
    let mut tuning = Tuning {
        of_encoder: Moments::new(head.encoder.len()),
        of_bias: Moments::new(head.bias.len()),
        head,
        cache,
        examples: learned,
        options,
        steps,
    };
    let mut place = Place::default();
    if let Some(path) = options.checkpoint.as_ref().filter(|path| path.exists()) {
        place = checkpoint::read(path, tuning.blocks(), digest)?;
    }
    let mut measured = Vec::new();
    let mut measure = |head: &Head, step: u64, progress: &mut Progress<'_>| -> Result<()> {
        if !held.is_empty() {
            progress.step("ranking what is held out", step, steps)?;
            measured.push((step, measure::rank(head, cache, held, options)?));
        }
        Ok(())
    };
    measure(&tuning.head, place.step, progress)?;
    while place.step < steps {
        progress.step("tuning for ranking", place.step, steps)?;
        let loss = tuning.step(place.step)?;
        place.losses.push(loss);
        place.step += 1;
        if place.step % options.checkpoint_every.max(1) == 0 || place.step == steps {
            if let Some(path) = &options.checkpoint {
                checkpoint::write(path, &place, &tuning.blocks(), digest)?;
            }
            measure(&tuning.head, place.step, progress)?;
        }
    }
    let report = RankingReport {
        steps,
        examples: learned.len(),
        losses: place.losses,
        measured,
    };
    let tuned = Autoencoder::from_parts(AutoencoderParts {
        encoder: tuning.head.encoder,
        bias: tuning.head.bias,
        ..parts
    })?;
    Ok((tuned, report))
}

/// Examples that are learned from, and those that are held out.
fn split<'a>(examples: &'a [Example], options: &RankingOptions) -> (&'a [Example], &'a [Example]) {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a count"
    )]
    let held = (examples.len() as f64 * f64::from(options.held_out)) as usize;
    examples.split_at(examples.len() - held)
}

fn check(examples: &[Example], cache: &HiddenCache) -> Result<()> {
    let refuse = |number: usize, expected: String, found: String| {
        Err(Error::invalid(format!("example {number}"), expected, found))
    };
    for (number, example) in examples.iter().enumerate() {
        let texts = example.candidates.iter().chain([&example.query]);
        if let Some(text) = texts.copied().find(|text| *text >= cache.texts()) {
            return refuse(
                number,
                format!("texts below {}", cache.texts()),
                text.to_string(),
            );
        }
        if example.candidates.is_empty() {
            return refuse(
                number,
                "a right passage at least".to_owned(),
                "no candidates".to_owned(),
            );
        }
        let Some(teacher) = &example.teacher else {
            continue;
        };
        if teacher.len() != example.candidates.len() {
            return refuse(
                number,
                format!(
                    "{} scores of a teacher, one a candidate",
                    example.candidates.len()
                ),
                teacher.len().to_string(),
            );
        }
        if let Some(score) = teacher.iter().find(|score| !score.is_finite()) {
            return refuse(
                number,
                "finite scores of a teacher".to_owned(),
                score.to_string(),
            );
        }
    }
    if examples.is_empty() {
        return Err(Error::invalid(
            "examples for ranking",
            "at least one",
            "none: the file of pairs was empty",
        ));
    }
    Ok(())
}

impl RankingOptions {
    fn check(&self) -> Result<()> {
        let share = 0.0..=1.0;
        for (what, value, range) in [
            ("learning rate", self.rate, &share),
            ("share of warm-up", self.warm_up, &share),
            ("share held out", self.held_out, &(0.0..=0.5)),
            ("temperature", self.temperature, &(1e-3..=1e6)),
            ("weight of the contrast", self.contrast, &(0.0..=1e6)),
            ("weight of the pooled teacher", self.pooled, &(0.0..=1e6)),
            (
                "scale of the pooled teacher",
                self.pooled_scale,
                &(0.0..=1e6),
            ),
            ("weight of FLOPS for queries", self.flops.0, &(0.0..=1e6)),
            ("weight of FLOPS for passages", self.flops.1, &(0.0..=1e6)),
            ("share of the rise of FLOPS", self.flops_rise, &share),
        ] {
            if !range.contains(&value) {
                return Err(Error::invalid(
                    what,
                    format!("{} to {}", range.start(), range.end()),
                    value.to_string(),
                ));
            }
        }
        if self.batch == 0
            || self.batch > 1 << 14
            || self.epochs == 0
            || self.tokens.0 == 0
            || self.tokens.1 == 0
        {
            return Err(Error::invalid(
                "queries of a step, passes and tokens",
                "1 to 16,384, and at least 1",
                format!("{}, {} and {:?}", self.batch, self.epochs, self.tokens),
            ));
        }
        Ok(())
    }

    fn words(&self) -> String {
        let same = RankingOptions {
            threads: 1,
            checkpoint: None,
            checkpoint_every: 1,
            ..self.clone()
        };
        format!("{same:?}")
    }
}

/// A tuning under way.
struct Tuning<'a> {
    head: Head,
    of_encoder: Moments,
    of_bias: Moments,
    cache: &'a HiddenCache,
    examples: &'a [Example],
    options: &'a RankingOptions,
    steps: u64,
}

/// A batch that was run.
struct Forward {
    queries: Texts,
    passages: Texts,
    /// Of FLOPS.
    weights: (f32, f32),
    /// Of the loss by the scores.
    slopes: Vec<f32>,
    loss: f64,
}

impl Forward {
    fn batch(&self, width: usize) -> Batch<'_> {
        Batch {
            width,
            queries: (
                &self.queries,
                Side {
                    fired: &self.queries.fired,
                    flops: self.weights.0,
                },
            ),
            passages: (
                &self.passages,
                Side {
                    fired: &self.passages.fired,
                    flops: self.weights.1,
                },
            ),
            slopes: &self.slopes,
        }
    }
}

impl Tuning<'_> {
    fn blocks(&mut self) -> Vec<checkpoint::Named<'_>> {
        let mut blocks = Vec::from(named(
            checkpoint::ENCODER,
            &mut self.head.encoder,
            &mut self.of_encoder,
        ));
        blocks.extend(named(
            checkpoint::ENCODER_BIAS,
            &mut self.head.bias,
            &mut self.of_bias,
        ));
        blocks
    }

    /// The examples of a step. Each pass has its own order; a batch may reach into the next.
    fn batch(&self, step: u64) -> Vec<&Example> {
        let (count, batch) = (self.examples.len() as u64, self.options.batch as u64);
        let places = step * batch..(step + 1) * batch.min(count);
        let at = |place: u64| {
            let order = Order::new(count, mix(self.options.seed.wrapping_add(place / count)));
            usize::try_from(order.at(place % count)).unwrap_or(0)
        };
        places
            .take(self.options.batch.min(self.examples.len()))
            .map(|place| &self.examples[at(place)])
            .collect()
    }

    /// Learns from a batch; returns its loss.
    fn step(&mut self, step: u64) -> Result<f32> {
        let options = self.options;
        let forward = self.forward(step)?;
        let rate = scheduled(
            options.rate,
            step,
            self.steps,
            options.warm_up,
            1.0 - options.warm_up,
        );
        let moved = Moved {
            encoder: &mut self.head.encoder,
            of_encoder: &mut self.of_encoder,
            bias: &mut self.head.bias,
            of_bias: &mut self.of_bias,
        };
        Grouped::new(moved.bias.len(), forward.batch(self.head.width)).descend(
            moved,
            Adam::new(step, rate),
            options.threads,
        );
        #[expect(clippy::cast_possible_truncation, reason = "a loss to look at")]
        let loss = forward.loss as f32;
        Ok(loss)
    }

    /// The loss of a batch, and all that its slopes are made of.
    fn forward(&self, step: u64) -> Result<Forward> {
        let options = self.options;
        let examples = self.batch(step);
        let mut numbered = Numbered::default();
        let candidates: Vec<Vec<usize>> = examples
            .iter()
            .map(|example| {
                example
                    .candidates
                    .iter()
                    .take(options.negatives + 1)
                    .map(|text| numbered.number(*text))
                    .collect()
            })
            .collect();
        let queries: Vec<usize> = examples.iter().map(|example| example.query).collect();
        let queries = self
            .head
            .run(self.cache, &queries, options.tokens.0, options.threads)?;
        let passages = self.head.run(
            self.cache,
            &numbered.texts,
            options.tokens.1,
            options.threads,
        )?;
        let latents = self.head.latents();
        let found = scores(latents, &queries.fired, &passages.fired, options.threads);
        let (ranked, slopes) = self.rank(&examples, &candidates, &numbered.texts, &found);
        let done = (step + 1) as f32 / (self.steps as f32 * options.flops_rise).max(1.0);
        let rise = done.min(1.0).powi(2);
        let weights = (options.flops.0 * rise, options.flops.1 * rise);
        let loss = ranked
            + f64::from(weights.0) * flops(latents, &queries.fired)
            + f64::from(weights.1) * flops(latents, &passages.fired);
        if !loss.is_finite() {
            return Err(Error::model(
                "tuning for ranking",
                format!(
                    "the loss of step {step} is {loss}: lower the learning rate, or raise the temperature"
                ),
            ));
        }
        Ok(Forward {
            queries,
            passages,
            weights,
            slopes,
            loss,
        })
    }

    /// The mean loss of the queries by their scores, and its slopes.
    fn rank(
        &self,
        examples: &[&Example],
        candidates: &[Vec<usize>],
        passages: &[usize],
        found: &[f32],
    ) -> (f64, Vec<f32>) {
        let options = self.options;
        let share = 1.0 / examples.len() as f64;
        let pooled = (options.pooled > 0.0).then(|| self.cosines(examples, passages));
        let mut total = 0.0;
        let mut all = Vec::with_capacity(found.len());
        for (number, (example, own)) in examples.iter().zip(candidates).enumerate() {
            let row = number * passages.len()..(number + 1) * passages.len();
            let found = &found[row.clone()];
            let mut slopes = vec![0.0; passages.len()];
            if let Some(teacher) = &example.teacher {
                let of = |at: &usize| found[*at];
                let own_scores: Vec<f32> = own.iter().map(of).collect();
                let mut own_slopes = vec![0.0; own.len()];
                total += distil(
                    options.distillation,
                    &own_scores,
                    &teacher[..own.len()],
                    options.temperature,
                    share,
                    &mut own_slopes,
                );
                own.iter()
                    .zip(own_slopes)
                    .for_each(|(at, slope)| slopes[*at] += slope);
            } else if options.contrast > 0.0 {
                let mut wanted = vec![0.0; passages.len()];
                wanted[own[0]] = 1.0;
                total += divergence(
                    found,
                    &wanted,
                    options.temperature,
                    share * f64::from(options.contrast),
                    &mut slopes,
                );
            }
            if let Some(pooled) = &pooled {
                let wanted = softmax(&pooled[row], 1.0 / options.pooled_scale.max(1e-6));
                total += divergence(
                    found,
                    &wanted,
                    options.temperature,
                    share * f64::from(options.pooled),
                    &mut slopes,
                );
            }
            #[expect(
                clippy::cast_possible_truncation,
                reason = "slopes in single precision"
            )]
            all.extend(slopes.iter().map(|slope| *slope as f32));
        }
        (total, all)
    }

    /// The cosines of mean hidden states, a row a query.
    fn cosines(&self, examples: &[&Example], passages: &[usize]) -> Vec<f32> {
        let mean = |text: usize| {
            let (width, range) = (self.cache.width(), self.cache.text(text));
            let mut mean = vec![0.0; width];
            let mut rows = vec![0.0; range.len() * width];
            // Rows that are not finite were refused when the batch was run.
            let _ = self.cache.read(range.start, &mut rows);
            rows.chunks_exact(width)
                .for_each(|row| add_scaled(&mut mean, 1.0, row));
            normalize(&mut mean);
            mean
        };
        let passages: Vec<Vec<f32>> = passages.iter().map(|text| mean(*text)).collect();
        let queries = examples.iter().map(|example| mean(example.query));
        queries
            .flat_map(|query| {
                passages
                    .iter()
                    .map(|passage| dot(&query, passage))
                    .collect::<Vec<f32>>()
            })
            .collect()
    }
}

/// Texts, each once, numbered as they came.
#[derive(Debug, Default)]
struct Numbered {
    texts: Vec<usize>,
    numbers: HashMap<usize, usize>,
}

impl Numbered {
    fn number(&mut self, text: usize) -> usize {
        *self.numbers.entry(text).or_insert_with(|| {
            self.texts.push(text);
            self.texts.len() - 1
        })
    }
}
