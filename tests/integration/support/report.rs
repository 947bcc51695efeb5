//! Numbers for `tests/reliability.sh`, and work for all cores.

use std::{
    fs::OpenOptions,
    io::Write,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

/// How much work the tests do: `SPARSELY_TIER`, or a sample of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tier {
    Sample,
    Short,
    Nightly,
    Release,
}

impl Tier {
    pub(crate) fn chosen() -> Tier {
        match std::env::var("SPARSELY_TIER").as_deref() {
            Ok("short") => Tier::Short,
            Ok("nightly") => Tier::Nightly,
            Ok("release") => Tier::Release,
            Ok(other) => panic!("SPARSELY_TIER is `{other}`: short, nightly or release"),
            Err(_) => Tier::Sample,
        }
    }

    /// One of four numbers.
    pub(crate) fn pick<T>(self, sample: T, short: T, nightly: T, release: T) -> T {
        match self {
            Tier::Sample => sample,
            Tier::Short => short,
            Tier::Nightly => nightly,
            Tier::Release => release,
        }
    }
}

/// Prints what was counted, and adds it as a line to the file that `SPARSELY_REPORT` names. Called
/// before anything is asserted, so that a failure is counted too.
pub(crate) fn report(numbers: &[(&str, u64)]) {
    let fields: Vec<String> = numbers
        .iter()
        .map(|(name, number)| format!("\"{name}\": {number}"))
        .collect();
    let line = format!("{{{}}}\n", fields.join(", "));
    print!("{line}");
    if let Some(path) = std::env::var_os("SPARSELY_REPORT") {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .unwrap();
        file.write_all(line.as_bytes()).unwrap();
    }
}

/// Does jobs `0..count` on all cores; what they return comes in order.
pub(crate) fn in_parallel<T: Send>(count: usize, job: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads.min(count) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= count {
                        break;
                    }
                    let result = job(at);
                    done.lock().unwrap().push((at, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap();
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}
