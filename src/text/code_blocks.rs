//! Passages by the shape of code, for any language.

use super::passages::Passage;
use crate::error::{Error, Result};

/// Where a block is longer than a passage may be, its inner blocks are looked for; so many levels
/// deep.
const LEVELS_MAX: usize = 16;

/// Words that go on with what the line before them began.
const GOES_ON: [&str; 9] = [
    "else", "elif", "elsif", "except", "finally", "catch", "rescue", "ensure", "end",
];

/// Cuts code into its blocks (functions, classes, long statements) by indentation, or by braces
/// where nothing is indented, whatever the language.
///
/// A block is a line with the deeper lines below it, the comments and attributes right above it,
/// and what closes it. Blocks of more lines than a passage may have are cut into their inner
/// blocks; single lines beside blocks (imports, constants) are kept together. Strings and comments
/// are not parsed, so a line of a string may count as a block. A grammar does better where there is
/// one.
///
/// ```
/// use sparsely::text::CodeBlocks;
/// let code = "import os\n\n# reads\n@cached\ndef read(path):\n    return open(path)\n\ndef write(path):\n    pass\n";
/// let blocks = CodeBlocks::new(20)?;
/// let passages = blocks.cut(code);
/// assert_eq!(passages.len(), 3);
/// assert_eq!(passages[1].text, "# reads\n@cached\ndef read(path):\n    return open(path)\n");
/// assert_eq!((passages[2].first_line, passages[2].last_line), (8, 9));
/// # Ok::<(), sparsely::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeBlocks {
    lines: usize,
}

struct Line {
    offset: usize,
    /// Columns of indentation, or open braces; of no meaning for a blank line.
    depth: usize,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Blank,
    /// Belongs to the line below it: a comment, an attribute.
    Above,
    /// Belongs to the lines above it: what closes or goes on with a block.
    Below,
    Plain,
}

impl CodeBlocks {
    /// Passages of at most `lines` lines.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) unless `lines` is above 0.
    pub fn new(lines: usize) -> Result<CodeBlocks> {
        if lines == 0 {
            return Err(Error::invalid("lines of a passage", "at least 1", "0"));
        }
        Ok(CodeBlocks { lines })
    }

    /// The blocks of `text`, in order, whole lines without blank ones around them. Every line that
    /// is not blank is in exactly one.
    #[must_use]
    pub fn cut<'a>(&self, text: &'a str) -> Vec<Passage<'a>> {
        let lines = read(text);
        let mut ranges = Vec::new();
        self.cut_range(&lines, 0..lines.len(), 0, 0, &mut ranges);
        let passages = ranges.into_iter().filter_map(|range| {
            let is_blank = |at: &usize| lines[*at].kind == Kind::Blank;
            let first = range.clone().find(|at| !is_blank(at))?;
            let last = range.rev().find(|at| !is_blank(at))?;
            let end = lines.get(last + 1).map_or(text.len(), |line| line.offset);
            Some(Passage {
                first_line: first + 1,
                last_line: last + 1,
                offset: lines[first].offset,
                text: &text[lines[first].offset..end],
            })
        });
        passages.collect()
    }

    /// Cuts a range at the lines of its least depth that is at least `depth`.
    fn cut_range(
        &self,
        lines: &[Line],
        range: std::ops::Range<usize>,
        depth: usize,
        level: usize,
        ranges: &mut Vec<std::ops::Range<usize>>,
    ) {
        let inside = lines[range.clone()].iter();
        let depths = inside.filter(|line| line.kind != Kind::Blank && line.depth >= depth);
        let Some(depth) = depths.map(|line| line.depth).min() else {
            self.cut_lines(range, ranges);
            return;
        };
        if level == LEVELS_MAX {
            self.cut_lines(range, ranges);
            return;
        }
        let mut starts: Vec<usize> = range
            .clone()
            .filter(|at| *at == range.start || begins(lines, *at, depth))
            .collect();
        starts.push(range.end);
        // Single lines that wait for company.
        let mut kept: Option<std::ops::Range<usize>> = None;
        for pair in starts.windows(2) {
            let part = pair[0]..pair[1];
            let mut below = lines[part.clone()].iter();
            let is_block = below.any(|line| line.kind != Kind::Blank && line.depth > depth);
            if let Some(single) = kept.take() {
                if !is_block && part.end - single.start <= self.lines {
                    kept = Some(single.start..part.end);
                    continue;
                }
                ranges.push(single);
            }
            let len = trimmed_len(lines, &part);
            match is_block {
                _ if len > self.lines => {
                    self.cut_range(lines, part, depth + 1, level + 1, ranges);
                }
                true => ranges.push(part),
                false => kept = Some(part),
            }
        }
        ranges.extend(kept);
    }

    fn cut_lines(&self, range: std::ops::Range<usize>, ranges: &mut Vec<std::ops::Range<usize>>) {
        let starts = range.clone().step_by(self.lines);
        ranges.extend(starts.map(|start| start..range.end.min(start + self.lines)));
    }
}

/// Whether a part of depth `depth` begins at a line: what stands right above it and belongs to it
/// begins it instead.
fn begins(lines: &[Line], at: usize, depth: usize) -> bool {
    let is_here = |line: &Line| line.depth == depth && line.kind != Kind::Blank;
    let (line, above) = (&lines[at], at.checked_sub(1).map(|above| &lines[above]));
    let is_held = above.is_some_and(|above| is_here(above) && above.kind == Kind::Above);
    is_here(line) && line.kind != Kind::Below && !is_held
}

/// Lines without the blank ones at the end.
fn trimmed_len(lines: &[Line], range: &std::ops::Range<usize>) -> usize {
    let mut inside = lines[range.clone()].iter();
    inside
        .rposition(|line| line.kind != Kind::Blank)
        .map_or(0, |last| last + 1)
}

fn read(text: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    let (mut offset, mut open) = (0, 0_usize);
    let mut braces = Vec::new();
    for line in text.split_inclusive('\n') {
        let body = line.trim();
        // A closing brace at the start of a line stands as deep as the line that opened it.
        let closing = body.bytes().take_while(|byte| *byte == b'}').count();
        braces.push(open.saturating_sub(closing));
        for byte in body.bytes() {
            match byte {
                b'{' => open += 1,
                b'}' => open = open.saturating_sub(1),
                _ => {}
            }
        }
        lines.push(Line {
            offset,
            depth: indentation(line),
            kind: kind(body),
        });
        offset += line.len();
    }
    let is_flat = |line: &Line| line.kind == Kind::Blank || line.depth == 0;
    if lines.iter().all(is_flat) {
        for (line, depth) in lines.iter_mut().zip(braces) {
            line.depth = depth;
        }
    }
    lines
}

/// A tab goes to the next column of eight.
fn indentation(line: &str) -> usize {
    let mut columns = 0;
    for byte in line.bytes() {
        match byte {
            b' ' => columns += 1,
            b'\t' => columns = (columns / 8 + 1) * 8,
            _ => break,
        }
    }
    columns
}

fn kind(body: &str) -> Kind {
    let word = body
        .split(|c: char| !c.is_ascii_alphanumeric())
        .next()
        .unwrap_or_default();
    if body.is_empty() {
        Kind::Blank
    } else if body.starts_with(['}', ')', ']', '{']) || GOES_ON.contains(&word) {
        Kind::Below
    } else if body.starts_with(['#', '@', '*'])
        || ["//", "/*", "--", ";;"]
            .iter()
            .any(|mark| body.starts_with(mark))
    {
        Kind::Above
    } else {
        Kind::Plain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(code: &str, lines: usize) -> Vec<&str> {
        let blocks = CodeBlocks::new(lines).unwrap();
        blocks
            .cut(code)
            .iter()
            .map(|passage| passage.text)
            .collect()
    }

    #[test]
    fn a_long_block_gives_its_inner_ones() {
        let code = "class A:\n    x = 1\n    y = 2\n\n    def f(self):\n        return 1\n\n    def g(self):\n        if 1:\n            return 2\n        else:\n            return 3\n";
        assert_eq!(
            texts(code, 6),
            [
                "class A:\n    x = 1\n    y = 2\n",
                "    def f(self):\n        return 1\n",
                "    def g(self):\n        if 1:\n            return 2\n        else:\n            return 3\n",
            ]
        );
        assert_eq!(texts(code, 20), [code]);
    }

    #[test]
    fn braces_close_what_they_open() {
        let code = "use a;\nuse b;\n\n/// Reads.\nfn f() {\n    g();\n}\n#[test]\nfn h()\n{\n    g();\n}\n";
        let expected = [
            "use a;\nuse b;\n",
            "/// Reads.\nfn f() {\n    g();\n}\n",
            "#[test]\nfn h()\n{\n    g();\n}\n",
        ];
        assert_eq!(texts(code, 10), expected);
        // The same without any indentation.
        let flat = code.replace("    ", "");
        let expected = expected.map(|text| text.replace("    ", ""));
        assert_eq!(texts(&flat, 10), expected);
    }

    #[test]
    fn every_line_is_in_one_passage_of_bounded_length() {
        let mut random = 7_u64;
        let mut next = |below: u64| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (random >> 33) % below
        };
        let pieces = ["}", "{", "fn f() {", "x", "# c", "", "else", "\té", ")"];
        for _ in 0..500 {
            let mut text = String::new();
            for _ in 0..next(60) {
                text += &" ".repeat(usize::try_from(next(5) * 2).unwrap());
                text += pieces[usize::try_from(next(9)).unwrap()];
                text += if next(4) == 0 { "\r\n" } else { "\n" };
            }
            let lines: Vec<&str> = text.split_inclusive('\n').collect();
            for most in [1, 3, 10] {
                let mut covered = 0;
                for passage in CodeBlocks::new(most).unwrap().cut(&text) {
                    assert!(passage.last_line - passage.first_line < most);
                    let passed = &lines[covered..passage.first_line - 1];
                    assert!(passed.iter().all(|line| line.trim().is_empty()));
                    let inside = lines[passage.first_line - 1..passage.last_line].concat();
                    assert_eq!(inside, passage.text);
                    assert!(text[passage.offset..].starts_with(passage.text));
                    covered = passage.last_line;
                }
                assert!(lines[covered..].iter().all(|line| line.trim().is_empty()));
            }
        }
        assert!(CodeBlocks::new(0).is_err());
    }

    #[test]
    fn deep_nesting_costs_little() {
        let deep: String = (0..20_000)
            .map(|at| format!("{}x\n", " ".repeat(at % 300)))
            .collect();
        assert!(texts(&deep, 5).len() > 1000);
        let braces = "{\n".repeat(100_000);
        assert_eq!(texts(&braces, 50).len(), 2000);
    }
}
