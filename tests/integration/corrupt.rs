//! Damage is found, and never answered from: every kind of change to every file of a commit is
//! noticed by full verification, nothing panics, and what is answered all the same is what was
//! committed.

use std::sync::Arc;

use sparsely::{
    Checks, Config, ErrorKind, Filter, Hits, Index, Merging, Query, Searcher, Verify,
    storage::Storage,
};

use crate::support::{
    model::{self, Model, config, content, upsert, vector},
    simulated::{Files, Random, Simulated},
};

/// Small, but with deletes, several segments and an older generation, in both layouts.
fn seeds() -> Vec<(Files, Model)> {
    let build = |config: Config, commits: u32| {
        let disk = Simulated::default();
        let storage: Arc<dyn Storage> = Arc::new(disk.clone());
        let index = Index::with_storage(storage, config).unwrap();
        let mut writer = index.writer().unwrap();
        let mut model = Model::new();
        for commit in 0..commits {
            for at in 0..6 {
                let version = commit * 6 + at;
                upsert(&mut writer, &mut model, &format!("key {version}"), version);
            }
            writer
                .delete(format!("key {}", commit * 3).as_str())
                .unwrap();
            model.remove(&format!("key {}", commit * 3));
            writer.commit().unwrap();
        }
        drop(writer);
        (disk.files(), model)
    };
    vec![
        build(config().merging(Merging::ByCaller), 3),
        build(config().ordered_from(0), 4),
    ]
}

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

/// What became of one mutant.
#[derive(Debug, Default)]
struct Tally {
    mutants: usize,
    undetected: usize,
    wrong_answers: usize,
    /// Answers from the commit before, with notice.
    older: usize,
}

fn examine(files: &Files, name: &str, bytes: Vec<u8>, expected: &[Hits], tally: &mut Tally) {
    let mut files = files.clone();
    files.insert(name.to_owned(), Arc::new(bytes));
    let storage: Arc<dyn Storage> = Arc::new(Simulated::holding(&files));
    tally.mutants += 1;
    if Index::verify_storage(&*storage, Verify::Full)
        .unwrap()
        .is_clean()
    {
        tally.undetected += 1;
    }
    if let Ok(index) = Index::open_storage(storage.clone(), config().checks(Checks::Everything))
        && index.snapshot().unwrap().fallback().is_none()
    {
        assert_eq!(answers(&index).unwrap(), expected, "{name}");
    }
    let Ok(index) = Index::open_storage(storage, config()) else {
        return;
    };
    if index
        .snapshot()
        .is_ok_and(|snapshot| snapshot.fallback().is_some())
    {
        tally.older += 1;
        return;
    }
    if answers(&index).is_ok_and(|answers| answers != expected) {
        tally.wrong_answers += 1;
    }
}

#[test]
fn every_change_is_detected() {
    let stride = match std::env::var("SPARSELY_TIER").as_deref() {
        Ok("nightly") => 1,
        Ok("short") => 8,
        _ => 131,
    };
    let mut tally = Tally::default();
    let mut wrong = Vec::new();
    for (files, model) in seeds() {
        let storage: Arc<dyn Storage> = Arc::new(Simulated::holding(&files));
        let index = Index::open_storage(storage, config()).unwrap();
        assert_eq!(content(&index.snapshot().unwrap()), model);
        let expected = answers(&index).unwrap();
        for (name, good) in files.iter().filter(|(name, _)| name.contains('-')) {
            let before = tally.wrong_answers;
            for bit in (0..good.len() * 8).step_by(stride) {
                let mut bytes = good.to_vec();
                bytes[bit / 8] ^= 1 << (bit % 8);
                examine(&files, name, bytes, &expected, &mut tally);
            }
            for len in (0..good.len()).step_by(stride) {
                examine(&files, name, good[..len].to_vec(), &expected, &mut tally);
            }
            for more in [1, 64, 512, 4096] {
                let mut bytes = good.to_vec();
                bytes.resize(good.len() + more, 0);
                examine(&files, name, bytes, &expected, &mut tally);
            }
            for start in (0..good.len()).step_by(512) {
                let mut bytes = good.to_vec();
                let end = (start + 512).min(bytes.len());
                bytes[start..end].fill(0);
                examine(&files, name, bytes, &expected, &mut tally);
            }
            if tally.wrong_answers > before {
                wrong.push(format!("{name}: {}", tally.wrong_answers - before));
            }
        }
    }
    println!("{tally:?}");
    assert_eq!(tally.undetected, 0, "{tally:?}");
    // With `Checks::Tables` an answer from changed postings is the price of not reading every
    // byte at open; `verify` finds it, and `Checks::Everything` never gives one (`examine`).
    println!("answers from damage, by file: {wrong:?}");
}

/// Changes with their checksums put right, as an attacker makes them: an error or some answer, in
/// bounded time, and no panic.
#[test]
fn changes_with_right_checksums_never_panic() {
    let mutants = match std::env::var("SPARSELY_TIER").as_deref() {
        Ok("nightly") => 400_000,
        Ok("short") => 20_000,
        _ => 600,
    };
    let mut random = Random(11);
    let mut refused = 0;
    for (files, _) in seeds() {
        let names: Vec<&String> = files.keys().filter(|name| name.contains('-')).collect();
        for _ in 0..mutants {
            let at = usize::try_from(random.below(names.len() as u64)).unwrap();
            let mut bytes = files[names[at]].to_vec();
            for _ in 0..=random.below(3) {
                let odd = [0, 1, 0x7F, 0x80, 0xFF, 0xFE, random.next().to_le_bytes()[0]];
                let place = usize::try_from(random.below(bytes.len() as u64)).unwrap();
                let width = [1, 2, 4, 8][usize::try_from(random.below(4)).unwrap()];
                let value = odd[usize::try_from(random.below(odd.len() as u64)).unwrap()];
                let end = (place + width).min(bytes.len());
                bytes[place..end].fill(value);
            }
            put_checksums_right(&mut bytes);
            let mut changed = files.clone();
            changed.insert(names[at].clone(), Arc::new(bytes));
            refused += usize::from(exercise(&changed).is_err());
        }
    }
    println!("{refused} of {} refused", 2 * mutants);
    assert!(refused > 0);
}

/// Everything that reads, and a merge.
fn exercise(files: &Files) -> sparsely::Result<()> {
    let storage: Arc<dyn Storage> = Arc::new(Simulated::holding(files));
    let report = Index::verify_storage(&*storage, Verify::Full)?;
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
    match report.is_clean() {
        true => answers.and(merged).map(drop),
        false => Err(sparsely::Error::invalid("mutant", "no damage", "some")),
    }
}

/// Recomputes what can be found of a file's checksums; offsets are those of `docs/format.md`. The
/// manifest's record of the footer is not touched, so that footers are compared, too.
fn put_checksums_right(bytes: &mut [u8]) {
    let len = bytes.len();
    if len < 128 {
        return;
    }
    let u64_at =
        |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let put = |bytes: &mut [u8], at: usize, crc: u32| {
        bytes[at..at + 4].copy_from_slice(&crc.to_le_bytes());
    };
    let crc = crc32fast::hash(&bytes[..60]);
    put(bytes, 60, crc);
    let footer = len - 64;
    let table = usize::try_from(u64_at(bytes, footer))
        .unwrap_or(len)
        .min(footer);
    let sections = usize::try_from(u64_at(bytes, footer + 8) & 0xFFFF_FFFF).unwrap();
    let end = (table + sections.saturating_mul(24).min(len)).min(footer);
    let crc = crc32fast::hash(&bytes[table..end]);
    put(bytes, footer + 12, crc);
    let blocks: Vec<u32> = bytes[..end]
        .chunks(64 * 1024)
        .map(crc32fast::hash)
        .collect();
    for (at, crc) in blocks.into_iter().enumerate() {
        if end + at * 4 + 4 <= footer {
            put(bytes, end + at * 4, crc);
        }
    }
    let crc = crc32fast::hash(&bytes[end..footer]);
    put(bytes, footer + 24, crc);
    let crc = crc32fast::hash(&bytes[footer..footer + 60]);
    put(bytes, footer + 60, crc);
}

#[test]
fn a_file_of_another_index_is_refused() {
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
