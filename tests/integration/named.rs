//! Several named vectors in one index: the weighted sum of separate indexes, in one exact pass.

use std::collections::HashMap;

use sparsely::{
    Config, Document, Encoder, Index, LexicalEncoder, Mode, Query, Searcher, Snapshot,
    SparseVector, StaticEncoder,
    encode::{NamedEncoder, NamedEncoders, NamedVectors},
};

struct Random(u64);

impl Random {
    fn below(&mut self, n: u32) -> u32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        u32::try_from((self.0 >> 33) % u64::from(n)).unwrap()
    }

    fn vector(&mut self, terms: u32, limit: f32) -> SparseVector {
        let mut pairs = HashMap::new();
        for _ in 0..1 + self.below(20) {
            let weight = limit * (1 + self.below(1000)) as f32 / 1000.0;
            pairs.insert(self.below(terms), weight);
        }
        SparseVector::new(pairs).unwrap()
    }
}

const NAMES: [(&str, u32, f32); 3] = [("a", 50, 3.5), ("b", 80, 0.25), ("c", 40, 200.0)];

fn index(config: Config, documents: impl Iterator<Item = Document>) -> Snapshot {
    let index = Index::in_memory(config).unwrap();
    let mut writer = index.writer().unwrap();
    for document in documents {
        writer.upsert(document).unwrap();
    }
    writer.commit().unwrap();
    index.snapshot().unwrap()
}

fn scores(snapshot: &Snapshot, query: SparseVector) -> HashMap<String, f32> {
    let hits = snapshot.search(&Query::new(query).top(usize::MAX)).unwrap();
    assert!(hits.proven_exact());
    hits.into_iter()
        .map(|hit| (hit.key().to_string(), hit.score()))
        .collect()
}

#[test]
fn the_sum_is_that_of_separate_indexes_and_exact_equals_exhaustive() {
    let mut random = Random(11);
    let named = NamedVectors::new(NAMES).unwrap();
    let documents: Vec<(String, [SparseVector; 3])> = (0..400)
        .map(|at| {
            let vectors = NAMES.map(|(_, terms, limit)| random.vector(terms, limit));
            (format!("d{at}"), vectors)
        })
        .collect();
    let config = Config::new()
        .term_count(named.term_count())
        .weight_limit(named.weight_limit());
    let together = index(
        config,
        documents.iter().map(|(key, [a, b, c])| {
            let vector = named.document(&[("a", a), ("b", b), ("c", c)]).unwrap();
            Document::new(key.as_str(), vector)
        }),
    );
    let separate = [0, 1, 2].map(|at| {
        let config = Config::new().weight_limit(NAMES[at].2);
        let documents = documents.iter();
        index(
            config,
            documents.map(|(key, vectors)| Document::new(key.as_str(), vectors[at].clone())),
        )
    });
    for weights in [[1.0, 1.0, 1.0], [0.5, 40.0, 0.01], [0.0, 1.0, 0.0]] {
        let vectors = NAMES.map(|(_, terms, _)| random.vector(terms, 2.0));
        let [a, b, c] = &vectors;
        let asked = [
            ("a", a, weights[0]),
            ("b", b, weights[1]),
            ("c", c, weights[2]),
        ];
        let query = named.query(&asked).unwrap();
        let exact = together
            .search(&Query::new(query.clone()).top(100))
            .unwrap();
        let all = Query::new(query.clone()).top(100).mode(Mode::Exhaustive);
        assert_eq!(exact, together.search(&all).unwrap());

        let mut sums: HashMap<String, f64> = HashMap::new();
        let mut heaviest = 0.0_f64;
        for at in 0..3 {
            for (key, score) in scores(&separate[at], vectors[at].clone()) {
                *sums.entry(key).or_default() += f64::from(score) * f64::from(weights[at]);
            }
            let most = vectors[at].weights().iter().copied().fold(0.0, f32::max);
            heaviest = heaviest.max(f64::from(most * weights[at] * NAMES[at].2));
        }
        // Documents are quantized alike; what differs is the step of query weights, here and there
        // at most half of the heaviest's 4,095th for each of up to 60 terms.
        let tolerance = heaviest / 4095.0 * 60.0;
        let found = scores(&together, query);
        for (key, sum) in sums {
            let score = f64::from(found.get(&key).copied().unwrap_or(0.0));
            assert!((score - sum).abs() <= tolerance, "{key}: {score} {sum}");
        }
    }
}

#[test]
fn two_encoders_answer_as_one_and_explain_themselves() {
    let encoder = || {
        NamedEncoders::new([
            NamedEncoder::new("lexical", LexicalEncoder::auto()),
            NamedEncoder::new("static", StaticEncoder::embedded().unwrap()).weight(2.0),
        ])
        .unwrap()
    };
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("i");
    let writing = encoder();
    let index = Index::create(&path, Config::for_encoder(&writing)).unwrap();
    let mut writer = index.writer().unwrap();
    for (key, text) in [
        (
            "sort",
            "fn f(v: &mut Vec<u32>) -> u32 { v.sort_unstable(); v[0] }",
        ),
        (
            "zyxwv",
            "fn zyxwv(path: &Path) -> Result<File> { File::open(path) }",
        ),
        ("prose", "The words of a book are not those of a program."),
    ] {
        writer
            .upsert(Document::from_text(&writing, key, text).unwrap())
            .unwrap();
    }
    writer.commit().unwrap();
    drop(writer);
    // Opened by an encoder that has seen no words.
    let reading = encoder();
    let index = Index::open_with(&path, Config::for_encoder(&reading)).unwrap();
    let snapshot = index.snapshot().unwrap();
    for (question, key) in [
        ("zyxwv", "zyxwv"),
        ("words of a book", "prose"),
        ("sort", "sort"),
    ] {
        let vector = reading.encode_query_for(question, &snapshot).unwrap();
        let query = Query::new(vector);
        let hits = snapshot.search(&query).unwrap();
        assert_eq!(hits.as_slice()[0].key().to_string(), key, "{question}");
        let explanation = snapshot.explain(&query, hits.as_slice()[0].key()).unwrap();
        assert_eq!(explanation.score, hits.as_slice()[0].score());
        let labels: Vec<String> = explanation
            .terms
            .into_iter()
            .filter_map(|t| t.label)
            .collect();
        assert!(
            labels.iter().any(|label| label.starts_with("lexical:")),
            "{labels:?}"
        );
        assert!(
            labels.iter().any(|label| label.starts_with("static:")),
            "{labels:?}"
        );
    }
    let other = LexicalEncoder::auto();
    assert!(Index::open_with(&path, Config::for_encoder(&other)).is_err());
}
