//! Words and vectors per second, on passages of this crate's own sources and documentation.
//!
//! Each answer is checked before it is timed.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sparsely::{
    Encoder, LexicalEncoder, StaticEncoder,
    text::{self, LineWindows},
};

const CODE: [&str; 4] = [
    include_str!("../src/text/words.rs"),
    include_str!("../src/text/script.rs"),
    include_str!("../src/encode/lexical.rs"),
    include_str!("../src/evaluate/run.rs"),
];

const PROSE: [&str; 2] = [
    include_str!("../ARCHITECTURE.md"),
    include_str!("../docs/format.md"),
];

/// About 300 bytes each, the length of a small function.
fn passages<'a>(texts: &[&'a str]) -> Vec<&'a str> {
    let windows = LineWindows::new(10, 0).expect("no overlap");
    let cut = texts.iter().flat_map(|text| windows.cut(text));
    cut.map(|passage| passage.text).collect()
}

fn count_words(texts: &[&str]) -> usize {
    let mut count = 0;
    for text in texts {
        text::words(text, |word| count += usize::from(!word.text.is_empty()));
    }
    count
}

fn learned() -> StaticEncoder {
    StaticEncoder::embedded().expect("the table is whole")
}

/// Every vector has something, and at most so many terms as `most` says by the words of its text.
fn check(encoder: &dyn Encoder, texts: &[&str], most: impl Fn(usize) -> usize) {
    let vectors = encoder.encode_documents(texts).expect("it never fails");
    assert_eq!(vectors.len(), texts.len());
    assert!(vectors.iter().filter(|vector| vector.len() > 3).count() > texts.len() / 2);
    for (vector, text) in vectors.iter().zip(texts) {
        assert!(vector.len() <= most(count_words(&[text])));
    }
}

fn encode(c: &mut Criterion) {
    for (name, texts) in [("code", passages(&CODE)), ("prose", passages(&PROSE))] {
        let bytes: usize = texts.iter().map(|text| text.len()).sum();
        let words = count_words(&texts);
        assert!(words > bytes / 20 && words < bytes, "{words} words");
        let (lexical, learned) = (LexicalEncoder::auto(), learned());
        let encoders: [(&str, &dyn Encoder); 2] =
            [("vectors", &lexical), ("learned vectors", &learned)];
        check(&lexical, &texts, |words| words);
        // A hundred words that it does not have, and the mark of code.
        check(&learned, &texts, |words| words + 101);

        let mut group = c.benchmark_group(format!("encode/{name}"));
        for throughput in [
            Throughput::Bytes(bytes as u64),
            Throughput::Elements(texts.len() as u64),
        ] {
            let unit = match throughput {
                Throughput::Bytes(_) => "bytes",
                _ => "passages",
            };
            group.throughput(throughput);
            group.bench_function(format!("words, {unit}"), |b| {
                b.iter(|| assert_eq!(count_words(black_box(&texts)), words));
            });
            for (what, encoder) in encoders {
                group.bench_function(format!("{what}, {unit}"), |b| {
                    b.iter(|| {
                        let found = encoder.encode_documents(black_box(&texts));
                        assert_eq!(found.expect("it never fails").len(), texts.len());
                    });
                });
            }
        }
        group.finish();
    }
    let (lexical, learned) = (LexicalEncoder::auto(), learned());
    let query = "how to read a file line by line without blocking the event loop";
    let encoders: [(&str, &dyn Encoder); 2] = [
        ("encode/query", &lexical),
        ("encode/learned query", &learned),
    ];
    for (name, encoder) in encoders {
        let expected = encoder.encode_query(query).expect("it never fails");
        assert_eq!(expected.len(), 12);
        c.bench_function(name, |b| {
            b.iter(|| {
                let found = encoder.encode_query(black_box(query));
                assert_eq!(found.expect("it never fails"), expected);
            });
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = encode
}
criterion_main!(benches);
