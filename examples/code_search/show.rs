//! Results and reports, for people: text, with color only on a terminal.

use std::{
    io::{self, IsTerminal, Write},
    path::Path,
};

use sparsely::{Origin, TermExplanation, Verification};

use crate::{
    answer::{Answer, Found},
    snippet::SnippetLine,
    status::Status,
    update::Summary,
    walk::SkipCounts,
};

/// Terms listed of an explanation; the rest is summed up.
const MAX_TERMS: usize = 12;

/// Characters shown of a line.
const MAX_COLUMNS: usize = 160;

/// Writes to standard output.
pub(crate) struct Screen {
    colored: bool,
}

#[derive(Clone, Copy)]
enum Style {
    Place,
    Name,
    Faint,
    Match,
}

impl Screen {
    /// Colors are for terminals, and not where `NO_COLOR` is set (<https://no-color.org>).
    pub(crate) fn new() -> Screen {
        let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Screen {
            colored: io::stdout().is_terminal() && !forbidden,
        }
    }

    pub(crate) fn answer(&self, answer: &Answer) -> io::Result<()> {
        let mut out = io::stdout().lock();
        for (at, found) in answer.results.iter().enumerate() {
            if at > 0 {
                writeln!(out)?;
            }
            self.found(&mut out, at + 1, found)?;
        }
        if answer.results.is_empty() {
            writeln!(out, "no passage shares a word with the query")?;
        }
        out.flush()
    }

    fn found(&self, out: &mut impl Write, rank: usize, found: &Found) -> io::Result<()> {
        let place = self.paint(
            Style::Place,
            &format!("{}:{}-{}", found.path, found.start, found.end),
        );
        let name = found.name.as_deref().unwrap_or("");
        let gap = if name.is_empty() { "" } else { "  " };
        let name = self.paint(Style::Name, name);
        let facts = self.paint(
            Style::Faint,
            &format!("{}  {:.2}", found.language, found.score),
        );
        writeln!(out, "{rank:>2}. {place}{gap}{name}  {facts}")?;
        let mut last = None;
        for line in &found.snippet {
            if last.is_some_and(|last| last + 1 < line.number) {
                writeln!(out, "{}", self.paint(Style::Faint, "        ⋮"))?;
            }
            last = Some(line.number);
            let number = self.paint(Style::Faint, &format!("{:>7} │", line.number));
            writeln!(out, "{number} {}", self.line(line))?;
        }
        if let Some(explanation) = &found.explanation {
            self.terms(out, &explanation.terms)?;
        }
        Ok(())
    }

    fn terms(&self, out: &mut impl Write, terms: &[TermExplanation]) -> io::Result<()> {
        let (found, missing): (Vec<_>, Vec<_>) =
            terms.iter().partition(|term| term.contribution > 0.0);
        let head = format!(
            "        {:<24} {:>8} {:>8} {:>8}  origin",
            "term", "query", "passage", "adds"
        );
        writeln!(out, "{}", self.paint(Style::Faint, &head))?;
        for term in found.iter().take(MAX_TERMS) {
            writeln!(
                out,
                "        {:<24} {:>8.3} {:>8.3} {:>8.3}  {}",
                label(term),
                term.query_weight,
                term.document_weight,
                term.contribution,
                origin(term.origin)
            )?;
        }
        let rest = found.iter().skip(MAX_TERMS);
        let (count, sum) = rest.fold((0, 0.0), |(count, sum), term| {
            (count + 1, sum + term.contribution)
        });
        if count > 0 {
            writeln!(out, "        {:<24} {:>26.3}", format!("{count} more"), sum)?;
        }
        if !missing.is_empty() {
            let labels: Vec<String> = missing.iter().map(|term| label(term)).collect();
            let line = format!("        not in the passage: {}", labels.join(", "));
            writeln!(out, "{}", self.paint(Style::Faint, &line))?;
        }
        Ok(())
    }

    /// A line with its matches marked, cut to a bearable width around the first of them.
    fn line(&self, line: &SnippetLine) -> String {
        let first = line.matches.first().map_or(0, |range| range.start);
        let columns = line.text.char_indices().map(|(at, _)| at);
        let before = columns.clone().filter(|at| *at < first).count();
        let skip = if before > MAX_COLUMNS * 3 / 4 {
            before - MAX_COLUMNS / 4
        } else {
            0
        };
        let ends: Vec<usize> = columns.chain([line.text.len()]).collect();
        let start = ends[skip];
        let end = ends[(skip + MAX_COLUMNS).min(ends.len() - 1)];

        let mut shown = String::new();
        if start > 0 {
            shown.push('…');
        }
        let mut at = start;
        for range in &line.matches {
            if range.start < at || range.end > end {
                continue;
            }
            shown.push_str(&printable(&line.text[at..range.start]));
            shown.push_str(&self.paint(Style::Match, &printable(&line.text[range.clone()])));
            at = range.end;
        }
        shown.push_str(&printable(&line.text[at..end]));
        if end < line.text.len() {
            shown.push('…');
        }
        shown
    }

    pub(crate) fn summary(
        &self,
        summary: &Summary,
        dir: &Path,
        index_bytes: u64,
    ) -> io::Result<()> {
        let mut out = io::stderr().lock();
        writeln!(
            out,
            "{} files, {} passages: {} files added, {} changed, {} removed, {} unchanged, in {:.1} s",
            summary.files,
            summary.passages,
            summary.added,
            summary.changed,
            summary.removed,
            summary.unchanged,
            summary.seconds
        )?;
        skipped(&mut out, &summary.skipped)?;
        writeln!(out, "index: {} ({})", dir.display(), size(index_bytes))
    }

    pub(crate) fn status(&self, status: &Status, dir: &Path) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "index     {}", dir.display())?;
        writeln!(
            out,
            "commit    {}{}",
            status.commit,
            if status.complete {
                ""
            } else {
                " (indexing has not finished)"
            }
        )?;
        writeln!(out, "encoder   {}", status.encoder)?;
        writeln!(
            out,
            "files     {} ({} of source)",
            status.files,
            size(status.source_bytes)
        )?;
        writeln!(out, "passages  {}", status.passages)?;
        writeln!(out, "size      {}", size(status.index_bytes))?;
        for (language, counts) in &status.languages {
            writeln!(
                out,
                "  {language:<18} {:>8} files {:>9} passages",
                counts.files, counts.passages
            )?;
        }
        skipped(&mut out, &status.skipped)?;
        out.flush()
    }

    pub(crate) fn verification(&self, found: &Verification, dir: &Path) -> io::Result<()> {
        let mut out = io::stdout().lock();
        for damage in found.damage() {
            writeln!(out, "{damage}")?;
        }
        let verdict = if found.is_clean() {
            "no damage"
        } else {
            "damage"
        };
        writeln!(
            out,
            "{}: {verdict} in {} files, {}",
            dir.display(),
            found.files(),
            size(found.bytes())
        )
    }

    fn paint(&self, style: Style, text: &str) -> String {
        if !self.colored || text.is_empty() {
            return text.to_owned();
        }
        let code = match style {
            Style::Place => "1;36",
            Style::Name => "1",
            Style::Faint => "2",
            Style::Match => "1;31",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

pub(crate) fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::Text => "query text",
        Origin::Expansion => "expansion",
        _ => "unknown",
    }
}

pub(crate) fn label(term: &TermExplanation) -> String {
    term.label
        .clone()
        .unwrap_or_else(|| format!("#{}", term.term))
}

fn skipped(out: &mut impl Write, skipped: &SkipCounts) -> io::Result<()> {
    if skipped.is_empty() {
        return Ok(());
    }
    let parts: Vec<String> = skipped
        .iter()
        .map(|(reason, count)| format!("{count} {}", reason.reason()))
        .collect();
    writeln!(out, "skipped: {}", parts.join(", "))
}

/// Files hold escape sequences, and a terminal would obey them.
fn printable(text: &str) -> String {
    let replace = |c: char| match c {
        '\t' => "    ".to_owned(),
        c if c.is_control() => '\u{fffd}'.to_string(),
        c => c.to_string(),
    };
    text.chars().map(replace).collect()
}

fn size(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_of_files_do_not_reach_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\tc"), "a\u{fffd}[2Jb    c");
    }

    #[test]
    fn a_long_line_is_cut_around_its_first_match() {
        let text = format!("{}lock{}", "é".repeat(500), "x".repeat(500));
        let line = SnippetLine {
            number: 1,
            matches: std::iter::once(1000..1004).collect(),
            text,
        };
        let shown = Screen { colored: true }.line(&line);
        assert!(shown.starts_with('…') && shown.ends_with('…'));
        assert!(shown.contains("\u{1b}[1;31mlock\u{1b}[0m"));
        assert!(shown.chars().count() < MAX_COLUMNS + 20);
        let plain = Screen { colored: false }.line(&line);
        assert!(!plain.contains('\u{1b}') && plain.contains("lock"));
    }
}
