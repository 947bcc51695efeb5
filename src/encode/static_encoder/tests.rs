//! Weights by hand, and what an index relies on.

use super::*;
use crate::encode::static_table::{Row, TableParts};

#[derive(Debug)]
struct Counts {
    documents: u64,
    frequencies: Vec<(u32, u64)>,
}

impl Statistics for Counts {
    fn document_count(&self) -> u64 {
        self.documents
    }

    fn document_frequency(&self, term: TermId) -> u64 {
        let found = self.frequencies.iter().find(|(id, _)| *id == term.get());
        found.map_or(0, |(_, frequency)| *frequency)
    }
}

/// Word 0 is `order`; `sort` stands for it, `panic` speaks against it.
fn encoder() -> StaticEncoder {
    let row = |word: &str, share: f32, entries: &[(u32, f32)]| Row {
        word: word.to_owned(),
        own_log: 0.0,
        query_log: 0.0,
        share,
        entries: entries.to_vec(),
    };
    let parts = TableParts {
        rows: vec![
            row("order", 0.015_625, &[]),
            row("sort", 0.125, &[(0, 1.0)]),
            row("panic", 0.125, &[(0, -2.0)]),
        ],
        targets: 1,
        passages: 10,
    };
    StaticEncoder::new(parts.into_table().unwrap())
}

fn order() -> TermId {
    TermId::from(0)
}

#[test]
fn a_word_of_code_stands_for_others() {
    let encoder = encoder();
    let vector = encoder.encode_document("{ sort(); }").unwrap();
    // One word: its weight is 3.5 / (1 + 2.5 / 110), and `order` gets the same sum.
    let weight = 3.5 / (1.0 + 2.5 / 110.0);
    let expected = 1.5 * f32::ln_1p(weight);
    assert!((vector.weight(order()).unwrap() - expected).abs() < 1e-5);
    // The own word is heavier: four fifths of its sum.
    let own = vector.weight(TermId::from(1)).unwrap();
    assert!((own - 0.8 * weight).abs() < 1e-5);
    assert_eq!(vector.len(), 3, "two words and the mark of code");
    let against = encoder.encode_document("{ sort(); panic(); }").unwrap();
    assert_eq!(against.weight(order()), None);
}

#[test]
fn others_move_an_own_word_in_part() {
    let encoder = encoder();
    let weight = |text: &str| {
        let vector = encoder.encode_document(text).unwrap();
        vector.weight(order()).unwrap()
    };
    // Two words: each has 3.5 / (1 + 2.5 * 2 / 110).
    let sum = 3.5 / (1.0 + 5.0 / 110.0);
    let log = |sum: f32| 1.5 * sum.ln_1p();
    let alone = 0.8 * sum;
    assert!((weight("{ order(); other(); }") - alone).abs() < 1e-5);
    let raised = alone + 0.5 * (log(2.0 * sum) - log(sum));
    assert!((weight("{ order(); sort(); }") - raised).abs() < 1e-5);
    let lowered = alone - 0.3 * log(sum);
    assert!((weight("{ order(); panic(); }") - lowered).abs() < 1e-5);
    // A word among many, where the logarithm is above four fifths of the sum.
    let filler: String = (0..200).map(|n| format!("w{n}; ")).collect();
    let sum = weight(&format!("{{ order(); {filler} }}"));
    let plain = 3.5 / (1.0 + 2.5 * 601.0 / 110.0);
    assert!((sum - log(plain)).abs() < 1e-5, "{sum} of {plain}");
}

#[test]
fn unknown_words_take_trust_from_a_query() {
    let encoder = encoder();
    assert_eq!(encoder.trust("sort order"), 1.0);
    assert_eq!(encoder.trust("sort sort quux"), 0.125);
    assert_eq!(encoder.trust(" "), 0.0);
    // Twice a word of four, half of them known: the square root to the power of an eighth.
    let query = encoder.encode_query("sort sort panic quux frob").unwrap();
    let repeated = query.weight(TermId::from(1)).unwrap();
    assert!((repeated - 2_f32.sqrt().powf(0.125)).abs() < 1e-6);
    let counts = Counts {
        documents: 100,
        frequencies: vec![(3, 100), (1, 2)],
    };
    let weighed = encoder.weigh_query(query, &counts);
    let idf = |n: f32, df: f32| (1.0 + (n - df + 0.5) / (df + 0.5)).ln();
    let expected = repeated * idf(100.0 + 1250.0, 2.0 + 1250.0 * 0.125);
    let found = weighed.weight(TermId::from(1)).unwrap();
    assert!((found - expected).abs() < 1e-3, "{found}, {expected}");
}

#[test]
fn function_words_are_never_rare() {
    let encoder = encoder();
    let counts = Counts {
        documents: 100,
        frequencies: vec![(1, 20)],
    };
    let query = encoder.encode_query_for("which sort", &counts).unwrap();
    let weights = query.weights();
    assert_eq!(weights[0], weights[1]);
}

#[test]
fn the_signature_counts_more() {
    let encoder = encoder();
    let weight = |text: &str| {
        let vector = encoder.encode_document(text).unwrap();
        vector.weight(TermId::from(1)).unwrap()
    };
    assert!(weight("fn sort() { a; b; c; d }") > weight("fn a() { sort; b; c; d }"));
}

#[test]
fn prose_keeps_to_its_words() {
    let encoder = encoder();
    let text = "They sort the letters";
    let vector = encoder.encode_document(text).unwrap();
    assert_eq!(vector.weight(order()), None);
    assert_eq!(vector.len(), 4);
    let expected = 2.2 / (1.0 + 1.2 * (0.25 + 0.75 * 4.0 / 100.0));
    assert!((vector.weight(TermId::from(1)).unwrap() - expected).abs() < 1e-5);
    assert!(encoder.sources(text, order()).is_empty());
}

#[test]
fn expansion_is_limited() {
    let none = encoder().expansion(0);
    let vector = none.encode_document("{ sort(); }").unwrap();
    assert_eq!(vector.weight(order()), None);
    assert_ne!(none.fingerprint(), encoder().fingerprint());
}

#[test]
fn sums_that_pass_through_zero_are_added_once() {
    let encoder = encoder();
    // -2 of one and twice +1 of the other, in either order of their ids.
    let row = |word: &str, entries: &[(u32, f32)]| Row {
        word: word.to_owned(),
        entries: entries.to_vec(),
        share: 0.1,
        ..Row::default()
    };
    let parts = TableParts {
        rows: vec![
            row("to", &[]),
            row("plus", &[(0, 1.0)]),
            row("minus", &[(0, -1.0)]),
            row("last", &[(0, 1.0)]),
        ],
        targets: 1,
        passages: 1,
    };
    let through_zero = StaticEncoder::new(parts.into_table().unwrap());
    let vector = through_zero.encode_document("{plus;minus;last;}").unwrap();
    assert!(vector.weight(TermId::from(0)).unwrap() > 0.0);
    // The room is clean for the next document, of another encoder too.
    let vector = encoder.encode_document("{panic;}").unwrap();
    assert_eq!(vector.weight(order()), None);
}

#[test]
fn own_terms_are_those_of_the_text() {
    let encoder = encoder();
    for text in [
        "{ sort(); unknown(); }",
        "plain prose",
        "",
        "{panic; order}",
    ] {
        let vector = encoder.encode_document(text).unwrap();
        let own = encoder.own_terms(text).unwrap().unwrap();
        assert!(
            own.iter().all(|term| vector.weight(*term).is_some()),
            "{text}"
        );
        assert!(own.windows(2).all(|pair| pair[0] < pair[1]), "{text}");
        let mark = TermId::from(encoder.mark());
        assert_eq!(own.contains(&mark), text.contains('{'), "{text}");
    }
    let own = encoder.own_terms("{ sort(); }").unwrap().unwrap();
    assert!(!own.contains(&order()));
}

#[test]
fn sources_say_where_a_term_came_from() {
    let encoder = encoder();
    let sources = encoder.sources("fn f() { xs.sort() }", order());
    assert_eq!(sources.len(), 1);
    assert_eq!((sources[0].word.as_str(), sources[0].offset), ("sort", 12));
    assert!(sources[0].part > 0.0);
    let sources = encoder.sources("{ panic(); order(); sort() }", order());
    let words: Vec<&str> = sources.iter().map(|source| source.word.as_str()).collect();
    assert_eq!(words, ["order", "sort", "panic"]);
    assert!(sources[2].part < 0.0);
}

#[test]
fn unknown_words_have_stable_ids_and_names() {
    let encoder = encoder();
    let vector = encoder.encode_document("frobnicate the quux").unwrap();
    let names: Vec<_> = vector
        .terms()
        .iter()
        .map(|term| encoder.term(*term).unwrap())
        .collect();
    assert!(names.contains(&"quux".into()));
    assert!(
        vector
            .terms()
            .iter()
            .all(|term| term.get() > encoder.mark())
    );
    assert_eq!(encoder.encode_query("quux").unwrap().terms(), {
        let again = super::tests::encoder();
        again.encode_query("quux QUUX").unwrap().terms().to_vec()
    });
    assert_eq!(
        encoder.term(TermId::from(encoder.mark())).unwrap(),
        "(code)"
    );
    assert_eq!(encoder.term(TermId::from(123_456_789)), None);
}

#[test]
fn repeated_words_of_a_query_count_more() {
    let encoder = encoder();
    let once = encoder.encode_query("sort panic").unwrap();
    let often = encoder.encode_query("sort panic sort sort sort").unwrap();
    assert_eq!(once.weights(), [1.0, 1.0]);
    assert_eq!(often.weights(), [2.0, 1.0]);
    assert!(encoder.encode_query(" ").unwrap().is_empty());
}

#[test]
fn frequencies_of_index_and_training_mix() {
    let encoder = encoder();
    let query = || encoder.encode_query("sort").unwrap();
    let weight = |documents, frequencies: &[(u32, u64)]| {
        let counts = Counts {
            documents,
            frequencies: frequencies.to_vec(),
        };
        encoder.weigh_query(query(), &counts).weights()[0]
    };
    let idf = |n: f32, df: f32| (1.0 + (n - df + 0.5) / (df + 0.5)).ln();
    // All code: the training passages count as 10,000 documents, 1 in 8 with the word.
    let code = weight(100, &[(3, 100), (1, 2)]);
    assert!((code - idf(10_100.0, 1252.0)).abs() < 1e-3, "{code}");
    // Prose only: the index's own counts.
    let prose = weight(100, &[(1, 2)]);
    assert!((prose - idf(100.0, 2.0)).abs() < 1e-3, "{prose}");
    // No counts: those of training.
    let none = weight(0, &[]);
    assert!((none - idf(10_000.0, 1250.0)).abs() < 1e-3, "{none}");
    assert_eq!(none, weight(50, &[]));
}

/// Training goes down these slopes, so they have to be those of what the encoder computes.
#[cfg(feature = "train")]
#[test]
fn slopes_are_those_of_the_weights() {
    use weights::{own_slopes, own_weight, squashed, squashed_slope};
    let step = 1e-3;
    let near = |a: f32, b: f32, at: &str| assert!((a - b).abs() < 5e-3, "{a} and {b} at {at}");
    for weight in [0.2_f32, 1.0, 2.0, 3.4] {
        for log in [-0.8_f32, 0.0, 0.9] {
            for others in [-1.5, -0.15, 0.1, 2.0] {
                let at = format!("{weight} {log} {others}");
                let value = |log: f32, others| own_weight(weight, weight * log.exp(), others);
                let (by_others, by_log) = own_slopes(weight, weight * log.exp(), others, 0.0);
                let moved = value(log, others + step) - value(log, others - step);
                near(by_others, moved / (2.0 * step), &at);
                let moved = value(log + step, others) - value(log - step, others);
                near(by_log, moved / (2.0 * step), &at);
            }
        }
    }
    for sum in [-1.0, 0.5, 3.0] {
        let moved = squashed(sum + step) - squashed(sum - step);
        near(
            squashed_slope(sum, 0.0),
            moved / (2.0 * step),
            "no own word",
        );
    }
    assert_eq!(squashed_slope(-1.0, 0.5), squashed_slope(0.0, 0.5));
    assert!(own_slopes(1.0, 1.0, -3.0, 0.3).0 > 0.0);
}
