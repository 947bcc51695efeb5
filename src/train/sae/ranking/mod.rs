//! Turns the encoder of an autoencoder towards ranking.
//!
//! The backbone stays as it is and its hidden states are read from a cache; what learns is the
//! encoder's matrix and bias. The loss is that of SPLARE (arXiv 2603.13277, section 3.2): a teacher's
//! scores of a query's candidates are distilled, and FLOPS keeps vectors sparse. Where there are no
//! teacher's scores, the other passages of a batch are what the right one is told from.

mod best;
mod loss;
mod measure;
mod options;
mod slopes;
mod texts;
mod tuning;

#[cfg(test)]
mod tests;

use self::{best::Best, texts::Head, tuning::Tuning};
pub use self::{
    measure::Ranked,
    options::{Distillation, RankingOptions},
};
use super::{
    adam::Moments,
    cache::HiddenCache,
    checkpoint::{self, Place},
};
use crate::{
    encode::sae::{Autoencoder, AutoencoderParts},
    error::{Error, Result},
    progress::Progress,
    train::random::digest,
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
    /// The step whose weights were kept: the one that ranked best, or the last where none are held
    /// out.
    pub kept: u64,
}

/// Tunes the encoder of `autoencoder` on `examples`, whose texts are in `cache`. Returns the weights
/// that ranked the held-out examples best at any measurement, which may be the first ones.
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
    let batch = options.batch.min(learned.len()) as u64;
    let steps = (learned.len() as u64 * u64::from(options.epochs)).div_ceil(batch);
    let digest = identity(examples, cache, options);
    let head = Head::new(parts.clone(), cache.width())?;
    let mut tuning = Tuning {
        of_encoder: Moments::new(head.encoder.len()),
        of_bias: Moments::new(head.bias.len()),
        head,
        cache,
        examples: learned,
        options,
        steps,
        batch,
    };
    let mut place = Place::default();
    let mut best = (!held.is_empty()).then(|| Best::new(&tuning.head));
    if let Some(path) = options.checkpoint.as_ref().filter(|path| path.exists()) {
        place = checkpoint::read(path, blocks(&mut tuning, &mut best), digest)?;
    }
    let mut measured = Vec::new();
    let mut measure =
        |head: &Head, step: u64, best: &mut Option<Best>, progress: &mut Progress<'_>| {
            let Some(best) = best else { return Ok(()) };
            progress.step("ranking what is held out", step, steps)?;
            let ranked = measure::rank(head, cache, held, options)?;
            best.offer(head, step, ranked.ndcg_at_10);
            measured.push((step, ranked));
            Result::Ok(())
        };
    measure(&tuning.head, place.step, &mut best, progress)?;
    while place.step < steps {
        progress.step("tuning for ranking", place.step, steps)?;
        let loss = tuning.step(place.step)?;
        place.losses.push(loss);
        place.step += 1;
        if place.step.is_multiple_of(options.checkpoint_every.max(1)) || place.step == steps {
            measure(&tuning.head, place.step, &mut best, progress)?;
            if let Some(path) = &options.checkpoint {
                checkpoint::write(path, &place, &blocks(&mut tuning, &mut best), digest)?;
            }
        }
    }
    let kept = match best {
        Some(best) => best.restore(&mut tuning.head),
        None => steps,
    };
    let report = RankingReport {
        steps,
        examples: learned.len(),
        losses: place.losses,
        measured,
        kept,
    };
    let tuned = Autoencoder::from_parts(AutoencoderParts {
        encoder: tuning.head.encoder,
        bias: tuning.head.bias,
        ..parts
    })?;
    Ok((tuned, report))
}

/// All that a checkpoint holds.
fn blocks<'a>(
    tuning: &'a mut Tuning<'_>,
    best: &'a mut Option<Best>,
) -> Vec<checkpoint::Named<'a>> {
    let mut blocks = tuning.blocks();
    blocks.extend(best.iter_mut().flat_map(Best::blocks));
    blocks
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

/// A digest of all that the result depends on.
fn identity(examples: &[Example], cache: &HiddenCache, options: &RankingOptions) -> u64 {
    let mut bytes = options.words().into_bytes();
    bytes.extend(cache.digest().to_le_bytes());
    for example in examples {
        for number in [example.query, example.candidates.len()]
            .iter()
            .chain(&example.candidates)
        {
            bytes.extend((*number as u64).to_le_bytes());
        }
        for score in example.teacher.iter().flatten() {
            bytes.extend(score.to_le_bytes());
        }
        bytes.push(u8::from(example.teacher.is_some()));
    }
    digest(&bytes)
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
