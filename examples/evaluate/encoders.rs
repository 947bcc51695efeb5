//! The encoders that can be named on the command line.

use std::{path::PathBuf, str::FromStr};

use sparsely::{Encoder, LexicalEncoder, Result, StaticEncoder, StaticTable};

/// An encoder by name.
#[derive(Clone, Debug)]
pub(crate) enum Choice {
    Lexical,
    LexicalCode,
    LexicalText,
    Static,
    /// A table of the static encoder, by its file.
    Table(PathBuf),
    Model(PathBuf),
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(name: &str) -> std::result::Result<Choice, String> {
        match name {
            "lexical" => Ok(Choice::Lexical),
            "lexical-code" => Ok(Choice::LexicalCode),
            "lexical-text" => Ok(Choice::LexicalText),
            "static" => Ok(Choice::Static),
            _ if PathBuf::from(name).is_file() => Ok(Choice::Table(name.into())),
            _ if PathBuf::from(name).is_dir() => Ok(Choice::Model(name.into())),
            _ => Err("neither an encoder's name nor a table nor the folder of a model".to_owned()),
        }
    }
}

impl Choice {
    /// Makes the encoder.
    pub(crate) fn open(&self) -> Result<Box<dyn Encoder>> {
        match self {
            Choice::Lexical => Ok(Box::new(LexicalEncoder::auto())),
            Choice::LexicalCode => Ok(Box::new(LexicalEncoder::code())),
            Choice::LexicalText => Ok(Box::new(LexicalEncoder::text())),
            Choice::Static => Ok(Box::new(StaticEncoder::embedded()?)),
            Choice::Table(path) => Ok(Box::new(StaticEncoder::new(StaticTable::open(path)?))),
            Choice::Model(dir) => sparsely::encode::open(dir),
        }
    }
}
