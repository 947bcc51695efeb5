//! Directories of models, made of the project's own test models, of which one file at a time is
//! another.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::folder;

/// The models of the target `sae_files`.
pub const SAE_MODELS: &[&str] = &[
    "sae/csr", "sae/encoder", "sae/gemma", "sae/gemma_packed", "sae/lens_jump", "sae/lens_top", "sae/llama",
];

/// The directories of the target `model_directory`: each is of the test models named, the files of
/// a later one over those of an earlier one.
pub const DIRECTORIES: &[&[&str]] = &[
    &["bert"],
    &["bert_untied"],
    &["distilbert"],
    &["roberta"],
    &["xlm_roberta"],
    &["bert", "splade"],
    &["bert", "router"],
    &["narrow"],
    &["bert", "csr/cls"],
    &["bert", "csr/mean"],
    &["bert", "sae/encoder"],
];

/// Every file below a directory of the project's own test models, by its path inside; graphs, which
/// another library reads, left out.
pub fn model(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    fn into(root: &Path, at: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
        let entries = fs::read_dir(at).expect("a directory of models");
        let mut entries: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                into(root, &path, files);
            } else if path.extension().is_none_or(|end| end != "onnx") {
                let inside = path.strip_prefix(root).expect("below").to_owned();
                files.push((inside, fs::read(&path).expect("a file")));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/models").join(name);
    let mut files = Vec::new();
    into(&root, &root, &mut files);
    files
}

/// Model directories whose files are replaced one at a time: all files of all of them.
pub struct Models {
    files: Vec<(String, PathBuf, Vec<u8>)>,
}

/// How the bytes of a file are changed.
#[derive(Clone, Copy)]
pub enum Edited {
    /// Other bytes.
    Content,
    /// Other bytes, which in weights are those of the header: what follows it stays.
    Header,
    /// Single values of the JSON, which in weights is the header's: 3 bytes each, the place among
    /// all values and what stands there instead.
    Values,
}

impl Models {
    /// Copies each of the models named into [`folder`].
    pub fn copied(names: &[&str]) -> Models {
        let names: Vec<&[&str]> = names.iter().map(std::slice::from_ref).collect();
        Models::laid_over(&names)
    }

    /// Makes directories in [`folder`], each of several models.
    pub fn laid_over(directories: &[&[&str]]) -> Models {
        let mut files = Vec::new();
        for names in directories {
            let name = names.join("+").replace('/', "-");
            let mut own = std::collections::BTreeMap::new();
            for layer in *names {
                own.extend(model(layer));
            }
            for (path, bytes) in own {
                let target = folder().join(&name).join(&path);
                fs::create_dir_all(target.parent().expect("a parent")).expect("a directory");
                fs::write(&target, &bytes).expect("a file is written");
                files.push((name.clone(), path, bytes));
            }
        }
        Models { files }
    }

    /// The files, in the order of the first byte of [`Models::with`]; of weights the header.
    pub fn files(&self, how: Edited) -> impl Iterator<Item = &[u8]> {
        self.files.iter().map(move |(_, path, bytes)| match how {
            Edited::Header if is_weights(path) => split(bytes).0,
            _ => &bytes[..],
        })
    }

    /// The place in [`Models::files`] of a file of the directory made of `names`.
    pub fn find(&self, names: &[&str], file: &str) -> usize {
        let name = names.join("+").replace('/', "-");
        let found = self.files.iter().position(|(of, path, _)| *of == name && path == Path::new(file));
        found.expect("such a file")
    }

    /// Runs `open` on a model with one file, which the first byte chooses, changed by the others.
    pub fn with(&self, data: &[u8], how: Edited, open: impl FnOnce(&Path)) {
        let Some((&chosen, change)) = data.split_first() else {
            return;
        };
        let (name, path, good) = &self.files[usize::from(chosen) % self.files.len()];
        let content = match how {
            Edited::Content => change.to_vec(),
            Edited::Header if is_weights(path) => framed(change, split(good).1),
            Edited::Header => change.to_vec(),
            Edited::Values if is_weights(path) => {
                let (header, numbers) = split(good);
                framed(&with_values(header, change), numbers)
            }
            Edited::Values => with_values(good, change),
        };
        let root = folder().join(name);
        fs::write(root.join(path), content).expect("a file is written");
        open(&root);
        fs::write(root.join(path), good).expect("a file is written");
    }
}

fn is_weights(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "safetensors")
}

/// Header and numbers of a safetensors file.
fn split(file: &[u8]) -> (&[u8], &[u8]) {
    let (length, rest) = file.split_first_chunk::<8>().expect("a length");
    rest.split_at(usize::try_from(u64::from_le_bytes(*length)).expect("small"))
}

fn framed(header: &[u8], numbers: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header, numbers].concat()
}

/// JSON with other values, or a file that is none as it is.
fn with_values(json: &[u8], edits: &[u8]) -> Vec<u8> {
    let Ok(mut root) = serde_json::from_slice::<Value>(json) else {
        return json.to_vec();
    };
    for edit in edits.chunks_exact(3).take(8) {
        let mut place = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % count(&root);
        let other = usize::from(edit[2]);
        let value = match VALUES.get(other) {
            Some(text) => serde_json::from_str(text).expect("one of our own"),
            None => match other - VALUES.len() {
                0 => nested(),
                1 => json!("long ".repeat(4000)),
                // One of the values there are.
                of => {
                    let mut of = of * 7 % count(&root);
                    nth(&mut root, &mut of).expect("counted").clone()
                }
            },
        };
        *nth(&mut root, &mut place).expect("counted") = value;
    }
    root.to_string().into_bytes()
}

const VALUES: &[&str] = &[
    "null", "false", "true", "0", "1", "-1", "2", "3", "15", "16", "17", "255", "65536", "16777215", "16777216",
    "2147483648", "4294967295", "4294967296", "9007199254740993", "9223372036854775807", "18446744073709551615",
    "1e308", "-0.5", "0.5", "1e-46", r#""""#, r#""..""#, r#""\u0000""#, r#"".""#, r#""/""#, r#""max""#, r#""sum""#,
    r#""F16""#, r#""BF16""#, r#""F64""#, r#""I64""#, r#""cls""#, r#""left""#, r#""(a+)+$""#, r#""\\s*""#,
    r#""tokenizer.json""#, "[]", "{}", "[0]", "[0,0]", "[8,4]", r#"{"a":0}"#, r#"{"Regex":"(?=a)"}"#, r#"{"String":""}"#,
];

fn nested() -> Value {
    (0..120).fold(json!(1), |inner, _| json!([inner]))
}

fn children(value: &mut Value) -> Vec<&mut Value> {
    match value {
        Value::Array(values) => values.iter_mut().collect(),
        Value::Object(values) => values.values_mut().collect(),
        _ => Vec::new(),
    }
}

fn count(value: &Value) -> usize {
    match value {
        Value::Array(values) => 1 + values.iter().map(count).sum::<usize>(),
        Value::Object(values) => 1 + values.values().map(count).sum::<usize>(),
        _ => 1,
    }
}

/// The value at a place in the order of writing.
fn nth<'a>(value: &'a mut Value, place: &mut usize) -> Option<&'a mut Value> {
    if *place == 0 {
        return Some(value);
    }
    *place -= 1;
    children(value).into_iter().find_map(|child| nth(child, place))
}
