//! What an autoencoder learns, and where it starts.

use super::{AutoencoderOptions, Start, cache::HiddenCache, order::Order};
use crate::{error::Result, train::random::Random};

/// The weights of an autoencoder over rows that are [scaled](Scaling) but not centered.
#[derive(Clone, Debug)]
pub(super) struct Weights {
    pub(super) width: usize,
    /// `[latents, width]`.
    pub(super) encoder: Vec<f32>,
    pub(super) encoder_bias: Vec<f32>,
    /// `[latents, width]`, a row a latent, each of length 1.
    pub(super) decoder: Vec<f32>,
    pub(super) decoder_bias: Vec<f32>,
}

/// What is known of the data before training.
#[derive(Clone, Debug)]
pub(super) struct Scaling {
    /// Rows are multiplied by this, so that their mean length is the root of their width.
    pub(super) input: f32,
    /// Mean squared distance of scaled rows from their mean.
    pub(super) variance: f64,
    pub(super) center: Vec<f32>,
}

/// Tokens that scale and center are taken from.
const SAMPLE: usize = 16_384;
/// Steps of Weiszfeld's method; each halves the distance to go, about.
const MEDIAN_STEPS: usize = 16;

impl Weights {
    pub(super) fn latents(&self) -> usize {
        self.encoder_bias.len()
    }

    /// Where training starts: directions in the decoder, the encoder its transpose (OpenAI's "Scaling
    /// and evaluating sparse autoencoders", arXiv 2406.04093, appendix A.1).
    pub(super) fn start(
        cache: &HiddenCache,
        tokens: usize,
        scaling: &Scaling,
        options: &AutoencoderOptions,
    ) -> Result<Weights> {
        let width = cache.width();
        let mut decoder = vec![0.0; options.latents * width];
        let order = Order::new(tokens as u64, options.seed ^ 0x7374_6172_7400);
        for (latent, row) in (0_u64..).zip(decoder.chunks_exact_mut(width)) {
            let mut random =
                Random::new(options.seed.wrapping_add(latent.wrapping_mul(0x9e37_79b9)));
            random.next();
            // Three of four parts the token, where there are tokens: latents that start where data is
            // are not born dead, and those of one token still differ.
            let noise = match options.start {
                Start::Random => 1.0,
                Start::Tokens => {
                    let token = usize::try_from(order.at(latent % tokens as u64)).unwrap_or(0);
                    cache.read(token, row)?;
                    for (value, center) in row.iter_mut().zip(&scaling.center) {
                        *value = *value * scaling.input - center;
                    }
                    normalize(row);
                    0.25
                }
            };
            let mut other: Vec<f32> = (0..width).map(|_| bell(&mut random)).collect();
            normalize(&mut other);
            for (value, other) in row.iter_mut().zip(other) {
                *value = (1.0 - noise) * *value + noise * other;
            }
            normalize(row);
        }
        Ok(Weights {
            width,
            encoder: decoder.clone(),
            encoder_bias: vec![0.0; options.latents],
            decoder,
            decoder_bias: scaling.center.clone(),
        })
    }
}

impl Scaling {
    /// Of the first `tokens` tokens of `cache`.
    pub(super) fn measure(
        cache: &HiddenCache,
        tokens: usize,
        seed: u64,
        median: bool,
    ) -> Result<Scaling> {
        let width = cache.width();
        let order = Order::new(tokens as u64, seed ^ 0x7363_616c_6500);
        let count = tokens.min(SAMPLE);
        let mut rows = vec![0.0_f32; count * width];
        for (place, row) in (0_u64..).zip(rows.chunks_exact_mut(width)) {
            cache.read(usize::try_from(order.at(place)).unwrap_or(0), row)?;
        }
        let lengths: f64 = rows
            .chunks_exact(width)
            .map(|row| f64::from(dot(row, row)).sqrt())
            .sum();
        let mean_length = lengths / count as f64;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a scale in single precision"
        )]
        let input = if mean_length > 0.0 {
            ((width as f64).sqrt() / mean_length) as f32
        } else {
            1.0
        };
        rows.iter_mut().for_each(|value| *value *= input);
        let mean = weighted_mean(&rows, width, |_| 1.0);
        let variance = rows
            .chunks_exact(width)
            .map(|row| f64::from(distance2(row, &mean)))
            .sum::<f64>()
            / count as f64;
        let mut center = mean;
        if median {
            for _ in 0..MEDIAN_STEPS {
                center = weighted_mean(&rows, width, |row| {
                    1.0 / f64::from(distance2(row, &center)).sqrt().max(1e-6)
                });
            }
        }
        Ok(Scaling {
            input,
            variance: variance.max(f64::MIN_POSITIVE),
            center,
        })
    }
}

fn weighted_mean(rows: &[f32], width: usize, weight: impl Fn(&[f32]) -> f64) -> Vec<f32> {
    let mut sums = vec![0.0_f64; width];
    let mut total = 0.0;
    for row in rows.chunks_exact(width) {
        let weight = weight(row);
        total += weight;
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum += weight * f64::from(*value);
        }
    }
    #[expect(clippy::cast_possible_truncation, reason = "back to single precision")]
    sums.iter().map(|sum| (sum / total) as f32).collect()
}

/// About normal, by the sum of four even numbers: no function whose last bit platforms differ in.
fn bell(random: &mut Random) -> f32 {
    let even = |bits: u64| f32::from(u16::try_from(bits & 0xffff).unwrap_or(0)) / 65_536.0 - 0.5;
    let bits = random.next();
    even(bits) + even(bits >> 16) + even(bits >> 32) + even(bits >> 48)
}

pub(super) fn normalize(row: &mut [f32]) {
    let length = dot(row, row).sqrt();
    if length > 0.0 {
        row.iter_mut().for_each(|value| *value /= length);
    }
}

/// Sums in 16 lanes, so that it becomes vector code and the order of additions is always the same.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; 16];
    let (a, a_rest) = a.as_chunks::<16>();
    let (b, b_rest) = b.as_chunks::<16>();
    for (a, b) in a.iter().zip(b) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    lanes.iter().sum::<f32>() + rest
}

pub(super) fn distance2(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// Adds `factor * from` to `to`.
pub(super) fn add_scaled(to: &mut [f32], factor: f32, from: &[f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += factor * from;
    }
}
