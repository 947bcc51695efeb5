//! All that a training needs to go on, in one safetensors file.

use std::path::Path;

use super::adam::Moments;
use crate::{
    encode::tensors::{Content, Tensors, write_safetensors},
    error::{Error, Result},
};

const VERSION: f32 = 1.0;
/// Integers up to here are exact in single precision.
const EXACT: u64 = 1 << 24;

/// What a checkpoint holds besides weights.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Place {
    /// Steps done.
    pub(super) step: u64,
    /// Of each of them.
    pub(super) losses: Vec<f32>,
}

/// Names of a block of weights and of its two means.
pub(super) const ENCODER: [&str; 3] = [
    "encoder.weight",
    "encoder.weight.first",
    "encoder.weight.second",
];
pub(super) const ENCODER_BIAS: [&str; 3] =
    ["encoder.bias", "encoder.bias.first", "encoder.bias.second"];
pub(super) const DECODER: [&str; 3] = [
    "decoder.weight",
    "decoder.weight.first",
    "decoder.weight.second",
];
pub(super) const DECODER_BIAS: [&str; 3] =
    ["decoder.bias", "decoder.bias.first", "decoder.bias.second"];

/// A block of numbers under its name; matrices are flat.
pub(super) type Named<'a> = (&'static str, &'a mut Vec<f32>);

/// A block of weights with its means, named.
pub(super) fn named<'a>(
    names: [&'static str; 3],
    weights: &'a mut Vec<f32>,
    moments: &'a mut Moments,
) -> [Named<'a>; 3] {
    [
        (names[0], weights),
        (names[1], &mut moments.first),
        (names[2], &mut moments.second),
    ]
}

/// Writes to `path`, or leaves the file that is there when that fails. `digest` is of all that the
/// result depends on.
pub(super) fn write(path: &Path, place: &Place, blocks: &[Named<'_>], digest: u64) -> Result<()> {
    if place.step >= EXACT {
        return Err(Error::limit(
            "steps of a training with checkpoints",
            EXACT,
            place.step,
        ));
    }
    let mut state = vec![VERSION];
    for bits in [place.step, digest] {
        state.extend(
            (0..4).map(|part| f32::from(u16::try_from(bits >> (16 * part) & 0xffff).unwrap_or(0))),
        );
    }
    let shapes: Vec<[usize; 1]> = blocks.iter().map(|(_, values)| [values.len()]).collect();
    let (of_state, of_losses) = ([state.len()], [place.losses.len()]);
    let mut tensors = vec![
        Content {
            name: "state",
            shape: &of_state,
            values: &state,
        },
        Content {
            name: "losses",
            shape: &of_losses,
            values: &place.losses,
        },
    ];
    tensors.extend(
        blocks
            .iter()
            .zip(&shapes)
            .map(|((name, values), shape)| Content {
                name,
                shape: &shape[..],
                values: &values[..],
            }),
    );
    write_safetensors(path, &tensors)
}

/// Reads `path` into `blocks`, which have the sizes that are expected.
pub(super) fn read(path: &Path, blocks: Vec<Named<'_>>, digest: u64) -> Result<Place> {
    let tensors = Tensors::open(path)?;
    let state = tensors.get("state")?.values();
    let long = |from: usize| {
        let parts = state.get(from..from + 4)?.iter().rev();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole numbers below 2^16, or another file"
        )]
        Some(parts.fold(0_u64, |bits, part| bits << 16 | *part as u64))
    };
    if state.first() != Some(&VERSION) || long(5) != Some(digest) {
        return Err(Error::invalid(
            format!("checkpoint {}", path.display()),
            "one of the same options and the same data",
            "another training's; remove it, or name another file",
        ));
    }
    for (name, values) in blocks {
        let tensor = tensors.get(name)?;
        if tensor.len() != values.len() {
            return Err(Error::model(
                tensor.place(),
                format!("{} numbers, expected {}", tensor.len(), values.len()),
            ));
        }
        tensor.check_finite()?;
        tensor.read(0, values);
    }
    let place = Place {
        step: long(1).unwrap_or(0),
        losses: tensors.get("losses")?.values(),
    };
    if place.losses.len() as u64 != place.step {
        return Err(Error::model(
            path.display().to_string(),
            format!("{} losses of {} steps", place.losses.len(), place.step),
        ));
    }
    Ok(place)
}
