//! `Durability::OsCache`: nothing is synced, so a power cut may take any of it, older commits too.
//! What is left is an older commit, damage that is called damage, or nothing; never an answer that
//! was not committed.

use std::sync::Arc;

use sparsely::{
    Config, Durability, ErrorKind, Hits, Index, Query, Result, Searcher, Snapshot, Verify,
    storage::Storage,
};

use crate::support::{
    model::{self, Model, config, upsert, vector},
    report::{Tier, in_parallel},
    simulated::{Effort, Files, Simulated},
};

fn unsynced() -> Config {
    config().durability(Durability::OsCache)
}

fn open(disk: &Simulated) -> Result<Index> {
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    Index::open_storage(storage, unsynced())
}

/// A commit, how many operations there were when it began, and what it answers.
struct Committed {
    from: usize,
    model: Model,
    answers: Vec<Hits>,
}

/// A few commits, with deletes and a merge.
fn life() -> (Simulated, Vec<Committed>) {
    let disk = Simulated::default();
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    let index = Index::with_storage(storage, unsynced()).unwrap();
    let mut writer = index.writer().unwrap();
    let (mut commits, mut model) = (Vec::new(), Model::new());
    for commit in 0..6 {
        let from = disk.logged();
        if commit > 0 {
            for at in 0..3 {
                upsert(
                    &mut writer,
                    &mut model,
                    &format!("key {}", commit * 2 + at),
                    commit,
                );
            }
            writer.commit().unwrap();
        }
        let answers = answers(&index.snapshot().unwrap()).unwrap();
        commits.push(Committed {
            from: from.min(disk.logged()),
            model: model.clone(),
            answers,
        });
    }
    commits[0].from = 0;
    (disk, commits)
}

fn answers(snapshot: &Snapshot) -> Result<Vec<Hits>> {
    let ask = |seed| snapshot.search(&Query::new(vector(seed)).top(100));
    [3, 8].into_iter().map(ask).collect()
}

fn content(snapshot: &Snapshot) -> Result<Model> {
    snapshot
        .documents()
        .map(|stored| {
            let stored = stored?;
            let text = stored.text().unwrap_or_default().to_owned();
            let version = text.rsplit(' ').next().and_then(|word| word.parse().ok());
            Ok((stored.key().to_string(), version.unwrap_or(u32::MAX)))
        })
        .collect()
}

/// How states ended.
#[derive(Debug, Default, PartialEq)]
struct Ends {
    newest: u64,
    older: u64,
    gone: u64,
    damaged: u64,
    went_on_from_older: u64,
}

/// Looks at what a power cut left of `commits`.
fn examine(
    files: &Files,
    commits: &[Committed],
    ends: &mut Ends,
) -> std::result::Result<(), String> {
    let damage = |error: sparsely::Error| match error.kind() {
        ErrorKind::Corrupt => Ok(()),
        _ => Err(error.to_string()),
    };
    let disk = Simulated::holding(files);
    let index = match open(&disk) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            ends.gone += 1;
            return Ok(());
        }
        Err(error) => {
            ends.damaged += 1;
            return damage(error);
        }
        Ok(index) => index,
    };
    let snapshot = index.snapshot().map_err(|error| error.to_string())?;
    match answers(&snapshot) {
        Ok(answers) if commits.iter().all(|commit| commit.answers != answers) => {
            return Err(format!("answers of no commit: {answers:?}"));
        }
        Ok(_) => {}
        Err(error) => damage(error)?,
    }
    let found = match content(&snapshot) {
        Ok(found) => found,
        Err(error) => {
            ends.damaged += 1;
            return damage(error);
        }
    };
    let Some(at) = commits.iter().position(|commit| commit.model == found) else {
        return Err(format!("documents of no commit: {found:?}"));
    };
    match at + 1 == commits.len() {
        true => ends.newest += 1,
        false => ends.older += 1,
    }
    let is_older = snapshot.fallback().is_some();
    let is_clean = index
        .verify(Verify::Full)
        .is_ok_and(|report| report.is_clean());
    let mut model = found;
    let gone_on = index.writer().and_then(|mut writer| {
        upsert(&mut writer, &mut model, "after", 99);
        writer.commit()
    });
    match gone_on {
        Ok(_) => {
            ends.went_on_from_older += u64::from(is_older);
            let held = model::content(&index.snapshot().map_err(|error| error.to_string())?);
            if held != model {
                return Err(format!("after going on: {held:?}"));
            }
            Ok(())
        }
        Err(error) if is_clean => Err(format!("clean, and not written to: {error}")),
        Err(error) => damage(error),
    }
}

#[test]
fn a_power_cut_may_lose_what_was_not_synced_but_never_makes_up_an_answer() {
    let (disk, commits) = life();
    let effort = Tier::chosen().pick(Effort::QUICK, Effort::QUICK, Effort::SHORT, Effort::SHORT);
    let done = in_parallel(disk.logged() + 1, |prefix| {
        let begun = commits
            .iter()
            .take_while(|commit| commit.from <= prefix)
            .count();
        let (mut ends, mut wrong) = (Ends::default(), Vec::new());
        disk.power_cuts(prefix, effort, |files| {
            if let Err(error) = examine(&files, &commits[..begun], &mut ends) {
                wrong.push(format!("after operation {prefix}: {error}"));
            }
        });
        (ends, wrong)
    });
    let wrong: Vec<&String> = done.iter().flat_map(|(_, wrong)| wrong).collect();
    assert!(
        wrong.is_empty(),
        "{} violations: {:#?}",
        wrong.len(),
        &wrong[..wrong.len().min(3)]
    );
    let sum = |of: fn(&Ends) -> u64| done.iter().map(|(ends, _)| of(ends)).sum::<u64>();
    let seen = [
        sum(|ends| ends.newest),
        sum(|ends| ends.older),
        sum(|ends| ends.gone),
        sum(|ends| ends.damaged),
        sum(|ends| ends.went_on_from_older),
    ];
    println!("newest, older, gone, damaged, gone on from an older one: {seen:?}");
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}
