//! Whatever the bytes of an index say, opening, verifying, exporting and searching it takes at most
//! twice the bytes of its files and 8 MiB. Building takes what the writer may use. A binary of its own, because it counts what the whole
//! process allocates.

#[allow(
    dead_code,
    reason = "this test needs some of what the integration tests share"
)]
#[path = "integration/support/mod.rs"]
mod support;

use std::sync::{Arc, Mutex, PoisonError};

use peak_alloc::PeakAlloc;
use sparsely::{
    Config, Document, Index, Progress, Query, Searcher, SparseVector, Verify,
    storage::{Reading, Storage},
};

use crate::support::{
    model::{config, vector},
    mutants::{forge, large, lengths, pick, seeds},
    report::{Tier, report},
    simulated::{Files, Random, Simulated},
};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const CONSTANT: usize = 8 << 20;

/// One measurement at a time: the count is that of the process.
static ALONE: Mutex<()> = Mutex::new(());

/// Most bytes in use while `work` ran, beyond those before it.
fn peak(work: impl FnOnce()) -> usize {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    work();
    ALLOCATOR.peak_usage().saturating_sub(before)
}

/// All that reads.
fn read(storage: &Arc<dyn Storage>) {
    let _ = Index::verify_storage(&**storage, Verify::Full);
    let _ = Index::export_storage(&**storage, std::io::sink(), &mut Progress::none());
    let Ok(index) = Index::open_storage(storage.clone(), config()) else {
        return;
    };
    let Ok(snapshot) = index.snapshot() else {
        return;
    };
    for seed in 0..4 {
        let query = Query::new(vector(seed)).top(10).fields(["version"]);
        let _ = snapshot.search(&query);
        let _ = snapshot.exhaustive().search(&query);
    }
    for key in snapshot.keys().flatten().take(50) {
        let _ = snapshot.document(&key);
    }
}

/// How near the bound the mutants of an index come, at most, and how many broke it.
fn bound(files: &Files, mutants: usize, stride: usize) -> (u64, f64, u64) {
    let names: Vec<&String> = files.keys().filter(|name| name.contains('-')).collect();
    let total: usize = files.values().map(|bytes| bytes.len()).sum();
    let mut random = Random(8);
    let (mut count, mut most, mut broken) = (0_u64, 0.0_f64, 0_u64);
    let mut try_out = |name: &str, bytes: Vec<u8>, checksums: bool| {
        let limit = 2 * total.max(total + bytes.len() - files[name].len()) + CONSTANT;
        let changed = match checksums {
            true => forge(files, name, bytes),
            false => {
                let mut changed = files.clone();
                changed.insert(name.to_owned(), Arc::new(bytes));
                changed
            }
        };
        let storage: Arc<dyn Storage> = Arc::new(Simulated::holding(&changed));
        let used = peak(|| read(&storage));
        count += 1;
        #[expect(clippy::cast_precision_loss, reason = "a share for people")]
        let share = used as f64 / limit as f64;
        most = most.max(share);
        if used > limit {
            broken += 1;
            println!("{name}: {used} bytes where {limit} are allowed");
        }
    };
    for name in &names {
        for place in (0..files[*name].len()).step_by(4 * stride) {
            for value in lengths(&files[*name], place) {
                let mut bytes = files[*name].to_vec();
                let end = (place + value.len()).min(bytes.len());
                bytes[place..end].copy_from_slice(&value[..end - place]);
                try_out(name, bytes, true);
            }
        }
    }
    for at in 0..mutants {
        let name = names[pick(&mut random, names.len())];
        let mut bytes = files[name].to_vec();
        for _ in 0..=random.below(4) {
            let place = pick(&mut random, bytes.len());
            bytes[place] = random.next().to_le_bytes()[0];
        }
        try_out(name, bytes, at % 4 > 0);
    }
    (count, most, broken)
}

#[test]
fn damaged_files_cost_no_more_memory_than_twice_their_bytes_and_eight_mebibytes() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let tier = Tier::chosen();
    let mut indexes: Vec<Files> = seeds().into_iter().map(|(files, _)| files).collect();
    let small = indexes.len();
    indexes.push(large(1000));
    let (mut all, mut most, mut broken) = (0, 0.0_f64, 0);
    for (at, files) in indexes.iter().enumerate() {
        let (mutants, stride) = match at < small {
            true => (
                tier.pick(100, 1500, 20_000, 1_000_000),
                tier.pick(97, 13, 5, 1),
            ),
            false => (
                tier.pick(3, 20, 100, 10_000),
                tier.pick(20_011, 4001, 1009, 13),
            ),
        };
        let (count, share, over) = bound(files, mutants, stride);
        println!(
            "{count} mutants took at most {:.0}% of the bound",
            share * 100.0
        );
        all += count;
        most = most.max(share);
        broken += over;
    }
    report(&[("bounded_mutants", all), ("over_the_bound", broken)]);
    assert_eq!(broken, 0);
}

/// Documents whose postings would fill the budget of the next test several times.
fn long_documents(count: u32) -> impl Iterator<Item = Document> {
    (0..count).map(|at| {
        let mut random = Random(u64::from(at) + 1);
        let topic = u64::from(at % 50 * 300);
        let terms: std::collections::BTreeMap<u32, f32> = (0..60)
            .map(|_| {
                let within = random.below(300) * random.below(300) / 300;
                let term = match random.below(3) {
                    0 => within,
                    _ => topic + within,
                };
                let weight = 1 + u8::try_from(random.below(100)).unwrap();
                (u32::try_from(term).unwrap(), f32::from(weight))
            })
            .collect();
        Document::new(format!("{at:06}"), SparseVector::new(terms).unwrap())
    })
}

#[test]
fn building_stays_within_its_budget() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    const DOCUMENTS: u32 = 40_000;
    const BUDGET: usize = 6 << 20;
    // What `Config::memory_budget` says that documents need in any case, and buffers of files.
    const ALLOWED: usize = BUDGET + 50 * DOCUMENTS as usize + (1 << 20);
    let dir = tempfile::tempdir().unwrap();
    let config = Config::new()
        .memory_budget(BUDGET)
        .threads(2)
        .ordered_from(1)
        .keep_lists();
    let index = Index::create(dir.path().join("index"), config).unwrap();
    let used = peak(|| {
        let mut writer = index.writer().unwrap();
        for document in long_documents(DOCUMENTS) {
            writer.upsert(document).unwrap();
        }
        writer.merge_all(&mut Progress::none()).unwrap();
        writer.commit().unwrap();
    });
    println!("{used} bytes where {ALLOWED} are allowed");
    assert!(used <= ALLOWED, "{used} bytes, {ALLOWED} allowed");
    let snapshot = index.snapshot().unwrap();
    assert_eq!(snapshot.document_count(), u64::from(DOCUMENTS));
    let query = Query::new(SparseVector::new([(5, 1.0), (300, 2.0)]).unwrap()).top(10);
    let exhaustive = snapshot.exhaustive().search(&query).unwrap();
    assert_eq!(snapshot.search(&query).unwrap(), exhaustive);
}

/// What was replaced before it was written takes a place, too, and the smallest documents cost more for
/// their places than for themselves.
#[test]
fn many_small_documents_and_many_versions_of_few_stay_within_the_budget() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    const UPSERTS: u32 = 200_000;
    const BUDGET: usize = 6 << 20;
    for keys in [3, UPSERTS] {
        let dir = tempfile::tempdir().unwrap();
        let index = Index::create(
            dir.path().join("index"),
            Config::new().memory_budget(BUDGET),
        );
        let index = index.unwrap();
        let used = peak(|| {
            let mut writer = index.writer().unwrap();
            for at in 0..UPSERTS {
                let vector = SparseVector::new([(at % 7, 1.0)]).unwrap();
                let key = format!("{}", at % keys);
                writer.upsert(Document::new(key, vector)).unwrap();
            }
            writer.commit().unwrap();
        });
        // What `Config::memory_budget` says that a merge needs in any case, and buffers of files.
        let allowed = BUDGET + 50 * keys as usize + (1 << 20);
        println!("{keys} keys: {used} bytes where {allowed} are allowed");
        assert!(used <= allowed, "{used} bytes, {allowed} allowed");
        assert_eq!(index.snapshot().unwrap().document_count(), u64::from(keys));
    }
}

/// From a disk: a mapped file takes no memory, a copied one its own bytes.
#[test]
fn whole_files_stay_within_the_bound_too() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let files = large(1000);
    let total: usize = files.values().map(|bytes| bytes.len()).sum();
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in &files {
        std::fs::write(dir.path().join(name), &**bytes).unwrap();
    }
    for reading in [Reading::Mapped, Reading::Copied] {
        let config = Config::new().reading(reading);
        let used = peak(|| {
            let index = Index::open_with(dir.path(), config).unwrap();
            let snapshot = index.snapshot().unwrap();
            let query = Query::new(vector(1)).top(10);
            assert!(!snapshot.search(&query).unwrap().is_empty());
        });
        println!("{reading:?}: {used} bytes for {total}");
        assert!(used <= 2 * total + CONSTANT);
    }
}
