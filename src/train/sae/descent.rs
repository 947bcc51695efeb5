//! All that a training changes, and a step of it.

use super::{
    adam::{Adam, Moments},
    checkpoint::{self, Named, Place, named},
    gradient::{Block, ByLatent, Scale},
    pieces::in_pieces,
    weights::{Weights, add_scaled, dot, normalize},
};

/// Latents that are stepped together: a piece of work, the same for any number of threads.
const PIECE: usize = 512;

/// All that changes while training.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) place: Place,
    pub(super) weights: Weights,
    /// Of encoder, its bias, decoder, its bias.
    moments: [Moments; 4],
    /// Steps since each latent fired.
    idle: Vec<f32>,
}

impl State {
    pub(super) fn new(weights: Weights) -> State {
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

    pub(super) fn blocks(&mut self) -> Vec<Named<'_>> {
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
    pub(super) fn dead(&self, after: f32) -> Vec<u32> {
        let idle = (0_u32..).zip(&self.idle);
        idle.filter(|(_, idle)| **idle >= after)
            .map(|(latent, _)| latent)
            .collect()
    }
}

/// Moves every weight by a step.
pub(super) fn descend(
    state: &mut State,
    blocks: &[Block],
    scale: Scale,
    adam: Adam,
    threads: usize,
) {
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
