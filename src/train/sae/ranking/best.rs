//! The weights that ranked best so far.

use super::texts::Head;
use crate::train::sae::checkpoint::Named;

/// Names of what a checkpoint holds of it.
const NAMES: [&str; 3] = ["best.encoder.weight", "best.encoder.bias", "best.place"];

/// A copy of the encoder as it was when it ranked best.
#[derive(Debug)]
pub(super) struct Best {
    encoder: Vec<f32>,
    bias: Vec<f32>,
    /// Its step, and how it ranked.
    place: Vec<f32>,
}

impl Best {
    /// Anything is better than this.
    pub(super) fn new(head: &Head) -> Best {
        Best {
            encoder: head.encoder.clone(),
            bias: head.bias.clone(),
            place: vec![0.0, -1.0],
        }
    }

    /// Copies `head` where it ranked better.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "checkpoints have fewer than 2^24 steps, and scores as in them"
    )]
    pub(super) fn offer(&mut self, head: &Head, step: u64, ndcg: f64) {
        let found = ndcg as f32;
        if found > self.place[1] {
            self.encoder.copy_from_slice(&head.encoder);
            self.bias.copy_from_slice(&head.bias);
            self.place = vec![step as f32, found];
        }
    }

    pub(super) fn blocks(&mut self) -> [Named<'_>; 3] {
        [
            (NAMES[0], &mut self.encoder),
            (NAMES[1], &mut self.bias),
            (NAMES[2], &mut self.place),
        ]
    }

    /// Puts its weights into `head`; returns their step.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number below 2^24, or a damaged checkpoint's"
    )]
    pub(super) fn restore(self, head: &mut Head) -> u64 {
        (head.encoder, head.bias) = (self.encoder, self.bias);
        self.place[0] as u64
    }
}
