//! The order that lost, kept to be measured again: k-means in two levels.

use std::collections::BTreeMap;

use super::Parts;
use crate::{id::TermId, quantize::ImpactVector, segment::postings::testing::Random};

/// Rounds of assigning documents to centroids.
const ROUNDS: usize = 3;

/// Heaviest terms of a centroid that count.
const CENTROID_TERMS: usize = 256;

/// Clusters of about `size` documents, each a part.
pub(crate) fn parts(docs: &[ImpactVector], size: usize) -> Parts {
    let all: Vec<u32> = (0..).take(docs.len()).collect();
    let mut parts = Parts {
        docs: Vec::new(),
        ends: Vec::new(),
    };
    for cluster in clusters(docs, &all, size) {
        parts.docs.extend(cluster);
        parts.ends.push(parts.docs.len());
    }
    parts
}

/// All documents: clusters of about 2,048, in each clusters of about eight.
pub(crate) fn order(docs: &[ImpactVector]) -> Vec<u32> {
    let all: Vec<u32> = (0..).take(docs.len()).collect();
    let large = clusters(docs, &all, 2048);
    let small = large.iter().flat_map(|cluster| clusters(docs, cluster, 8));
    small.flatten().collect()
}

fn clusters(docs: &[ImpactVector], members: &[u32], size: usize) -> Vec<Vec<u32>> {
    let count = members.len().div_ceil(size);
    if count < 2 {
        return vec![members.to_vec()];
    }
    let mut random = Random(members.len() as u64 | 1);
    let mut centroids: Vec<BTreeMap<TermId, f32>> = (0..count)
        .map(|_| {
            let doc = members[random.below(u32::try_from(members.len()).unwrap()) as usize];
            weights(&docs[doc as usize]).collect()
        })
        .collect();
    let mut clusters = Vec::new();
    for _ in 0..ROUNDS {
        clusters = assigned(docs, members, &centroids);
        for (centroid, cluster) in centroids.iter_mut().zip(&clusters) {
            *centroid = mean(docs, cluster);
        }
    }
    clusters.retain(|cluster| !cluster.is_empty());
    clusters
}

fn assigned(
    docs: &[ImpactVector],
    members: &[u32],
    centroids: &[BTreeMap<TermId, f32>],
) -> Vec<Vec<u32>> {
    let mut lists: BTreeMap<TermId, Vec<(usize, f32)>> = BTreeMap::new();
    for (at, centroid) in centroids.iter().enumerate() {
        let length = centroid.values().map(|w| w * w).sum::<f32>().sqrt();
        for (term, weight) in centroid {
            lists.entry(*term).or_default().push((at, weight / length));
        }
    }
    let mut clusters = vec![Vec::new(); centroids.len()];
    let mut scores = vec![0.0_f32; centroids.len()];
    for &doc in members {
        scores.fill(0.0);
        for (term, weight) in weights(&docs[doc as usize]) {
            for (at, other) in lists.get(&term).into_iter().flatten() {
                scores[*at] += weight * other;
            }
        }
        let best = (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b]));
        clusters[best.unwrap()].push(doc);
    }
    clusters
}

fn mean(docs: &[ImpactVector], cluster: &[u32]) -> BTreeMap<TermId, f32> {
    let mut sum: BTreeMap<TermId, f32> = BTreeMap::new();
    for &doc in cluster {
        for (term, weight) in weights(&docs[doc as usize]) {
            *sum.entry(term).or_default() += weight;
        }
    }
    let mut pairs: Vec<(TermId, f32)> = sum.into_iter().collect();
    pairs.sort_by(|a, b| b.1.total_cmp(&a.1));
    pairs.truncate(CENTROID_TERMS);
    pairs.into_iter().collect()
}

fn weights(vector: &ImpactVector) -> impl Iterator<Item = (TermId, f32)> + '_ {
    vector
        .iter()
        .map(|(term, impact)| (term, f32::from(impact)))
}
