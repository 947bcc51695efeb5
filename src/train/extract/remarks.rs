//! Comments inside functions, with the lines that each stands over.

use super::Language;

/// More lines than this are no longer what a comment speaks of.
const LINES_MAX: usize = 8;
/// Fewer bytes say too little.
const BYTES_MIN: usize = 16;

/// Each comment in `code` that has lines of its own, without comment signs, and the lines under it:
/// up to a blank line, the next comment, or a line that is indented less.
pub(in super::super) fn remarks(language: Language, code: &str) -> Vec<(String, String)> {
    let sign = match language {
        Language::Python => "#",
        _ => "//",
    };
    let lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let comments = run(&lines[at..], |line| said(line, sign).is_some());
        if comments == 0 {
            at += 1;
            continue;
        }
        let depth = indent(lines[at]);
        let comment: Vec<&str> = lines[at..at + comments]
            .iter()
            .filter_map(|line| said(line, sign))
            .collect();
        at += comments;
        let under = run(&lines[at..], |line| {
            !line.trim().is_empty() && indent(line) >= depth && said(line, sign).is_none()
        });
        let under = &lines[at..at + under.min(LINES_MAX)];
        at += under.len();
        let passage = under
            .iter()
            .map(|line| line.get(depth..).unwrap_or(line).trim_end())
            .collect::<Vec<_>>()
            .join("\n");
        if passage.len() >= BYTES_MIN {
            found.push((comment.join("\n"), passage));
        }
    }
    found
}

/// How many of the first lines are so.
fn run(lines: &[&str], is_so: impl Fn(&str) -> bool) -> usize {
    lines.iter().take_while(|line| is_so(line)).count()
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// What a line says that is a comment and nothing else.
fn said<'a>(line: &'a str, sign: &str) -> Option<&'a str> {
    let rest = line.trim_start().strip_prefix(sign)?;
    let first = sign.chars().next().unwrap_or('#');
    Some(rest.trim_start_matches([first, '!']).trim())
}
