//! Damage is found, and never answered from: every kind of change to every file of a commit is
//! noticed by full verification, nothing panics, and what is answered all the same is what was
//! committed.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Instant,
};

use sparsely::{Checks, ErrorKind, Filter, Hits, Index, Query, Searcher, Verify, storage::Storage};

use crate::support::{
    model::{self, Model, config, content, vector},
    mutants::{changes, large, lengths, pick, put_checksums_right, seeds},
    report::{Tier, in_parallel, report},
    simulated::{Files, Random, Simulated},
};

fn answers(index: &Index) -> sparsely::Result<Vec<Hits>> {
    let snapshot = index.snapshot()?;
    let ask = |seed| {
        let query = Query::new(vector(seed)).top(5).fields(["version"]);
        match seed % 2 {
            0 => snapshot.search(&query),
            _ => snapshot.search(&query.filter(Filter::equals("even", true))),
        }
    };
    (0..6).map(ask).collect()
}

/// What became of the mutants.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    mutants: u64,
    /// Not seen by full verification.
    undetected: u64,
    wrong_answers: u64,
    panics: u64,
    /// Answers from the commit before, with notice.
    older: u64,
    refused: u64,
}

impl Tally {
    fn sum(tallies: Vec<Tally>) -> Tally {
        let mut all = Tally::default();
        for tally in tallies {
            all.mutants += tally.mutants;
            all.undetected += tally.undetected;
            all.wrong_answers += tally.wrong_answers;
            all.panics += tally.panics;
            all.older += tally.older;
            all.refused += tally.refused;
        }
        report(&[
            ("mutants", all.mutants),
            ("undetected", all.undetected),
            ("wrong_answers", all.wrong_answers),
            ("panics", all.panics),
        ]);
        println!("{all:?}");
        all
    }

    /// Counts a panic of `examine` as one.
    fn count(&mut self, examine: impl FnOnce(&mut Tally)) {
        self.mutants += 1;
        let mut own = Tally::default();
        let examined = catch_unwind(AssertUnwindSafe(|| examine(&mut own)));
        self.panics += u64::from(examined.is_err());
        self.undetected += own.undetected;
        self.wrong_answers += own.wrong_answers;
        self.older += own.older;
        self.refused += own.refused;
    }
}

/// A changed file whose checksums are wrong: verification finds it, and what is answered all the
/// same is what was committed, or, with notice, the commit before.
fn examine(files: &Files, name: &str, bytes: Vec<u8>, expected: &[Hits], tally: &mut Tally) {
    let mut files = files.clone();
    files.insert(name.to_owned(), Arc::new(bytes));
    let storage: Arc<dyn Storage> = Arc::new(Simulated::holding(&files));
    let report = Index::verify_storage(&*storage, Verify::Full).unwrap();
    tally.undetected += u64::from(report.is_clean());
    for checks in [Checks::Everything, Checks::OnTouch] {
        let Ok(index) = Index::open_storage(storage.clone(), config().checks(checks)) else {
            tally.refused += 1;
            continue;
        };
        let snapshot = index.snapshot();
        if snapshot.is_ok_and(|snapshot| snapshot.fallback().is_some()) {
            tally.older += 1;
        } else if answers(&index).is_ok_and(|answers| answers != expected) {
            tally.wrong_answers += 1;
        }
    }
}

#[test]
pub(crate) fn every_change_is_detected() {
    let stride = Tier::chosen().pick(131, 23, 1, 1);
    let mut jobs = Vec::new();
    for (files, model) in seeds() {
        let storage: Arc<dyn Storage> = Arc::new(Simulated::holding(&files));
        let index = Index::open_storage(storage, config()).unwrap();
        assert_eq!(content(&index.snapshot().unwrap()), model);
        let expected = answers(&index).unwrap();
        for name in files.keys().filter(|name| name.contains('-')) {
            jobs.push((files.clone(), name.clone(), expected.clone()));
        }
    }
    let tally = Tally::sum(in_parallel(jobs.len(), |job| {
        let (files, name, expected) = &jobs[job];
        let mut tally = Tally::default();
        changes(&files[name], stride, |bytes| {
            tally.count(|tally| examine(files, name, bytes, expected, tally));
        });
        tally
    }));
    assert!(tally.refused > 0);
    assert_eq!(
        (tally.undetected, tally.wrong_answers, tally.panics),
        (0, 0, 0)
    );
}

/// In files of many pieces damage lies where opening does not look: it is met when it is needed,
/// and repair looks everywhere.
#[test]
pub(crate) fn damage_in_large_files_is_never_answered_from() {
    let stride = Tier::chosen().pick(4099, 1031, 61, 7);
    let tally = Tally::sum(in_parallel(2, |at| {
        let files = large([u64::MAX, 1][at]);
        let expected = {
            let storage: Arc<dyn Storage> = Arc::new(Simulated::holding(&files));
            answers(&Index::open_storage(storage, config()).unwrap()).unwrap()
        };
        let names = files.keys().filter(|name| name.starts_with("segment-"));
        let name = names.max_by_key(|name| files[*name].len()).unwrap();
        let good = &files[name];
        assert!(good.len() > 3 << 16);
        let mut tally = Tally::default();
        for place in (0..good.len()).step_by(stride) {
            let mut bytes = good.to_vec();
            bytes[place] ^= 0x55;
            let mut damaged = files.clone();
            damaged.insert(name.clone(), Arc::new(bytes));
            tally.count(|tally| {
                let storage: Arc<dyn Storage> = Arc::new(Simulated::holding(&damaged));
                if let Ok(index) = Index::open_storage(storage.clone(), config()) {
                    let found = answers(&index);
                    tally.refused += u64::from(found.is_err());
                    tally.wrong_answers += u64::from(found.is_ok_and(|found| found != expected));
                }
                let repair = Index::repair_storage(&*storage, &config()).unwrap();
                tally.undetected += u64::from(repair.is_unneeded());
            });
        }
        tally
    }));
    assert!(tally.refused > 0);
    assert_eq!(
        (tally.undetected, tally.wrong_answers, tally.panics),
        (0, 0, 0)
    );
}

/// Changes with their checksums put right, as an attacker makes them: an error or some answer, in
/// bounded time, and no panic.
#[test]
pub(crate) fn changes_with_right_checksums_never_panic() {
    let tier = Tier::chosen();
    let random_changes = tier.pick(400, 22_000, 2_000_000, 8_000_000);
    let stride = tier.pick(211, 13, 1, 1);
    let seeds = seeds();
    let files_of = |(files, _): &(Files, Model)| {
        let names = files.keys().filter(|name| name.contains('-'));
        let names: Vec<String> = names.cloned().collect();
        (files.clone(), names)
    };
    let jobs: Vec<(Files, Vec<String>)> = seeds.iter().map(files_of).collect();
    const PARTS: usize = 16;
    let tally = Tally::sum(in_parallel(jobs.len() * PARTS, |job| {
        let (files, names) = &jobs[job / PARTS];
        let mut tally = Tally::default();
        let mut try_out = |name: &str, mut bytes: Vec<u8>| {
            put_checksums_right(&mut bytes);
            let mut changed = files.clone();
            changed.insert(name.to_owned(), Arc::new(bytes));
            tally.count(|tally| tally.refused += u64::from(exercise(&changed).is_err()));
        };
        let mut random = Random(11 + job as u64);
        for _ in 0..random_changes / PARTS {
            let name = &names[pick(&mut random, names.len())];
            let mut bytes = files[name].to_vec();
            for _ in 0..=random.below(3) {
                let odd = [0, 1, 0x7F, 0x80, 0xFF, 0xFE, random.next().to_le_bytes()[0]];
                let place = pick(&mut random, bytes.len());
                let width = [1, 2, 4, 8][pick(&mut random, 4)];
                let value = odd[pick(&mut random, odd.len())];
                let end = (place + width).min(bytes.len());
                bytes[place..end].fill(value);
            }
            try_out(name, bytes);
        }
        // Whatever may be a length, a count or an offset.
        for name in names {
            let places = (job % PARTS * 4..files[name].len()).step_by(4 * PARTS * stride);
            for place in places {
                for value in lengths(&files[name], place) {
                    let mut bytes = files[name].to_vec();
                    let end = (place + value.len()).min(bytes.len());
                    bytes[place..end].copy_from_slice(&value[..end - place]);
                    try_out(name, bytes);
                }
            }
        }
        tally
    }));
    assert!(tally.refused > 0);
    assert_eq!(tally.panics, 0);
}

/// Everything that reads, and a merge.
fn exercise(files: &Files) -> sparsely::Result<()> {
    let started = Instant::now();
    let storage: Arc<dyn Storage> = Arc::new(Simulated::holding(files));
    let report = Index::verify_storage(&*storage, Verify::Full)?;
    let exported =
        Index::export_storage(&*storage, std::io::sink(), &mut sparsely::Progress::none());
    let index = Index::open_storage(storage, config())?;
    let answers = answers(&index);
    let snapshot = index.snapshot()?;
    for key in snapshot.keys().flatten() {
        let _ = snapshot.document(&key);
        let _ = snapshot.explain(&Query::new(vector(1)), &key);
    }
    let merged = index.writer().and_then(|mut writer| {
        writer.merge_all(&mut sparsely::Progress::none())?;
        writer.commit()
    });
    if let Err(error) = &merged {
        assert!(
            !matches!(error.kind(), ErrorKind::Poisoned | ErrorKind::Locked),
            "{error}"
        );
    }
    assert!(started.elapsed().as_secs() < 30, "bounded by the file");
    match report.is_clean() {
        true => answers.and(exported).and(merged).map(drop),
        false => Err(sparsely::Error::invalid("mutant", "no damage", "some")),
    }
}

#[test]
pub(crate) fn a_file_of_another_index_is_refused() {
    let all = seeds();
    let (mut files, _) = all[0].clone();
    let (others, _) = &all[1];
    let stolen = others
        .keys()
        .find(|name| name.starts_with("segment-"))
        .unwrap();
    for name in files
        .clone()
        .keys()
        .filter(|name| name.starts_with("segment-"))
    {
        let own = files.insert(name.clone(), others[stolen].clone()).unwrap();
        let report = Index::verify_storage(&Simulated::holding(&files), Verify::Quick).unwrap();
        assert!(!report.is_clean(), "{name}");
        files.insert(name.clone(), own);
    }
    let storage: Arc<dyn Storage> = Arc::new(Simulated::holding(&files));
    let index = Index::open_storage(storage, config()).unwrap();
    model::check_search(&index.snapshot().unwrap(), &all[0].1);
}
