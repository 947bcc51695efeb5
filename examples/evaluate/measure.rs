//! Encoders and their fused rankings on one collection.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use sparsely::{
    Error, Result,
    evaluate::{Collection, Comparison, Judgments, Measure, Randomization, Run, Text},
};

use crate::{arguments::Arguments, encoders::Choice, report::Report, system::System};

/// A collection with the judgments that count.
pub(crate) struct Judged {
    pub(crate) path: String,
    pub(crate) collection: Collection,
    pub(crate) split: String,
    pub(crate) judgments: Judgments,
}

impl Judged {
    pub(crate) fn open(named: &Path, split: Option<&str>) -> Result<Judged> {
        let (path, own) = parts(named);
        let collection = Collection::open(&path)?;
        let split = choose_split(&collection, own.as_deref().or(split))?;
        let judgments = collection.judgments(&split)?;
        if judgments.queries().next().is_none() {
            eprintln!("evaluate: no judgment of {split:?}: nothing is measured");
        }
        Ok(Judged {
            path: path.display().to_string(),
            collection,
            split,
            judgments,
        })
    }

    /// Tells of judgments that nothing could have answered.
    pub(crate) fn warn(&self, run: &Run, ids: &HashSet<String>) {
        let missing = self.judgments.queries();
        let missing = missing.filter(|(query, _)| run.ranking(query).is_none());
        let missing = missing.count();
        if missing > 0 {
            eprintln!("evaluate: {missing} judged queries have no text; they count 0");
        }
        let judged = self.judgments.queries().flat_map(|(_, grades)| grades);
        let unknown: HashSet<&String> = judged
            .filter(|(document, grade)| **grade > 0 && !ids.contains(*document))
            .map(|(document, _)| document)
            .collect();
        if !unknown.is_empty() {
            let count = unknown.len();
            eprintln!(
                "evaluate: {count} relevant documents are not in the collection; they count as not found"
            );
        }
    }
}

/// FOLDER or FOLDER:SPLIT.
fn parts(named: &Path) -> (PathBuf, Option<String>) {
    let text = named.to_str().filter(|_| !named.exists());
    match text.and_then(|text| text.rsplit_once(':')) {
        Some((folder, split)) => (folder.into(), Some(split.to_owned())),
        None => (named.to_owned(), None),
    }
}

fn choose_split(collection: &Collection, named: Option<&str>) -> Result<String> {
    let split = named.or_else(|| collection.default_split());
    split.map(str::to_owned).ok_or_else(|| {
        let splits: Vec<&str> = collection.splits().collect();
        Error::invalid("--split", format!("one of {}", splits.join(", ")), "none")
    })
}

/// A run with what it took.
struct Measured {
    report: Report,
    run: Run,
    times: Vec<Duration>,
}

/// Measures every system on one collection; returns the reports and the last run.
pub(crate) fn measure(judged: &Judged, arguments: &Arguments) -> Result<(Vec<Report>, Run)> {
    let mut measured: Vec<(&Choice, Measured)> = Vec::new();
    let choices = systems(arguments);
    let is_only = choices.len() * arguments.collections.len() == 1;
    for choice in choices {
        let place = arguments.index.as_deref().map(|place| match is_only {
            true => place.to_owned(),
            false => place.join(folder(&judged.path, choice)),
        });
        let system = System::build(&judged.collection, choice, arguments, place.as_deref())?;
        let top = usize::try_from(arguments.top).unwrap_or(usize::MAX);
        let (run, times) = system.run(&judged.collection, &judged.judgments, top)?;
        if measured.is_empty() {
            judged.warn(&run, &system.ids);
        }
        let mut report = report(judged, &run, &times);
        report.system = choice.to_string();
        report.encoder = system.fingerprint();
        report.documents = system.document_count();
        report.index_seconds = system.index_seconds;
        report.reused = system.reused;
        report.bytes = system.bytes;
        measured.push((choice, Measured { report, run, times }));
    }
    let fused = match arguments.fuse.as_slice() {
        [] => None,
        choices => {
            let parts: Vec<&Measured> = choices
                .iter()
                .filter_map(|choice| measured.iter().find(|(other, _)| *other == choice))
                .map(|(_, measured)| measured)
                .collect();
            Some(fuse(judged, arguments, &parts)?)
        }
    };
    let mut all: Vec<Measured> = measured.into_iter().map(|(_, one)| one).collect();
    all.extend(fused);
    if let [first, others @ ..] = all.as_mut_slice() {
        for other in others {
            other.report.p_against_first = Some(chance(&first.run, &other.run, judged, arguments));
        }
    }
    let last = all.last().map(|one| one.run.clone()).unwrap_or_default();
    Ok((all.into_iter().map(|one| one.report).collect(), last))
}

/// A name for the index of one collection by one encoder.
fn folder(collection: &str, choice: &Choice) -> String {
    let named = format!("{collection}-{choice}");
    let plain = |letter: char| match letter {
        letter if letter.is_ascii_alphanumeric() || ".-_+*".contains(letter) => letter,
        _ => '_',
    };
    named
        .trim_start_matches(['/', '.'])
        .chars()
        .map(plain)
        .collect()
}

/// The encoders that were named, and those that are fused, each once.
fn systems(arguments: &Arguments) -> Vec<&Choice> {
    let mut systems: Vec<&Choice> = Vec::new();
    for choice in arguments.encoder.iter().chain(&arguments.fuse) {
        if !systems.contains(&choice) {
            systems.push(choice);
        }
    }
    if systems.is_empty() {
        systems.push(&Choice::Lexical);
    }
    systems
}

fn fuse(judged: &Judged, arguments: &Arguments, parts: &[&Measured]) -> Result<Measured> {
    let fusion = arguments.fusion.fusion(&arguments.fuse)?;
    let runs: Vec<&Run> = parts.iter().map(|part| &part.run).collect();
    let weights = weights_by_query(judged, arguments)?;
    let begun = Instant::now();
    let run = Run::fused_by(
        |query| match weights.get(query) {
            Some(weights) => fusion.clone().weights(weights.iter().copied()),
            None => Ok(fusion.clone()),
        },
        &runs,
    )?;
    let queries = u32::try_from(run.queries().len()).unwrap_or(u32::MAX);
    let fusing = begun.elapsed() / queries.max(1);
    let times: Vec<Duration> = (0..parts.first().map_or(0, |part| part.times.len()))
        .map(|at| fusing + parts.iter().map(|part| part.times[at]).sum::<Duration>())
        .collect();
    let mut report = report(judged, &run, &times);
    let names = parts.iter().map(|part| part.report.system.as_str());
    report.system = format!(
        "{} of {}{}",
        arguments.fusion.name(),
        names.collect::<Vec<_>>().join(" and "),
        if weights.is_empty() { "" } else { ", by query" },
    );
    let fingerprints = parts.iter().map(|part| part.report.encoder.as_str());
    report.encoder = fingerprints.collect::<Vec<_>>().join(" ");
    report.documents = parts.first().map_or(0, |part| part.report.documents);
    report.index_seconds = parts.iter().map(|part| part.report.index_seconds).sum();
    report.bytes = parts.iter().map(|part| part.report.bytes).sum();
    Ok(Measured { report, run, times })
}

/// What each fused ranking counts, for each query where that differs by query.
fn weights_by_query(judged: &Judged, arguments: &Arguments) -> Result<HashMap<String, Vec<f64>>> {
    let choices = &arguments.fuse;
    let Some(encoder) = arguments.fusion.by_query(choices)? else {
        return Ok(HashMap::new());
    };
    let mut weights = HashMap::new();
    for query in judged.collection.queries()? {
        let Text { id, text } = query?;
        let trust = f64::from(encoder.trust(&text));
        let each = choices.iter().map(|choice| match choice.is_words() {
            true => 1.0 - trust,
            false => trust,
        });
        weights.insert(id, each.collect());
    }
    Ok(weights)
}

/// The p value of the difference in nDCG@10.
fn chance(first: &Run, second: &Run, judged: &Judged, arguments: &Arguments) -> f64 {
    let comparison = Comparison::new(first, second, &judged.judgments, Measure::Ndcg(10));
    let test = comparison.randomization(&Randomization {
        permutations: arguments.comparison.permutations,
        seed: arguments.comparison.seed,
    });
    test.p
}

fn report(judged: &Judged, run: &Run, times: &[Duration]) -> Report {
    let mean = |measure: Measure| measure.mean(run, &judged.judgments);
    Report {
        collection: judged.path.clone(),
        split: judged.split.clone(),
        system: String::new(),
        encoder: String::new(),
        documents: 0,
        queries: times.len(),
        ndcg_at_10: mean(Measure::Ndcg(10)),
        p_against_first: None,
        mrr_at_10: mean(Measure::ReciprocalRank(10)),
        map: mean(Measure::AveragePrecision),
        recall_at_100: mean(Measure::Recall(100)),
        recall_at_1000: mean(Measure::Recall(1000)),
        index_seconds: 0.0,
        reused: 0,
        query_p50_us: median_us(times),
        bytes: 0,
    }
}

fn median_us(times: &[Duration]) -> f64 {
    let mut times = times.to_vec();
    times.sort_unstable();
    let median = times.get(times.len() / 2);
    median.map_or(0.0, |time| time.as_secs_f64() * 1e6)
}
