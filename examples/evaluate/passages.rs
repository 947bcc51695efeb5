//! How long documents are cut, and how their passages' scores become theirs.

use std::{num::NonZero, str::FromStr};

use sparsely::{
    GroupScore,
    text::{CodeBlocks, LineWindows, WordWindows},
};

/// What cuts a document.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    Words(WordWindows),
    Lines(LineWindows),
    Code(CodeBlocks),
}

impl Cut {
    /// The passages; a document that gives none is one itself.
    pub(crate) fn cut<'a>(&self, text: &'a str) -> Vec<&'a str> {
        let passages: Vec<&str> = match self {
            Cut::Words(windows) => windows.cut(text).map(|passage| passage.text).collect(),
            Cut::Lines(windows) => windows.cut(text).map(|passage| passage.text).collect(),
            Cut::Code(blocks) => {
                let passages = blocks.cut(text).into_iter();
                passages.map(|passage| passage.text).collect()
            }
        };
        match passages.is_empty() {
            true => vec![text],
            false => passages,
        }
    }
}

impl FromStr for Cut {
    type Err = String;

    fn from_str(name: &str) -> Result<Cut, String> {
        let wrong = || format!("{name:?}: expected words:N[/OVERLAP], lines:N[/OVERLAP] or code:N");
        let (kind, sizes) = name.split_once(':').ok_or_else(wrong)?;
        let (size, overlap) = sizes.split_once('/').unwrap_or((sizes, "0"));
        let number = |text: &str| text.parse::<usize>().map_err(|_| wrong());
        let (size, overlap) = (number(size)?, number(overlap)?);
        let cut = match kind {
            "words" => WordWindows::new(size, overlap).map(Cut::Words),
            "lines" => LineWindows::new(size, overlap).map(Cut::Lines),
            "code" => CodeBlocks::new(size).map(Cut::Code),
            _ => return Err(wrong()),
        };
        cut.map_err(|error| error.to_string())
    }
}

/// `best` or `sum:N`.
pub(crate) fn combine(name: &str) -> Result<GroupScore, String> {
    let count = name.strip_prefix("sum:").map(str::parse::<NonZero<usize>>);
    match (name, count) {
        ("best", _) => Ok(GroupScore::Best),
        (_, Some(Ok(count))) => Ok(GroupScore::SumOfBest(count)),
        _ => Err(format!("{name:?}: expected best or sum:N")),
    }
}
