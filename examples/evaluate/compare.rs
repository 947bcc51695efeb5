//! Two rankings against each other: which is better, by how much, and where.

use std::{
    collections::HashMap,
    fmt::Write,
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};

use serde::Serialize;
use sparsely::{
    Error, ErrorKind, Explanation, Result,
    evaluate::{Comparison, Judgments, QueryComparison, Randomization, Ranking, Run, Text},
};

use crate::{
    arguments::{Arguments, Side},
    encoders::Choice,
    measure::Judged,
    system::System,
};

/// A side that has been run.
struct Ran {
    name: String,
    run: Run,
    /// What can explain its answers.
    system: Option<System>,
}

#[derive(Debug, Serialize)]
struct Report {
    measure: String,
    first: String,
    second: String,
    queries: usize,
    mean_first: f64,
    mean_second: f64,
    difference: f64,
    p: f64,
    exact: bool,
    permutations: u64,
    wins: usize,
    losses: usize,
    /// Judged queries that a run lacks; they count 0.
    missing_first: usize,
    missing_second: usize,
    greatest_wins: Vec<Shown>,
    greatest_losses: Vec<Shown>,
}

/// A query that one side answers better.
#[derive(Debug, Serialize)]
struct Shown {
    query: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    first: f64,
    second: f64,
    /// The relevant document that the better side ranks best.
    wanted: Option<String>,
    wanted_rank_first: Option<usize>,
    wanted_rank_second: Option<usize>,
    /// What the worse side ranks best of what is not relevant.
    found: Option<String>,
    /// Why the worse side scores them so.
    #[serde(skip_serializing_if = "Option::is_none")]
    wanted_explained: Option<Explained>,
    #[serde(skip_serializing_if = "Option::is_none")]
    found_explained: Option<Explained>,
}

#[derive(Debug, Serialize)]
struct Explained {
    score: f32,
    terms: Vec<(String, f32)>,
}

pub(crate) fn compare(sides: [&Side; 2], arguments: &Arguments) -> Result<String> {
    let judged = match arguments.collections.as_slice() {
        [] => None,
        [only] => Some(Judged::open(only, arguments.split.as_deref())?),
        several => {
            let found = format!("{} of them", several.len());
            return Err(Error::invalid(
                "--compare",
                "one collection or --qrels",
                found,
            ));
        }
    };
    let own;
    let judgments = match (&arguments.comparison.qrels, &judged) {
        (Some(path), _) => {
            own = read_judgments(path)?;
            &own
        }
        (None, Some(judged)) => &judged.judgments,
        (None, None) => {
            return Err(Error::invalid(
                "--compare",
                "judgments: --qrels FILE, or the folder of a collection",
                "neither",
            ));
        }
    };
    let [first, second] = sides.map(|side| ran(side, judged.as_ref(), arguments));
    let (first, second) = (first?, second?);
    let explainer = match (&judged, arguments.encoder.as_slice()) {
        (Some(judged), [choice]) => {
            Some(System::build(&judged.collection, choice, arguments, None)?)
        }
        _ => None,
    };
    let texts = judged.as_ref().map(texts).transpose()?.unwrap_or_default();

    let measure = arguments.comparison.measure;
    let comparison = Comparison::new(&first.run, &second.run, judgments, measure);
    let test = comparison.randomization(&Randomization {
        permutations: arguments.comparison.permutations,
        seed: arguments.comparison.seed,
    });
    let (mean_first, mean_second) = comparison.means();
    let missing = |ran: &Ran| {
        let queries = comparison.queries().iter();
        queries
            .filter(|query| ran.run.ranking(&query.query).is_none())
            .count()
    };
    let show = |queries: &mut dyn Iterator<Item = &QueryComparison>| -> Result<Vec<Shown>> {
        let first_few = queries.take(arguments.comparison.show);
        let all = first_few.map(|query| {
            let text = texts.get(&query.query);
            shown(
                query,
                text,
                [&first, &second],
                explainer.as_ref(),
                judgments,
                arguments,
            )
        });
        all.collect()
    };
    let report = Report {
        measure: measure.to_string(),
        queries: comparison.queries().len(),
        mean_first,
        mean_second,
        difference: mean_first - mean_second,
        p: test.p,
        exact: test.is_exact,
        permutations: test.permutations,
        wins: comparison.wins().count(),
        losses: comparison.losses().count(),
        missing_first: missing(&first),
        missing_second: missing(&second),
        greatest_wins: show(&mut comparison.wins())?,
        greatest_losses: show(&mut comparison.losses())?,
        first: first.name,
        second: second.name,
    };
    Ok(match arguments.json {
        true => serde_json::to_string(&report).expect("numbers and strings are JSON"),
        false => report.to_text(arguments.comparison.seed),
    })
}

fn ran(side: &Side, judged: Option<&Judged>, arguments: &Arguments) -> Result<Ran> {
    match (side, judged) {
        (Side::Run(path), _) => {
            let name = path.display().to_string();
            let file = File::open(path).map_err(|error| Error::io("open", path, error))?;
            Ok(Ran {
                run: Run::read_trec(BufReader::new(file), &name)?,
                name,
                system: None,
            })
        }
        (Side::Encoder(choice), Some(judged)) => encoded(choice, judged, arguments),
        (Side::Encoder(choice), None) => Err(Error::invalid(
            "--compare",
            "the folder of a collection beside the name of an encoder",
            choice.to_string(),
        )),
    }
}

fn encoded(choice: &Choice, judged: &Judged, arguments: &Arguments) -> Result<Ran> {
    let system = System::build(&judged.collection, choice, arguments, None)?;
    let top = usize::try_from(arguments.top).unwrap_or(usize::MAX);
    let (run, _) = system.run(&judged.collection, &judged.judgments, top)?;
    judged.warn(&run, &system.ids);
    Ok(Ran {
        name: choice.to_string(),
        run,
        system: Some(system),
    })
}

/// TREC's form has four columns, BEIR's three between tabs; the first line decides.
fn read_judgments(path: &Path) -> Result<Judgments> {
    let name = path.display().to_string();
    let file = File::open(path).map_err(|error| Error::io("open", path, error))?;
    let mut from = BufReader::new(file);
    let start = from
        .fill_buf()
        .map_err(|error| Error::io("read", path, error))?;
    let line = start.split(|byte| *byte == b'\n').next().unwrap_or(start);
    let columns = String::from_utf8_lossy(line).split_whitespace().count();
    match columns {
        4 => Judgments::read_trec(from, &name),
        _ => Judgments::read_tsv(from, &name),
    }
}

fn texts(judged: &Judged) -> Result<HashMap<String, String>> {
    let texts = judged.collection.queries()?;
    texts
        .map(|text| text.map(|Text { id, text }| (id, text)))
        .collect()
}

fn shown(
    query: &QueryComparison,
    text: Option<&String>,
    sides: [&Ran; 2],
    explainer: Option<&System>,
    judgments: &Judgments,
    arguments: &Arguments,
) -> Result<Shown> {
    let empty = Ranking::default();
    let rankings = sides.map(|side| side.run.ranking(&query.query).unwrap_or(&empty));
    let grades = judgments.grades(&query.query).cloned().unwrap_or_default();
    let is_relevant = |id: &str| grades.get(id).is_some_and(|grade| *grade > 0);
    let (better, worse) = match query.difference() > 0.0 {
        true => (0, 1),
        false => (1, 0),
    };
    let ranked = |side: usize| rankings[side].ranked().iter().map(|one| &one.document);
    let wanted = ranked(better).find(|id| is_relevant(id)).cloned();
    let found = ranked(worse).find(|id| !is_relevant(id)).cloned();
    let rank = |side: usize| {
        let at = ranked(side).position(|id| Some(id) == wanted.as_ref());
        at.map(|at| at + 1)
    };
    let system = sides[worse].system.as_ref().or(explainer);
    let explain = |document: &Option<String>| -> Result<Option<Explained>> {
        match (system, text, document) {
            (Some(system), Some(text), Some(document)) => {
                explained(system.explain(text, document), arguments)
            }
            _ => Ok(None),
        }
    };
    Ok(Shown {
        query: query.query.clone(),
        text: text.cloned(),
        first: query.first,
        second: query.second,
        wanted_rank_first: rank(0),
        wanted_rank_second: rank(1),
        wanted_explained: explain(&wanted)?,
        found_explained: explain(&found)?,
        wanted,
        found,
    })
}

/// The heaviest terms; nothing for a document that the collection lacks.
fn explained(explanation: Result<Explanation>, arguments: &Arguments) -> Result<Option<Explained>> {
    let explanation = match explanation {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        explanation => explanation?,
    };
    let terms = explanation.terms.into_iter();
    let terms = terms
        .filter(|term| term.contribution > 0.0)
        .take(arguments.comparison.terms.get());
    Ok(Some(Explained {
        score: explanation.score,
        terms: terms
            .map(|term| {
                let label = term.label.unwrap_or_else(|| term.term.to_string());
                (label, term.contribution)
            })
            .collect(),
    }))
}

impl Report {
    fn to_text(&self, seed: u64) -> String {
        let mut text = format!(
            "{} of {} queries\nA  {:.4}  {}\nB  {:.4}  {}\nA - B  {:+.4}, p = {:.4} ({} {} permutations{})\nA is better for {} queries, B for {}",
            self.measure,
            self.queries,
            self.mean_first,
            self.first,
            self.mean_second,
            self.second,
            self.difference,
            self.p,
            if self.exact {
                "all"
            } else {
                "paired randomization,"
            },
            self.permutations,
            if self.exact {
                String::new()
            } else {
                format!(", seed {seed}")
            },
            self.wins,
            self.losses,
        );
        for (missing, name) in [(self.missing_first, "A"), (self.missing_second, "B")] {
            if missing > 0 {
                put(
                    &mut text,
                    format_args!("\n{name} lacks {missing} judged queries; they count 0"),
                );
            }
        }
        let sides = [
            ("A is better, most of all for", "B", &self.greatest_wins),
            ("B is better, most of all for", "A", &self.greatest_losses),
        ];
        for (title, worse, queries) in sides {
            if !queries.is_empty() {
                put(&mut text, format_args!("\n\n{title}"));
            }
            for query in queries {
                query.put(&mut text, worse);
            }
        }
        text
    }
}

impl Shown {
    fn put(&self, text: &mut String, worse: &str) {
        put(text, format_args!("\n  {}", self.query));
        if let Some(words) = &self.text {
            let words: String = words.chars().take(100).collect();
            put(text, format_args!(" {words:?}"));
        }
        put(
            text,
            format_args!("\n    A {:.3}, B {:.3}", self.first, self.second),
        );
        let rank = |rank: Option<usize>| rank.map_or("not found".to_owned(), |at| at.to_string());
        if let Some(wanted) = &self.wanted {
            let (a, b) = (rank(self.wanted_rank_first), rank(self.wanted_rank_second));
            put(
                text,
                format_args!("\n    wanted {wanted}: rank in A {a}, in B {b}"),
            );
        }
        if let Some(found) = &self.found {
            put(
                text,
                format_args!("\n    found instead by {worse}: {found}"),
            );
        }
        let explained = [
            ("wanted", &self.wanted_explained),
            ("found", &self.found_explained),
        ];
        for (name, explained) in explained {
            if let Some(explained) = explained {
                let terms = explained.terms.iter();
                let terms = terms.map(|(term, part)| format!("{term} {part:.2}"));
                let terms: Vec<String> = terms.collect();
                put(
                    text,
                    format_args!(
                        "\n    {name} scores {:.2}: {}",
                        explained.score,
                        terms.join(", ")
                    ),
                );
            }
        }
    }
}

fn put(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments)
        .expect("a string takes everything");
}
