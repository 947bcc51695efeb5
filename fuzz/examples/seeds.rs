//! Writes what fuzzing starts from to `corpus/TARGET`: every section, manifest and file that the
//! project's own tests have, so that a mutation begins at something sound.

use std::{collections::BTreeMap, path::Path};

use sparsely::{
    Document, Index, Progress, SparseVector,
    interchange::{self, GroundTruth, JsonVector},
    memory::{Outcome, Step, Trajectory},
};
use sparsely_fuzz::{INDEXES, Models, SAE_MODELS, SECTIONS, folder, section};

fn main() {
    let mut seeds: BTreeMap<&str, Vec<Vec<u8>>> = BTreeMap::new();
    let mut add = |target, first: usize, bytes: &[u8]| {
        let chosen = u8::try_from(first).expect("fewer than 256 kinds");
        seeds.entry(target).or_default().push([&[chosen], bytes].concat());
    };
    for at in 0..SECTIONS.len() {
        add("section", at, &section(at));
    }
    for (index, files) in INDEXES.iter().enumerate() {
        for (name, bytes) in files {
            if name.starts_with("manifest-") {
                add("open_index", index, &bytes[64..bytes.len() - 64]);
            }
        }
        for file in 0..files.len() {
            let file = u8::try_from(file).expect("few files");
            add("damaged_segment", index, &[file, 1, 0, 70, 1]);
        }
    }

    let vector = |seed: u32| SparseVector::new((0..5).map(|at| (at * 3 + seed, 1.0 + at as f32))).expect("sound");
    let vectors = [vector(0), vector(1), SparseVector::default()];
    let at = folder().join("seed");
    let read = || std::fs::read(&at).expect("a file");
    let ids = ["a", "b", "c"].into_iter().zip(&vectors);
    let documents = ids.clone().map(|(id, vector)| Ok((id.to_owned(), vector.clone())));
    interchange::write_ciff(&at, "seed", documents, |term| format!("t{term}")).expect("writes");
    add("interchange", 0, &read());
    interchange::write_csr(&at, 20, vectors.iter()).expect("writes");
    add("interchange", 1, &read());
    let mut truth = GroundTruth::new(2);
    truth.push([(1, 0.5)]);
    truth.write(&at).expect("writes");
    add("interchange", 2, &read());
    let lines = ids.clone().map(|(id, vector)| {
        let vector = vector.iter().map(|(term, weight)| (term.to_string(), weight)).collect();
        Ok(JsonVector { id: id.to_owned(), contents: "c".to_owned(), vector })
    });
    interchange::write_json_vectors(&at, lines).expect("writes");
    add("interchange", 3, &read());
    add("interchange", 4, b"q1 Q0 a 1 2.5 run\nq1 Q0 b 2 1.5 run\n");
    add("interchange", 5, b"q1 0 a 1\nq2 0 b 0\n");
    add("interchange", 6, b"query-id\tcorpus-id\tscore\nq1\ta\t1\n");
    let config = sparsely::Config::new().weight_limit(4.0).keep_labels().keep_weights();
    let index = Index::in_memory(config).expect("an index");
    let mut writer = index.writer().expect("a writer");
    for (id, vector) in ids {
        let document = Document::new(id, vector.clone())
            .text("text").payload([1]).field("f", "x").field("n", 3).field("b", true)
            .full_vector(vector.clone()).own_terms([3.into()]).labels([(3.into(), "three")]);
        writer.upsert(document).expect("a document");
    }
    writer.commit().expect("commit");
    let mut lines = Vec::new();
    index.export(&mut lines, &mut Progress::none()).expect("exports");
    add("interchange", 7, &lines);

    let trajectory = Trajectory::new("id", "boil the lead")
        .with_environment("lab").with_opening("a table").with_outcome(Outcome::Success)
        .with_score(0.5).expect("a score").with_time(7).with_tag("t").with_agent("a")
        .with_provenance("p").with_when_to_use("w").with_payload([1, 2])
        .with_step(Step::new("look", "you see").with_thought("hm"));
    add("memory_files", 2, trajectory.to_json().as_bytes());
    add("memory_files", 3, format!("[{}]", trajectory.steps()[0].to_json()).as_bytes());
    // The record inside a queue's file, which nothing else shows.
    add("memory_files", 1, &queued(trajectory));

    add("static_table", 1, &table());
    for (at, bytes) in Models::copied(SAE_MODELS).files().enumerate() {
        add("sae_files", at, bytes);
    }
    for (target, texts) in [("words", ["fn openLockFile(path: &Path)", "the ﬁrst of Größe 漢字 ١٢"])] {
        for text in texts {
            seeds.entry(target).or_default().push(text.as_bytes().to_vec());
        }
    }

    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (target, seeds) in seeds {
        let folder = corpus.join(target);
        std::fs::create_dir_all(&folder).expect("a directory");
        for (at, seed) in seeds.iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{at:03}")), seed).expect("writes");
        }
        println!("{target}: {} seeds", seeds.len());
    }
    let _ = std::fs::remove_dir_all(folder());
}

fn queued(trajectory: Trajectory) -> Vec<u8> {
    use std::{sync::Arc, time::Duration};

    use sparsely::{
        LexicalEncoder,
        memory::{ExperienceStore, StoreConfig},
        storage::{Memory, Storage},
    };
    let memory = Memory::default();
    let config = StoreConfig::new().queue_when_busy(true).lock_wait(Duration::ZERO);
    let encoder = Arc::new(LexicalEncoder::text());
    let mut store = ExperienceStore::with_storage(Arc::new(memory.clone()), encoder, config).expect("a store");
    let _busy = store.index().writer().expect("a writer");
    store.record(trajectory).expect("queued");
    let names = memory.list().expect("names");
    let name = names.iter().find(|name| name.starts_with("waiting-")).expect("one waits");
    memory.open(name).expect("a file")[20..].to_vec()
}

/// Three words, two of them targets, as `docs/static-table.md` lays them out; the target puts the
/// checksums right.
fn table() -> Vec<u8> {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/static.table");
    // Magic, version, and the version of the words.
    let mut bytes = std::fs::read(shipped).expect("the table")[..16].to_vec();
    let words = ["read", "load", "größe"];
    let strings = words.concat();
    let lens = words.map(|word| u8::try_from(word.len()).expect("short"));
    for field in [3, 2, 3, u32::try_from(strings.len()).expect("short")] {
        bytes.extend_from_slice(&u32::to_le_bytes(field));
    }
    bytes.extend_from_slice(&1000_u64.to_le_bytes());
    bytes.resize(64, 0);
    bytes.extend(lens);
    bytes.extend([2, 0, 1]);
    bytes.extend([3; 9]);
    bytes.extend([0, 0, 1, 0, 1, 0]);
    bytes.extend([9, 8, 7]);
    bytes.extend(strings.bytes());
    bytes
}
