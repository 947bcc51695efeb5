//! A step of the tuning: a batch, its loss, its slopes.

use std::collections::HashMap;

use super::{
    Example, RankingOptions,
    loss::{distil, divergence, softmax},
    slopes::{Batch, Grouped, Moved, Side, flops},
    texts::{Head, Texts, scores},
};
use crate::{
    error::{Error, Result},
    train::{
        random::mix,
        sae::{
            adam::{Adam, Moments},
            cache::HiddenCache,
            checkpoint::{self, named},
            order::Order,
            scheduled,
            weights::{add_scaled, dot, normalize},
        },
    },
};

/// A tuning under way.
pub(super) struct Tuning<'a> {
    pub(super) head: Head,
    pub(super) of_encoder: Moments,
    pub(super) of_bias: Moments,
    pub(super) cache: &'a HiddenCache,
    pub(super) examples: &'a [Example],
    pub(super) options: &'a RankingOptions,
    pub(super) steps: u64,
    /// Examples of a step.
    pub(super) batch: u64,
}

/// A batch that was run.
pub(super) struct Forward {
    queries: Texts,
    passages: Texts,
    /// Of FLOPS.
    weights: (f32, f32),
    /// Of the loss by the scores.
    slopes: Vec<f32>,
    pub(super) loss: f64,
}

impl Forward {
    pub(super) fn grouped(&self, width: usize) -> Batch<'_> {
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
    pub(super) fn blocks(&mut self) -> Vec<checkpoint::Named<'_>> {
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
        let (count, batch) = (self.examples.len() as u64, self.batch);
        let at = |place: u64| {
            let order = Order::new(count, mix(self.options.seed.wrapping_add(place / count)));
            usize::try_from(order.at(place % count)).unwrap_or(0)
        };
        let places = step * batch..(step + 1) * batch;
        places.map(|place| &self.examples[at(place)]).collect()
    }

    /// Learns from a batch; returns its loss.
    pub(super) fn step(&mut self, step: u64) -> Result<f32> {
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
        Grouped::new(moved.bias.len(), forward.grouped(self.head.width)).descend(
            moved,
            Adam::new(step, rate),
            options.threads,
        );
        #[expect(clippy::cast_possible_truncation, reason = "a loss to look at")]
        let loss = forward.loss as f32;
        Ok(loss)
    }

    /// The loss of a batch, and all that its slopes are made of.
    pub(super) fn forward(&self, step: u64) -> Result<Forward> {
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
pub(super) struct Numbered {
    pub(super) texts: Vec<usize>,
    numbers: HashMap<usize, usize>,
}

impl Numbered {
    pub(super) fn number(&mut self, text: usize) -> usize {
        *self.numbers.entry(text).or_insert_with(|| {
            self.texts.push(text);
            self.texts.len() - 1
        })
    }
}
