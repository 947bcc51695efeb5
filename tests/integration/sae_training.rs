//! From texts to a tuned autoencoder and an index, over a backbone of a few lines.

use sparsely::{
    Config, Document, Encoder, Fingerprint, Index, Progress, Query, Result, Searcher,
    encode::sae::{Autoencoder, Description, HiddenStates, SaeEncoder, TextKind, TokenStates},
    train::sae::{
        AutoencoderOptions, Example, HiddenCache, HiddenWriter, Precision, RankingOptions,
        train_autoencoder, tune_for_ranking,
    },
};

const WIDTH: usize = 24;

/// Each word is a token: a direction of its own topic, and one that only the word has. Words of
/// queries and of documents differ, as in real collections; their topics are the same.
struct Words;

impl HiddenStates for Words {
    fn fingerprint(&self) -> Fingerprint {
        Fingerprint::new("words", &[])
    }

    fn width(&self) -> usize {
        WIDTH
    }

    fn longest(&self) -> usize {
        64
    }

    fn hidden_states(&self, texts: &[&str], _: TextKind) -> Result<Vec<TokenStates>> {
        Ok(texts
            .iter()
            .map(|text| {
                let words: Vec<&str> = text.split(' ').collect();
                TokenStates {
                    values: words.iter().flat_map(|word| state(word)).collect(),
                    special: vec![false; words.len()],
                }
            })
            .collect())
    }
}

fn state(word: &str) -> Vec<f32> {
    // `t7.d3`: topic 7, and whatever the rest makes.
    let topic: usize = word[1..]
        .split('.')
        .next()
        .and_then(|topic| topic.parse().ok())
        .unwrap_or(0);
    let mut bits = word.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |bits, byte| {
        (bits ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut state: Vec<f32> = (0..WIDTH)
        .map(|_| {
            bits = bits
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            f32::from(u16::try_from(bits >> 48).unwrap_or(0)) / 32_768.0 - 1.0
        })
        .collect();
    state[topic % 12] += 1.2;
    state
}

/// Text `number`: two topics in words of the given kind.
fn text(number: usize, kind: char) -> String {
    let topics = [number % 12, (number / 12 + number) % 12];
    let words = topics
        .iter()
        .enumerate()
        .map(|(at, topic)| format!("t{topic}.{kind}{}", (number * 7 + at * 3) % 40));
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn from_texts_to_a_tuned_index() {
    let folder = tempfile::tempdir().unwrap();
    let texts: Vec<(String, TextKind)> = (0..400)
        .flat_map(|number| {
            [
                (text(number, 'q'), TextKind::Query),
                (text(number, 'd'), TextKind::Document),
            ]
        })
        .collect();
    let path = folder.path().join("hidden.cache");
    let mut writer = HiddenWriter::create(&path, WIDTH, Precision::Half, 1, 1 << 20).unwrap();
    for (text, kind) in &texts {
        for states in Words.hidden_states(&[text], *kind).unwrap() {
            writer.add(&states.values).unwrap();
        }
    }
    writer.finish().unwrap();
    let cache = HiddenCache::open(&path).unwrap();

    let options = AutoencoderOptions {
        latents: 128,
        active: 8,
        auxiliary: 16,
        batch: 128,
        epochs: 10,
        rate: 0.01,
        ..AutoencoderOptions::default()
    };
    let (learned, report) = train_autoencoder(&cache, &options, &mut Progress::none()).unwrap();
    assert!(report.explained_variance > 0.5, "{report:?}");
    let trained = folder.path().join("trained");
    Description::new("nowhere")
        .write(&trained, &learned.into_autoencoder().unwrap())
        .unwrap();

    let examples: Vec<Example> = (0..400)
        .map(|number| Example {
            query: 2 * number,
            candidates: vec![2 * number + 1],
            teacher: None,
        })
        .collect();
    let options = RankingOptions {
        epochs: 12,
        rate: 0.01,
        temperature: 1.0,
        held_out: 0.1,
        ..RankingOptions::default()
    };
    let start = Autoencoder::open(&trained).unwrap();
    let (tuned, _) =
        tune_for_ranking(&start, &cache, &examples, &options, &mut Progress::none()).unwrap();
    let tuned_dir = folder.path().join("tuned");
    Description::new("nowhere")
        .write(&tuned_dir, &tuned)
        .unwrap();

    // What the encoder makes of a directory ranks as the training says: pairs that share both topics
    // come first more often.
    let found = |directory: &std::path::Path| {
        let encoder = SaeEncoder::with_backbone(directory, Box::new(Words)).unwrap();
        let index = Index::in_memory(Config::for_encoder(&encoder)).unwrap();
        let mut writer = index.writer().unwrap();
        for number in 360..400 {
            let vector = encoder.encode_document(&text(number, 'd')).unwrap();
            writer
                .upsert(Document::new(number.to_string().as_str(), vector))
                .unwrap();
        }
        writer.commit().unwrap();
        let snapshot = index.snapshot().unwrap();
        let first = |number: &usize| {
            let query = Query::new(encoder.encode_query(&text(*number, 'q')).unwrap()).top(3);
            let hits = snapshot.search(&query).unwrap();
            hits.iter()
                .any(|hit| hit.key().to_string() == number.to_string())
        };
        (360..400).filter(first).count()
    };
    let (before, after) = (found(&trained), found(&tuned_dir));
    assert!(after >= before + 6, "{before} before, {after} after, of 40");
}
