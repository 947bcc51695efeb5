//! All that a training needs to go on, in one safetensors file.

use std::path::Path;

use super::{training::State, weights::Weights};
use crate::{
    encode::tensors::{Content, Tensors, write_safetensors},
    error::{Error, Result},
};

const VERSION: f32 = 1.0;
/// Integers up to here are exact in single precision.
const EXACT: u64 = 1 << 24;

/// Writes `state` to `path`, or leaves the file that is there when that fails.
pub(super) fn write(path: &Path, state: &State, digest: u64) -> Result<()> {
    let weights = &state.weights;
    let (latents, width) = (weights.latents(), weights.width);
    if state.step >= EXACT {
        return Err(Error::limit("steps of a training with checkpoints", EXACT, state.step));
    }
    let mut numbers = vec![VERSION];
    for bits in [state.step, digest] {
        numbers.extend((0..4).map(|part| f32::from(u16::try_from(bits >> (16 * part) & 0xffff).unwrap_or(0))));
    }
    let (matrix, row, column) = ([latents, width], [latents], [width]);
    let [encoder, encoder_bias, decoder, decoder_bias] = &state.moments;
    let (numbers_shape, losses_shape) = ([numbers.len()], [state.losses.len()]);
    write_safetensors(
        path,
        &[
            content("state", &numbers_shape, &numbers),
            content("losses", &losses_shape, &state.losses),
            content("idle", &row, &state.idle),
            content("encoder.weight", &matrix, &weights.encoder),
            content("encoder.weight.first", &matrix, &encoder.first),
            content("encoder.weight.second", &matrix, &encoder.second),
            content("encoder.bias", &row, &weights.encoder_bias),
            content("encoder.bias.first", &row, &encoder_bias.first),
            content("encoder.bias.second", &row, &encoder_bias.second),
            content("decoder.weight", &matrix, &weights.decoder),
            content("decoder.weight.first", &matrix, &decoder.first),
            content("decoder.weight.second", &matrix, &decoder.second),
            content("decoder.bias", &column, &weights.decoder_bias),
            content("decoder.bias.first", &column, &decoder_bias.first),
            content("decoder.bias.second", &column, &decoder_bias.second),
        ],
    )
}

fn content<'a>(name: &'a str, shape: &'a [usize], values: &'a [f32]) -> Content<'a> {
    Content { name, shape, values }
}

/// Reads `path` into `state`, which has the shapes that are expected.
pub(super) fn read(path: &Path, state: &mut State, digest: u64) -> Result<()> {
    let tensors = Tensors::open(path)?;
    let numbers = tensors.get("state")?.values();
    let long = |from: usize| {
        let parts = numbers.get(from..from + 4)?.iter().rev();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole numbers below 2^16, or another file")]
        Some(parts.fold(0_u64, |bits, part| bits << 16 | *part as u64))
    };
    if numbers.first() != Some(&VERSION) || long(5) != Some(digest) {
        return Err(Error::invalid(
            format!("checkpoint {}", path.display()),
            "one of the same options and the same hidden states",
            "another training's; remove it, or name another file",
        ));
    }
    let losses = tensors.get("losses")?.values();
    let Weights { encoder, encoder_bias, decoder, decoder_bias, .. } = &mut state.weights;
    let [of_encoder, of_encoder_bias, of_decoder, of_decoder_bias] = &mut state.moments;
    for (name, values) in [
        ("idle", &mut state.idle),
        ("encoder.weight", encoder),
        ("encoder.weight.first", &mut of_encoder.first),
        ("encoder.weight.second", &mut of_encoder.second),
        ("encoder.bias", encoder_bias),
        ("encoder.bias.first", &mut of_encoder_bias.first),
        ("encoder.bias.second", &mut of_encoder_bias.second),
        ("decoder.weight", decoder),
        ("decoder.weight.first", &mut of_decoder.first),
        ("decoder.weight.second", &mut of_decoder.second),
        ("decoder.bias", decoder_bias),
        ("decoder.bias.first", &mut of_decoder_bias.first),
        ("decoder.bias.second", &mut of_decoder_bias.second),
    ] {
        let tensor = tensors.get(name)?;
        if tensor.len() != values.len() {
            return Err(Error::model(tensor.place(), format!("{} numbers, expected {}", tensor.len(), values.len())));
        }
        tensor.check_finite()?;
        tensor.read(0, values);
    }
    state.step = long(1).unwrap_or(0);
    if losses.len() as u64 != state.step {
        return Err(Error::model(path.display().to_string(), format!("{} losses of {} steps", losses.len(), state.step)));
    }
    state.losses = losses;
    Ok(())
}
