//! Any bytes at all as a file of another tool, or as an export of this library: read, or refused.
#![no_main]

use std::collections::BTreeMap;

use sparsely::{
    Config, Import, Index, Progress, SparseVector,
    evaluate::{Collection, Judgments, Run},
    interchange::{Ciff, CsrFile, GroundTruth, JsonVectors, write_ciff, write_csr},
};
use sparsely_fuzz::file;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((&kind, data)) = data.split_first() else {
        return;
    };
    match kind % 9 {
        0 => {
            let Ok(ciff) = Ciff::read(file("f.ciff", data)) else {
                return;
            };
            // What was read can be written, and reads back the same, but for the terms' order.
            let mut impacts = BTreeMap::new();
            let documents = || ciff.documents().map(|(id, vector)| Ok((id.to_owned(), vector.clone())));
            let name = |term| ciff.term(term).unwrap_or("").to_owned();
            for (id, vector) in ciff.documents() {
                for (term, weight) in vector.iter() {
                    impacts.insert((id.to_owned(), name(term)), weight);
                }
            }
            let path = sparsely_fuzz::folder().join("g.ciff");
            if write_ciff(&path, ciff.description(), documents(), name).is_ok() {
                let again = Ciff::read(&path).expect("reads back");
                for (id, vector) in again.documents() {
                    for (term, weight) in vector.iter() {
                        let name = again.term(term).expect("a term").to_owned();
                        assert_eq!(impacts.remove(&(id.to_owned(), name)), Some(weight));
                    }
                }
            }
        }
        1 => {
            let Ok(csr) = CsrFile::open(file("f.csr", data)) else {
                return;
            };
            let Ok(vectors) = csr.vectors() else {
                return;
            };
            let Ok(vectors) = vectors.collect::<Result<Vec<SparseVector>, _>>() else {
                return;
            };
            let path = sparsely_fuzz::folder().join("g.csr");
            write_csr(&path, csr.term_count(), vectors.iter()).expect("writes");
            let again = CsrFile::open(&path).expect("reads back").vectors().expect("reads back");
            assert_eq!(again.collect::<Result<Vec<_>, _>>().expect("reads back"), vectors);
        }
        2 => {
            if let Ok(truth) = GroundTruth::read(file("f.gt", data)) {
                for query in 0..truth.len().min(9) {
                    let _ = truth.recall(query, 10, truth.ids(query));
                }
            }
        }
        3 => {
            if let Ok(vectors) = JsonVectors::open(file("f.jsonl", data)) {
                vectors.for_each(drop);
            }
        }
        4 => _ = Run::read_trec(data, "f"),
        5 => _ = Judgments::read_trec(data, "f"),
        6 => _ = Judgments::read_tsv(data, "f"),
        7 => {
            for name in ["corpus.jsonl", "queries.jsonl", "qrels.tsv"] {
                file(name, data);
            }
            let collection = Collection::open(sparsely_fuzz::folder()).expect("its files are there");
            for texts in [collection.documents(), collection.queries()].into_iter().flatten() {
                texts.for_each(drop);
            }
            let _ = collection.judgments("test");
        }
        _ => {
            let Ok(import) = Import::open("f", data) else {
                return;
            };
            let Ok(index) = Index::in_memory(import.configure(Config::new())) else {
                return;
            };
            let mut writer = index.writer().expect("the only writer");
            if import.read_into(&mut writer, &mut Progress::none()).is_ok() && writer.commit().is_ok() {
                let mut lines = Vec::new();
                index.export(&mut lines, &mut Progress::none()).expect("exports");
                let again = Import::open("again", &lines[..]).expect("an export");
                let other = Index::in_memory(again.configure(Config::new())).expect("an index");
                let mut writer = other.writer().expect("the only writer");
                again.read_into(&mut writer, &mut Progress::none()).expect("reads back");
                writer.commit().expect("commit");
                let mut same = Vec::new();
                other.export(&mut same, &mut Progress::none()).expect("exports");
                let body = |lines: &[u8]| lines.split(|b| *b == b'\n').skip(1).map(<[u8]>::to_vec).collect::<Vec<_>>();
                assert_eq!(body(&same), body(&lines));
            }
        }
    }
});
