//! What an index says of itself: counts, places, names and meanings.

use std::{borrow::Cow, collections::BTreeMap, fs, path::Path};

use sparsely::{
    Config, Document, Encoder, FieldType, Index, IndexWriter, LexicalEncoder, MemoryIndex, Merging,
    Query, Searcher, TermId, Verify,
};

use crate::support::model::{config, document, vector};

/// Every file but the lock and `.gitignore`, with its length.
fn files(path: &Path) -> BTreeMap<String, u64> {
    let entries = fs::read_dir(path).unwrap().map(Result::unwrap);
    let files = entries.map(|entry| {
        let name = entry.file_name().into_string().unwrap();
        (name, entry.metadata().unwrap().len())
    });
    files.filter(|(name, _)| name.contains('-')).collect()
}

#[test]
fn counts_are_those_of_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let config = config().merging(Merging::ByCaller).partition_by("even");
    let index = Index::create(dir.path(), config).unwrap();
    assert_eq!(index.place(), dir.path());
    assert_eq!(index.stats().unwrap().bytes_per_posting(), None);
    let mut writer = index.writer().unwrap();
    for commit in 0..3 {
        for at in 0..5 {
            let version = commit * 5 + at;
            let document = document(&format!("key {version}"), version);
            writer.upsert(document).unwrap();
        }
        writer
            .delete(format!("key {}", commit * 3).as_str())
            .unwrap();
        writer.commit().unwrap();
    }
    drop(writer);

    let stats = index.stats().unwrap();
    let commits: Vec<u64> = stats.commits.iter().map(|commit| commit.get()).collect();
    assert_eq!((stats.commit.get(), commits), (3, vec![3, 2]));
    // `key 0` was deleted before it was written, `key 3` and `key 6` after. Four terms each.
    assert_eq!((stats.documents, stats.deleted), (12, 2));
    let counts = stats.segments.iter();
    let counts = counts.map(|one| (one.id.get(), one.documents, one.deleted, one.postings));
    let expected = [(1, 3, 1, 16), (2, 4, 1, 20), (3, 5, 0, 20)];
    assert_eq!(counts.collect::<Vec<_>>(), expected);

    let on_disk = files(dir.path());
    let of = |prefix: &str| {
        let all = on_disk.iter().filter(|(name, _)| name.starts_with(prefix));
        all.map(|(_, len)| len).sum::<u64>()
    };
    assert_eq!(stats.bytes, of("segment-") + of("deletes-"));
    assert_eq!(stats.segments[0].bytes, of("segment-1") + of("deletes-1-"));
    assert_eq!(stats.segments[2].bytes, of("segment-3"));
    // The manifest of the commit before is not one of the newest commit's.
    assert_eq!(stats.files + 1, on_disk.len());

    let parts: u64 = stats.parts.iter().map(|part| part.bytes).sum();
    assert_eq!(parts, stats.bytes);
    assert!(stats.parts.is_sorted_by(|a, b| a.bytes >= b.bytes));
    let part = |name: &str| stats.parts.iter().find(|part| part.name == name).unwrap();
    assert_eq!(part("deletes").bytes, of("deletes-"));
    assert!(part("vectors").is_postings && !part("stored blocks").is_postings);
    let of_postings = stats.parts.iter().filter(|part| part.is_postings);
    let of_postings: u64 = of_postings.map(|part| part.bytes).sum();
    let ratio = stats.bytes_per_posting().unwrap();
    assert!((ratio * 56.0 - of_postings as f64).abs() < 1e-6, "{ratio}");

    assert_eq!(
        (stats.term_count, stats.weight_limit),
        (Some(1000), Some(4.0))
    );
    assert_eq!((stats.encoder, stats.keeps_statistics), (None, true));
    assert_eq!(stats.partition_field.as_deref(), Some("even"));
    assert_eq!(stats.created_with, env!("CARGO_PKG_VERSION"));
    assert_eq!(stats.fallback, None);

    let verified = index.verify(Verify::Quick).unwrap();
    let bytes: u64 = on_disk.values().sum();
    assert_eq!((verified.files(), verified.bytes()), (on_disk.len(), bytes));
    assert_eq!(verified.damage(), []);
}

#[test]
fn an_index_in_memory_has_a_place_too() {
    let index = Index::in_memory(Config::new()).unwrap();
    assert_eq!(index.place(), Path::new("(memory)"));
    let writer = index.writer().unwrap();
    let error = index.writer().unwrap_err().to_string();
    assert!(error.starts_with("(memory): another writer"), "{error}");
    assert!(error.contains("this process"), "{error}");
    drop(writer);
    index.writer().unwrap();
}

/// A missing file is damage of that file, and of no place in it.
#[test]
fn a_missing_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let index = Index::create(dir.path(), config()).unwrap();
    let mut writer = index.writer().unwrap();
    writer.upsert(document("key", 1)).unwrap();
    writer.commit().unwrap();
    drop((writer, index));
    fs::remove_file(dir.path().join("segment-1")).unwrap();
    let found = Index::verify_at(dir.path(), Verify::Quick).unwrap();
    let damage = &found.damage()[0];
    assert_eq!((&*damage.file, &*damage.section), ("segment-1", "file"));
    assert_eq!((damage.offset, found.damage().len()), (0, 1));
    assert!(damage.to_string().contains("cannot open"), "{damage}");
}

#[test]
fn documents_of_texts_bring_what_their_terms_mean() {
    let encoder = LexicalEncoder::code();
    let texts = [("a", "fn read_file() {}"), ("b", "struct FileReader;")];
    let owned = texts.map(|(key, text)| (key, text.to_owned()));
    let together = Document::from_texts(&encoder, owned).unwrap();
    let alone = texts.map(|(key, text)| Document::from_text(&encoder, key, text).unwrap());
    assert_eq!(together, alone);

    let index = Index::in_memory(Config::for_encoder(&encoder)).unwrap();
    let mut writer = index.writer().unwrap();
    for document in together.clone() {
        writer.upsert(document.field("language", "rust")).unwrap();
        writer.commit().unwrap();
    }
    let snapshot = index.snapshot().unwrap();
    let mut count = 0;
    for term in together
        .iter()
        .flat_map(|document| document.vector().terms())
    {
        let meaning = encoder.term(*term).map(Cow::into_owned);
        count += usize::from(meaning.is_some());
        assert_eq!(snapshot.label(*term).unwrap(), meaning);
    }
    assert!(count > 2, "{count}");
    assert_eq!(snapshot.label(TermId::from(u32::MAX)).unwrap(), None);
    let fields: Vec<_> = snapshot.fields().collect();
    assert_eq!(fields, [("language", FieldType::String)]);
    let fingerprint = encoder.fingerprint().to_string();
    assert_eq!(index.stats().unwrap().encoder, Some(fingerprint));
}

/// Orders by way of the trait.
fn life(writer: &mut dyn IndexWriter) -> [String; 6] {
    writer.upsert(document("a", 1)).unwrap();
    writer.upsert(document("b", 2)).unwrap();
    let first = writer.commit().unwrap();
    let deleted = writer.delete(&"a".into()).unwrap();
    let again = writer.delete(&"a".into()).unwrap();
    writer.rollback().unwrap();
    let unchanged = writer.commit().unwrap();
    let after = writer.delete(&"b".into()).unwrap();
    writer.upsert(document("c", 3)).unwrap();
    let last = writer.commit().unwrap();
    [
        first.to_string(),
        deleted.to_string(),
        again.to_string(),
        unchanged.to_string(),
        after.to_string(),
        last.to_string(),
    ]
}

#[test]
fn writers_of_both_kinds_obey_the_same_orders() {
    let index = Index::in_memory(config()).unwrap();
    let mut writer = index.writer().unwrap();
    let mut model = MemoryIndex::new(config()).unwrap();
    let expected = ["1", "true", "false", "1", "true", "2"];
    assert_eq!(life(&mut writer), expected);
    assert_eq!(life(&mut model), expected);
    assert_eq!((writer.commit_id().get(), model.commit_id().get()), (2, 2));
    let snapshot = index.snapshot().unwrap();
    let mut keys: Vec<_> = snapshot.keys().map(Result::unwrap).collect();
    keys.sort_unstable();
    assert!(keys.iter().eq(model.keys()), "{keys:?}");
    assert_eq!(keys, ["a".into(), "c".into()]);
    let query = Query::new(vector(3));
    assert_eq!(
        snapshot.search(&query).unwrap(),
        model.search(&query).unwrap()
    );
}
