//! Collections in BEIR's layout, well-formed and not.

use std::{fs, path::Path};

use sparsely::{ErrorKind, evaluate::Collection};
use tempfile::TempDir;

fn collection(files: &[(&str, &str)]) -> TempDir {
    let dir = TempDir::new().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

const CORPUS: &str = "{\"_id\": \"a\", \"title\": \"\", \"text\": \"x\"}\n\n\
    {\"_id\": 7, \"title\": \"T\", \"text\": \"y\", \"metadata\": {\"k\": [1]}}\n";
const QUERIES: &str = "{\"_id\": \"q\", \"text\": \"x\"}";
const QRELS: &str = "query-id\tcorpus-id\tscore\nq\ta\t1\n";

fn texts(dir: &Path) -> Vec<(String, String)> {
    let documents = Collection::open(dir).unwrap().documents().unwrap();
    documents
        .map(|text| text.unwrap())
        .map(|text| (text.id, text.text))
        .collect()
}

#[test]
fn texts_and_judgments_are_read() {
    let dir = collection(&[
        ("corpus.jsonl", CORPUS),
        ("queries.jsonl", QUERIES),
        ("qrels/test.tsv", QRELS),
    ]);
    let expected = [("a", "x"), ("7", "T\ny")].map(|(id, text)| (id.into(), text.into()));
    assert_eq!(texts(dir.path()), expected);
    let collection = Collection::open(dir.path()).unwrap();
    assert_eq!(collection.default_split(), Some("test"));
    assert_eq!(
        collection.judgments("test").unwrap().grades("q").unwrap()["a"],
        1
    );
    assert_eq!(collection.queries().unwrap().count(), 1);
}

#[test]
fn splits_have_an_order() {
    let base = [("corpus.jsonl", CORPUS), ("queries.jsonl", QUERIES)];
    for (files, splits, default) in [
        (
            &["qrels_all.tsv", "qrels_en.tsv"][..],
            &["all", "en"][..],
            Some("all"),
        ),
        (&["qrels_es.tsv", "qrels_en.tsv"], &["en", "es"], Some("en")),
        (&["qrels_dev.tsv"], &["dev"], Some("dev")),
        (&["qrels_a.tsv", "qrels_b.tsv"], &["a", "b"], None),
        (
            &["qrels.tsv", "qrels_x.tsv", "other.tsv"],
            &["test", "x"],
            Some("test"),
        ),
        (
            &["qrels/train.tsv", "qrels/readme.md"],
            &["train"],
            Some("train"),
        ),
    ] {
        let mut all = base.to_vec();
        all.extend(files.iter().map(|file| (*file, QRELS)));
        let dir = collection(&all);
        let collection = Collection::open(dir.path()).unwrap();
        assert_eq!(collection.splits().collect::<Vec<_>>(), splits);
        assert_eq!(collection.default_split(), default, "{files:?}");
    }
}

#[test]
fn the_nearest_file_of_a_split_is_taken() {
    let grade = |grade: &str| format!("q\ta\t{grade}\n");
    let dir = collection(&[
        ("corpus.jsonl", CORPUS),
        ("queries.jsonl", QUERIES),
        ("qrels.tsv", &grade("1")),
        ("qrels_test.tsv", &grade("2")),
        ("qrels/test.tsv", &grade("3")),
    ]);
    let taken = || {
        let judgments = Collection::open(dir.path())
            .unwrap()
            .judgments("test")
            .unwrap();
        judgments.grades("q").unwrap()["a"]
    };
    assert_eq!(taken(), 3);
    fs::remove_file(dir.path().join("qrels/test.tsv")).unwrap();
    assert_eq!(taken(), 2);
    fs::remove_file(dir.path().join("qrels_test.tsv")).unwrap();
    assert_eq!(taken(), 1);
}

#[test]
fn what_is_missing_is_named() {
    let error = |files: &[(&str, &str)]| Collection::open(collection(files).path()).unwrap_err();
    let none = Collection::open("no/such/folder").unwrap_err();
    let corpus = error(&[("queries.jsonl", QUERIES), ("qrels.tsv", QRELS)]);
    let queries = error(&[("corpus.jsonl", CORPUS), ("qrels.tsv", QRELS)]);
    let judgments = error(&[("corpus.jsonl", CORPUS), ("queries.jsonl", QUERIES)]);
    for (error, named) in [
        (none, "corpus.jsonl"),
        (corpus, "corpus.jsonl"),
        (queries, "queries.jsonl"),
        (judgments, "qrels/test.tsv"),
    ] {
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        assert!(error.to_string().contains(named), "{error}");
    }
    let dir = collection(&[
        ("corpus.jsonl", CORPUS),
        ("queries.jsonl", QUERIES),
        ("qrels_b.tsv", QRELS),
        ("qrels_a.tsv", QRELS),
    ]);
    let error = Collection::open(dir.path())
        .unwrap()
        .judgments("c")
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("a, b"), "{error}");
}

#[test]
fn bad_lines_are_named_and_end_the_reading() {
    for bad in [
        "{",
        "[]",
        "{\"_id\": \"a\"}",
        "{\"text\": \"a\"}",
        "{\"_id\": 1.5, \"text\": \"a\"}",
        "{\"_id\": null, \"text\": \"a\"}",
        "{\"_id\": \"a\", \"text\": 7}",
        "{\"_id\": \"a\", \"text\": \"\\ud800\"}",
    ] {
        let corpus = format!("{}\n{bad}\n{QUERIES}\n", QUERIES);
        let dir = collection(&[
            ("corpus.jsonl", &corpus),
            ("queries.jsonl", QUERIES),
            ("qrels.tsv", QRELS),
        ]);
        let documents = Collection::open(dir.path()).unwrap().documents().unwrap();
        let read: Vec<_> = documents.collect();
        assert_eq!(read.len(), 2, "{bad}");
        let error = read[1].as_ref().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("corpus.jsonl:2"), "{error}");
    }
}
