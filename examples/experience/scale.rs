//! Recall and recording at scale: many episodes made out of the real ones of a file, by exchanging
//! a part of their words for other words of the file. The same seed makes the same episodes.

use std::{error::Error, fs, time::Instant};

use serde_json::json;
use sparsely::{
    Progress, Scratch,
    memory::{ExperienceStore, Outcome, Recall, Step, StoreConfig, Trajectory},
};

use crate::{
    arguments::Scale,
    commands::{Done, directory_len, encoder, read_file},
};

/// Episodes in one commit.
const BATCH: usize = 5_000;
/// One word in so many is exchanged.
const EXCHANGED: u64 = 6;
/// Queries that are timed, and episodes that are recorded one by one.
const QUERIES: usize = 500;
const SINGLE: usize = 20;
/// Of so many runs of one query the quickest counts, so that what else the machine does is left
/// out.
const REPETITIONS: usize = 5;

pub(crate) fn run(arguments: &Scale, as_json: bool) -> Done {
    let episodes = read_file(&arguments.file)?
        .into_iter()
        .map(|(_, read)| read)
        .collect::<sparsely::Result<Vec<Trajectory>>>()?;
    let mut maker = Maker::new(&episodes, 7)?;
    let config = StoreConfig::new().near_duplicate(2.0);
    let mut store = ExperienceStore::open_or_create(&arguments.store, encoder(), config)?;
    if arguments.reuse {
        // Other episodes than those that filled the store, under ids that it has not.
        maker.state = 8;
        maker.made = arguments.episodes + 1_000 * usize::try_from(store.commit_id().get())?;
    }
    let begun = Instant::now();
    while !arguments.reuse && maker.made < arguments.episodes {
        let count = BATCH.min(arguments.episodes - maker.made);
        let batch: Vec<Trajectory> = (0..count).map(|_| maker.make()).collect();
        store.record_all(batch, &mut Progress::none())?;
    }
    let build_seconds = begun.elapsed().as_secs_f64();
    let bytes = directory_len(&arguments.store)?;

    let mut scratch = Scratch::new();
    let mut found = 0;
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..QUERIES {
        let asked = maker.make();
        let partial = asked.steps().iter().take(10).cloned();
        for (at, recall) in [
            Recall::at_start(asked.task()).top(4),
            Recall::at_step(asked.task(), partial).top(4),
        ]
        .into_iter()
        .enumerate()
        {
            let query = store.encode(&recall)?;
            let mut least = f64::MAX;
            for _ in 0..REPETITIONS {
                let begun = Instant::now();
                found += store.recall_encoded(&recall, &query, &mut scratch)?.len();
                least = least.min(begun.elapsed().as_secs_f64() * 1e6);
            }
            times[at].push(least);
        }
    }
    for _ in 0..SINGLE {
        let episode = maker.make();
        let begun = Instant::now();
        store.record(episode)?;
        times[2].push(begun.elapsed().as_secs_f64() * 1e6);
    }
    let [at_start, at_step, record] = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
        json!({"p50_us": at(0.5), "p90_us": at(0.9), "p99_us": at(0.99), "least_us": at(0.0)})
    });
    let stats = store.index().snapshot()?.document_count();
    let report = json!({
        "episodes": arguments.episodes,
        "documents": stats,
        "build_seconds": build_seconds,
        "bytes": bytes,
        "bytes_per_episode": bytes as f64 / arguments.episodes.max(1) as f64,
        "queries": QUERIES,
        "repetitions": REPETITIONS,
        "found": found,
        "static_recall": at_start,
        "dynamic_recall": at_step,
        "record_one": record,
    });
    match as_json {
        true => crate::say(format_args!("{report}")),
        false => crate::say(format_args!("{report:#}")),
    }
    if !arguments.keep {
        drop(store);
        fs::remove_dir_all(&arguments.store)?;
    }
    Ok(())
}

/// Makes episodes out of episodes.
struct Maker<'a> {
    episodes: &'a [Trajectory],
    words: Vec<&'a str>,
    state: u64,
    made: usize,
}

impl<'a> Maker<'a> {
    fn new(episodes: &'a [Trajectory], seed: u64) -> Result<Maker<'a>, Box<dyn Error>> {
        let texts = episodes.iter().flat_map(|episode| {
            let observed = episode.steps().iter().map(Step::observation);
            std::iter::once(episode.task()).chain(observed)
        });
        let mut words: Vec<&str> = texts
            .flat_map(str::split_whitespace)
            .filter(|word| word.len() > 3)
            .collect();
        words.sort_unstable();
        words.dedup();
        match episodes.is_empty() || words.is_empty() {
            true => Err("the file has no episodes with words".into()),
            false => Ok(Maker {
                episodes,
                words,
                state: seed,
                made: 0,
            }),
        }
    }

    fn make(&mut self) -> Trajectory {
        let at = self.below(self.episodes.len());
        let real = &self.episodes[at];
        let task = self.vary(real.task());
        let mut made = Trajectory::new(format!("{}-{}", real.id(), self.made), task)
            .with_outcome([Outcome::Success, Outcome::Failure][self.below(2)]);
        if let Some(environment) = real.environment() {
            made = made.with_environment(environment);
        }
        for step in real.steps() {
            let action = self.vary(step.action());
            let observation = self.vary(step.observation());
            let varied = Step::new(action, observation);
            made = made.with_step(match step.thought() {
                Some(thought) => varied.with_thought(self.vary(thought)),
                None => varied,
            });
        }
        self.made += 1;
        made
    }

    fn vary(&mut self, text: &str) -> String {
        let mut words = Vec::new();
        for word in text.split_whitespace() {
            let exchange = word.len() > 3 && self.next().is_multiple_of(EXCHANGED);
            words.push(match exchange {
                true => {
                    let other = self.below(self.words.len());
                    self.words[other]
                }
                false => word,
            });
        }
        words.join(" ")
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
