//! Adam (Kingma and Ba, arXiv 1412.6980, algorithm 1), a row of weights at a time.

const DECAY: (f32, f32) = (0.9, 0.999);
const EPSILON: f32 = 1e-8;

/// One step's rates, bias corrections included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Adam {
    rate: f32,
    second: f32,
}

/// A block of weights with its running means.
#[derive(Clone, Debug)]
pub(super) struct Moments {
    pub(super) first: Vec<f32>,
    pub(super) second: Vec<f32>,
}

impl Moments {
    pub(super) fn new(count: usize) -> Moments {
        Moments {
            first: vec![0.0; count],
            second: vec![0.0; count],
        }
    }
}

impl Adam {
    /// Step number `step`, from 0, at learning rate `rate`.
    pub(super) fn new(step: u64, rate: f32) -> Adam {
        // Beyond so many steps the corrections are 1.
        let step = i32::try_from(step + 1).unwrap_or(i32::MAX).min(1 << 20);
        Adam {
            rate: rate / (1.0 - DECAY.0.powi(step)),
            second: 1.0 / (1.0 - DECAY.1.powi(step)),
        }
    }

    /// Moves `weights` against `gradient`.
    pub(super) fn update(
        self,
        weights: &mut [f32],
        first: &mut [f32],
        second: &mut [f32],
        gradient: &[f32],
    ) {
        let means = first.iter_mut().zip(second);
        for ((weight, (first, second)), slope) in weights.iter_mut().zip(means).zip(gradient) {
            *first += (1.0 - DECAY.0) * (slope - *first);
            *second += (1.0 - DECAY.1) * (slope * slope - *second);
            *weight -= self.rate * *first / ((*second * self.second).sqrt() + EPSILON);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_steps_go_by_the_rate_and_a_bowl_is_descended() {
        let mut weights = [3.0_f32, -2.0];
        let mut moments = Moments::new(2);
        let slopes = [6.0, -4.0];
        Adam::new(0, 0.1).update(
            &mut weights,
            &mut moments.first,
            &mut moments.second,
            &slopes,
        );
        // Whatever the slope, the first step is the rate long.
        assert!(
            (weights[0] - 2.9).abs() < 1e-5 && (weights[1] + 1.9).abs() < 1e-5,
            "{weights:?}"
        );
        for step in 1..400 {
            let slopes = weights.map(|weight| 2.0 * weight);
            Adam::new(step, 0.05).update(
                &mut weights,
                &mut moments.first,
                &mut moments.second,
                &slopes,
            );
        }
        assert!(
            weights.iter().all(|weight| weight.abs() < 1e-2),
            "{weights:?}"
        );
    }
}
