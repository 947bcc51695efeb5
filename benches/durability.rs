//! What durability costs: single commits against the device's own sync, searches while a large
//! part of the index is replaced, and the memory of a writer.
//!
//! ```text
//! cargo bench --bench durability -- [--dir DIR] [--commits 10000] [--documents 300000]
//! ```
//!
//! Prints an object of JSON per measurement. DIR should lie on the device that is meant.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use peak_alloc::PeakAlloc;
use serde_json::json;
use sparsely::{Checks, Config, Document, Index, Progress, Query, Searcher, SparseVector};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const TERMS: u32 = 30_000;
const DOCUMENT_TERMS: usize = 60;
const QUERIES: u64 = 200;

fn main() {
    let mut directory = std::env::temp_dir();
    let mut commits = 10_000;
    let mut documents = 300_000;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().and_then(|text| text.parse().ok());
        match argument.as_str() {
            "--dir" => directory = PathBuf::from(arguments.next().expect("a directory")),
            "--commits" => commits = number().expect("a number"),
            "--documents" => documents = number().expect("a number"),
            // What cargo adds.
            _ => {}
        }
    }
    let work = tempfile::tempdir_in(&directory).expect("a directory to write in");
    if commits > 0 {
        println!("{}", single_commits(work.path(), commits));
    }
    if documents > 0 {
        println!("{}", replacement(work.path(), documents));
    }
}

/// One document a commit, with the device's own sync between them.
fn single_commits(work: &Path, commits: u64) -> serde_json::Value {
    let path = work.join("commits");
    let config = || Config::new().term_count(TERMS).weight_limit(4.0);
    let index = Index::create(&path, config()).unwrap();
    let mut writer = index.writer().unwrap();
    let (mut times, mut syncs) = (Vec::new(), Vec::new());
    for at in 0..commits {
        writer.upsert(document(at, 0)).unwrap();
        let start = Instant::now();
        writer.commit().unwrap();
        times.push(start.elapsed());
        if at % 10 == 0 {
            syncs.push(sync_once(work, at));
        }
    }
    let bulk = Index::create(work.join("bulk"), config()).unwrap();
    let mut bulk_writer = bulk.writer().unwrap();
    for at in 0..commits {
        bulk_writer.upsert(document(at, 0)).unwrap();
    }
    bulk_writer.commit().unwrap();
    let bytes = |index: &Index| index.stats().unwrap().bytes;
    json!({
        "measure": "single commits",
        "commits": commits,
        "commit_ms": quantiles(&mut times),
        "write_and_sync_of_4_kib_ms": quantiles(&mut syncs),
        "files": fs::read_dir(&path).unwrap().count(),
        "bytes": bytes(&index),
        "bytes_of_one_commit": bytes(&bulk),
    })
}

fn sync_once(work: &Path, at: u64) -> Duration {
    let path = work.join(format!("sync {at}"));
    let start = Instant::now();
    let mut file = File::create_new(&path).unwrap();
    file.write_all(&[7; 4096]).unwrap();
    file.sync_all().unwrap();
    let time = start.elapsed();
    fs::remove_file(path).unwrap();
    time
}

/// Builds a large index, replaces a fifth of it in small commits, and compares its searches with
/// those of an index that was built anew.
fn replacement(work: &Path, documents: u64) -> serde_json::Value {
    let config = || Config::new().term_count(TERMS).weight_limit(4.0);
    let index = Index::create(work.join("large"), config()).unwrap();
    let mut writer = index.writer().unwrap();
    let start = Instant::now();
    let ((), build_memory) = peak_mib(|| {
        for at in 0..documents {
            writer.upsert(document(at, 0)).unwrap();
        }
        writer.merge_all(&mut Progress::none()).unwrap();
        writer.commit().unwrap();
    });
    let build = start.elapsed();

    let (mut during, mut commits) = (Vec::new(), Vec::new());
    let mut replace = |batch: u64| {
        // Every fifth document, in a scattered order.
        for at in 0..1000 {
            let at = (batch * 1000 + at) * 5 % documents + batch % 5;
            writer
                .upsert(document(at.min(documents - 1), batch + 1))
                .unwrap();
        }
        let start = Instant::now();
        writer.commit().unwrap();
        commits.push(start.elapsed());
        during.extend(searches(&index, 5));
    };
    let ((), update_memory) = peak_mib(|| (0..documents / 5000).for_each(&mut replace));
    let segments = index.stats().unwrap().segments.len();
    index
        .snapshot()
        .unwrap()
        .copy_to(work.join("copy"))
        .unwrap();
    let fresh = Index::open(work.join("copy")).unwrap();
    let mut fresh_writer = fresh.writer().unwrap();
    fresh_writer.merge_all(&mut Progress::none()).unwrap();
    fresh_writer.commit().unwrap();
    // In turns, so that what else the machine does hits both.
    let (mut updated, mut merged) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        updated.extend(searches(&index, QUERIES));
        merged.extend(searches(&fresh, QUERIES));
    }
    let checks = checks(&work.join("copy"));
    let (updated, merged) = (quantiles(&mut updated), quantiles(&mut merged));
    let ratio = updated["p50"].as_f64().unwrap() / merged["p50"].as_f64().unwrap();
    json!({
        "measure": "a fifth replaced",
        "documents": documents,
        "build_s": build.as_secs_f64(),
        "build_memory_mib": build_memory,
        "update_memory_mib": update_memory,
        "segments_after": segments,
        "commit_ms": quantiles(&mut commits),
        "search_ms_between_commits": quantiles(&mut during),
        "search_ms_after": updated,
        "search_ms_of_one_segment": merged,
        "ratio_of_p50": ratio,
        "checks": checks,
    })
}

/// What comparing pieces with their checksums when they are first needed adds to searches: the
/// same searches on an index that was just opened so, again on that one, and on one that compared
/// everything when it was opened.
fn checks(path: &Path) -> serde_json::Value {
    let open = |checks| {
        let start = Instant::now();
        let index = Index::open_with(path, Config::new().checks(checks)).unwrap();
        (index, start.elapsed().as_secs_f64() * 1e3)
    };
    let total = |index: &Index| {
        let times = searches(index, QUERIES);
        times.iter().sum::<Duration>().as_secs_f64() * 1e3
    };
    let (everything, open_everything) = open(Checks::Everything);
    let (mut first, mut again, mut compared, mut opened) = (0.0, 0.0, 0.0, 0.0);
    // In turns, so that what else the machine does hits all.
    const TURNS: u32 = 5;
    for _ in 0..TURNS {
        compared += total(&everything);
        let (on_touch, time) = open(Checks::OnTouch);
        opened += time;
        first += total(&on_touch);
        again += total(&on_touch);
    }
    json!({
        "queries": QUERIES,
        "open_everything_ms": open_everything,
        "open_on_touch_ms": opened / f64::from(TURNS),
        "first_searches_ms": first / f64::from(TURNS),
        "ratio_of_first": first / compared,
        "ratio_of_later": again / compared,
    })
}

fn searches(index: &Index, count: u64) -> Vec<Duration> {
    let snapshot = index.snapshot().unwrap();
    let ask = |seed: u64| {
        let query = Query::new(vector(1_000_000_007 + seed, 20)).top(10);
        let start = Instant::now();
        assert!(!snapshot.search(&query).unwrap().is_empty());
        start.elapsed()
    };
    (0..count).map(ask).collect()
}

fn document(at: u64, version: u64) -> Document {
    let vector = vector(at.wrapping_mul(31).wrapping_add(version), DOCUMENT_TERMS);
    Document::new(at.to_le_bytes().to_vec(), vector)
}

/// Terms as they are in texts: few common ones, many rare ones.
fn vector(seed: u64, len: usize) -> SparseVector {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut pairs = std::collections::BTreeMap::new();
    while pairs.len() < len {
        let share = (next() % 1_000_000) as f64 / 1e6;
        let term = (f64::from(TERMS).powf(share) - 1.0) as u32;
        pairs.insert(term, 0.1 + (next() % 300) as f32 / 100.0);
    }
    SparseVector::new(pairs).unwrap()
}

fn quantiles(times: &mut [Duration]) -> serde_json::Value {
    times.sort_unstable();
    let at = |share: f64| {
        let place = ((times.len() - 1) as f64 * share) as usize;
        (times[place].as_secs_f64() * 1e6).round() / 1e3
    };
    json!({ "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "most": at(1.0) })
}

/// The most bytes that were allocated at one time while `work` ran, those from before it included; of
/// mapped files none are.
fn peak_mib<T>(work: impl FnOnce() -> T) -> (T, f64) {
    ALLOCATOR.reset_peak_usage();
    let done = work();
    let mib = ALLOCATOR.peak_usage() as f64 / f64::from(1 << 20);
    (done, (mib * 10.0).round() / 10.0)
}
