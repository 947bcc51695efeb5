//! The static encoder with its shipped table, in an index: found by words that no document has,
//! explained, counted.

use sparsely::{Config, DocKey, Document, Encoder, Index, Query, Searcher, StaticEncoder, TermId};

const PASSAGES: [(&str, &str); 4] = [
    ("sqrt", "def f(x):\n    return math.sqrt(x)"),
    ("unlink", "void f(const char *path) {\n    unlink(path);\n}"),
    (
        "append",
        "fn f(v: &mut Vec<u8>, b: u8) {\n    v.push(b);\n}",
    ),
    ("len", "def f(items):\n    return len(items)"),
];

fn index(encoder: &StaticEncoder) -> Index {
    let index = Index::in_memory(Config::for_encoder(encoder)).unwrap();
    let mut writer = index.writer().unwrap();
    for (key, text) in PASSAGES {
        writer
            .upsert(Document::from_text(encoder, key, text).unwrap())
            .unwrap();
    }
    writer.commit().unwrap();
    index
}

#[test]
fn words_that_no_document_has_find_the_right_one() {
    let encoder = StaticEncoder::embedded().unwrap();
    let snapshot = index(&encoder).snapshot().unwrap();
    for (question, expected) in [
        ("square root of a number", "sqrt"),
        ("remove a file", "unlink"),
        ("add to the end of the array", "append"),
        ("how many elements are in a list", "len"),
    ] {
        let query = encoder.encode_query_for(question, &snapshot).unwrap();
        let hits = snapshot.search(&Query::new(query).top(1)).unwrap();
        let best = hits.iter().next().map(|hit| hit.key().clone());
        assert_eq!(best, Some(DocKey::from(expected)), "{question}");
    }
}

#[test]
fn an_expansion_names_its_source() {
    let encoder = StaticEncoder::embedded().unwrap();
    let text = PASSAGES[0].1;
    let root = TermId::from(encoder.table().find("root").unwrap());
    let vector = encoder.encode_document(text).unwrap();
    assert!(vector.weight(root).is_some());
    let sources = encoder.sources(text, root);
    assert_eq!(sources[0].word, "sqrt");
    assert_eq!(&text[sources[0].offset..][..4], "sqrt");
}

#[test]
fn only_words_of_the_text_are_counted() {
    let encoder = StaticEncoder::embedded().unwrap();
    let snapshot = index(&encoder).snapshot().unwrap();
    let count = |word: &str| {
        let term = encoder.encode_query(word).unwrap().terms()[0];
        sparsely::Statistics::document_frequency(&snapshot, term)
    };
    assert_eq!((count("sqrt"), count("root"), count("path")), (1, 0, 1));
}
