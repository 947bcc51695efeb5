//! Damage is found, and never answered from: every kind of change to every file of a commit is
//! noticed by full verification, nothing panics, and what is answered all the same is what was
//! committed.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use sparsely::{Checks, ErrorKind, Filter, Hits, Index, Query, Searcher, Verify, storage::Storage};

use crate::support::{
    clock::Work,
    model::{self, Model, config, content, vector},
    mutants::{changes, forge, large, lengths, pick, put_checksums_right, sections, seeds},
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
    let random_changes = tier.pick(400, 11_000, 900_000, 8_000_000);
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
            // Most pass for what the manifest names; some do not, and are met there.
            let changed = match tally.mutants % 8 {
                0 => {
                    put_checksums_right(&mut bytes);
                    let mut changed = files.clone();
                    changed.insert(name.to_owned(), Arc::new(bytes));
                    changed
                }
                _ => forge(files, name, bytes),
            };
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

#[test]
fn the_damaged_indexes_have_every_section() {
    // Those of `docs/format.md`, but 83: only large segments are measured.
    let expected: BTreeSet<u32> = (1..=11)
        .chain(20..=25)
        .chain(30..=35)
        .chain(60..=63)
        .chain(80..=82)
        .chain(90..=91)
        .collect();
    let mut found = BTreeSet::new();
    for (files, _) in seeds() {
        for (_, bytes) in files.iter().filter(|(name, _)| name.contains('-')) {
            found.extend(sections(bytes).into_iter().map(|(number, _)| number));
        }
    }
    assert_eq!(found, expected);
}

/// Everything that reads, and a merge.
fn exercise(files: &Files) -> sparsely::Result<()> {
    let work = Work::begin();
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
    assert!(work.spent().as_secs() < 30, "bounded by the file");
    match report.is_clean() {
        true => {
            // What full verification calls clean can be used.
            let used = answers.and(exported).and(merged);
            let damage = used
                .as_ref()
                .err()
                .filter(|e| e.kind() == ErrorKind::Corrupt);
            assert!(damage.is_none(), "called clean: {damage:?}");
            used.map(drop)
        }
        false => Err(sparsely::Error::invalid("mutant", "no damage", "some")),
    }
}

/// Whether full verification finds a forged file; whatever else reads it does not panic.
fn finds(files: &Files, name: &str, bytes: Vec<u8>) -> bool {
    let forged = forge(files, name, bytes);
    let storage = Simulated::holding(&forged);
    let report = Index::verify_storage(&storage, Verify::Full).unwrap();
    let _ = exercise(&forged);
    !report.is_clean()
}

#[test]
fn sections_that_overlap_are_found() {
    let mut count = 0;
    for (files, _) in seeds() {
        for (name, good) in files.iter().filter(|(name, _)| name.contains('-')) {
            let sections = sections(good);
            let table = good.len() - 64;
            let table = u64::from_le_bytes(good[table..table + 8].try_into().unwrap());
            let table = usize::try_from(table).unwrap();
            for (at, pair) in sections.windows(2).enumerate() {
                let ((_, one), (_, next)) = (&pair[0], &pair[1]);
                let (one_entry, next_entry) = (table + at * 24, table + at * 24 + 24);
                // Where the next one begins, and where this one ends.
                for (place, value) in [
                    (next_entry + 8, one.start),
                    (next_entry + 8, next.start.saturating_sub(64)),
                    (next_entry + 8, next.start + 64),
                    (one_entry + 16, next.end - one.start),
                    (one_entry + 16, next.start + 1 - one.start),
                ] {
                    let mut bytes = good.to_vec();
                    let value = (value as u64).to_le_bytes();
                    if bytes[place..place + 8] != value {
                        bytes[place..place + 8].copy_from_slice(&value);
                        assert!(finds(&files, name, bytes), "{name}: section {at}");
                        count += 1;
                    }
                }
            }
        }
    }
    assert!(count > 100, "{count}");
}

/// A bound below what it bounds would make searches leave out results: nothing but verification can
/// know.
#[test]
fn bounds_that_are_too_low_are_found() {
    const HEADS: u32 = 31;
    const ROWS: u32 = 32;
    const LISTS: u32 = 33;
    let mut counts = BTreeMap::new();
    let seeds = seeds().into_iter().map(|(files, _)| files);
    for files in seeds.chain([large(1)]) {
        for (name, good) in files
            .iter()
            .filter(|(name, _)| name.starts_with("segment-"))
        {
            for (section, range) in sections(good) {
                let mut lower: Vec<(usize, u8)> = match section {
                    // The largest impact of a term.
                    HEADS => range.step_by(16).map(|at| (at + 12, 1)).collect(),
                    // Two cells a byte.
                    ROWS => range.flat_map(|at| [(at, 1), (at, 16)]).collect(),
                    LISTS => range.map(|at| (at, 1)).collect(),
                    _ => continue,
                };
                lower.retain(|&(at, by)| match (section, by) {
                    (ROWS, 1) => good[at] & 0xF > 0,
                    (ROWS, _) => good[at] & 0xF0 > 0,
                    _ => good[at] > 0,
                });
                // Of what is large, as many as are quick.
                let most = if good.len() > 1 << 16 { 60 } else { 300 };
                let stride = lower.len().div_ceil(most).max(1);
                for (at, by) in lower.into_iter().step_by(stride) {
                    let mut bytes = good.to_vec();
                    bytes[at] -= by;
                    let forged = forge(&files, name, bytes);
                    let storage = Simulated::holding(&forged);
                    let report = Index::verify_storage(&storage, Verify::Full).unwrap();
                    assert!(!report.is_clean(), "{name}: section {section} at {at}");
                    *counts.entry(section).or_insert(0) += 1;
                    if counts[&section] % 16 == 0 {
                        let _ = exercise(&forged);
                    }
                }
            }
        }
    }
    let found: Vec<u32> = counts.keys().copied().collect();
    assert_eq!(found, [HEADS, ROWS, LISTS], "{counts:?}");
    assert!(counts.values().all(|count| *count > 10), "{counts:?}");
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
