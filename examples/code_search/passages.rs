//! Cuts a file into the passages that are searched: one per function or type where the language is
//! known, windows of lines elsewhere.
//!
//! Promise: every line that holds a letter or a digit lies in some passage, whatever the file looks
//! like, and no passage is much longer than [`PASSAGE`] unless a single line is. Long functions become
//! overlapping windows that keep the function's name; tiny neighbours (imports, fields, one-line
//! functions) share a passage, because a passage of three words outranks what people look for.

use std::ops::Range;

use tree_sitter::Parser;

use crate::{
    languages::Language,
    lines::{Lines, WindowSize},
    structure::{self, Piece, PieceKind, StructureLimits},
};

/// Changes whenever the same file would be cut in another way, so that old passages are replaced.
pub(crate) const RULES: u32 = 2;

/// The largest function that stays whole, and the windows that larger ones are cut into.
pub(crate) const PASSAGE: WindowSize = WindowSize {
    lines: 80,
    bytes: 4000,
    overlap: 8,
};

/// Windows of files without a grammar.
const PLAIN: WindowSize = WindowSize {
    lines: 50,
    bytes: 2500,
    overlap: 6,
};

/// The largest passage of tiny neighbours.
const GROUP: WindowSize = WindowSize {
    lines: 30,
    bytes: 1500,
    overlap: 0,
};

/// Pieces up to this many lines are tiny.
const TINY: usize = 4;

/// Names shown for a passage of several definitions.
const MAX_NAMES: usize = 3;

/// One unit of search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Passage {
    /// Lines counted from 0.
    pub(crate) lines: Range<usize>,
    /// Of the function or type; empty where there is none.
    pub(crate) name: String,
}

/// Cuts files; holds the parser's memory between them.
pub(crate) struct Cutter {
    parser: Parser,
}

impl Cutter {
    pub(crate) fn new() -> Cutter {
        Cutter {
            parser: Parser::new(),
        }
    }

    /// The passages of a file, in order.
    pub(crate) fn cut(
        &mut self,
        lines: &Lines<'_>,
        text: &str,
        language: Language,
    ) -> Vec<Passage> {
        let all = 0..lines.count();
        let limits = StructureLimits {
            long_function: PASSAGE.lines,
            tiny: TINY,
        };
        let pieces = language.grammar().and_then(|grammar| {
            structure::pieces(&mut self.parser, grammar, text, all.end, &limits)
        });
        match pieces {
            Some(pieces) => pack(lines, pieces),
            None => windows(lines, all, PLAIN, ""),
        }
    }
}

fn windows(lines: &Lines<'_>, run: Range<usize>, size: WindowSize, name: &str) -> Vec<Passage> {
    let cut = lines.windows(&run, size);
    cut.into_iter()
        .map(|lines| Passage {
            lines,
            name: name.to_owned(),
        })
        .collect()
}

/// Pieces that will be one passage, or several windows of one.
struct Group {
    lines: Range<usize>,
    units: Vec<String>,
    /// Of what holds the pieces, for groups without units.
    holder: String,
    /// Whether every piece so far is tiny.
    is_tiny: bool,
    /// Whether it begins with the head of a class or module.
    is_header: bool,
}

fn pack(lines: &Lines<'_>, pieces: Vec<Piece>) -> Vec<Passage> {
    let mut groups: Vec<Group> = Vec::new();
    for piece in pieces {
        let Some(group) = Group::of(piece.clone(), lines) else {
            continue;
        };
        match groups.last_mut() {
            Some(last) if last.takes(&group, piece.kind, lines) => last.add(group),
            _ => {
                settle(&mut groups, lines);
                groups.push(group);
            }
        }
    }
    settle(&mut groups, lines);
    groups
        .into_iter()
        .flat_map(|group| group.into_passages(lines))
        .collect()
}

/// Joins a last group that found nothing to lead to what stands before it: the last field of a
/// class, a statement after a function.
fn settle(groups: &mut Vec<Group>, lines: &Lines<'_>) {
    if let [.., before, last] = groups.as_mut_slice() {
        let joined = before.lines.start..last.lines.end;
        if last.is_aside() && !last.is_header && lines.fits(&joined, PASSAGE) {
            before.lines = joined;
            groups.pop();
        }
    }
}

impl Group {
    /// `None` for a piece without words. What is not a function loses the brackets around it.
    fn of(piece: Piece, lines: &Lines<'_>) -> Option<Group> {
        let trimmed = lines.trim(piece.lines.clone())?;
        let is_unit = piece.kind == PieceKind::Unit;
        let lines = if is_unit {
            lines.trim_blank(piece.lines)?
        } else {
            trimmed
        };
        Some(Group {
            is_tiny: lines.len() <= TINY,
            is_header: piece.kind == PieceKind::Header,
            lines,
            units: if is_unit && !piece.name.is_empty() {
                vec![piece.name.clone()]
            } else {
                Vec::new()
            },
            holder: piece.name,
        })
    }

    fn takes(&self, next: &Group, kind: PieceKind, lines: &Lines<'_>) -> bool {
        let joined = self.lines.start..next.lines.end;
        if self.is_aside() && !next.is_tiny && kind == PieceKind::Unit {
            // What stands outside a class is not led to by what stands inside it.
            return next.holder.starts_with(&self.holder) && lines.fits(&joined, PASSAGE);
        }
        // A class begins a passage of its own unless what stands before it is next to nothing.
        let starts_anew = kind == PieceKind::Header && self.lines.len() > TINY;
        self.is_tiny && next.is_tiny && !starts_anew && lines.fits(&joined, GROUP)
    }

    /// A few lines that are no definition: better shown with one.
    fn is_aside(&self) -> bool {
        self.units.is_empty() && self.lines.len() <= TINY
    }

    fn add(&mut self, next: Group) {
        self.lines.end = next.lines.end;
        self.units.extend(next.units);
        self.is_tiny &= next.is_tiny;
        if !next.holder.is_empty() {
            self.holder = next.holder;
        }
    }

    /// The first few names, and of those that share its class with the first only the last part.
    fn name(&self) -> String {
        let Some(first) = self.units.first() else {
            return self.holder.clone();
        };
        let last_part = |name: &str| {
            let ends =
                ["::", "."].map(|separator| name.rfind(separator).map(|at| at + separator.len()));
            ends.into_iter().flatten().max().unwrap_or(0)
        };
        let class = &first[..last_part(first)];
        let mut name = first.clone();
        for other in &self.units[1..self.units.len().min(MAX_NAMES)] {
            name.push_str(", ");
            name.push_str(other.strip_prefix(class).unwrap_or(other));
        }
        if self.units.len() > MAX_NAMES {
            name.push_str(", …");
        }
        name
    }

    fn into_passages(self, lines: &Lines<'_>) -> Vec<Passage> {
        let name = self.name();
        if lines.fits(&self.lines, PASSAGE) {
            vec![Passage {
                lines: self.lines,
                name,
            }]
        } else {
            windows(lines, self.lines, PASSAGE, &name)
        }
    }
}

#[cfg(test)]
mod tests;
