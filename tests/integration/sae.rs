//! Sparse autoencoders against golden latents from numpy, in every format, and at the largest width.
//!
//! `tests/models/make_sae.py` makes the files. For each option of a format it also holds what an
//! autoencoder without that option would give, which ours has to be far from.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use sparsely::{
    Config, Document, Encoder, Fingerprint, Index, Query, Result, Searcher, SparseVector, TermId,
    encode::{
        Pruning,
        sae::{
            Activation, Autoencoder, AutoencoderParts, DecoderNorm, Description, HiddenStates,
            Input, InputNorm, Labels, SaeEncoder, TextKind, Threshold, TokenStates, Tokens,
            Weighting,
        },
    },
};

/// How far from numpy's double precision a latent may be.
const NEAR: f32 = 1e-4;

/// The least that an ignored option changes; the script sees to it.
const FAR: f32 = 0.04;

/// The latents of each token.
type PerToken = Vec<Vec<(u32, f32)>>;

#[derive(Deserialize)]
struct Golden {
    hidden: Vec<f32>,
    width: usize,
    #[serde(flatten)]
    rest: BTreeMap<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct Case {
    latents: PerToken,
    ignoring: BTreeMap<String, PerToken>,
}

pub(crate) fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models/sae")
}

fn golden() -> (Golden, BTreeMap<String, Case>) {
    let bytes = fs::read(models().join("golden.json")).unwrap();
    let golden: Golden = serde_json::from_slice(&bytes).unwrap();
    let cases = golden.rest.iter().filter_map(|(name, value)| {
        Some((name.clone(), serde_json::from_value(value.clone()).ok()?))
    });
    let cases: BTreeMap<String, Case> = cases.collect();
    assert_eq!(cases.len(), 13, "autoencoders");
    (golden, cases)
}

/// The largest difference of any latent.
fn distance(one: &PerToken, other: &PerToken) -> f32 {
    assert_eq!(one.len(), other.len());
    let mut most = 0.0_f32;
    for (one, other) in one.iter().zip(other) {
        let one: BTreeMap<u32, f32> = one.iter().copied().collect();
        let other: BTreeMap<u32, f32> = other.iter().copied().collect();
        for latent in one.keys().chain(other.keys()) {
            let value = |map: &BTreeMap<u32, f32>| map.get(latent).copied().unwrap_or(0.0);
            most = most.max((value(&one) - value(&other)).abs());
        }
    }
    most
}

#[test]
fn every_format_gives_the_latents_of_numpy_and_ignores_no_option() {
    let (golden, cases) = golden();
    for (name, case) in &cases {
        let autoencoder = Autoencoder::open(models().join(name)).unwrap();
        assert_eq!(autoencoder.hidden(), golden.width);
        for threads in [1, 3] {
            let latents = autoencoder.latents_of(&golden.hidden, threads).unwrap();
            let off = distance(&latents, &case.latents);
            assert!(off < NEAR, "{name} is off by {off}");
            for (option, ignoring) in &case.ignoring {
                let off = distance(&latents, ignoring);
                assert!(off > FAR, "{name} ignores {option}: {off}");
            }
        }
    }
}

#[test]
fn what_was_written_gives_the_same_latents() {
    let (golden, cases) = golden();
    for name in cases.keys() {
        let autoencoder = Autoencoder::open(models().join(name)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut description = Description::new(".");
        description.notes = Some(serde_json::json!({"from": name}));
        description.write(folder.path(), &autoencoder).unwrap();
        // Over the first, as a training run does at each checkpoint.
        description.write(folder.path(), &autoencoder).unwrap();
        let again = Autoencoder::open(folder.path()).unwrap();
        let latents =
            |autoencoder: &Autoencoder| autoencoder.latents_of(&golden.hidden, 1).unwrap();
        assert!(
            distance(&latents(&autoencoder), &latents(&again)) < 1e-6,
            "{name}"
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "{name}");
    }
}

/// Texts are numbers of tokens, joined by spaces: `"0 3"` has the states of the first and the fourth.
/// Tokens 0 and 5 are special.
struct Fixed {
    values: Vec<f32>,
    width: usize,
}

impl HiddenStates for Fixed {
    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::new("fixed", &[])
    }

    fn width(&self) -> usize {
        self.width
    }

    fn longest(&self) -> usize {
        16
    }

    fn hidden_states(&self, texts: &[&str], _: TextKind) -> Result<Vec<TokenStates>> {
        let states = |text: &&str| {
            let tokens: Vec<usize> = text
                .split_whitespace()
                .map(|t| t.parse().unwrap())
                .collect();
            TokenStates {
                values: tokens
                    .iter()
                    .flat_map(|at| &self.values[at * self.width..(at + 1) * self.width])
                    .copied()
                    .collect(),
                special: tokens.iter().map(|at| *at == 0 || *at == 5).collect(),
            }
        };
        Ok(texts.iter().map(states).collect())
    }
}

fn fixed(golden: &Golden) -> Box<Fixed> {
    Box::new(Fixed {
        values: golden.hidden.clone(),
        width: golden.width,
    })
}

/// By the definition: the largest over the tokens, then the curve.
fn pooled(case: &Case, tokens: &[usize], curve: impl Fn(f32) -> f32) -> Vec<(u32, f32)> {
    let mut most: BTreeMap<u32, f32> = BTreeMap::new();
    for token in tokens {
        for (latent, value) in &case.latents[*token] {
            let most = most.entry(*latent).or_default();
            *most = most.max(curve(*value));
        }
    }
    most.into_iter().collect()
}

fn check(what: &str, vector: &SparseVector, expected: &[(u32, f32)]) {
    let found: Vec<_> = vector
        .iter()
        .map(|(term, weight)| (term.get(), weight))
        .collect();
    let off = distance(&vec![found], &vec![expected.to_vec()]);
    assert!(off < NEAR, "{what} is off by {off}");
}

#[test]
fn tokens_are_pooled_by_their_maximum() {
    let (golden, cases) = golden();
    let texts = ["1 2", "0 1 2 3 4 5", "", "5 3", "0 5"];
    let own: [&[usize]; 5] = [&[1, 2], &[1, 2, 3, 4], &[], &[3], &[]];
    let all: [&[usize]; 5] = [&[1, 2], &[0, 1, 2, 3, 4, 5], &[], &[5, 3], &[0, 5]];
    for (name, case) in &cases {
        let autoencoder = Autoencoder::open(models().join(name)).unwrap();
        let encoder = SaeEncoder::new(fixed(&golden), autoencoder).unwrap();
        let encoder = encoder.pruning(Pruning::NONE).threads(2);
        let vectors = encoder.encode_documents(&texts).unwrap();
        for (vector, tokens) in vectors.iter().zip(all) {
            check(name, vector, &pooled(case, tokens, f32::ln_1p));
        }
        let encoder = encoder
            .drop_special_tokens(true)
            .weighting(Weighting::Linear);
        let vectors = encoder.encode_queries(&texts).unwrap();
        for (vector, tokens) in vectors.iter().zip(own) {
            check(name, vector, &pooled(case, tokens, |value| value));
        }
    }
}

#[test]
fn first_and_last_tokens_may_stand_for_a_text() {
    let (golden, cases) = golden();
    let case = &cases["csr"];
    let encoder = |tokens| {
        let autoencoder = Autoencoder::open(models().join("csr")).unwrap();
        let encoder = SaeEncoder::new(fixed(&golden), autoencoder).unwrap();
        encoder.tokens(tokens).pruning(Pruning::NONE)
    };
    for (tokens, token) in [(Tokens::First, 2), (Tokens::Last, 4)] {
        let vector = encoder(tokens).encode_document("2 3 4").unwrap();
        check("one token", &vector, &pooled(case, &[token], f32::ln_1p));
    }
    let mean = encoder(Tokens::Mean);
    let same = mean.encode_document("3 3 3").unwrap();
    check("mean", &same, &pooled(case, &[3], f32::ln_1p));
    let of_two = mean.encode_document("3 4").unwrap();
    assert_ne!(of_two, mean.encode_document("3").unwrap());
    assert!(mean.encode_document("").unwrap().is_empty());
}

#[test]
fn pruning_and_fingerprint_follow_the_paper() {
    let (golden, _) = golden();
    let autoencoder = || Autoencoder::open(models().join("gemma")).unwrap();
    let encoder = || SaeEncoder::new(fixed(&golden), autoencoder()).unwrap();
    let pruned = encoder().pruning(Pruning::NONE.query_top(2).document_top(3));
    assert_eq!(pruned.encode_query("0 1 2 3 4 5").unwrap().len(), 2);
    assert_eq!(pruned.encode_document("0 1 2 3 4 5").unwrap().len(), 3);

    let same = encoder().fingerprint();
    assert_eq!(encoder().fingerprint(), same);
    // How queries are treated does not change documents.
    let queries = encoder().pruning(Pruning::TOP_40_400.query_top(10));
    assert_eq!(queries.fingerprint(), same);
    let packed = Autoencoder::open(models().join("gemma_packed")).unwrap();
    let packed = SaeEncoder::new(fixed(&golden), packed).unwrap();
    assert_eq!(packed.fingerprint(), same, "the same numbers");
    let others = [
        encoder().pruning(Pruning::NONE),
        encoder().tokens(Tokens::Mean),
        encoder().weighting(Weighting::Linear),
        encoder().drop_special_tokens(true),
        SaeEncoder::new(
            fixed(&golden),
            Autoencoder::open(models().join("lens_jump")).unwrap(),
        )
        .unwrap(),
    ];
    for other in others {
        assert_ne!(other.fingerprint(), same, "{other:?}");
    }
    let mut changed = autoencoder().to_parts();
    changed.bias[7] += 0.5;
    let changed = Autoencoder::from_parts(changed).unwrap();
    let changed = SaeEncoder::new(fixed(&golden), changed).unwrap();
    assert_ne!(changed.fingerprint(), same);
}

#[test]
fn explanations_name_the_latents_that_query_and_document_share() {
    let (golden, _) = golden();
    let autoencoder = Autoencoder::open(models().join("gemma")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("labels.jsonl");
    let lines =
        (0..24).map(|at| format!("{{\"index\":\"{at}\",\"description\":\"about {at}\"}}\n"));
    fs::write(&path, lines.collect::<String>()).unwrap();
    let labels = Labels::read(&path, 24).unwrap();
    let encoder = SaeEncoder::new(fixed(&golden), autoencoder)
        .unwrap()
        .labels(labels);

    let index = Index::in_memory(Config::for_encoder(&encoder)).unwrap();
    let mut writer = index.writer().unwrap();
    for text in ["0 1", "2 3", "4 5"] {
        writer
            .upsert(Document::from_text(&encoder, text, text).unwrap())
            .unwrap();
    }
    writer.commit().unwrap();
    let snapshot = index.snapshot().unwrap();
    let query = encoder.encode_query("3").unwrap();
    let hits = snapshot.search(&Query::new(query.clone()).top(1)).unwrap();
    let best = hits.iter().next().unwrap();
    assert_eq!(best.key().to_string(), "2 3");
    let explanation = snapshot.explain(&Query::new(query), best.key()).unwrap();
    assert!(explanation.terms[0].contribution > 0.0);
    for term in &explanation.terms {
        let name = encoder.term(term.term).unwrap();
        assert_eq!(name, format!("about {}", term.term.get()));
    }
}

/// One value of a hidden state per letter, so that latents of one letter each can be checked.
struct Letters;

impl HiddenStates for Letters {
    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::new("letters", &[])
    }

    fn width(&self) -> usize {
        16
    }

    fn longest(&self) -> usize {
        64
    }

    fn hidden_states(&self, texts: &[&str], _: TextKind) -> Result<Vec<TokenStates>> {
        let states = |text: &&str| TokenStates {
            values: text
                .bytes()
                .flat_map(|byte| (0..16).map(move |at| f32::from(u8::from(byte - b'a' == at))))
                .collect(),
            special: vec![false; text.len()],
        };
        Ok(texts.iter().map(states).collect())
    }
}

/// Latent `j` of 2^20 hears letter `j % 16`, and the louder the smaller `j / 16` is.
fn million(activation: Activation) -> Autoencoder {
    let latents = 1 << 20;
    let mut parts = AutoencoderParts::new(16, latents, activation);
    for (latent, row) in parts.encoder.chunks_exact_mut(16).enumerate() {
        row[latent % 16] = loudness(latent);
    }
    parts.bias.fill(-0.5);
    Autoencoder::from_parts(parts).unwrap()
}

fn loudness(latent: usize) -> f32 {
    let rank = u16::try_from(latent / 16).unwrap();
    2.0 - f32::from(rank) / 65_536.0
}

#[test]
fn a_million_latents_are_encoded_and_searched() {
    for activation in [
        Activation::Relu,
        Activation::JumpRelu(Threshold::Scalar(0.25)),
        Activation::TopK(400),
    ] {
        let folder = tempfile::tempdir().unwrap();
        Description::new(".")
            .write(folder.path(), &million(activation))
            .unwrap();
        let encoder = SaeEncoder::with_backbone(folder.path(), Box::new(Letters)).unwrap();
        assert_eq!(encoder.term_count(), 1 << 20);

        let document = encoder.encode_document("abca").unwrap();
        assert_eq!(document.len(), 400);
        for (term, weight) in document.iter() {
            let latent = usize::try_from(term.get()).unwrap();
            assert!(latent % 16 < 3 && latent / 16 <= 400 / 3, "{latent}");
            assert!((weight - (loudness(latent) - 0.5).ln_1p()).abs() < 1e-5);
        }

        let index = Index::in_memory(Config::for_encoder(&encoder)).unwrap();
        let mut writer = index.writer().unwrap();
        for text in ["abc", "def", "ghi", "ajk"] {
            writer
                .upsert(Document::from_text(&encoder, text, text).unwrap())
                .unwrap();
        }
        writer.commit().unwrap();
        let query = encoder.encode_query("ed").unwrap();
        assert_eq!(query.len(), 40);
        let hits = index
            .snapshot()
            .unwrap()
            .search(&Query::new(query).top(3))
            .unwrap();
        let keys: Vec<_> = hits.iter().map(|hit| hit.key().to_string()).collect();
        assert_eq!(keys, ["def"]);
    }
}

#[test]
fn ties_of_top_k_go_to_the_lower_latent_on_any_number_of_threads() {
    let mut parts = AutoencoderParts::new(2, 3000, Activation::TopK(5));
    parts.encoder.fill(1.0);
    parts.encoder[2 * 2900] = 2.0;
    let autoencoder = Autoencoder::from_parts(parts).unwrap();
    for threads in [1, 2, 5] {
        let latents = autoencoder.latents_of(&[1.0, 0.0], threads).unwrap();
        let ids: Vec<_> = latents[0].iter().map(|pair| pair.0).collect();
        assert_eq!(ids, [0, 1, 2, 3, 2900]);
    }
}

/// Makes parts unusable.
type Spoil = fn(&mut AutoencoderParts);

#[test]
fn values_of_no_use_are_refused() {
    let parts = || AutoencoderParts {
        input: Input {
            norm: InputNorm::Layer,
            scale: 0.5,
            subtracted: Some(vec![0.0; 4]),
        },
        norms: Some((DecoderNorm::Selects, vec![1.0; 9])),
        ..AutoencoderParts::new(
            4,
            9,
            Activation::JumpRelu(Threshold::PerLatent(vec![0.1; 9])),
        )
    };
    Autoencoder::from_parts(parts()).unwrap();
    let cases: &[(&str, Spoil)] = &[
        ("encoder weights", |parts| parts.encoder.truncate(35)),
        ("number 3 of its encoder weights", |parts| {
            parts.encoder[3] = f32::NAN
        }),
        ("biases", |parts| parts.bias.push(0.0)),
        ("biases", |parts| parts.bias[1] = f32::INFINITY),
        ("thresholds", |parts| {
            parts.activation = Activation::JumpRelu(Threshold::PerLatent(vec![0.0; 8]));
        }),
        ("threshold", |parts| {
            parts.activation = Activation::JumpRelu(Threshold::Scalar(f32::NAN));
        }),
        ("10 largest", |parts| {
            parts.activation = Activation::TopK(10)
        }),
        ("0 largest", |parts| parts.activation = Activation::TopK(0)),
        ("scale", |parts| parts.input.scale = 0.0),
        ("to subtract", |parts| {
            parts.input.subtracted = Some(vec![0.0; 3])
        }),
        ("negative", |parts| {
            parts.norms = Some((DecoderNorm::Scales, vec![-1.0; 9]));
        }),
        ("norms of decoder rows", |parts| {
            parts.norms = Some((DecoderNorm::Scales, vec![1.0; 4]));
        }),
        ("5000000 latents", |parts| parts.latents = 5_000_000),
        ("0 values", |parts| parts.hidden = 0),
    ];
    for (word, change) in cases {
        let mut parts = parts();
        change(&mut parts);
        let error = Autoencoder::from_parts(parts).unwrap_err();
        assert!(error.to_string().contains(word), "{word}: {error}");
    }

    let autoencoder =
        Autoencoder::from_parts(AutoencoderParts::new(4, 9, Activation::Relu)).unwrap();
    assert!(
        autoencoder.latents_of(&[1.0; 7], 1).is_err(),
        "no whole tokens"
    );
    for bad in [f32::NAN, f32::INFINITY] {
        let error = autoencoder
            .latents_of(&[1.0, bad, 0.0, 0.0], 1)
            .unwrap_err();
        assert!(error.to_string().contains("hidden states"), "{error}");
    }
    let term = TermId::from(3_u32);
    let (golden, _) = golden();
    let encoder = Autoencoder::open(models().join("gemma")).unwrap();
    let encoder = SaeEncoder::new(fixed(&golden), encoder).unwrap();
    assert_eq!(encoder.term(term), None);
    let error = SaeEncoder::new(
        Box::new(Letters),
        Autoencoder::open(models().join("gemma")).unwrap(),
    );
    let error = error.unwrap_err().to_string();
    assert!(error.contains('8') && error.contains("16"), "{error}");
}
