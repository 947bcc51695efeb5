//! How well an encoder ranks pairs that it did not learn from.

use super::{
    Example, RankingOptions,
    texts::{Fired, Head, pruned, scores},
    tuning::Numbered,
};
use crate::{error::Result, train::sae::cache::HiddenCache};

/// How held-out queries rank the right passages of all held-out examples.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Ranked {
    /// Mean of `1 / log2(1 + rank)` of the right passage, 0 below rank 10: nDCG@10 with one relevant
    /// passage a query.
    pub ndcg_at_10: f64,
    /// Latents of a query and of a passage, before pruning.
    pub latents: (f64, f64),
}

/// Texts that run together.
const CHUNK: usize = 32;

pub(super) fn rank(
    head: &Head,
    cache: &HiddenCache,
    examples: &[Example],
    options: &RankingOptions,
) -> Result<Ranked> {
    let run = |texts: &[usize], tokens: usize, top: usize| -> Result<(Vec<Vec<Fired>>, f64)> {
        let mut all = Vec::with_capacity(texts.len());
        let mut latents = 0;
        for texts in texts.chunks(CHUNK) {
            for fired in head.run(cache, texts, tokens, options.threads)?.fired {
                latents += fired.len();
                all.push(pruned(&fired, Some(top)));
            }
        }
        let mean = latents as f64 / texts.len().max(1) as f64;
        Ok((all, mean))
    };
    let mut passages = Numbered::default();
    let right: Vec<usize> = examples
        .iter()
        .map(|example| passages.number(example.candidates[0]))
        .collect();
    let queries: Vec<usize> = examples.iter().map(|example| example.query).collect();
    let (queries, of_query) = run(&queries, options.tokens.0, options.pruning.0)?;
    let (fired, of_passage) = run(&passages.texts, options.tokens.1, options.pruning.1)?;
    let found = scores(head.latents(), &queries, &fired, options.threads);
    let gains = found
        .chunks_exact(passages.texts.len())
        .zip(&right)
        .map(|(scores, right)| {
            // Ties count against it.
            let before = scores
                .iter()
                .enumerate()
                .filter(|(at, score)| at != right && **score >= scores[*right])
                .count();
            if before < 10 && scores[*right] > 0.0 {
                1.0 / (2.0 + before as f64).log2()
            } else {
                0.0
            }
        });
    Ok(Ranked {
        ndcg_at_10: gains.sum::<f64>() / examples.len().max(1) as f64,
        latents: (of_query, of_passage),
    })
}
