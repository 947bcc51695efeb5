//! Loops over floats that the compiler turns into vectors, compiled once per instruction set.
//!
//! Each is written once: the order of its operations is in the source, sums go through a fixed
//! number of lanes, and nothing fuses a multiplication with an addition. So all levels return the
//! same bits, and no intrinsics are needed; what a level adds is the width that it lets the compiler
//! use.

/// A loop with its operands.
pub(crate) trait Plain {
    /// What it returns.
    type Output;

    /// Runs it. Inlined always, so that it is compiled for the instruction set of its caller.
    fn run(self) -> Self::Output;
}

/// Raises `values` to `logits` where those are larger.
pub(crate) struct Raise<'a> {
    /// The largest so far.
    pub(crate) values: &'a mut [f32],
    /// As many.
    pub(crate) logits: &'a [f32],
}

impl Plain for Raise<'_> {
    /// Whether all logits are finite.
    type Output = bool;

    #[inline(always)]
    fn run(self) -> bool {
        let mut bad = 0;
        for (value, logit) in self.values.iter_mut().zip(self.logits) {
            *value = larger(*value, *logit);
            // On the bits of the exponent: a comparison of floats would be a branch.
            bad |= u32::from(logit.to_bits() & EXPONENT == EXPONENT);
        }
        bad == 0
    }
}

const EXPONENT: u32 = 0x7f80_0000;

/// `b` if that is larger. NaN is not, so that it can be counted apart.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

#[cfg(feature = "native")]
pub(crate) use self::layers::{Activate, Activation, AddAndNormalize, Softmax};

/// What stands between the matrix products of a transformer.
#[cfg(feature = "native")]
mod layers {
    use super::{Plain, larger};

    /// Lanes of a sum.
    const LANES: usize = 16;

    /// The function between the two products of a layer.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Activation {
        /// `x Φ(x)`, by the error function.
        Gelu,
        /// Its approximation by a hyperbolic tangent, as in GPT-2.
        GeluTanh,
        /// `max(x, 0)`.
        Relu,
    }

    /// Adds a bias to every row and applies an activation.
    pub(crate) struct Activate<'a> {
        /// Rows as long as the bias.
        pub(crate) values: &'a mut [f32],
        pub(crate) bias: &'a [f32],
        pub(crate) activation: Activation,
    }

    impl Plain for Activate<'_> {
        type Output = ();

        #[inline(always)]
        fn run(self) {
            match self.activation {
                Activation::Gelu => each(self.values, self.bias, |x| {
                    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
                }),
                Activation::GeluTanh => each(self.values, self.bias, |x| {
                    // 0.5 (1 + tanh y) is 1 / (1 + exp(-2 y)).
                    let y = 0.797_884_6 * (x + 0.044_715 * x * x * x);
                    x / (1.0 + exp(-2.0 * y))
                }),
                Activation::Relu => each(self.values, self.bias, |x| larger(0.0, x)),
            }
        }
    }

    #[inline(always)]
    fn each(values: &mut [f32], bias: &[f32], activation: impl Fn(f32) -> f32) {
        for row in values.chunks_exact_mut(bias.len()) {
            for (value, bias) in row.iter_mut().zip(bias) {
                *value = activation(*value + *bias);
            }
        }
    }

    /// `states = normalize(states + (update + bias)) weight + shift`, row by row: the end of half a
    /// layer.
    pub(crate) struct AddAndNormalize<'a> {
        /// Rows as long as the bias.
        pub(crate) states: &'a mut [f32],
        /// As many.
        pub(crate) update: &'a [f32],
        pub(crate) bias: &'a [f32],
        pub(crate) weight: &'a [f32],
        pub(crate) shift: &'a [f32],
        /// Added to the variance.
        pub(crate) epsilon: f32,
    }

    impl Plain for AddAndNormalize<'_> {
        type Output = ();

        #[inline(always)]
        fn run(self) {
            let width = self.bias.len();
            let count = width as f32;
            let rows = self.states.chunks_exact_mut(width);
            for (row, update) in rows.zip(self.update.chunks_exact(width)) {
                for ((state, update), bias) in row.iter_mut().zip(update).zip(self.bias) {
                    *state += *update + *bias;
                }
                let mean = sum(row, |x| x) / count;
                let variance = sum(row, |x| (x - mean) * (x - mean)) / count;
                let scale = 1.0 / (variance + self.epsilon).sqrt();
                for ((state, weight), shift) in row.iter_mut().zip(self.weight).zip(self.shift) {
                    *state = (*state - mean) * scale * *weight + *shift;
                }
            }
        }
    }

    /// `exp(scale x)`, row by row divided by its sum.
    pub(crate) struct Softmax<'a> {
        pub(crate) values: &'a mut [f32],
        /// Values of a row.
        pub(crate) width: usize,
        pub(crate) scale: f32,
    }

    impl Plain for Softmax<'_> {
        type Output = ();

        #[inline(always)]
        fn run(self) {
            for row in self.values.chunks_exact_mut(self.width) {
                let mut lanes = [f32::NEG_INFINITY; LANES];
                let (chunks, rest) = row.as_chunks::<LANES>();
                for chunk in chunks {
                    for (lane, value) in lanes.iter_mut().zip(chunk) {
                        *lane = larger(*lane, *value);
                    }
                }
                let most = lanes
                    .iter()
                    .chain(rest)
                    .fold(f32::NEG_INFINITY, |a, b| larger(a, *b));
                for value in row.iter_mut() {
                    *value = exp(self.scale * (*value - most));
                }
                let one = 1.0 / sum(row, |x| x);
                for value in row.iter_mut() {
                    *value *= one;
                }
            }
        }
    }

    #[inline(always)]
    fn sum(values: &[f32], of: impl Fn(f32) -> f32) -> f32 {
        let mut lanes = [0.0; LANES];
        let (chunks, rest) = values.as_chunks::<LANES>();
        for chunk in chunks {
            for (lane, value) in lanes.iter_mut().zip(chunk) {
                *lane += of(*value);
            }
        }
        for (lane, value) in lanes.iter_mut().zip(rest) {
            *lane += of(*value);
        }
        lanes.iter().sum()
    }

    /// The exponential of what is at most about 88, within two units in the last place; 0 below -87.
    /// NaN stays NaN.
    #[inline(always)]
    pub(super) fn exp(x: f32) -> f32 {
        // Added to a float it leaves its nearest whole number in the lowest bits.
        const ROUND: f32 = 12_582_912.0;
        const LN_2_HIGH: f32 = 0.693_359_4;
        const LN_2_LOW: f32 = -2.121_944_4e-4;
        let low = x < -87.0;
        let x = if low { -87.0 } else { x };
        let x = if x > 88.0 { 88.0 } else { x };
        let shifted = x * std::f32::consts::LOG2_E + ROUND;
        let power = shifted - ROUND;
        let rest = x - power * LN_2_HIGH - power * LN_2_LOW;
        // Its Taylor series: at most ln(2) / 2, so the seventh power is the last that counts.
        let mut series = 1.0 / 5040.0;
        for factor in [
            1.0 / 720.0,
            1.0 / 120.0,
            1.0 / 24.0,
            1.0 / 6.0,
            0.5,
            1.0,
            1.0,
        ] {
            series = series * rest + factor;
        }
        let scale = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
        if low { 0.0 } else { series * scale }
    }

    /// The error function, within 4e-7: a quotient of polynomials fitted by least squares to the
    /// range where it is not yet 1.
    #[inline(always)]
    pub(super) fn erf(x: f32) -> f32 {
        const OVER: [f32; 7] = [
            1.921_717_4e-8,
            -1.990_323e-6,
            1.555_374_5e-4,
            0.004_293_080_4,
            0.052_433_554,
            0.213_945_36,
            1.128_378_6,
        ];
        const UNDER: [f32; 5] = [
            0.001_098_044_7,
            0.015_551_146,
            0.120_799_89,
            0.522_931_8,
            1.0,
        ];
        let x = if x < -4.0 { -4.0 } else { x };
        let x = if x > 4.0 { 4.0 } else { x };
        let square = x * x;
        let over = OVER.iter().fold(0.0, |sum, factor| sum * square + *factor);
        let under = UNDER.iter().fold(0.0, |sum, factor| sum * square + *factor);
        x * over / under
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn functions_agree_with_their_meaning() {
            for step in -4000_i16..=4000 {
                let x = f32::from(step) / 500.0;
                // The series of the error function, in doubles.
                let (wide, mut term, mut sum) = (f64::from(x), f64::from(x), 0.0);
                for n in 0..400 {
                    sum += term / f64::from(2 * n + 1);
                    term *= -wide * wide / f64::from(n + 1);
                }
                let want = if x.abs() > 5.0 {
                    wide.signum()
                } else {
                    sum * std::f64::consts::FRAC_2_SQRT_PI
                };
                assert!((f64::from(erf(x)) - want).abs() < 5e-7, "{x}");
                let (got, want) = (f64::from(exp(x * 11.0)), f64::from(x * 11.0).exp());
                if x * 11.0 < -87.0 {
                    assert_eq!(got, 0.0);
                } else {
                    assert!((got / want - 1.0).abs() < 4e-7, "{x}: {got} {want}");
                }
            }
            assert!(erf(f32::NAN).is_nan() && exp(f32::NAN).is_nan());
            assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        }
    }
}
