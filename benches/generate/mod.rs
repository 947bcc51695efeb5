//! Makes documents and queries that behave like learned sparse vectors, for whoever has none.
//!
//! What learned encoders give differs from words in three ways that decide what a search costs:
//!
//! - *Two bands.* A plateau of expansion terms, each in several of a hundred documents, holds most
//!   of the postings, and every query asks for dozens of them; beyond it frequencies fall fast. A
//!   Zipf curve has a few terms that are everywhere and nothing like the plateau.
//! - *Topics.* Neighbors share terms with their weights, so a query scores a few documents high and
//!   nearly all others next to nothing.
//! - *Weights that fall steeply*, and heaviest on rare terms: a quarter of a vector holds most of
//!   its mass.
//!
//! A vector is drawn in layers: terms of its topic, of its topic's area, and of the whole
//! collection. Every vector depends on the seed and its number alone, so any of them can be made
//! alone, in any order, again. `docs/decisions.md` compares the result with real vectors.

#![allow(
    dead_code,
    reason = "several programs share this, each needs a part of it"
)]

use std::collections::BTreeMap;

use sparsely::SparseVector;

/// What an encoder's vectors look like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) term_count: u32,
    /// Terms of the plateau; the others are topical.
    plateau: u32,
    /// Where frequencies in either band begin to fall: of the term of rank `r` they are as
    /// `1 / (r + bend)`.
    plateau_bend: f64,
    topical_bend: f64,
    topics: u64,
    topics_per_area: u64,
    document: [Layer; 3],
    query: [Layer; 3],
    /// What is kept of the heaviest terms.
    document_top: usize,
    query_top: usize,
    /// The weight at the end of a vector is `exp(-fall)` of the heaviest.
    document_fall: f64,
    query_fall: f64,
    /// The heaviest weights.
    document_peak: f64,
    query_peak: f64,
    /// Lengths vary by a factor of up to `exp(spread)` either way.
    spread: f64,
}

/// Terms that a vector takes from what its topic, its area or the whole collection offers.
#[derive(Clone, Copy, Debug)]
struct Layer {
    /// Terms on offer.
    offered: u32,
    /// The share of them that a vector takes on average.
    taken: f64,
    /// The share of topical terms among them.
    topical: f64,
    /// Expansion terms weigh at most `exp(-fall * light)` of the heaviest.
    light: f64,
}

impl Shape {
    /// Passages and questions of a SPLADE model: 30,522 terms, about 130 and 44 a vector.
    pub(crate) const SPLADE: Shape = Shape {
        term_count: 30_522,
        plateau: 2500,
        plateau_bend: 120.0,
        topical_bend: 700.0,
        topics: 2000,
        topics_per_area: 20,
        document: [
            layer(70, 0.55, 0.35, 0.0),
            layer(130, 0.36, 0.15, 0.1),
            layer(60, 0.9, 0.08, 0.3),
        ],
        query: [
            layer(70, 0.37, 0.35, 0.0),
            layer(130, 0.05, 0.15, 0.1),
            layer(14, 0.9, 0.08, 0.3),
        ],
        document_top: usize::MAX,
        query_top: usize::MAX,
        document_fall: 5.9,
        query_fall: 4.2,
        document_peak: 3.2,
        query_peak: 2.9,
        spread: 0.6,
    };

    /// Latents of a sparse autoencoder, pruned at (40, 400): 131,072 terms that are used about
    /// equally often, and weights that fall slowly.
    pub(crate) const SAE: Shape = Shape {
        term_count: 131_072,
        plateau: 16_384,
        plateau_bend: 30_000.0,
        topical_bend: 60_000.0,
        topics: 2000,
        topics_per_area: 20,
        document: [
            layer(220, 0.6, 0.8, 0.0),
            layer(420, 0.45, 0.7, 0.1),
            layer(130, 0.9, 0.6, 0.2),
        ],
        query: [
            layer(220, 0.14, 0.8, 0.0),
            layer(420, 0.02, 0.7, 0.1),
            layer(6, 0.9, 0.6, 0.2),
        ],
        document_top: 400,
        query_top: 40,
        document_fall: 2.6,
        query_fall: 2.2,
        document_peak: 4.0,
        query_peak: 4.0,
        spread: 0.15,
    };
}

const fn layer(offered: u32, taken: f64, topical: f64, light: f64) -> Layer {
    Layer {
        offered,
        taken,
        topical,
        light,
    }
}

/// Documents and queries of one shape and seed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Generator {
    shape: Shape,
    seed: u64,
}

impl Generator {
    pub(crate) const fn new(shape: Shape, seed: u64) -> Generator {
        Generator { shape, seed }
    }

    /// Document `number`.
    pub(crate) fn document(&self, number: u64) -> SparseVector {
        let shape = &self.shape;
        let (fall, peak) = (shape.document_fall, shape.document_peak);
        self.vector(
            Random::new([self.seed, 1, number]),
            &shape.document,
            fall,
            peak,
        )
        .keep(shape.document_top)
    }

    /// Query `number`.
    pub(crate) fn query(&self, number: u64) -> SparseVector {
        let shape = &self.shape;
        let (fall, peak) = (shape.query_fall, shape.query_peak);
        self.vector(
            Random::new([self.seed, 2, number]),
            &shape.query,
            fall,
            peak,
        )
        .keep(shape.query_top)
    }

    fn vector(
        &self,
        mut random: Random,
        layers: &[Layer; 3],
        fall: f64,
        peak: f64,
    ) -> SparseVector {
        let shape = &self.shape;
        let topic = random.next() % shape.topics;
        // A second topic of the same area, for what is about more than one thing.
        let area = topic / shape.topics_per_area;
        let other = area * shape.topics_per_area + random.next() % shape.topics_per_area;
        let length = ((random.unit() * 2.0 - 1.0) * shape.spread).exp();
        let own = random.next();
        let sources = [(topic, 0.7), (other, 0.3)].map(|(topic, share)| (3, topic, share));
        let sources = sources.into_iter().chain([(4, area, 1.0), (5, own, 1.0)]);

        let mut weights = BTreeMap::new();
        for (kind, source, share) in sources {
            let layer = layers[kind as usize - 3];
            let mut offers = Random::new([self.seed, kind, source]);
            for _ in 0..layer.offered {
                let (term, depth) = self.offer(&mut offers, layer);
                // The heaviest terms of a topic are those that its documents have in common.
                let taken = layer.taken * share * length * (1.4 - 0.8 * depth);
                if random.unit() < taken {
                    let jitter = (random.unit() - 0.5) * 0.6;
                    let weight = peak * (jitter - fall * depth).exp();
                    let kept = weights.entry(term).or_insert(0.0_f64);
                    *kept = kept.max(weight);
                }
            }
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "weights are a few units at most"
        )]
        let pairs = weights
            .into_iter()
            .map(|(term, weight)| (term, weight as f32));
        SparseVector::new(pairs).unwrap_or_default()
    }

    /// A term and how far down the curve of weights it stands, from 0 to 1.
    fn offer(&self, random: &mut Random, layer: Layer) -> (u32, f64) {
        let shape = &self.shape;
        let (rank, depth) = if random.unit() < layer.topical {
            let rest = shape.term_count - shape.plateau;
            let rank = shape.plateau + falling(random, rest, shape.topical_bend);
            let depth = random.unit();
            (rank, depth * depth)
        } else {
            let rank = falling(random, shape.plateau, shape.plateau_bend);
            (rank, layer.light + (1.0 - layer.light) * random.unit())
        };
        // Ids that say nothing of frequency: 7919 is prime to every power of two and to 30,522.
        let term = u64::from(rank) * 7919 % u64::from(shape.term_count);
        (u32::try_from(term).unwrap_or(0), depth)
    }
}

/// A rank below `count`, the rank `r` as often as `1 / (r + bend)`.
fn falling(random: &mut Random, count: u32, bend: f64) -> u32 {
    let ratio = (f64::from(count) + bend) / bend;
    let rank = bend * ratio.powf(random.unit()) - bend;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 0 up to a count of 32 bits"
    )]
    let rank = rank as u32;
    rank.min(count - 1)
}

/// SplitMix64 (Steele, Lea and Flood 2014).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// A stream of its own for each list of numbers.
    pub(crate) fn new<const N: usize>(parts: [u64; N]) -> Random {
        let mut random = Random(0);
        for part in parts {
            random.0 ^= part;
            random.0 = random.next();
        }
        random
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From 0 up to 1.
    pub(crate) fn unit(&mut self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits are what an f64 holds")]
        let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        unit
    }
}
