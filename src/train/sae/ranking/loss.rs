//! Losses of scores, and their slopes.

use super::Distillation;

/// The probabilities of `scores` over `temperature`.
pub(super) fn softmax(scores: &[f32], temperature: f32) -> Vec<f64> {
    let scores: Vec<f64> = scores
        .iter()
        .map(|score| f64::from(*score) / f64::from(temperature))
        .collect();
    let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = scores.iter().map(|score| (score - most).exp()).collect();
    let total: f64 = powers.iter().sum();
    powers.iter().map(|power| power / total).collect()
}

/// The divergence of the softmax of `scores` over `temperature` from `wanted` (SPLARE, section 3.2:
/// `sum p (ln p - ln p^)`), which for a `wanted` of one 1 is the cross-entropy. Adds `weight` times
/// its slopes to `slopes`; returns `weight` times it.
pub(super) fn divergence(
    scores: &[f32],
    wanted: &[f64],
    temperature: f32,
    weight: f64,
    slopes: &mut [f64],
) -> f64 {
    let found = softmax(scores, temperature);
    let mut sum = 0.0;
    for ((wanted, found), slope) in wanted.iter().zip(&found).zip(slopes) {
        if *wanted > 0.0 {
            sum += wanted * (wanted.ln() - found.max(1e-300).ln());
        }
        *slope += weight * (found - wanted) / f64::from(temperature);
    }
    weight * sum
}

/// Squared differences of margins between the first and every other (Hofstätter et al., arXiv
/// 2010.02666), the mean over the others; as [`divergence`] otherwise.
pub(super) fn margins(scores: &[f32], wanted: &[f32], weight: f64, slopes: &mut [f64]) -> f64 {
    let others = scores.len().saturating_sub(1);
    if others == 0 {
        return 0.0;
    }
    let weight = weight / others as f64;
    let mut sum = 0.0;
    for at in 1..scores.len() {
        let off = f64::from(scores[0])
            - f64::from(scores[at])
            - (f64::from(wanted[0]) - f64::from(wanted[at]));
        sum += off * off;
        slopes[0] += 2.0 * weight * off;
        slopes[at] -= 2.0 * weight * off;
    }
    weight * sum
}

/// Distils a teacher's scores of candidates.
pub(super) fn distil(
    how: Distillation,
    scores: &[f32],
    teacher: &[f32],
    temperature: f32,
    weight: f64,
    slopes: &mut [f64],
) -> f64 {
    match how {
        Distillation::Divergence => {
            divergence(scores, &softmax(teacher, 1.0), temperature, weight, slopes)
        }
        Distillation::Margins => margins(scores, teacher, weight, slopes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_agree_with_finite_differences() {
        let scores = [3.0_f32, -1.0, 0.5, 2.0];
        let teacher = [1.0_f32, 0.2, -0.7, 0.9];
        for how in [Distillation::Divergence, Distillation::Margins] {
            let loss = |scores: &[f32]| distil(how, scores, &teacher, 2.5, 0.7, &mut [0.0; 4]);
            let mut slopes = [0.0; 4];
            distil(how, &scores, &teacher, 2.5, 0.7, &mut slopes);
            for at in 0..4 {
                let moved = |by: f32| {
                    let mut scores = scores;
                    scores[at] += by;
                    loss(&scores)
                };
                let want = (moved(1e-2) - moved(-1e-2)) / 2e-2;
                assert!(
                    (slopes[at] - want).abs() < 1e-3,
                    "{how:?} {at}: {} {want}",
                    slopes[at]
                );
            }
        }
        let wanted = softmax(&[4.0, 1.0], 3.0);
        assert!(
            divergence(&[4.0, 1.0], &wanted, 3.0, 1.0, &mut [0.0; 2]).abs() < 1e-12,
            "a teacher that agrees"
        );
        assert_eq!(
            margins(&[4.0, 1.0], &[7.0, 4.0], 1.0, &mut [0.0; 2]),
            0.0,
            "equal margins"
        );
    }
}
