//! Searches that allocate nothing, held by an allocator that counts; a binary of its own, because
//! it replaces the allocator of all that is in it.
#![allow(unsafe_code, reason = "an allocator is an unsafe trait")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use sparsely::{
    Config, Document, Hits, Index, Progress, Query, Scratch, Searcher, Snapshot, SparseVector,
};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.realloc(place, layout, len) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn vector(seed: u32, terms: u32) -> SparseVector {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    let pairs: std::collections::BTreeMap<u32, f32> = (0..terms)
        .map(|_| {
            let topic = seed % 20 * 40;
            let term = if next() % 3 == 0 {
                1000 + next() % 300
            } else {
                topic + next() % 40
            };
            (term, 0.1 + (next() % 1000) as f32 / 400.0)
        })
        .collect();
    SparseVector::new(pairs).unwrap()
}

fn snapshot(config: Config) -> Snapshot {
    let index = Index::in_memory(config.weight_limit(3.0)).unwrap();
    let mut writer = index.writer().unwrap();
    for number in 0..3000 {
        let key = format!("document {number:04}");
        writer
            .upsert(Document::new(key, vector(number, 30)))
            .unwrap();
    }
    writer.merge_all(&mut Progress::none()).unwrap();
    writer.commit().unwrap();
    drop(writer);
    index.snapshot().unwrap()
}

#[test]
fn a_warm_search_allocates_nothing() {
    let layouts = [
        ("windows", Config::new().ordered_from(u64::MAX)),
        ("blocks", Config::new().ordered_from(0)),
        (
            "blocks and lists",
            Config::new().ordered_from(0).keep_lists(),
        ),
    ];
    for (name, config) in layouts {
        let snapshot = snapshot(config);
        let queries: Vec<Query> = (0..60)
            .map(|at| Query::new(vector(at, 5 + at)).top([1, 10, 100][at as usize % 3]))
            .collect();
        let mut scratch = Scratch::new();
        let mut hits = Hits::default();
        let mut pass = || {
            let before = ALLOCATIONS.with(Cell::get);
            let mut found = 0;
            for query in &queries {
                snapshot
                    .search_into(query, &mut scratch, &mut hits)
                    .unwrap();
                found += hits.len();
            }
            (found, ALLOCATIONS.with(Cell::get) - before)
        };
        let (found, cold) = pass();
        assert!(
            found > 500 && cold > 0,
            "{name}: {found} hits, {cold} allocations"
        );
        pass();
        assert_eq!(pass(), (found, 0), "{name}");
        for query in &queries {
            snapshot
                .search_into(query, &mut scratch, &mut hits)
                .unwrap();
            assert_eq!(hits, snapshot.search(query).unwrap());
        }
    }
}
