//! Writes what fuzzing starts from to `corpus/TARGET`: every section, manifest and file that the
//! project's own tests have, so that a mutation begins at something sound.

use std::{collections::BTreeMap, path::Path};

use sparsely::{
    Document, Index, Progress, SparseVector,
    interchange::{self, GroundTruth, JsonVector},
    memory::{Outcome, Step, Trajectory},
};
use sparsely_fuzz::{DIRECTORIES, Edited, INDEXES, Models, SAE_MODELS, SECTIONS, folder, section};

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
    add("interchange", 8, &lines);
    add("interchange", 7, b"{\"_id\": \"d1\", \"title\": \"t\", \"text\": \"a text\"}\n{\"_id\": 2, \"text\": \"b\"}\n");

    let trajectory = Trajectory::new("id", "boil the lead")
        .with_environment("lab").with_opening("a table").with_outcome(Outcome::Success)
        .with_score(0.5).expect("a score").with_time(7).with_tag("t").with_agent("a")
        .with_provenance("p").with_when_to_use("w").with_payload([1, 2])
        .with_step(Step::new("look", "you see").with_thought("hm"));
    add("memory_files", 2, trajectory.to_json().as_bytes());
    add("memory_files", 3, format!("[{}]", trajectory.steps()[0].to_json()).as_bytes());
    let stored = sparsely_fuzz::stored_episode();
    let payloads = stored.lines().filter_map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
        let hex = line["payload_hex"].as_str()?.to_owned();
        Some((0..hex.len() / 2).map(move |at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hex")).collect::<Vec<u8>>())
    });
    for (at, payload) in payloads.enumerate() {
        add("memory_files", 4, &[&[u8::try_from(at).expect("few")], &payload[..]].concat());
    }
    // The record inside a queue's file, which nothing else shows.
    add("memory_files", 1, &queued(trajectory));

    add("static_table", 1, &table());
    for (at, bytes) in Models::copied(SAE_MODELS).files(Edited::Content).enumerate() {
        add("sae_files", at, bytes);
    }
    // The first byte says how a file is changed: see the target.
    let directories = Models::laid_over(DIRECTORIES);
    let file = |at: usize| u8::try_from(at).expect("fewer than 256 files");
    for (at, bytes) in directories.files(Edited::Header).enumerate() {
        add("model_directory", 0, &[&[file(at)], bytes].concat());
        add("model_directory", 1, &[file(at), 3, 0, 5]);
    }
    add("model_directory", 3, &graph());
    let narrow = file(directories.find(&["narrow"], "tokenizer.json"));
    for tokenizer in TOKENIZERS {
        add("model_directory", 0, &[&[narrow], tokenizer.as_bytes()].concat());
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

/// An ONNX graph with a node, weights beside it and a function, field by field as onnx.proto has them.
fn graph() -> Vec<u8> {
    let field = |number: u8, content: &[u8]| {
        let length = u8::try_from(content.len()).expect("short");
        [&[number << 3 | 2, length], content].concat()
    };
    let entry = |key: &str, value: &str| [field(1, key.as_bytes()), field(2, value.as_bytes())].concat();
    let outside = field(13, &entry("location", "tokenizer.json"));
    let tensor = [&[8, 2, 16, 1][..], &field(8, b"weights"), &field(9, &[0; 8]), &outside].concat();
    let inner = field(1, &field(4, b"Add"));
    let attribute = [field(1, b"body"), field(5, &tensor), field(6, &inner)].concat();
    let node = [field(4, b"DynamicQuantizeLinear"), field(5, &attribute)].concat();
    let graph = [field(1, &node), field(5, &tensor)].concat();
    // Field 25 takes two bytes for its number.
    let function = [&[202, 1][..], &field(0, &field(7, &field(4, b"Mul")))[1..]].concat();
    [&[8, 8][..], &field(7, &graph), &function].concat()
}

/// One of each kind that the test models are not: byte pairs, pieces with probabilities, words, and
/// what may stand around them.
const TOKENIZERS: &[&str] = &[
    r#"{"added_tokens":[{"id":9,"content":"<s>","special":true,"single_word":false,"lstrip":false,"rstrip":false,"normalized":false}],
        "normalizer":{"type":"Sequence","normalizers":[{"type":"NFKC"},{"type":"Lowercase"},{"type":"StripAccents"}]},
        "pre_tokenizer":{"type":"Sequence","pretokenizers":[
            {"type":"Split","pattern":{"Regex":" ?\\p{L}+|\\s+(?!\\S)"},"behavior":"Isolated","invert":false},
            {"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":false}]},
        "post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],
            "pair":[{"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"B","type_id":1}}],
            "special_tokens":{"<s>":{"id":"<s>","ids":[9],"tokens":["<s>"]}}},
        "model":{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":null,"end_of_word_suffix":null,
            "fuse_unk":false,"byte_fallback":false,"vocab":{"l":0,"o":1,"c":2,"k":3,"lo":4,"ck":5,"lock":6},"merges":["l o","c k","lo ck"]}}"#,
    r#"{"normalizer":{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"_"},{"type":"Replace","pattern":{"String":" "},"content":"_"}]},
        "pre_tokenizer":{"type":"Metaspace","replacement":"_","prepend_scheme":"always","split":true},
        "truncation":{"direction":"Right","max_length":8,"strategy":"LongestFirst","stride":2},
        "padding":{"strategy":{"Fixed":8},"direction":"Left","pad_to_multiple_of":null,"pad_id":1,"pad_type_id":0,"pad_token":"p"},
        "model":{"type":"Unigram","unk_id":0,"vocab":[["<unk>",0.0],["_l",-1.5],["o",-2.0],["ck",-2.5],["<0x63>",-3.0]],"byte_fallback":true}}"#,
    r#"{"normalizer":{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"strip_accents":null,"lowercase":true},
        "pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},{"type":"Punctuation","behavior":"Isolated"},
            {"type":"UnicodeScripts"},{"type":"CharDelimiterSplit","delimiter":"x"},{"type":"WhitespaceSplit"}]},
        "post_processor":{"type":"BertProcessing","sep":["f",1],"cls":["l",0]},
        "model":{"type":"WordLevel","vocab":{"lock":0,"file":1,"[UNK]":2},"unk_token":"[UNK]"}}"#,
    r#"{"normalizer":{"type":"Precompiled","precompiled_charsmap":"CAAAAAAAAAAAAAAAAAAAAGEA"},
        "pre_tokenizer":{"type":"BertPreTokenizer"},
        "post_processor":{"type":"Sequence","processors":[{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true},
            {"type":"RobertaProcessing","sep":["f",1],"cls":["l",0],"trim_offsets":true,"add_prefix_space":true}]},
        "model":{"type":"WordPiece","unk_token":"[UNK]","continuing_subword_prefix":"\u0023\u0023","max_input_chars_per_word":9,"vocab":{"[UNK]":0,"lock":1}}}"#,
];
