//! What retrieval is compared with: plain BM25 over raw text, as a newcomer would write it.
//!
//! Lower-cased runs of letters, digits and `_`; k1 1.2, b 0.75; each word of the query counts once;
//! no stems, no phrases.

use std::collections::{BTreeSet, HashMap};

pub(crate) struct Bm25 {
    postings: HashMap<String, Vec<(usize, f64)>>,
    norms: Vec<f64>,
}

impl Bm25 {
    pub(crate) fn new<'a>(texts: impl Iterator<Item = &'a str>) -> Bm25 {
        let mut postings: HashMap<String, Vec<(usize, f64)>> = HashMap::new();
        let mut lengths = Vec::new();
        for (at, text) in texts.enumerate() {
            let mut counts: HashMap<String, f64> = HashMap::new();
            let mut length = 0.0;
            for word in words(text) {
                *counts.entry(word).or_default() += 1.0;
                length += 1.0;
            }
            for (word, count) in counts {
                postings.entry(word).or_default().push((at, count));
            }
            lengths.push(length);
        }
        let average = lengths.iter().sum::<f64>() / lengths.len().max(1) as f64;
        let norm = |length: &f64| 1.2 * (0.25 + 0.75 * length / average.max(1.0));
        Bm25 {
            postings,
            norms: lengths.iter().map(norm).collect(),
        }
    }

    /// The best `k` texts that `allowed` lets through; of equal scores the earlier.
    ///
    /// Words are added in their order, so that equal sums are equal.
    pub(crate) fn best(
        &self,
        query: &str,
        k: usize,
        allowed: impl Fn(usize) -> bool,
    ) -> Vec<usize> {
        let mut scores = vec![0.0; self.norms.len()];
        for word in words(query).collect::<BTreeSet<String>>() {
            let Some(list) = self.postings.get(&word) else {
                continue;
            };
            let (n, df) = (self.norms.len() as f64, list.len() as f64);
            let idf = ((n - df + 0.5) / (df + 0.5)).ln_1p();
            for &(at, count) in list {
                scores[at] += idf * count * 2.2 / (count + self.norms[at]);
            }
        }
        let mut order: Vec<usize> = (0..scores.len())
            .filter(|&at| scores[at] > 0.0 && allowed(at))
            .collect();
        order.sort_by(|&one, &other| scores[other].total_cmp(&scores[one]).then(one.cmp(&other)));
        order.truncate(k);
        order
    }
}

fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|letter: char| !(letter.is_alphanumeric() || letter == '_'))
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
}
