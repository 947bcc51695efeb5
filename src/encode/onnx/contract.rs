//! What the outputs of a graph mean.
//!
//! Exports of sparse encoders differ: some give logits per token, some hidden states for a second
//! graph, some the pooled vector, some pairs of term and weight, some one weight per token. Names
//! are a convention at best, so a tiny batch is run when the model is opened, and the shapes decide:
//! its numbers of texts and tokens occur nowhere else.

use std::ops::Range;

/// An output of a graph, after it has run on the trial batch.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    /// Its name.
    pub(crate) name: String,
    /// What it holds.
    pub(crate) kind: Kind,
    /// Its shape.
    pub(crate) shape: Vec<i64>,
}

/// Kinds of numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// 32-bit floats, the only ones that are read.
    Float,
    /// 32- or 64-bit integers.
    Integer,
    /// Anything else, by its name.
    Other(String),
}

/// How vectors come out of a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Contract {
    /// `[batch, sequence, terms]`, to be pooled.
    Logits(String),
    /// `[batch, sequence, width]`, for the head.
    Hidden { output: String, width: usize },
    /// `[batch, terms]`, final.
    Pooled(String),
    /// `[batch, sequence]` or `[batch, sequence, 1]`: the weight of each input token.
    TokenWeights(String),
    /// Terms and their weights: `[batch, n]`, final, or `[batch, sequence, n]`, to be pooled.
    Pairs {
        terms: String,
        weights: String,
        per_token: bool,
    },
}

/// What is known about the trial batch.
#[derive(Clone, Debug)]
pub(crate) struct Trial {
    /// Texts in it.
    pub(crate) rows: i64,
    /// Tokens of each.
    pub(crate) tokens: i64,
    /// How many terms a vocabulary may have: at least the tokenizer's, at most that and padding.
    pub(crate) terms: Range<usize>,
    /// Whether there is a second graph for hidden states.
    pub(crate) has_head: bool,
}

/// What an encoder is made of: its contract, and its number of terms where the graph says it.
pub(crate) type Detected = (Contract, Option<usize>);

/// Finds what `outputs` mean.
///
/// # Errors
/// With a sentence on what was found and what was expected.
pub(crate) fn detect(outputs: &[Output], trial: &Trial) -> Result<Detected, String> {
    let terms = |width: i64| {
        usize::try_from(width)
            .ok()
            .filter(|width| trial.terms.contains(width))
    };
    let floats = || outputs.iter().filter(|output| output.kind == Kind::Float);
    let (rows, tokens) = (trial.rows, trial.tokens);

    for output in floats() {
        if let [r, width] = output.shape[..]
            && r == rows
            && let Some(count) = terms(width)
        {
            return Ok((Contract::Pooled(output.name.clone()), Some(count)));
        }
    }
    for output in floats() {
        if let [r, t, width] = output.shape[..]
            && (r, t) == (rows, tokens)
            && let Some(count) = terms(width)
        {
            return Ok((Contract::Logits(output.name.clone()), Some(count)));
        }
    }
    if let Some(pairs) = pairs(outputs, rows, tokens) {
        return Ok((pairs, None));
    }
    if trial.has_head {
        // The last layer comes first in exports that give more than one.
        for output in floats() {
            if let [r, t, width] = output.shape[..]
                && (r, t) == (rows, tokens)
                && width > 1
                && let Ok(width) = usize::try_from(width)
            {
                let output = output.name.clone();
                return Ok((Contract::Hidden { output, width }, None));
            }
        }
    }
    for output in floats() {
        if matches!(output.shape[..], [r, t] | [r, t, 1] if (r, t) == (rows, tokens)) {
            return Ok((Contract::TokenWeights(output.name.clone()), None));
        }
    }
    Err(refusal(outputs, trial))
}

/// Integers and floats of the same shape, and no other integers.
fn pairs(outputs: &[Output], rows: i64, tokens: i64) -> Option<Contract> {
    let mut integers = outputs.iter().filter(|output| output.kind == Kind::Integer);
    let terms = integers.next()?;
    if integers.next().is_some() {
        return None;
    }
    let weights = outputs
        .iter()
        .find(|output| output.kind == Kind::Float && output.shape == terms.shape)?;
    let per_token = match terms.shape[..] {
        [r, _] if r == rows => false,
        [r, t, _] if (r, t) == (rows, tokens) => true,
        _ => return None,
    };
    Some(Contract::Pairs {
        terms: terms.name.clone(),
        weights: weights.name.clone(),
        per_token,
    })
}

#[cold]
fn refusal(outputs: &[Output], trial: &Trial) -> String {
    let found: Vec<_> = outputs
        .iter()
        .map(|output| {
            let shape: Vec<_> = output
                .shape
                .iter()
                .map(|size| match *size {
                    size if size == trial.rows => "batch".to_owned(),
                    size if size == trial.tokens => "sequence".to_owned(),
                    size => size.to_string(),
                })
                .collect();
            let kind = match &output.kind {
                Kind::Float => String::new(),
                Kind::Integer => " of integers".to_owned(),
                Kind::Other(kind) => format!(" of {kind}"),
            };
            format!("{} [{}]{kind}", output.name, shape.join(", "))
        })
        .collect();
    let odd = outputs
        .iter()
        .any(|output| matches!(output.kind, Kind::Other(_)));
    let hint = if odd {
        "export the outputs as 32-bit floats"
    } else {
        "a graph of hidden states needs head.onnx beside it; if its terms are not the tokenizer's tokens, say how many with OnnxOptions::terms; a graph of dense embeddings is no sparse encoder"
    };
    format!(
        "its outputs are {}; expected logits [batch, sequence, terms], a vector [batch, terms], weights of tokens [batch, sequence] or pairs of terms and weights, with {} to {} terms; {hint}",
        found.join(", "),
        trial.terms.start,
        trial.terms.end.saturating_sub(1)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(name: &str, kind: Kind, shape: &[i64]) -> Output {
        Output {
            name: name.to_owned(),
            kind,
            shape: shape.to_vec(),
        }
    }

    fn trial(has_head: bool) -> Trial {
        Trial {
            rows: 2,
            tokens: 5,
            terms: 1000..1129,
            has_head,
        }
    }

    #[test]
    fn shapes_decide() {
        let logits = output("logits", Kind::Float, &[2, 5, 1024]);
        let hidden = output("last_hidden_state", Kind::Float, &[2, 5, 384]);
        let pooled = output("out", Kind::Float, &[2, 1000]);
        let weights = output("sparse", Kind::Float, &[2, 5, 1]);
        let dense = output("sentence_embedding", Kind::Float, &[2, 384]);
        let contract = |outputs: &[Output], head| detect(outputs, &trial(head));

        let (found, terms) = contract(&[hidden.clone(), logits.clone()], false).unwrap();
        assert_eq!(
            (found, terms),
            (Contract::Logits("logits".to_owned()), Some(1024))
        );
        let (found, _) = contract(&[logits.clone(), pooled], false).unwrap();
        assert_eq!(found, Contract::Pooled("out".to_owned()));
        let (found, _) = contract(&[hidden.clone(), weights], false).unwrap();
        assert_eq!(found, Contract::TokenWeights("sparse".to_owned()));
        let (found, _) = contract(&[hidden.clone(), dense.clone()], true).unwrap();
        let width = 384;
        let output_name = "last_hidden_state".to_owned();
        assert_eq!(
            found,
            Contract::Hidden {
                output: output_name,
                width
            }
        );

        let error = contract(&[hidden, dense], false).unwrap_err();
        assert!(error.contains("[batch, sequence, 384]"), "{error}");
        let half = output("logits", Kind::Other("f16".to_owned()), &[2, 5, 1024]);
        assert!(contract(&[half], false).unwrap_err().contains("32-bit"));
        let other = output("logits", Kind::Float, &[2, 5, 30_522]);
        assert!(
            contract(&[other], false)
                .unwrap_err()
                .contains("1000 to 1128")
        );
    }

    #[test]
    fn pairs_come_per_text_or_per_token() {
        for (shape, per_token) in [(&[2, 8][..], false), (&[2, 5, 8][..], true)] {
            let outputs = [
                output("values", Kind::Float, shape),
                output("indices", Kind::Integer, shape),
            ];
            let (found, terms) = detect(&outputs, &trial(false)).unwrap();
            let expected = Contract::Pairs {
                terms: "indices".to_owned(),
                weights: "values".to_owned(),
                per_token,
            };
            assert_eq!((found, terms), (expected, None));
        }
    }
}
