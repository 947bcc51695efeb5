//! What recall approximate search was measured to reach in a segment, and how that is stored.

use super::SectionId;
use crate::{bytes::Reader, error::Result};

pub(super) const CALIBRATION: SectionId = SectionId::optional(83, "calibration");

/// Numbers of results for which recall is measured.
pub(crate) const TOPS: [usize; 3] = [10, 100, 1000];

/// Shares at which recall is measured.
pub(crate) const SHARES: usize = 32;

/// A share of one, and the distance between two shares.
const SHARE_ONE: u32 = 1024;
const SHARE_STEP: u32 = 5;

/// A recall of one.
pub(crate) const RECALL_ONE: u16 = u16::MAX;

/// The recall that was reached when bounds were multiplied by a share below one before they were
/// compared with the threshold: for each number of [`TOPS`] a curve that does not rise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Calibration {
    pub(crate) recalls: [[u16; SHARES]; TOPS.len()],
}

impl Calibration {
    /// The share of a step of the curves, in 1024ths.
    pub(crate) fn share_of(step: usize) -> u32 {
        let step = u32::try_from(step).unwrap_or(u32::MAX);
        SHARE_ONE.saturating_sub(SHARE_STEP.saturating_mul(step.saturating_add(1)))
    }

    /// The least share that reached `recall` for `top` results, in 1024ths; one where none did.
    /// Between two measured numbers of results both must have reached it.
    pub(crate) fn share(&self, top: usize, recall: f32) -> u32 {
        let wanted = recall * f32::from(RECALL_ONE);
        let above = TOPS.partition_point(|&known| known < top);
        let last = TOPS.len() - 1;
        let is_between = TOPS.get(above).is_some_and(|&known| known != top);
        let first = above.saturating_sub(usize::from(is_between)).min(last);
        let curves = &self.recalls[first..=above.min(last)];
        let steps = curves.iter().map(|curve| {
            let reached = curve
                .iter()
                .take_while(|&&found| f32::from(found) >= wanted);
            reached.count()
        });
        match steps.min().and_then(|steps| steps.checked_sub(1)) {
            Some(step) => Calibration::share_of(step),
            None => SHARE_ONE,
        }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let recalls = self.recalls.iter().flatten();
        recalls.flat_map(|recall| recall.to_le_bytes()).collect()
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Calibration> {
        let mut recalls = [[0; SHARES]; TOPS.len()];
        for curve in &mut recalls {
            let mut most = RECALL_ONE;
            for recall in curve {
                let found = u16::from_le_bytes(*reader.array("recall")?);
                if found > most {
                    return Err(reader.corrupt(format_args!("a recall up to {most}"), found));
                }
                (*recall, most) = (found, found);
            }
        }
        Ok(Calibration { recalls })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_share_that_reached_a_recall_is_taken() {
        let mut recalls = [[0; SHARES]; TOPS.len()];
        recalls[0][..4].copy_from_slice(&[65_535, 65_000, 64_000, 60_000]);
        recalls[1][..2].copy_from_slice(&[65_535, 64_900]);
        let calibration = Calibration { recalls };
        let share = |top, recall| calibration.share(top, recall);
        assert_eq!(share(10, 0.99), 1024 - 10);
        assert_eq!(share(1, 0.97), 1024 - 15);
        assert_eq!(share(10, 0.9), 1024 - 20);
        assert_eq!(share(10, 0.0), 1024 - 5 * 32);
        assert_eq!(share(10, 1.0), 1024 - 5);
        assert_eq!(share(100, 0.99), 1024 - 10);
        assert_eq!(share(50, 0.97), 1024 - 10);
        assert_eq!(share(1000, 0.5), 1024);
        assert_eq!(share(usize::MAX, 0.5), 1024);
    }
}
