//! The measures against stored output of trec_eval; `fixtures/trec_eval/make.py` made it.

use std::{fs, io::BufReader, path::Path};

use sparsely::evaluate::{Judgments, Measure, Run};

fn open(name: &str) -> (BufReader<fs::File>, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/trec_eval")
        .join(name);
    let file = fs::File::open(&path).expect("the fixture is there");
    (BufReader::new(file), path.display().to_string())
}

fn measure(name: &str) -> Measure {
    let number = |text: &str| text.parse().expect("a number");
    match name.split_once('@') {
        Some(("ndcg", k)) => Measure::Ndcg(number(k)),
        Some(("recall", k)) => Measure::Recall(number(k)),
        Some(("rr", k)) => Measure::ReciprocalRank(number(k)),
        None if name == "ap" => Measure::AveragePrecision,
        _ => panic!("{name}: no such measure"),
    }
}

#[test]
fn measures_are_those_of_trec_eval() {
    let (file, name) = open("qrels.txt");
    let judgments = Judgments::read_trec(file, &name).unwrap();
    let (file, name) = open("run.txt");
    let run = Run::read_trec(file, &name).unwrap();
    let (file, _) = open("expected.tsv");
    let expected = std::io::read_to_string(file).unwrap();
    assert_eq!(expected.lines().count(), 192);
    for line in expected.lines() {
        let [query, name, value] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}: three columns");
        };
        let ranking = run.ranking(query).expect("the query was run");
        let found = measure(name).of(ranking, judgments.grades(query).expect("judged"));
        let value: f64 = value.parse().unwrap();
        assert!((found - value).abs() < 2e-9, "{line}: {found}");
    }
}

#[test]
fn files_of_both_kinds_come_back() {
    let (file, name) = open("qrels.txt");
    let judgments = Judgments::read_trec(file, &name).unwrap();
    let mut bytes = Vec::new();
    judgments.write_trec(&mut bytes, "memory").unwrap();
    assert_eq!(
        Judgments::read_trec(&bytes[..], "memory").unwrap(),
        judgments
    );
    let (file, name) = open("run.txt");
    let run = Run::read_trec(file, &name).unwrap();
    let mut bytes = Vec::new();
    run.write_trec(&mut bytes, "again", "memory").unwrap();
    assert_eq!(Run::read_trec(&bytes[..], "memory").unwrap(), run);
}
