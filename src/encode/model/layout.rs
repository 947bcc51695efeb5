//! Which files of a model directory are what.
//!
//! sentence-transformers renamed the Python paths of its modules more than once
//! (`sparse_encoder.models.…`, `sparse_encoder.modules.…`), so a module is known by the last part
//! of its path, and a key it does not need is left alone.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{Embedding, Model, Pooled, Table, files::settings};
use crate::{
    encode::{
        files::inside,
        pool::{Activation, Combine, Pooling},
    },
    error::{Error, Result},
};

/// An entry of `modules.json`.
#[derive(Deserialize)]
struct Module {
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

/// `router_config.json`: chains of modules for queries and documents.
#[derive(Deserialize)]
struct Router {
    types: HashMap<String, String>,
    structure: HashMap<String, Vec<String>>,
}

/// `config.json` of a `SpladePooling`.
#[derive(Deserialize)]
struct SpladePooling {
    pooling_strategy: Option<String>,
    activation_function: Option<String>,
}

/// `config.json` of a `Pooling`: a name, or as it once was a switch for each.
#[derive(Deserialize)]
struct DensePooling {
    pooling_mode: Option<serde_json::Value>,
    #[serde(flatten)]
    switches: HashMap<String, serde_json::Value>,
}

/// `config.json` of a `SparseStaticEmbedding` or `IDF`.
#[derive(Deserialize)]
struct StaticTable {
    path: Option<String>,
}

/// A chain of modules, understood.
enum Chain {
    Transformer {
        folder: PathBuf,
        pooling: Pooling,
    },
    Table(Table),
    Embedding {
        folder: PathBuf,
        embedding: Embedding,
    },
}

pub(super) fn read(root: &Path) -> Result<Model> {
    let file = root.join("modules.json");
    match settings::<Vec<Module>>(&file)? {
        None => bare(root),
        Some(modules) => sentence_transformers(root, &file, &modules),
    }
}

/// Optimum, fastembed, or a graph with its tokenizer.
fn bare(root: &Path) -> Result<Model> {
    let mut model = empty(root);
    model.tokenizer = root.join("tokenizer.json");
    find_graph(&mut model, root);
    find_weights(&mut model, root);
    let weights = root.join("idf.json");
    if weights.is_file() {
        model.query_table = Some(Table {
            weights,
            tokenizer: model.tokenizer.clone(),
        });
    }
    Ok(model)
}

fn sentence_transformers(root: &Path, file: &Path, modules: &[Module]) -> Result<Model> {
    let mut model = empty(root);
    let is_router = modules
        .first()
        .is_some_and(|module| last_part(&module.kind) == "Router");
    if is_router && modules.len() == 1 {
        let folder = inside(root, &modules[0].path, file)?;
        read_router(&mut model, &folder)?;
        return Ok(model);
    }
    let mut parts = Vec::new();
    for module in modules {
        parts.push((last_part(&module.kind), inside(root, &module.path, file)?));
    }
    match chain(root, file, &parts)? {
        Chain::Transformer { folder, pooling } => use_transformer(&mut model, &folder, pooling),
        Chain::Table(table) => {
            model.tokenizer = table.tokenizer.clone();
            model.query_table = Some(table);
        }
        Chain::Embedding { folder, embedding } => {
            use_transformer(&mut model, &folder, Pooling::SPLADE);
            model.pooling = None;
            model.embedding = Some(embedding);
        }
    }
    Ok(model)
}

fn read_router(model: &mut Model, folder: &Path) -> Result<()> {
    let file = folder.join("router_config.json");
    let router: Router = settings(&file)?
        .ok_or_else(|| Error::not_found(file.display().to_string(), "a Router needs it"))?;
    let root = model.root.clone();
    let read = |route: &str| -> Result<Chain> {
        let names = router.structure.get(route).ok_or_else(|| {
            Error::model(
                file.display().to_string(),
                format!("it has no route {route:?}; expected \"query\" and \"document\""),
            )
        })?;
        let mut parts = Vec::new();
        for name in names {
            let kind = router.types.get(name).ok_or_else(|| {
                Error::model(
                    file.display().to_string(),
                    format!("module {name:?} has no type"),
                )
            })?;
            parts.push((last_part(kind), inside(folder, name, &file)?));
        }
        chain(&root, &file, &parts)
    };
    let (query, document) = (read("query")?, read("document")?);
    match (query, document) {
        (Chain::Table(table), Chain::Transformer { folder, pooling }) => {
            use_transformer(model, &folder, pooling);
            model.query_table = Some(table);
            Ok(())
        }
        (
            Chain::Transformer {
                folder: asking,
                pooling: asked,
            },
            Chain::Transformer { folder, pooling },
        ) => {
            use_transformer(model, &folder, pooling);
            if asking != folder || asked != pooling {
                let mut asker = empty(&root);
                use_transformer(&mut asker, &asking, asked);
                model.asker = Some(Box::new(asker));
            }
            Ok(())
        }
        (Chain::Embedding { .. }, _) | (_, Chain::Embedding { .. }) => Err(Error::model(
            file.display().to_string(),
            "it leads to a SparseAutoEncoder, which is read as the end of modules.json alone",
        )),
        (_, Chain::Table(_)) => Err(Error::model(
            file.display().to_string(),
            "its route \"document\" is a table of weights, which expands nothing: documents need a transformer with a SpladePooling; for words as they stand use the LexicalEncoder",
        )),
    }
}

/// Understands a chain: a transformer and its pooling, or a table of weights.
fn chain(root: &Path, file: &Path, parts: &[(&str, PathBuf)]) -> Result<Chain> {
    match parts {
        [
            ("MLMTransformer" | "Transformer", folder),
            ("SpladePooling", pooling),
        ] => Ok(Chain::Transformer {
            folder: folder.clone(),
            pooling: read_pooling(&pooling.join("config.json"))?,
        }),
        [
            ("MLMTransformer" | "Transformer", folder),
            ("Pooling", pooling),
            rest @ ..,
            ("SparseAutoEncoder", autoencoder),
        ] if matches!(rest, [] | [("Normalize", _)]) => Ok(Chain::Embedding {
            folder: folder.clone(),
            embedding: Embedding {
                pooled: read_dense_pooling(&pooling.join("config.json"))?,
                has_unit_length: !rest.is_empty(),
                autoencoder: autoencoder.clone(),
            },
        }),
        [("SparseStaticEmbedding" | "IDF", folder)] => Ok(Chain::Table(find_table(root, folder)?)),
        _ => {
            let kinds: Vec<_> = parts.iter().map(|(kind, _)| *kind).collect();
            Err(Error::model(
                file.display().to_string(),
                format!(
                    "its modules are {}; supported are MLMTransformer with SpladePooling, SparseStaticEmbedding (or IDF), a Router of these, and Transformer with Pooling, perhaps Normalize, and SparseAutoEncoder",
                    kinds.join(", ")
                ),
            ))
        }
    }
}

fn read_pooling(file: &Path) -> Result<Pooling> {
    let config: SpladePooling = settings(file)?.ok_or_else(|| {
        Error::not_found(
            file.display().to_string(),
            "modules.json names a SpladePooling, whose settings it holds",
        )
    })?;
    let refuse = |key: &str, found: &str, known: &str| {
        Error::model(
            file.display().to_string(),
            format!("{key} is {found:?}, expected {known}"),
        )
    };
    let combine = match config.pooling_strategy.as_deref() {
        None | Some("max") => Combine::Max,
        Some("sum") => Combine::Sum,
        Some(other) => return Err(refuse("pooling_strategy", other, "\"max\" or \"sum\"")),
    };
    let activation = match config.activation_function.as_deref() {
        None | Some("relu") => Activation::Log1p,
        Some("log1p_relu") => Activation::Log1pTwice,
        Some(other) => {
            return Err(refuse(
                "activation_function",
                other,
                "\"relu\" or \"log1p_relu\"",
            ));
        }
    };
    Ok(Pooling {
        combine,
        activation,
        ..Pooling::SPLADE
    })
}

/// Which states of a text the one embedding is made of.
fn read_dense_pooling(file: &Path) -> Result<Pooled> {
    let config: DensePooling = settings(file)?.ok_or_else(|| {
        Error::not_found(
            file.display().to_string(),
            "modules.json names a Pooling, whose settings it holds",
        )
    })?;
    let modes: Vec<String> = match config.pooling_mode {
        Some(serde_json::Value::String(mode)) => vec![mode],
        Some(other) => vec![other.to_string()],
        None => config
            .switches
            .iter()
            .filter(|(_, is_on)| **is_on == serde_json::Value::Bool(true))
            .filter_map(|(key, _)| key.strip_prefix("pooling_mode_").map(str::to_owned))
            .collect(),
    };
    match modes.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["mean" | "mean_tokens"] => Ok(Pooled::Mean),
        ["cls" | "cls_token"] => Ok(Pooled::First),
        ["lasttoken"] => Ok(Pooled::Last),
        _ => Err(Error::model(
            file.display().to_string(),
            format!(
                "its pooling is {:?}, expected one of mean, cls and lasttoken",
                modes.join(" and ")
            ),
        )),
    }
}

fn find_table(root: &Path, folder: &Path) -> Result<Table> {
    let config = folder.join("config.json");
    let named = settings::<StaticTable>(&config)?.and_then(|table| table.path);
    let weights = match named {
        Some(name) if name.ends_with(".json") => {
            let near = inside(folder, &name, &config)?;
            if near.is_file() {
                near
            } else {
                inside(root, &name, &config)?
            }
        }
        _ => {
            let tensors = folder.join("model.safetensors");
            if tensors.is_file() {
                tensors
            } else {
                folder.join("idf.json")
            }
        }
    };
    if !weights.is_file() {
        return Err(Error::not_found(
            format!("the query weights {}", weights.display()),
            "a table of weights is a model.safetensors, or a JSON file that config.json names; pytorch_model.bin is not read: save it again as safetensors",
        ));
    }
    Ok(Table {
        weights,
        tokenizer: first_file(&[folder, root], "tokenizer.json"),
    })
}

fn use_transformer(model: &mut Model, folder: &Path, pooling: Pooling) {
    model.tokenizer = first_file(&[folder, &model.root], "tokenizer.json");
    model.pooling = Some(pooling);
    find_graph(model, folder);
    find_weights(model, folder);
}

fn find_weights(model: &mut Model, folder: &Path) {
    let weights = first_file(&[folder, &model.root], "model.safetensors");
    model.weights = weights.is_file().then_some(weights);
}

/// Looks for a graph near the transformer, then at the root.
fn find_graph(model: &mut Model, folder: &Path) {
    let mut folders = vec![folder.join("onnx"), folder.to_owned()];
    if folder.join("") != model.root.join("") {
        folders.extend([model.root.join("onnx"), model.root.clone()]);
    }
    for folder in folders {
        let graph = folder.join("model.onnx");
        if graph.is_file() {
            let head = folder.join("head.onnx");
            model.head = head.is_file().then_some(head);
            model.graph = Some(graph);
            return;
        }
        model.graphs_tried.push(graph);
    }
}

fn first_file(folders: &[&Path], name: &str) -> PathBuf {
    let found = folders
        .iter()
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    found.unwrap_or_else(|| folders[0].join(name))
}

fn last_part(kind: &str) -> &str {
    kind.rsplit('.').next().unwrap_or(kind)
}

fn empty(root: &Path) -> Model {
    Model {
        root: root.to_owned(),
        graph: None,
        head: None,
        weights: None,
        graphs_tried: Vec::new(),
        tokenizer: PathBuf::new(),
        pooling: None,
        query_table: None,
        asker: None,
        embedding: None,
        query_prompt: String::new(),
        document_prompt: String::new(),
        max_tokens: None,
        lower_case: false,
        pads_left: None,
        top: None,
    }
}
