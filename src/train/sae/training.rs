//! The loop: tokens in a shuffled order, their slopes, a step of every weight.

use super::{
    AutoencoderOptions, AutoencoderReport, Center,
    adam::Adam,
    cache::HiddenCache,
    checkpoint,
    descent::{State, descend},
    gradient::{Scale, Setting, pass},
    order::Order,
    report, scheduled,
    weights::{Scaling, Weights, dot},
};
use crate::{
    encode::sae::{Activation, Autoencoder, AutoencoderParts, Input, InputNorm},
    error::Result,
    progress::Progress,
    train::random::{digest, mix},
};

/// A tenth of the tokens, but not more, makes a latent dead.
const DEAD_AFTER_MAX: u64 = 10_000_000;

/// An autoencoder that was trained, in plain numbers.
///
/// A hidden state `h` of `width` numbers has the latents `TopK(encoder (scale h - decoder_bias) +
/// encoder_bias)` and is made again as `(decoder^T latents + decoder_bias) / scale`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Learned {
    /// Numbers of a hidden state.
    pub width: usize,
    /// Latents that are kept of a token.
    pub active: usize,
    /// By what hidden states are multiplied first.
    pub input_scale: f32,
    /// `[latents, width]`.
    pub encoder: Vec<f32>,
    /// `[latents]`.
    pub encoder_bias: Vec<f32>,
    /// `[latents, width]`, each row of length 1.
    pub decoder: Vec<f32>,
    /// `[width]`.
    pub decoder_bias: Vec<f32>,
}

impl Learned {
    /// The encoder of it.
    ///
    /// # Errors
    /// [`ErrorKind::Model`](crate::ErrorKind::Model) when a weight is NaN or infinite: the training diverged.
    pub fn into_autoencoder(self) -> Result<Autoencoder> {
        let latents = self.encoder_bias.len();
        Autoencoder::from_parts(AutoencoderParts {
            encoder: self.encoder,
            bias: self.encoder_bias,
            input: Input {
                norm: InputNorm::None,
                scale: self.input_scale,
                subtracted: Some(self.decoder_bias),
            },
            ..AutoencoderParts::new(self.width, latents, Activation::TopK(self.active))
        })
    }
}

/// What does not.
struct Training<'a> {
    options: &'a AutoencoderOptions,
    cache: &'a HiddenCache,
    scaling: Scaling,
    /// Tokens that are learned from, the first of the cache.
    tokens: u64,
    batch: u64,
    steps: u64,
    dead_after: f32,
}

/// Trains a TopK autoencoder on the hidden states of `cache`.
///
/// # Errors
/// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when an option is out of its range, the cache is
/// empty, or the checkpoint is another training's; [`ErrorKind::Model`](crate::ErrorKind::Model) when a hidden
/// state is NaN or infinite; [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled); what writing a
/// checkpoint can fail with.
///
/// # Examples
/// ```
/// use sparsely::{Progress, train::sae::{AutoencoderOptions, HiddenCache, HiddenWriter, Precision, train_autoencoder}};
/// let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("hidden.cache");
/// let mut writer = HiddenWriter::create(&path, 4, Precision::Half, 0, 1 << 20)?;
/// for n in 0..200_u8 {
///     // One of four directions, and never quite the same.
///     let mut hidden = [0.01 * f32::from(n % 7); 4];
///     hidden[usize::from(n) % 4] += 1.0;
///     writer.add(&hidden)?;
/// }
/// writer.finish()?;
/// let cache = HiddenCache::open(&path)?;
/// let options = AutoencoderOptions { latents: 8, active: 1, batch: 32, epochs: 30, rate: 0.02, ..AutoencoderOptions::default() };
/// let (learned, report) = train_autoencoder(&cache, &options, &mut Progress::none())?;
/// assert_eq!(learned.encoder.len(), 8 * 4);
/// assert!(report.explained_variance > 0.9);
/// # Ok::<(), sparsely::Error>(())
/// ```
pub fn train_autoencoder(
    cache: &HiddenCache,
    options: &AutoencoderOptions,
    progress: &mut Progress<'_>,
) -> Result<(Learned, AutoencoderReport)> {
    options.check(cache)?;
    progress.step("measuring hidden states", 0, 0)?;
    let held = held_out(cache, options);
    let tokens = held.start as u64;
    let batch = (options.batch as u64).min(tokens);
    let steps = (tokens * u64::from(options.epochs)).div_ceil(batch);
    let dead_after = options
        .dead_after
        .unwrap_or((steps * batch / 10).min(DEAD_AFTER_MAX));
    let training = Training {
        scaling: Scaling::measure(
            cache,
            held.start,
            options.seed,
            options.center == Center::Median,
        )?,
        options,
        cache,
        tokens,
        batch,
        steps,
        dead_after: dead_after as f32 / batch as f32,
    };
    let digest = digest(
        format!(
            "{} {} {} {:x}",
            options.words(),
            cache.texts(),
            cache.tokens(),
            cache.digest()
        )
        .as_bytes(),
    );
    let mut state = State::new(Weights::start(
        cache,
        held.start,
        &training.scaling,
        options,
    )?);
    match &options.checkpoint {
        Some(path) if path.exists() => {
            state.place = checkpoint::read(path, state.blocks(), digest)?
        }
        _ => training.balance(&mut state.weights)?,
    }
    while state.place.step < steps {
        progress.step("training the autoencoder", state.place.step, steps)?;
        training.step(&mut state)?;
        if let Some(path) = &options.checkpoint
            && (state
                .place
                .step
                .is_multiple_of(options.checkpoint_every.max(1))
                || state.place.step == steps)
        {
            let place = state.place.clone();
            checkpoint::write(path, &place, &state.blocks(), digest)?;
        }
    }
    progress.step("measuring the autoencoder", 0, 0)?;
    let measured = if held.is_empty() { 0..held.start } else { held };
    let held_out_tokens = measured.len();
    let (explained_variance, l0, unused) = report::measure(
        cache,
        measured,
        &state.weights,
        &training.scaling,
        options.active,
        options.threads,
    )?;
    let dead = state.dead(training.dead_after).len();
    let report = AutoencoderReport {
        steps,
        tokens: steps * batch,
        held_out_tokens,
        explained_variance,
        l0,
        unused,
        dead: dead as f64 / options.latents as f64,
        losses: state.place.losses,
    };
    let weights = state.weights;
    let learned = Learned {
        width: weights.width,
        active: options.active,
        input_scale: training.scaling.input,
        encoder: weights.encoder,
        encoder_bias: weights.encoder_bias,
        decoder: weights.decoder,
        decoder_bias: weights.decoder_bias,
    };
    Ok((learned, report))
}

/// The tokens of the last texts.
fn held_out(cache: &HiddenCache, options: &AutoencoderOptions) -> std::ops::Range<usize> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a count"
    )]
    let texts = (cache.texts() as f64 * f64::from(options.held_out)) as usize;
    let end = cache.tokens();
    match cache.texts().checked_sub(texts) {
        Some(first) if first > 0 && first < cache.texts() && cache.text(first).start > 0 => {
            cache.text(first).start..end
        }
        _ => end..end,
    }
}

impl Training<'_> {
    /// Multiplies the encoder so that what is made of the first batch is as long as it should be:
    /// latents that point the same way add up.
    fn balance(&self, weights: &mut Weights) -> Result<()> {
        let rows = self.rows(0)?;
        let setting = Setting {
            active: self.options.active,
            auxiliary: 0,
            dead: &[],
            threads: self.options.threads,
        };
        let (mut along, mut own) = (0.0_f64, 0.0_f64);
        for block in pass(weights, &rows, setting) {
            for (left, wanted) in block
                .main
                .residual
                .chunks_exact(weights.width)
                .zip(block.centered.chunks_exact(weights.width))
            {
                let made: Vec<f32> = left
                    .iter()
                    .zip(wanted)
                    .map(|(left, wanted)| left + wanted)
                    .collect();
                along += f64::from(dot(&made, wanted));
                own += f64::from(dot(&made, &made));
            }
        }
        if along > 0.0 && own > 0.0 {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "a factor in single precision"
            )]
            let factor = (along / own) as f32;
            weights
                .encoder
                .iter_mut()
                .for_each(|weight| *weight *= factor);
        }
        Ok(())
    }

    /// The scaled tokens of a step. Each pass has its own order; a batch may reach into the next.
    fn rows(&self, step: u64) -> Result<Vec<f32>> {
        let width = self.cache.width();
        let mut rows = vec![0.0; usize::try_from(self.batch).unwrap_or(0) * width];
        for (at, row) in (step * self.batch..).zip(rows.chunks_exact_mut(width)) {
            let order = Order::new(
                self.tokens,
                mix(self.options.seed.wrapping_add(at / self.tokens)),
            );
            self.cache.read(
                usize::try_from(order.at(at % self.tokens)).unwrap_or(0),
                row,
            )?;
            row.iter_mut()
                .for_each(|value| *value *= self.scaling.input);
        }
        Ok(rows)
    }

    fn step(&self, state: &mut State) -> Result<()> {
        let options = self.options;
        let rows = self.rows(state.place.step)?;
        let dead = state.dead(self.dead_after);
        let setting = Setting {
            active: options.active,
            auxiliary: options.auxiliary,
            dead: &dead,
            threads: options.threads,
        };
        let blocks = pass(&state.weights, &rows, setting);
        let tokens = self.batch as f64;
        let error: f64 = blocks.iter().map(|block| block.main.error).sum();
        #[expect(
            clippy::cast_possible_truncation,
            reason = "factors and losses in single precision"
        )]
        let (scale, loss) = {
            let main = 2.0 / (tokens * self.scaling.variance);
            let auxiliary =
                2.0 * f64::from(options.auxiliary_weight) / error.max(f64::MIN_POSITIVE);
            let scale = Scale {
                main: main as f32,
                auxiliary: if error > 0.0 { auxiliary as f32 } else { 0.0 },
            };
            (scale, (error / (tokens * self.scaling.variance)) as f32)
        };
        let rate = scheduled(
            options.rate,
            state.place.step,
            self.steps,
            options.warm_up,
            options.decay,
        );
        descend(
            state,
            &blocks,
            scale,
            Adam::new(state.place.step, rate),
            options.threads,
        );
        state.place.losses.push(loss);
        state.place.step += 1;
        Ok(())
    }
}
