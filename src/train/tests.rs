//! A small language in which `zap` always means "delete": learned, the same on any number of
//! threads, and refused where there is nothing to learn from.

use super::*;
use crate::{Encoder, StaticEncoder, error::ErrorKind};

fn corpus() -> Corpus {
    let verbs = [
        ("zap", "delete"),
        ("mk", "create"),
        ("ld", "read"),
        ("cnt", "number of"),
    ];
    let nouns = [
        "file", "user", "line", "node", "page", "key", "lock", "index",
    ];
    let mut corpus = Corpus::new();
    for group in ["a", "b", "c"] {
        for (short, long) in verbs {
            for (at, noun) in nouns.iter().enumerate() {
                let query = format!("{long} the {noun} of {group} {at}");
                let passage =
                    format!("fn f{at}{group}(x: &{noun}) {{ {short}(x); check(x, {at}); }}");
                corpus.add_pair(group, &query, &passage);
            }
        }
    }
    corpus
}

#[test]
fn a_meaning_is_learned() {
    let (table, report) = train(corpus(), &Options::default(), &mut Progress::none()).unwrap();
    assert_eq!(report.pairs, (96, 0));
    assert_eq!(report.groups, 3);
    assert!(report.losses.last() < report.losses.first());
    let delete = table.find("delet").unwrap();
    let zap = table.find("zap").unwrap();
    let strongest = table.row(zap).max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
    assert_eq!(strongest.0, delete, "{:?}", table.word(strongest.0));
    let encoder = StaticEncoder::new(table);
    let query = encoder.encode_query("delete").unwrap();
    let score = |text: &str| encoder.encode_document(text).unwrap().dot(&query);
    assert!(score("{ zap(a); }") > score("{ mk(a); }"));
}

#[test]
fn threads_do_not_show_in_the_table() {
    let table = |threads| {
        let options = Options {
            threads,
            ..Options::default()
        };
        train(corpus(), &options, &mut Progress::none()).unwrap().0
    };
    let one = table(1);
    for threads in [2, 3, 8] {
        assert_eq!(
            one.as_bytes(),
            table(threads).as_bytes(),
            "{threads} threads"
        );
    }
}

#[test]
fn seeds_do_show() {
    let table = |seed| {
        let options = Options {
            seed,
            ..Options::default()
        };
        train(corpus(), &options, &mut Progress::none()).unwrap().0
    };
    assert_eq!(table(1).as_bytes(), table(1).as_bytes());
    assert_ne!(table(1).as_bytes(), table(2).as_bytes());
}

#[test]
fn a_base_is_kept_where_nothing_speaks_against_it() {
    let (base, _) = train(corpus(), &Options::default(), &mut Progress::none()).unwrap();
    let mut other = Corpus::new();
    for n in 0..30 {
        let query = format!("paint the wall {n}");
        other.add_pair(
            "other",
            &query,
            &format!("fn p{n}() {{ brush(wall, {n}); }}"),
        );
    }
    let options = Options {
        base: Some(base.clone()),
        ..Options::default()
    };
    let (table, _) = train(other, &options, &mut Progress::none()).unwrap();
    let entry = |table: &StaticTable| {
        let delete = table.find("delet").unwrap();
        let mut row = table.row(table.find("zap").unwrap());
        row.find(|(to, _)| *to == delete).map(|(_, value)| value)
    };
    assert!(entry(&base).is_some());
    assert_eq!(entry(&base), entry(&table));
    assert!(table.find("brush").is_some());
    assert_eq!(table.passage_count(), base.passage_count() + 30);
}

#[test]
fn nothing_to_learn_from_is_refused() {
    let error = train(Corpus::new(), &Options::default(), &mut Progress::none()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let mut one_sided = Corpus::new();
    for n in 0..100 {
        one_sided.add_pair("a", "", &format!("fn f{n}() {{}}"));
        one_sided.add_pair("a", &format!("what {n} does"), " \n");
    }
    assert_eq!(one_sided.counts().empty, 200);
    let error = train(one_sided, &Options::default(), &mut Progress::none()).unwrap_err();
    let message = error.to_string();
    assert!(
        message.ends_with("0 described and 0 named, 200 pairs without words on one side left out"),
        "{message}"
    );
    let few = Options {
        pairs: 19,
        ..Options::default()
    };
    assert!(train(corpus(), &few, &mut Progress::none()).is_err());
}

#[test]
fn repetitions_are_left_out() {
    let mut corpus = Corpus::new();
    corpus.add_pair("a", "read a file", "fn f() { read }");
    corpus.add_pair("b", "another query", "fn f() { read }");
    assert_eq!(corpus.counts().repeated, 1);
    for n in 0..10 {
        corpus.add_pair("a", "returns the value", &format!("fn g{n}() {{ value }}"));
    }
    assert_eq!(
        (corpus.counts().described, corpus.counts().boilerplate),
        (4, 7)
    );
}

#[test]
fn large_groups_give_up_theirs_first() {
    let mut corpus = Corpus::new();
    for (group, count) in [("large", 500), ("middle", 60), ("small", 20)] {
        for n in 0..count {
            let query = format!("{group} question {n}");
            corpus.add_pair(group, &query, &format!("fn {group}{n}() {{ {n} }}"));
        }
    }
    let options = Options {
        pairs: 150,
        ..Options::default()
    };
    let (_, report) = train(corpus, &options, &mut Progress::none()).unwrap();
    // 70 of the large one, all of the others.
    assert_eq!(report.pairs, (70 + 60 + 20, 0));
}

#[test]
fn long_texts_are_cut() {
    let mut corpus = Corpus::new();
    corpus.add_pair("a", &"word ".repeat(2_000_000), &"é".repeat(5_000_000));
    corpus.add_pair("a", &"é".repeat(5_000_000), &"x y ".repeat(2_500_000));
    assert_eq!(corpus.counts().described, 2);
}

#[test]
fn cancelling_stops() {
    let mut report = |step: crate::Step| match step.stage {
        "learning" => std::ops::ControlFlow::Break(()),
        _ => std::ops::ControlFlow::Continue(()),
    };
    let mut progress = Progress::new(&mut report);
    let error = train(corpus(), &Options::default(), &mut progress).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
}

#[test]
fn trees_give_pairs() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    write(
        "src/a.py",
        b"def read_whole_file(path):\n    \"\"\"Reads a file at once.\"\"\"\n    return open(path).read()\n",
    );
    write("src/b.rs", b"\xff\xfe not text");
    write(
        "node_modules/c.js",
        b"/** Adds two numbers up. */\nfunction addNumbers(a, b) { return a + b; }",
    );
    write(
        ".hidden/c.js",
        b"/** Adds two numbers up. */\nfunction addNumbers(a, b) { return a + b; }",
    );
    write("notes.txt", b"no code");
    let mut corpus = Corpus::new();
    corpus
        .add_tree("here", dir.path(), 2, &mut Progress::none())
        .unwrap();
    let counts = corpus.counts();
    assert_eq!((counts.described, counts.named), (1, 1));
    assert_eq!((counts.files, counts.not_text), (1, 1));
    assert_eq!(counts.languages.get("python"), Some(&1));
    let missing = corpus.add_tree("gone", &dir.path().join("gone"), 1, &mut Progress::none());
    assert_eq!(missing.unwrap_err().kind(), ErrorKind::NotFound);
}

/// Of test files a part is read. What the folders above a tree are called says nothing.
#[test]
fn test_files_are_told_inside_the_tree() {
    let dir = tempfile::tempdir().unwrap();
    let described = |root: &str, file: &str| {
        let path = dir.path().join(root).join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let functions =
            (0..100).map(|n| format!("/// Gives number {n} back.\nfn f{n}(value: u32) -> u32 {{ value.wrapping_mul({n}) }}\n"));
        std::fs::write(&path, functions.collect::<String>()).unwrap();
        let mut corpus = Corpus::new();
        let tree = dir.path().join(root);
        corpus
            .add_tree("a", &tree, 1, &mut Progress::none())
            .unwrap();
        corpus.counts().described
    };
    assert_eq!(described("latest/mine", "lib.rs"), 100);
    let of_tests = described("mine", "tests/lib.rs");
    assert!((10..60).contains(&of_tests), "{of_tests}");
    assert_eq!(described("tests", "lib.rs"), of_tests);
}

#[test]
fn checkpoints_are_whole_tables() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("so-far.table");
    let options = Options {
        checkpoint: Some(path.clone()),
        ..Options::default()
    };
    let (table, _) = train(corpus(), &options, &mut Progress::none()).unwrap();
    assert_eq!(
        StaticTable::open(&path).unwrap().as_bytes(),
        table.as_bytes()
    );
}
