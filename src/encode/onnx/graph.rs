//! What an ONNX file says about itself, read before the runtime sees it.
//!
//! Two things matter: the names of the files its weights lie in, which may not leave the model
//! directory, and whether it quantizes activations while it runs, in which case a vector depends on
//! the texts that share its batch. Both are found by walking the protobuf fields; the weights
//! themselves are skipped over, so a model of gigabytes costs some reads. Every length is checked
//! against its container before it is believed.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufReader, Read, Seek},
    path::{Component, Path, PathBuf},
};

use crate::error::{Error, Result};

/// What was found in a graph.
#[derive(Debug, Default)]
pub(crate) struct GraphFacts {
    /// Files with weights, resolved, each once.
    pub(crate) external: Vec<PathBuf>,
    /// Whether activations are quantized by their range in the batch.
    pub(crate) quantizes_batches: bool,
}

impl GraphFacts {
    /// Reads `path`, whose external files must lie in its directory.
    ///
    /// # Errors
    /// [`ErrorKind::Model`](crate::ErrorKind::Model) when it is no ONNX file, is cut off, or names
    /// a file elsewhere; [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) when one is missing.
    pub(crate) fn read(path: &Path) -> Result<GraphFacts> {
        let file = File::open(path).map_err(|source| Error::io("open", path, source))?;
        let length = file
            .metadata()
            .map_err(|source| Error::io("read", path, source))?
            .len();
        let mut walk = Walk {
            input: BufReader::new(file),
            at: 0,
            files: BTreeMap::new(),
            weights: Weights::default(),
            quantizes: false,
            graphs: 0,
        };
        let refuse = |why: String| Error::model(path.display().to_string(), why);
        if length == 0 {
            return Err(refuse("it is empty, expected an ONNX graph".to_owned()));
        }
        walk.message(Kind::Model, length, 0)
            .map_err(|why| match why {
                Stop::Io(source) => Error::io("read", path, source),
                Stop::Damage(what) => refuse(format!(
                    "{what} at byte {}: it is cut off, or no ONNX file",
                    walk.at
                )),
            })?;
        if walk.graphs == 0 {
            return Err(refuse(
                "no graph in it: it is cut off, or no ONNX file".to_owned(),
            ));
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        let external = walk
            .files
            .iter()
            .map(|(name, bytes)| {
                resolve(folder, name, *bytes).map_err(|why| why.of(path, name, *bytes))
            })
            .collect::<Result<_>>()?;
        Ok(GraphFacts {
            external,
            quantizes_batches: walk.quantizes,
        })
    }
}

/// Why an external file cannot be used.
enum Outside {
    Leaves,
    Missing,
    Short(u64),
}

impl Outside {
    fn of(self, graph: &Path, name: &str, bytes: u64) -> Error {
        match self {
            Outside::Leaves => Error::model(
                graph.display().to_string(),
                format!(
                    "its weights are in {name:?}, which is not a file inside the model directory; copy the directory with links followed (cp -rL) or export the model again"
                ),
            ),
            Outside::Missing => Error::not_found(
                format!("the file {name:?} with weights of {}", graph.display()),
                "put it beside the graph: the two belong together",
            ),
            Outside::Short(length) => Error::model(
                graph.display().to_string(),
                format!(
                    "its weights reach to byte {bytes} of {name:?}, which has {length}: that file is cut off, or of another export"
                ),
            ),
        }
    }
}

/// The file `name` in `folder`, of at least so many bytes.
fn resolve(folder: &Path, name: &str, bytes: u64) -> Result<PathBuf, Outside> {
    let relative = Path::new(name);
    let stays = relative
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if !stays || name.is_empty() || name.contains(['\\', '\0']) {
        return Err(Outside::Leaves);
    }
    let path = folder.join(relative);
    if path.symlink_metadata().is_err() {
        return Err(Outside::Missing);
    }
    // A link in any part of the way may lead out.
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    match (path.canonicalize(), folder.canonicalize()) {
        (Ok(file), Ok(folder)) if file.starts_with(&folder) => match file.metadata() {
            Ok(found) if found.len() < bytes => Err(Outside::Short(found.len())),
            Ok(_) => Ok(path),
            Err(_) => Err(Outside::Missing),
        },
        (Ok(_), Ok(_)) => Err(Outside::Leaves),
        _ => Err(Outside::Missing),
    }
}

/// The messages of onnx.proto that lead to weights and operators.
#[derive(Clone, Copy)]
enum Kind {
    Model,
    Graph,
    Function,
    Node,
    Attribute,
    Tensor,
    SparseTensor,
    External,
}

impl Kind {
    /// What `field` of this message is, where it matters.
    fn part(self, field: u64) -> Option<Kind> {
        match (self, field) {
            (Kind::Model, 7) | (Kind::Attribute, 6 | 11) => Some(Kind::Graph),
            (Kind::Model, 25) => Some(Kind::Function),
            (Kind::Graph, 1) | (Kind::Function, 7) => Some(Kind::Node),
            (Kind::Graph, 5) | (Kind::Attribute, 5 | 10) | (Kind::SparseTensor, 1 | 2) => {
                Some(Kind::Tensor)
            }
            (Kind::Graph, 15) | (Kind::Attribute, 22 | 23) => Some(Kind::SparseTensor),
            (Kind::Node, 5) => Some(Kind::Attribute),
            (Kind::Tensor, 13) => Some(Kind::External),
            _ => None,
        }
    }
}

enum Stop {
    Io(io::Error),
    Damage(&'static str),
}

impl From<io::Error> for Stop {
    fn from(source: io::Error) -> Stop {
        match source.kind() {
            io::ErrorKind::UnexpectedEof => Stop::Damage("an unexpected end"),
            _ => Stop::Io(source),
        }
    }
}

struct Walk<R> {
    input: R,
    at: u64,
    /// Files of weights, each with where the last of its weights end.
    files: BTreeMap<String, u64>,
    /// Those of the present tensor.
    weights: Weights,
    quantizes: bool,
    graphs: usize,
}

/// Where a tensor's weights lie.
#[derive(Default)]
struct Weights {
    file: Option<String>,
    offset: u64,
    length: u64,
}

/// Graphs nest in attributes of nodes; deeper than this no exporter goes.
const DEPTH: usize = 64;

/// The longest name or operator that is read; longer ones are neither.
const NAME: u64 = 4096;

/// More files of weights than any model has.
const FILES: usize = 65_536;

impl<R: Read + Seek> Walk<R> {
    /// Walks a message that ends at `end`.
    fn message(&mut self, kind: Kind, end: u64, depth: usize) -> Result<(), Stop> {
        if depth > DEPTH {
            return Err(Stop::Damage("graphs nested too deep"));
        }
        let mut key = String::new();
        while self.at < end {
            let tag = self.varint(end)?;
            let (field, wire) = (tag >> 3, tag & 7);
            let length = match wire {
                0 => {
                    self.varint(end)?;
                    continue;
                }
                1 => 8,
                5 => 4,
                2 => self.varint(end)?,
                _ => return Err(Stop::Damage("an unknown kind of field")),
            };
            let stop = self.at.checked_add(length).filter(|stop| *stop <= end);
            let Some(stop) = stop else {
                return Err(Stop::Damage("a length beyond what is left"));
            };
            if wire == 2
                && let Some(part) = kind.part(field)
            {
                self.graphs += usize::from(matches!(part, Kind::Graph));
                self.message(part, stop, depth + 1)?;
                continue;
            }
            match (kind, field) {
                (Kind::Node, 4) if wire == 2 => {
                    let operator = self.text(length)?;
                    self.quantizes |= operator.starts_with("DynamicQuantize");
                }
                (Kind::External, 1) if wire == 2 => key = self.text(length)?,
                (Kind::External, 2) if wire == 2 => {
                    let value = self.text(length)?;
                    match key.as_str() {
                        "location" => {
                            self.file(&value, 0)?;
                            self.weights.file = Some(value);
                        }
                        "offset" => self.weights.offset = value.parse().unwrap_or(0),
                        "length" => self.weights.length = value.parse().unwrap_or(0),
                        _ => {}
                    }
                }
                _ => self.skip(length)?,
            }
        }
        if let Kind::Tensor = kind {
            let weights = std::mem::take(&mut self.weights);
            if let Some(file) = &weights.file {
                self.file(file, weights.offset.saturating_add(weights.length))?;
            }
        }
        Ok(())
    }

    /// Notes a file of weights that has to reach to `end`.
    fn file(&mut self, name: &str, end: u64) -> Result<(), Stop> {
        if let Some(bytes) = self.files.get_mut(name) {
            *bytes = end.max(*bytes);
        } else if self.files.len() < FILES {
            self.files.insert(name.to_owned(), end);
        } else {
            return Err(Stop::Damage("too many files of weights"));
        }
        Ok(())
    }

    fn varint(&mut self, end: u64) -> Result<u64, Stop> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            if self.at >= end {
                return Err(Stop::Damage("an unexpected end"));
            }
            let mut byte = [0];
            self.input.read_exact(&mut byte)?;
            self.at += 1;
            value |= u64::from(byte[0] & 0x7f) << shift;
            if byte[0] < 0x80 {
                return Ok(value);
            }
        }
        Err(Stop::Damage("a number that does not end"))
    }

    /// Text of at most [`NAME`] bytes; longer text is skipped and empty.
    fn text(&mut self, length: u64) -> Result<String, Stop> {
        let Some(short) = usize::try_from(length).ok().filter(|_| length <= NAME) else {
            self.skip(length)?;
            return Ok(String::new());
        };
        let mut bytes = vec![0; short];
        self.input.read_exact(&mut bytes)?;
        self.at += length;
        String::from_utf8(bytes).map_err(|_| Stop::Damage("a name that is no text"))
    }

    fn skip(&mut self, length: u64) -> Result<(), Stop> {
        let distance =
            i64::try_from(length).map_err(|_| Stop::Damage("a length beyond any file"))?;
        self.input.seek_relative(distance)?;
        self.at += length;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::ErrorKind;

    /// A length-delimited field.
    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![number << 3 | 2];
        let mut length = content.len();
        while length >= 0x80 {
            bytes.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
            length >>= 7;
        }
        bytes.push(u8::try_from(length).unwrap());
        bytes.extend(content);
        bytes
    }

    fn graph_with(location: &str, operator: &str) -> Vec<u8> {
        graph_of(&[("location", location)], operator)
    }

    fn graph_of(weights: &[(&str, &str)], operator: &str) -> Vec<u8> {
        let mut tensor = field(8, b"weights");
        for (key, value) in weights {
            let entry = [field(1, key.as_bytes()), field(2, value.as_bytes())].concat();
            tensor.extend(field(13, &entry));
        }
        let node = field(4, operator.as_bytes());
        field(7, &[field(1, &node), field(5, &tensor)].concat())
    }

    fn read(bytes: &[u8]) -> Result<GraphFacts> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("weights.bin"), [0; 4]).unwrap();
        fs::write(folder.path().join("model.onnx"), bytes).unwrap();
        GraphFacts::read(&folder.path().join("model.onnx"))
    }

    #[test]
    fn files_inside_are_found_and_others_refused() {
        let facts = read(&graph_with("weights.bin", "MatMul")).unwrap();
        assert_eq!(facts.external.len(), 1);
        assert!(!facts.quantizes_batches);
        for location in ["../weights.bin", "/etc/passwd", "a/../../b", ""] {
            let error = read(&graph_with(location, "MatMul")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Model, "{location}: {error}");
        }
        let error = read(&graph_with("other.bin", "MatMul")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn files_that_are_too_short_are_named() {
        let graph = |offset, length| {
            let weights = [
                ("offset", offset),
                ("location", "weights.bin"),
                ("length", length),
            ];
            read(&graph_of(&weights, "MatMul"))
        };
        assert_eq!(graph("0", "4").unwrap().external.len(), 1);
        for (offset, length) in [("0", "5"), ("4", "1"), ("18446744073709551615", "9")] {
            let error = graph(offset, length).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Model);
            assert!(
                error.to_string().contains("\"weights.bin\", which has 4"),
                "{error}"
            );
        }
    }

    #[test]
    #[cfg(unix)]
    fn a_link_that_leads_out_is_refused() {
        let outside = tempfile::NamedTempFile::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("weights.bin");
        std::os::unix::fs::symlink(outside.path(), &link).unwrap();
        let graph = folder.path().join("model.onnx");
        fs::write(&graph, graph_with("weights.bin", "MatMul")).unwrap();
        let error = GraphFacts::read(&graph).unwrap_err();
        assert!(error.to_string().contains("inside the model directory"));
    }

    #[test]
    fn quantization_while_running_is_seen() {
        let facts = read(&graph_with("weights.bin", "DynamicQuantizeLinear")).unwrap();
        assert!(facts.quantizes_batches);
    }

    #[test]
    fn no_cut_and_no_byte_makes_it_panic() {
        let whole = graph_with("weights.bin", "MatMul");
        for cut in 0..whole.len() {
            assert!(read(&whole[..cut]).is_err(), "cut at {cut}");
        }
        for at in 0..whole.len() {
            for byte in [0, 1, 0x7f, 0x80, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] = byte;
                let _ = read(&damaged);
            }
        }
    }
}
