//! The encoders that can be named on the command line.

use std::{
    fmt,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    str::FromStr,
};

use sparsely::{
    Encoder, LexicalEncoder, Result, StaticEncoder, StaticTable,
    encode::{NamedEncoder, NamedEncoders},
};

/// The first bytes of a table of the static encoder (`docs/static-table.md`): they tell it from a
/// run.
const TABLE_MAGIC: &[u8] = b"SPRT\x0D\x0A\x1A\x0A";

/// An encoder by name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Choice {
    Lexical,
    LexicalCode,
    LexicalText,
    Static,
    /// A table of the static encoder, by its file.
    Table(PathBuf),
    Model(PathBuf),
    /// Several in one index, with what each counts.
    Named(Vec<(f32, Choice)>),
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(name: &str) -> std::result::Result<Choice, String> {
        let path = Path::new(name);
        if name.contains('+') && !path.exists() {
            return name
                .split('+')
                .map(weighed)
                .collect::<std::result::Result<_, _>>()
                .map(Choice::Named);
        }
        match name {
            "lexical" => Ok(Choice::Lexical),
            "lexical-code" => Ok(Choice::LexicalCode),
            "lexical-text" => Ok(Choice::LexicalText),
            "static" => Ok(Choice::Static),
            _ if path.is_dir() => Ok(Choice::Model(path.into())),
            _ if is_table(path) => Ok(Choice::Table(path.into())),
            _ => Err(format!(
                "{name:?}: neither an encoder's name nor a table nor the folder of a model"
            )),
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Choice::Lexical => f.write_str("lexical"),
            Choice::LexicalCode => f.write_str("lexical-code"),
            Choice::LexicalText => f.write_str("lexical-text"),
            Choice::Static => f.write_str("static"),
            Choice::Table(path) | Choice::Model(path) => path.display().fmt(f),
            Choice::Named(parts) => {
                let parts = parts.iter().map(|(weight, part)| match *weight {
                    1.0 => part.to_string(),
                    weight => format!("{weight}*{part}"),
                });
                f.write_str(&parts.collect::<Vec<_>>().join("+"))
            }
        }
    }
}

impl Choice {
    /// Whether it is of words alone.
    pub(crate) fn is_words(&self) -> bool {
        matches!(
            self,
            Choice::Lexical | Choice::LexicalCode | Choice::LexicalText
        )
    }

    /// The static encoder, where it is one.
    pub(crate) fn open_static(&self) -> Result<Option<StaticEncoder>> {
        match self {
            Choice::Static => StaticEncoder::embedded().map(Some),
            Choice::Table(path) => Ok(Some(StaticEncoder::new(StaticTable::open(path)?))),
            _ => Ok(None),
        }
    }

    /// Makes the encoder.
    pub(crate) fn open(&self) -> Result<Box<dyn Encoder>> {
        match self {
            Choice::Lexical => Ok(Box::new(LexicalEncoder::auto())),
            Choice::LexicalCode => Ok(Box::new(LexicalEncoder::code())),
            Choice::LexicalText => Ok(Box::new(LexicalEncoder::text())),
            Choice::Static => Ok(Box::new(StaticEncoder::embedded()?)),
            Choice::Table(path) => Ok(Box::new(StaticEncoder::new(StaticTable::open(path)?))),
            Choice::Model(dir) => sparsely::encode::open(dir),
            Choice::Named(parts) => {
                let parts = parts.iter().map(|(weight, part)| {
                    Ok(NamedEncoder::boxed(part.to_string(), part.open()?).weight(*weight))
                });
                let parts: Vec<NamedEncoder> = parts.collect::<Result<_>>()?;
                Ok(Box::new(NamedEncoders::new(parts)?))
            }
        }
    }
}

/// NAME or WEIGHT*NAME.
fn weighed(part: &str) -> std::result::Result<(f32, Choice), String> {
    match part.split_once('*') {
        None => Ok((1.0, part.parse()?)),
        Some((weight, name)) => {
            let number = weight
                .parse()
                .map_err(|_| format!("{weight:?}: not a weight"))?;
            Ok((number, name.parse()?))
        }
    }
}

fn is_table(path: &Path) -> bool {
    let mut start = [0; TABLE_MAGIC.len()];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && start == *TABLE_MAGIC
}
