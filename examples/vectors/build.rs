//! `vectors build`.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use indicatif::ProgressBar;
use sparsely::{Config, Document, Error, Index, Progress, Result, Step, interchange::CsrFile};

use crate::{ALLOCATOR, BuildArguments};

pub(crate) fn run(arguments: &BuildArguments) -> Result<String> {
    let start = Instant::now();
    let file = CsrFile::open(&arguments.documents)?;
    let mut config = Config::new().threads(arguments.threads);
    if let Some(mebibytes) = arguments.memory {
        config = config.memory_budget(mebibytes << 20);
    }
    if let Some(path) = &arguments.calibration_queries {
        let queries: Result<_> = CsrFile::open(path)?.vectors()?.collect();
        config = config.calibration_queries(queries?);
    }
    if arguments.windows {
        config = config.ordered_from(u64::MAX);
    }
    if arguments.lists {
        config = config.keep_lists();
    }
    if arguments.by_tenant {
        config = config.partition_by("tenant");
    }
    let index = Index::create(&arguments.index, config)?;
    let mut writer = index.writer()?;
    let adding = Instant::now();
    let bar = ProgressBar::no_length();
    for (row, vector) in (0_u32..).zip(file.vectors()?) {
        let vector = vector?;
        #[expect(clippy::big_endian_bytes, reason = "keys then sort as the rows do")]
        let key = row.to_be_bytes();
        let document = match arguments.document_top {
            None => Document::new(&key[..], vector),
            Some(top) => {
                let kept = Document::new(&key[..], vector.keep(top));
                if arguments.full {
                    kept.full_vector(vector)
                } else {
                    kept
                }
            }
        };
        let document = match arguments.tenants {
            Some(count) => document.field("tenant", i64::from(row % count.max(1))),
            None => document,
        };
        writer.upsert(document)?;
    }
    let mut stages = Stages::default();
    stages.add("adding documents", adding.elapsed());
    let mut report = |step: Step| {
        stages.reach(step.stage);
        bar.set_message(step.stage);
        bar.set_length(step.total);
        bar.set_position(step.done);
        std::ops::ControlFlow::Continue(())
    };
    writer.merge_all(&mut Progress::new(&mut report))?;
    writer.commit_with(&mut Progress::new(&mut report))?;
    stages.end();
    bar.finish_and_clear();
    drop(writer);

    let seconds = start.elapsed().as_secs_f64();
    let documents = file.len();
    let bytes = folder_len(&arguments.index)?;
    let per_document = bytes as f64 / documents.max(1) as f64;
    if arguments.json {
        let report = serde_json::json!({
            "documents": documents,
            "seconds": seconds,
            "bytes": bytes,
            "bytes_per_document": per_document,
            "peak_rss_bytes": peak_rss_bytes(),
            "peak_allocated_bytes": ALLOCATOR.peak_usage(),
            "stage_seconds": stages.seconds(),
        });
        return Ok(report.to_string());
    }
    Ok(format!(
        "{documents} documents in {seconds:.1} s, {per_document:.1} bytes a document"
    ))
}

/// How long each stage took, as progress tells them: what comes between two reports is the earlier one's.
#[derive(Default)]
struct Stages {
    all: Vec<(&'static str, Duration)>,
    current: Option<(&'static str, Instant)>,
}

impl Stages {
    fn reach(&mut self, stage: &'static str) {
        if self.current.is_none_or(|(current, _)| current != stage) {
            self.end();
            self.current = Some((stage, Instant::now()));
        }
    }

    fn end(&mut self) {
        if let Some((stage, start)) = self.current.take() {
            self.add(stage, start.elapsed());
        }
    }

    fn add(&mut self, stage: &'static str, time: Duration) {
        match self.all.iter_mut().find(|known| known.0 == stage) {
            Some((_, sum)) => *sum += time,
            None => self.all.push((stage, time)),
        }
    }

    fn seconds(&self) -> serde_json::Map<String, serde_json::Value> {
        let all = self.all.iter();
        all.map(|(stage, time)| ((*stage).to_owned(), time.as_secs_f64().into()))
            .collect()
    }
}

fn folder_len(path: &Path) -> Result<u64> {
    let read = || {
        fs::read_dir(path)?
            .map(|entry| Ok(entry?.metadata()?.len()))
            .sum()
    };
    let sum: std::io::Result<u64> = read();
    sum.map_err(|error| Error::io("list", path, error))
}

/// The most memory that this process ever held, mapped pages of files among it, where the system says so; otherwise nothing.
fn peak_rss_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
