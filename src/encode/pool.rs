//! From the logits of a text's tokens to one weight per term.
//!
//! SPLADE's pooling (arXiv 2109.10086, equation 1) is `max over tokens of ln(1 + max(x, 0))`. The
//! activation rises with `x`, so the maximum is taken over raw logits and the logarithm over one
//! value a term: a pool is as wide as the vocabulary, however many tokens pass through it, and
//! tokens may come in pieces of any size.

use std::ops::Range;

use crate::{
    encode::prune::Prune,
    error::{Error, Result},
    id::TermId,
    simd::{Level, plain::Raise},
    sparse::SparseVector,
};

/// How the tokens of a text are combined, and what is applied to their logits.
///
/// ```
/// use sparsely::encode::{Activation, Combine, Pooling, Pool, Pruning};
/// let mut pool = Pool::new(Pooling::SPLADE, 3);
/// pool.add(&[0.5, -1.0, 0.0, 1.5, 2.0, -4.0])?; // two tokens
/// let vector = pool.finish(Pruning::NONE.document())?;
/// let weights: Vec<_> = vector.weights().to_vec();
/// assert_eq!(weights, [2.5_f32.ln(), 3.0_f32.ln()]);
/// # Ok::<(), sparsely::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pooling {
    /// How tokens combine.
    pub combine: Combine,
    /// What a logit becomes.
    pub activation: Activation,
    /// Whether tokens that the tokenizer adds around a text, as `[CLS]` and `[SEP]`, count.
    pub special_tokens: SpecialTokens,
}

/// How the tokens of a text combine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combine {
    /// The largest: SPLADE since its second version.
    Max,
    /// The sum: the first SPLADE.
    Sum,
}

/// What is applied to a logit `x`; all are 0 for `x <= 0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `ln(1 + x)`: SPLADE; `"activation_function": "relu"` in a model directory.
    Log1p,
    /// `ln(1 + ln(1 + x))`: OpenSearch's third generation; `"log1p_relu"` in a model directory.
    Log1pTwice,
    /// `x` itself.
    Linear,
}

/// Whether the tokens that a tokenizer adds around a text are pooled with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpecialTokens {
    /// They count, as in SPLADE.
    Keep,
    /// They do not.
    Drop,
}

/// Gathers the tokens of one text at a time.
#[derive(Debug)]
pub struct Pool {
    pooling: Pooling,
    values: Vec<f32>,
    level: Level,
}

/// Terms that are pooled together: their part of the pool stays in the nearest cache while the
/// tokens' logits stream by.
const TILE: usize = 2048;

impl Pooling {
    /// `max` and [`Activation::Log1p`], with special tokens: SPLADE as published.
    pub const SPLADE: Pooling = Pooling {
        combine: Combine::Max,
        activation: Activation::Log1p,
        special_tokens: SpecialTokens::Keep,
    };

    /// In words that stay the same: they go into fingerprints.
    #[cfg(any(feature = "onnx", feature = "native"))]
    pub(crate) fn words(self) -> String {
        let combine = match self.combine {
            Combine::Max => "max",
            Combine::Sum => "sum",
        };
        let activation = match self.activation {
            Activation::Log1p => "log1p",
            Activation::Log1pTwice => "log1p twice",
            Activation::Linear => "linear",
        };
        let special = match self.special_tokens {
            SpecialTokens::Keep => "keep",
            SpecialTokens::Drop => "drop",
        };
        format!("{combine} of {activation}, special tokens {special}")
    }
}

impl Activation {
    /// The weight of a logit.
    #[must_use]
    pub fn apply(self, logit: f32) -> f32 {
        let positive = logit.max(0.0);
        match self {
            Activation::Log1p => positive.ln_1p(),
            Activation::Log1pTwice => positive.ln_1p().ln_1p(),
            Activation::Linear => positive,
        }
    }
}

impl Pool {
    /// An empty pool over `term_count` terms.
    #[must_use]
    pub fn new(pooling: Pooling, term_count: usize) -> Pool {
        Pool {
            pooling,
            values: vec![0.0; term_count],
            level: Level::detect(),
        }
    }

    /// Adds tokens: their logits one token after the other, each as long as the vocabulary.
    ///
    /// # Errors
    /// [`ErrorKind::Model`](crate::ErrorKind::Model) when a logit is NaN or infinite, and
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when they are not whole tokens.
    pub fn add(&mut self, logits: &[f32]) -> Result<()> {
        let width = self.values.len();
        if width == 0 || !logits.len().is_multiple_of(width) {
            return Err(Error::invalid(
                "logits of a text",
                format!("a multiple of {width} values"),
                logits.len().to_string(),
            ));
        }
        let mut is_finite = true;
        for start in (0..width).step_by(TILE) {
            let end = width.min(start + TILE);
            let tokens = logits.chunks_exact(width).map(|token| &token[start..end]);
            is_finite &= self.gather(start..end, tokens);
        }
        self.checked(is_finite)
    }

    /// Adds the logits that tokens have for the `width` terms from `first` on, one token after the
    /// other.
    ///
    /// # Errors
    /// As [`Pool::add`].
    #[cfg(any(feature = "native", test))]
    pub(crate) fn add_part(&mut self, first: usize, width: usize, logits: &[f32]) -> Result<()> {
        let is_finite = self.gather(first..first + width, logits.chunks_exact(width));
        self.checked(is_finite)
    }

    /// Pools what tokens have for some terms; whether all of it is finite.
    fn gather<'a>(&mut self, terms: Range<usize>, tokens: impl Iterator<Item = &'a [f32]>) -> bool {
        let values = &mut self.values[terms];
        let mut is_finite = true;
        for logits in tokens {
            is_finite &= match self.pooling.combine {
                Combine::Max => self.level.run(Raise { values, logits }),
                Combine::Sum => add_up(values, logits, self.pooling.activation),
            };
        }
        is_finite
    }

    fn checked(&mut self, is_finite: bool) -> Result<()> {
        if is_finite {
            return Ok(());
        }
        self.values.fill(0.0);
        Err(not_finite())
    }

    /// Adds single terms of one token, for models that give a few terms each. Terms beyond the
    /// vocabulary are an error.
    #[cfg(any(feature = "onnx", test))]
    pub(crate) fn add_terms(&mut self, terms: impl Iterator<Item = (u32, f32)>) -> Result<()> {
        for (term, logit) in terms {
            let at = usize::try_from(term).unwrap_or(usize::MAX);
            let Some(value) = self.values.get_mut(at) else {
                self.values.fill(0.0);
                return Err(Error::model(
                    "output of the model",
                    format!("term {term}, but there are {} terms", self.values.len()),
                ));
            };
            if !logit.is_finite() {
                self.values.fill(0.0);
                return Err(not_finite());
            }
            *value = match self.pooling.combine {
                Combine::Max => value.max(logit),
                Combine::Sum => *value + self.pooling.activation.apply(logit),
            };
        }
        Ok(())
    }

    /// The vector of the tokens added so far; the pool is empty afterwards.
    ///
    /// # Errors
    /// [`ErrorKind::Model`](crate::ErrorKind::Model) when a sum overflowed.
    pub fn finish(&mut self, pruning: Prune) -> Result<SparseVector> {
        let activation = match self.pooling.combine {
            Combine::Max => self.pooling.activation,
            // Applied to each token already.
            Combine::Sum => Activation::Linear,
        };
        let mut terms = Vec::new();
        let mut weights = Vec::new();
        for (term, value) in (0_u32..).zip(&mut self.values) {
            if *value > 0.0 {
                let weight = activation.apply(*value);
                *value = 0.0;
                if weight > pruning.threshold {
                    terms.push(TermId::from(term));
                    weights.push(weight);
                }
            }
        }
        let vector = SparseVector::from_sorted(terms, weights).map_err(|_| not_finite())?;
        Ok(match pruning.top {
            None => vector,
            Some(top) => vector.keep(top),
        })
    }
}

/// Adds the activations of `logits`; whether all are finite.
fn add_up(values: &mut [f32], logits: &[f32], activation: Activation) -> bool {
    let mut is_finite = true;
    for (value, logit) in values.iter_mut().zip(logits) {
        if *logit > 0.0 {
            *value += activation.apply(*logit);
        }
        is_finite &= logit.is_finite();
    }
    is_finite
}

#[cold]
fn not_finite() -> Error {
    Error::model(
        "output of the model",
        "a logit is NaN or infinite: the graph or its weights are damaged, or overflow in the precision they were exported with",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    const ALL: Prune = Prune {
        top: None,
        threshold: 0.0,
    };

    fn pooled(pooling: Pooling, width: usize, logits: &[f32]) -> Vec<(u32, f32)> {
        let mut pool = Pool::new(pooling, width);
        pool.add(logits).unwrap();
        let vector = pool.finish(ALL).unwrap();
        vector.iter().map(|(t, w)| (t.get(), w)).collect()
    }

    #[test]
    fn maximum_and_sum_agree_with_the_formula() {
        let logits = [1.0, -2.0, 3.0, 0.5, -1.0, 4.0];
        let max = pooled(Pooling::SPLADE, 3, &logits);
        assert_eq!(max, [(0, 2.0_f32.ln()), (2, 5.0_f32.ln())]);
        let sum = Pooling {
            combine: Combine::Sum,
            ..Pooling::SPLADE
        };
        let sum = pooled(sum, 3, &logits);
        assert_eq!(
            sum,
            [
                (0, 1.0_f32.ln_1p() + 0.5_f32.ln_1p()),
                (2, 3.0_f32.ln_1p() + 4.0_f32.ln_1p())
            ]
        );
        let twice = Pooling {
            activation: Activation::Log1pTwice,
            ..Pooling::SPLADE
        };
        let (term, weight) = pooled(twice, 3, &logits)[1];
        assert_eq!(term, 2);
        // A constant folded by the compiler may round once differently.
        assert!((weight - 4.0_f32.ln_1p().ln_1p()).abs() < 1e-6, "{weight}");
    }

    #[test]
    fn pieces_of_any_size_give_the_same_vector() {
        let width = TILE * 2 + 3;
        let logits: Vec<f32> = (0..width * 5)
            .map(|at| ((at * 7919) % 1000) as f32 / 250.0 - 2.0)
            .collect();
        let whole = pooled(Pooling::SPLADE, width, &logits);
        let mut pool = Pool::new(Pooling::SPLADE, width);
        for token in logits.chunks(width) {
            pool.add(token).unwrap();
        }
        let pieces: Vec<_> = pool.finish(ALL).unwrap().iter().collect();
        assert_eq!(whole.len(), pieces.len());
        assert!(whole.iter().zip(&pieces).all(|(a, b)| a.1 == b.1));
        assert!(pool.finish(ALL).unwrap().is_empty(), "the pool was emptied");
        for terms in [0..7, 7..width - 1, width - 1..width] {
            let part: Vec<f32> = logits
                .chunks(width)
                .flat_map(|token| &token[terms.clone()])
                .copied()
                .collect();
            pool.add_part(terms.start, terms.len(), &part).unwrap();
        }
        let parts: Vec<_> = pool.finish(ALL).unwrap().iter().collect();
        assert_eq!(parts, pieces);
    }

    #[test]
    fn what_is_not_finite_is_refused_wherever_it_stands() {
        for value in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for at in [0, 2, 3, 5] {
                for combine in [Combine::Max, Combine::Sum] {
                    let mut logits = [0.5_f32; 6];
                    logits[at] = value;
                    let pooling = Pooling {
                        combine,
                        ..Pooling::SPLADE
                    };
                    let mut pool = Pool::new(pooling, 3);
                    let error = pool.add(&logits).unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::Model);
                    assert!(pool.finish(ALL).unwrap().is_empty(), "nothing half is kept");
                }
            }
        }
        assert!(Pool::new(Pooling::SPLADE, 3).add(&[1.0]).is_err());
    }

    #[test]
    fn pruning_keeps_the_heaviest_above_the_threshold() {
        let mut pool = Pool::new(Pooling::SPLADE, 4);
        pool.add(&[1.0, 2.0, 3.0, 0.01]).unwrap();
        let vector = pool
            .finish(Prune {
                top: Some(2),
                threshold: 0.1,
            })
            .unwrap();
        let terms: Vec<_> = vector.terms().iter().map(|term| term.get()).collect();
        assert_eq!(terms, [1, 2]);
        pool.add_terms([(3, 2.0), (3, 1.0)].into_iter()).unwrap();
        let vector = pool.finish(ALL).unwrap();
        assert_eq!(vector.weights(), [2.0_f32.ln_1p()]);
        assert!(pool.add_terms([(4, 2.0)].into_iter()).is_err());
    }
}
