//! Brings an index up to date with a tree.
//!
//! A file is taken as unchanged without being read only when its size is as recorded and its stamp
//! (times of modification and change, inode, device) is too; else it is read and its digest decides.
//! So a copied index works beside a copied tree: everything is read once, nothing is encoded. Files
//! are read, cut and encoded on all cores; one thread writes. Commits come often enough that a kill
//! loses seconds of work, and each leaves passages and ledger in step.

use std::{
    collections::HashSet,
    path::Path,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use crossbeam::channel;
use sparsely::{Config, Index, Progress, Writer};

use crate::{
    encoders::PassageEncoder,
    failure::Failure,
    files::{self, FileWork},
    ledger::{FileState, Ledger, RunState, passage_key},
    passages::{Cutter, RULES},
    place,
    progress::Reporter,
    walk::{self, Candidate, SkipCounts, Walk},
};

/// Source after which a commit is made, whatever the time.
const COMMIT_BYTES: u64 = 64 << 20;

/// A kill loses the work of this time, or this share of the whole run: what is more. Much more
/// frequent commits would make more merges.
const COMMIT_TIME: Duration = Duration::from_secs(2);
const COMMIT_SHARE: u32 = 20;

/// Smaller indexes are as good in a few segments as in one; for larger ones the index's own merging
/// has to do, as ordering so many passages at once would take memory that grows with them.
const SETTLE_PASSAGES: std::ops::Range<usize> = 10_000..250_000;

/// What the writer may hold of an unfinished commit.
const WRITER_BYTES: usize = 96 << 20;

/// What a run did.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    pub(crate) files: u64,
    pub(crate) passages: u64,
    pub(crate) added: u64,
    pub(crate) changed: u64,
    pub(crate) unchanged: u64,
    pub(crate) removed: u64,
    /// Source that was read.
    pub(crate) bytes_read: u64,
    pub(crate) skipped: SkipCounts,
    pub(crate) seconds: f64,
}

/// Walks `root` and makes the index in `dir` hold what is there, and nothing else.
pub(crate) fn update(
    root: &Path,
    dir: &Path,
    encoder: &PassageEncoder,
    reporter: &Reporter,
) -> Result<Summary, Failure> {
    let start = Instant::now();
    let failed = |error: sparsely::Error| Failure::of(&error, dir);
    place::prepare(dir)?;
    let threads = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(32);
    let config = Config::for_encoder(encoder.as_encoder())
        .memory_budget(WRITER_BYTES)
        .threads(threads);
    let index = Index::open_or_create(dir, config).map_err(failed)?;
    place::hide_from_git(dir);
    let writer = index.writer().map_err(failed)?;
    let snapshot = index.snapshot().map_err(failed)?;
    let ledger = Ledger::load(&snapshot).map_err(|error| error.failure(dir))?;
    drop(snapshot);

    reporter.stage("looking through the tree");
    let walk = walk::walk(root, dir);
    let mut run = Run {
        root,
        encoder,
        reporter,
        writer,
        ledger,
        summary: Summary::default(),
        written: 0,
        uncommitted: 0,
        start,
        last_commit: Instant::now(),
    };
    run.work(walk, threads).map_err(failed)?;
    let mut summary = run.summary;
    drop(run.writer);
    for (_, state) in run.ledger.files() {
        match state.skipped.as_deref().and_then(walk::Skip::from_key) {
            Some(reason) => *summary.skipped.entry(reason).or_default() += 1,
            None => {
                summary.files += 1;
                summary.passages += u64::try_from(state.passages.len()).unwrap_or(0);
            }
        }
    }
    summary.seconds = start.elapsed().as_secs_f64();
    reporter.finish();
    Ok(summary)
}

struct Run<'a> {
    root: &'a Path,
    encoder: &'a PassageEncoder,
    reporter: &'a Reporter,
    writer: Writer,
    ledger: Ledger,
    summary: Summary,
    /// Passages written in this run.
    written: usize,
    /// Bytes of source since the last commit.
    uncommitted: u64,
    start: Instant,
    last_commit: Instant,
}

impl Run<'_> {
    fn work(&mut self, walk: Walk, threads: usize) -> sparsely::Result<()> {
        self.summary.skipped = walk.skipped.clone();
        let skipped = walk.skipped.iter();
        let finished = RunState {
            rules: RULES,
            complete: true,
            skipped: skipped
                .map(|(reason, count)| (reason.key().to_owned(), *count))
                .collect(),
        };
        let is_current = self.ledger.is_current();
        let there: HashSet<&str> = walk
            .candidates
            .iter()
            .map(|file| file.path.as_str())
            .collect();
        let known = self.ledger.files();
        let gone: Vec<String> = known
            .filter(|(path, _)| !there.contains(path))
            .map(|(path, _)| path.to_owned())
            .collect();
        for path in gone {
            self.remove(&path)?;
        }
        let (settled, open): (Vec<Candidate>, Vec<Candidate>) =
            walk.candidates.into_iter().partition(|file| {
                let known = self.ledger.get(&file.path);
                is_current && known.is_some_and(|known| is_settled(file, known))
            });
        let is_indexed = |file: &&Candidate| {
            let known = self.ledger.get(&file.path);
            known.is_some_and(|known| known.skipped.is_none())
        };
        let settled = settled.iter().filter(is_indexed).count();
        self.summary.unchanged += u64::try_from(settled).unwrap_or(0);
        if !open.is_empty() {
            // While passages of old and new rules stand side by side, the old ones win.
            let is_new = self.ledger.files().next().is_none();
            self.ledger.set_run(RunState {
                rules: if is_current || is_new { RULES } else { 0 },
                complete: false,
                skipped: finished.skipped.clone(),
            });
            self.read_all(&open, is_current, threads)?;
            self.settle()?;
        }
        self.ledger.set_run(finished);
        if self.ledger.is_dirty() {
            self.commit()?;
        }
        Ok(())
    }

    /// After a run that built most of the index: one segment is the smallest and fastest form. The
    /// commit that ends the run follows, so that the index need not keep the segments of before.
    fn settle(&mut self) -> sparsely::Result<()> {
        let files = self.ledger.files();
        let passages: usize = files.map(|(_, file)| file.passages.len()).sum();
        if self.written < passages / 2 || !SETTLE_PASSAGES.contains(&passages) {
            return Ok(());
        }
        self.commit()?;
        let reporter = self.reporter;
        let mut report = |step: sparsely::Step| {
            reporter.stage(step.stage);
            std::ops::ControlFlow::Continue(())
        };
        self.writer.merge_all(&mut Progress::new(&mut report))?;
        self.writer.commit()?;
        Ok(())
    }

    /// Reads files on `threads` threads and writes what they give, until all are done or one fails.
    fn read_all(
        &mut self,
        open: &[Candidate],
        is_current: bool,
        threads: usize,
    ) -> sparsely::Result<()> {
        let total = open.iter().map(|file| file.size).sum();
        self.reporter.begin(total);
        let known: Vec<Option<FileState>> = open
            .iter()
            .map(|file| self.ledger.get(&file.path).filter(|_| is_current).cloned())
            .collect();
        let (root, encoder) = (self.root, self.encoder);
        let next = AtomicUsize::new(0);
        let stop = AtomicBool::new(false);
        // Each message may hold the documents of a file of 1 MiB, so few may wait.
        let (sender, receiver) = channel::bounded(2 * threads);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                let (sender, known, next, stop) = (sender.clone(), &known, &next, &stop);
                scope.spawn(move || {
                    let mut cutter = Cutter::new();
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        if at >= open.len() || stop.load(Ordering::Relaxed) {
                            return;
                        }
                        let known = known[at].as_ref();
                        let work = files::work(root, &open[at], known, encoder, &mut cutter);
                        if sender.send((at, work)).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(sender);
            let mut result = Ok(());
            for (at, work) in &receiver {
                result = work.and_then(|work| self.take(&open[at], work));
                if result.is_err() {
                    stop.store(true, Ordering::Relaxed);
                    break;
                }
            }
            // Workers that wait to send give up when nobody receives.
            drop(receiver);
            result
        })
    }

    fn take(&mut self, candidate: &Candidate, work: FileWork) -> sparsely::Result<()> {
        let path = &candidate.path;
        let known = self.ledger.get(path);
        match (known, work.is_unchanged) {
            _ if work.state.skipped.is_some() => {}
            (_, true) => self.summary.unchanged += 1,
            (None, false) => self.summary.added += 1,
            (Some(_), false) => self.summary.changed += 1,
        }
        self.summary.bytes_read += work.state.size;
        if known == Some(&work.state) && work.is_unchanged {
            self.reporter.advance(candidate.size);
            return Ok(());
        }
        if !work.is_unchanged {
            let new: HashSet<(usize, usize)> = work.state.passages.iter().copied().collect();
            let old = known.map_or(&[][..], |known| &known.passages);
            let gone: Vec<_> = old
                .iter()
                .filter(|lines| !new.contains(lines))
                .copied()
                .collect();
            for lines in gone {
                self.writer.delete(passage_key(path, lines))?;
            }
            self.written += work.documents.len();
            for document in work.documents {
                self.writer.upsert(document)?;
            }
            self.uncommitted += work.state.size;
        }
        self.ledger.put(path, work.state);
        self.reporter.advance(candidate.size);
        let interval = COMMIT_TIME.max(self.start.elapsed() / COMMIT_SHARE);
        let is_late = self.uncommitted > 0 && self.last_commit.elapsed() > interval;
        if self.uncommitted > COMMIT_BYTES || is_late {
            self.commit()?;
        }
        Ok(())
    }

    fn remove(&mut self, path: &str) -> sparsely::Result<()> {
        if let Some(state) = self.ledger.remove(path) {
            for lines in state.passages {
                self.writer.delete(passage_key(path, lines))?;
            }
            self.summary.removed += 1;
        }
        Ok(())
    }

    fn commit(&mut self) -> sparsely::Result<()> {
        let changes = self.ledger.take_changes().map_err(|error| {
            sparsely::Error::invalid("the list of files", "what JSON can hold", error.to_string())
        })?;
        for document in changes {
            self.writer.upsert(document)?;
        }
        let reporter = self.reporter;
        let mut report = |step: sparsely::Step| {
            reporter.stage(step.stage);
            std::ops::ControlFlow::Continue(())
        };
        self.writer.commit_with(&mut Progress::new(&mut report))?;
        self.uncommitted = 0;
        self.last_commit = Instant::now();
        self.reporter.stage("");
        Ok(())
    }
}

/// Whether the file system vouches that a file is as it was when it was read.
fn is_settled(file: &Candidate, known: &FileState) -> bool {
    file.stamp != 0 && (file.stamp, file.size) == (known.stamp, known.size)
}
