//! The loop: tokens in a shuffled order, their slopes, a step of every weight.

use super::{
    AutoencoderOptions, AutoencoderReport, Center,
    adam::{Adam, Moments},
    cache::HiddenCache,
    checkpoint::{self, Named, Place, named},
    gradient::{Block, ByLatent, Scale, Setting, pass},
    order::Order,
    pieces::in_pieces,
    report, scheduled,
    weights::{Scaling, Weights, add_scaled, dot, normalize},
};
use crate::{
    encode::sae::{Activation, Autoencoder, AutoencoderParts, Input, InputNorm},
    error::Result,
    progress::Progress,
    train::random::{digest, mix},
};

/// Latents that are stepped together: a piece of work, the same for any number of threads.
const PIECE: usize = 512;
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

/// All that changes while training.
#[derive(Clone, Debug)]
struct State {
    place: Place,
    weights: Weights,
    /// Of encoder, its bias, decoder, its bias.
    moments: [Moments; 4],
    /// Steps since each latent fired.
    idle: Vec<f32>,
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
            && (state.place.step % options.checkpoint_every.max(1) == 0
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

impl State {
    fn new(weights: Weights) -> State {
        let moments = [
            &weights.encoder,
            &weights.encoder_bias,
            &weights.decoder,
            &weights.decoder_bias,
        ]
        .map(|block| Moments::new(block.len()));
        State {
            place: Place::default(),
            moments,
            idle: vec![0.0; weights.latents()],
            weights,
        }
    }

    fn blocks(&mut self) -> Vec<Named<'_>> {
        let Weights {
            encoder,
            encoder_bias,
            decoder,
            decoder_bias,
            ..
        } = &mut self.weights;
        let [of_encoder, of_encoder_bias, of_decoder, of_decoder_bias] = &mut self.moments;
        let mut blocks = vec![("idle", &mut self.idle)];
        blocks.extend(named(checkpoint::ENCODER, encoder, of_encoder));
        blocks.extend(named(
            checkpoint::ENCODER_BIAS,
            encoder_bias,
            of_encoder_bias,
        ));
        blocks.extend(named(checkpoint::DECODER, decoder, of_decoder));
        blocks.extend(named(
            checkpoint::DECODER_BIAS,
            decoder_bias,
            of_decoder_bias,
        ));
        blocks
    }

    /// Latents that did not fire for `after` steps, rising.
    fn dead(&self, after: f32) -> Vec<u32> {
        let idle = (0_u32..).zip(&self.idle);
        idle.filter(|(_, idle)| **idle >= after)
            .map(|(latent, _)| latent)
            .collect()
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

/// Moves every weight by a step.
fn descend(state: &mut State, blocks: &[Block], scale: Scale, adam: Adam, threads: usize) {
    let width = state.weights.width;
    let by_latent = ByLatent::new(state.weights.latents(), blocks);
    let Weights {
        encoder,
        encoder_bias,
        decoder,
        decoder_bias,
        ..
    } = &mut state.weights;
    let [of_encoder, of_encoder_bias, of_decoder, of_decoder_bias] = &mut state.moments;
    let rows = PIECE * width;
    let pieces: Vec<Piece<'_>> = encoder
        .chunks_mut(rows)
        .zip(
            of_encoder
                .first
                .chunks_mut(rows)
                .zip(of_encoder.second.chunks_mut(rows)),
        )
        .zip(
            decoder.chunks_mut(rows).zip(
                of_decoder
                    .first
                    .chunks_mut(rows)
                    .zip(of_decoder.second.chunks_mut(rows)),
            ),
        )
        .zip(
            encoder_bias.chunks_mut(PIECE).zip(
                of_encoder_bias
                    .first
                    .chunks_mut(PIECE)
                    .zip(of_encoder_bias.second.chunks_mut(PIECE)),
            ),
        )
        .zip(state.idle.chunks_mut(PIECE))
        .enumerate()
        .map(|(number, (((encoder, decoder), bias), idle))| Piece {
            first: number * PIECE,
            encoder,
            decoder,
            bias,
            idle,
        })
        .collect();
    let through: Vec<Vec<f32>> = in_pieces(threads, pieces, |piece| {
        piece.descend(&by_latent, blocks, scale, adam, width)
    });
    // The bias of the decoder is taken off what the encoder reads and added to what is made.
    let mut slopes = vec![0.0; width];
    for block in blocks {
        for residual in block.main.residual.chunks_exact(width) {
            add_scaled(&mut slopes, scale.main, residual);
        }
    }
    for piece in through {
        add_scaled(&mut slopes, -1.0, &piece);
    }
    adam.update(
        decoder_bias,
        &mut of_decoder_bias.first,
        &mut of_decoder_bias.second,
        &slopes,
    );
}

type Stepped<'a> = (&'a mut [f32], (&'a mut [f32], &'a mut [f32]));

/// Some latents with all that is theirs.
struct Piece<'a> {
    first: usize,
    encoder: Stepped<'a>,
    decoder: Stepped<'a>,
    bias: Stepped<'a>,
    idle: &'a mut [f32],
}

impl Piece<'_> {
    /// Steps them; returns the slopes of the loss by what the encoder reads, summed over tokens.
    fn descend(
        self,
        by_latent: &ByLatent,
        blocks: &[Block],
        scale: Scale,
        adam: Adam,
        width: usize,
    ) -> Vec<f32> {
        let mut through = vec![0.0; width];
        let (mut of_encoder, mut of_decoder) = (vec![0.0; width], vec![0.0; width]);
        let mut of_bias = vec![0.0; self.idle.len()];
        let row = |at: usize| at * width..(at + 1) * width;
        for (at, idle) in self.idle.iter_mut().enumerate() {
            let latent = self.first + at;
            *idle = if by_latent.fired(latent) {
                0.0
            } else {
                *idle + 1.0
            };
            of_bias[at] = by_latent.slopes(latent, blocks, scale, &mut of_encoder, &mut of_decoder);
            let (weights, (first, second)) = (
                &mut self.encoder.0[row(at)],
                (
                    &mut self.encoder.1.0[row(at)],
                    &mut self.encoder.1.1[row(at)],
                ),
            );
            add_scaled(&mut through, of_bias[at], weights);
            adam.update(weights, first, second, &of_encoder);
            let (weights, (first, second)) = (
                &mut self.decoder.0[row(at)],
                (
                    &mut self.decoder.1.0[row(at)],
                    &mut self.decoder.1.1[row(at)],
                ),
            );
            // Along the row nothing is to be gained: its length is 1 again afterwards.
            let along = dot(&of_decoder, weights);
            add_scaled(&mut of_decoder, -along, weights);
            adam.update(weights, first, second, &of_decoder);
            normalize(weights);
        }
        adam.update(self.bias.0, self.bias.1.0, self.bias.1.1, &of_bias);
        through
    }
}
