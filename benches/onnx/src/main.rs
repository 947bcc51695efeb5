//! The library's half of `compare.py`: encodes the same texts and prints how long that took.
//!
//! ```text
//! bench-onnx encode MODEL_DIR TEXTS.jsonl THREADS SESSIONS BATCH_TOKENS
//! bench-onnx native MODEL_DIR TEXTS.jsonl THREADS
//! bench-onnx pooling TERMS TOKENS
//! bench-onnx golden MODEL_DIR GOLDEN.json
//! bench-onnx queries MODEL_DIR TEXTS.jsonl
//! bench-onnx search MODEL_DIR INDEX TEXTS.jsonl
//! ```

use std::{error::Error, fs, time::Instant};

use sparsely::{
    Encoder, Hits, Index, Mode, Query, Searcher, SparseVector,
    encode::{
        InferenceFreeEncoder, Pool, Pooling, Pruning,
        native::NativeOptions,
        onnx::{OnnxEncoder, OnnxOptions},
    },
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let arguments: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    match arguments[..] {
        ["encode", model, texts, threads, sessions, tokens] => {
            let encoder = OnnxOptions::new()
                .threads(threads.parse()?)
                .sessions(sessions.parse()?)
                .batch_tokens(tokens.parse()?)
                .open(model)?;
            encode(&encoder, || encoder.tally().tokens, texts)
        }
        ["native", model, texts, threads] => {
            let encoder = NativeOptions::new().threads(threads.parse()?).open(model)?;
            encode(&encoder, || encoder.tally().tokens, texts)
        }
        ["pooling", terms, tokens] => pooling(terms.parse()?, tokens.parse()?),
        ["golden", model, golden] => compare(model, golden),
        ["queries", model, texts] => queries(model, texts),
        ["search", model, index, texts] => search(model, index, texts),
        _ => Err("usage: bench-onnx encode|native|golden|queries|search MODEL_DIR FILE ..., or bench-onnx pooling TERMS TOKENS".into()),
    }
}

fn read(path: &str) -> Result<Vec<String>, Box<dyn Error>> {
    let mut texts = Vec::new();
    for line in fs::read_to_string(path)?.lines() {
        let line: serde_json::Value = serde_json::from_str(line)?;
        texts.push(line["text"].as_str().unwrap_or_default().to_owned());
    }
    Ok(texts)
}

fn encode(
    encoder: &dyn Encoder,
    tokens: impl Fn() -> u64,
    texts: &str,
) -> Result<(), Box<dyn Error>> {
    let texts = read(texts)?;
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    encoder.encode_documents(&texts[..texts.len().min(4)])?;
    let before = tokens();
    let begun = Instant::now();
    let busy = processor_seconds();
    let vectors = encoder.encode_documents(&texts)?;
    let (seconds, busy) = (begun.elapsed().as_secs_f64(), processor_seconds() - busy);
    let nnz: usize = vectors.iter().map(SparseVector::len).sum();
    println!(
        "{}",
        serde_json::json!({
            "texts": texts.len(), "tokens": tokens() - before, "seconds": seconds,
            "processor_seconds": busy, "nnz": nnz, "peak_megabytes": peak_megabytes(),
        })
    );
    Ok(())
}

/// What this process has used of the processor, which other work on the machine changes less than
/// the time on the wall. Linux only.
fn processor_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok());
    (ticks(12).unwrap_or(0.0) + ticks(13).unwrap_or(0.0)) / 100.0
}

fn peak_megabytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) / 1024
}

/// What pooling a text costs, of logits that are in no cache.
fn pooling(terms: usize, tokens: usize) -> Result<(), Box<dyn Error>> {
    let logits: Vec<f32> = (0..terms * tokens)
        .map(|at| ((at * 7919) % 2003) as f32 / 200.0 - 9.5)
        .collect();
    let mut pool = Pool::new(Pooling::SPLADE, terms);
    let mut best = f64::INFINITY;
    let mut nnz = 0;
    for _ in 0..9 {
        let begun = Instant::now();
        pool.add(&logits)?;
        nnz = pool.finish(Pruning::NONE.document())?.len();
        best = best.min(begun.elapsed().as_secs_f64());
    }
    println!("{:.2} us a token, {nnz} terms", best * 1e6 / tokens as f64);
    Ok(())
}

fn compare(model: &str, golden: &str) -> Result<(), Box<dyn Error>> {
    let golden: serde_json::Value = serde_json::from_slice(&fs::read(golden)?)?;
    let texts: Vec<&str> = golden["texts"]
        .as_array()
        .ok_or("no texts")?
        .iter()
        .filter_map(|text| text.as_str())
        .collect();
    let expected: Vec<Vec<(u32, f32)>> = serde_json::from_value(golden["vectors"].clone())?;
    for batch in [1, 32] {
        let encoder = OnnxOptions::new().batch_tokens(4096).open(model)?;
        let mut worst = 0.0_f32;
        for (texts, expected) in texts.chunks(batch).zip(expected.chunks(batch)) {
            for (vector, expected) in encoder.encode_documents(texts)?.iter().zip(expected) {
                let expected = SparseVector::new(expected.iter().copied())?;
                worst = worst.max(difference(vector, &expected));
                worst = worst.max(difference(&expected, vector));
            }
        }
        println!(
            "{model}: batches of {batch}: {} texts differ by at most {worst:.1e}",
            texts.len()
        );
        if worst > 1e-4 {
            return Err("the vectors do not agree".into());
        }
    }
    Ok(())
}

fn difference(one: &SparseVector, other: &SparseVector) -> f32 {
    one.iter()
        .map(|(term, weight)| (weight - other.weight(term).unwrap_or(0.0)).abs())
        .fold(0.0, f32::max)
}

fn queries(model: &str, texts: &str) -> Result<(), Box<dyn Error>> {
    let encoder = InferenceFreeEncoder::open(model)?;
    let texts = read(texts)?;
    let (mut best, mut rounds) = (f64::INFINITY, 0);
    let mut terms = 0;
    let busy = processor_seconds();
    // The processor's clock ticks slowly.
    while processor_seconds() - busy < 1.0 {
        let begun = Instant::now();
        for text in &texts {
            terms += encoder.encode_query(text)?.len();
        }
        best = best.min(begun.elapsed().as_secs_f64());
        rounds += 1;
    }
    let queries = (rounds * texts.len()) as f64;
    println!(
        "{:.1} us of processor time a query, {:.1} us in the best of {rounds} rounds; {:.1} terms; {} queries",
        (processor_seconds() - busy) * 1e6 / queries,
        best * 1e6 / texts.len() as f64,
        terms as f64 / queries,
        texts.len()
    );
    Ok(())
}

/// Searches an index that `encode --out` made of the same model, in every way that has to agree.
fn search(model: &str, index: &str, texts: &str) -> Result<(), Box<dyn Error>> {
    let encoder = OnnxEncoder::open(model)?;
    let snapshot = Index::open(index)?.snapshot()?;
    let texts = read(texts)?;
    let (mut encoding, mut searching, mut terms) = (0.0, Vec::new(), 0);
    let mut worst = 0.0_f32;
    let mut shown = None;
    for text in &texts {
        let busy = processor_seconds();
        let vector = encoder.encode_query(text)?;
        encoding += processor_seconds() - busy;
        terms += vector.len();
        let query = Query::new(vector).top(10);
        let begun = Instant::now();
        let hits = snapshot.search(&query)?;
        searching.push(begun.elapsed().as_secs_f64());
        let all = snapshot.search(&query.clone().mode(Mode::Exhaustive))?;
        let pairs = |hits: &Hits| -> Vec<(String, f32)> {
            hits.iter()
                .map(|hit| (hit.key().to_string(), hit.score()))
                .collect()
        };
        if pairs(&hits) != pairs(&all) {
            return Err(format!("exact and exhaustive search differ for {text:?}").into());
        }
        let first = hits.iter().next().ok_or("nothing was found")?;
        let explanation = snapshot.explain(&query, first.key())?;
        let sum: f32 = explanation.terms.iter().map(|term| term.contribution).sum();
        worst = worst.max((sum - first.score()).abs() / first.score());
        shown.get_or_insert_with(|| explanation.labeled(|term| encoder.term(term)));
    }
    searching.sort_by(f64::total_cmp);
    let microseconds = |at: usize| searching[at.min(searching.len() - 1)] * 1e6;
    println!(
        "{} queries of {} terms: encoding {:.1} ms of processor time each, searching {:.0} us p50, {:.0} us p99; exact agrees with exhaustive; explanations add up to the score within {worst:.1e}",
        texts.len(),
        terms / texts.len(),
        encoding * 1e3 / texts.len() as f64,
        microseconds(texts.len() / 2),
        microseconds(texts.len() * 99 / 100),
    );
    if let Some(explanation) = shown {
        println!("{} {}", explanation.score, explanation.key);
        for term in explanation.terms.iter().take(5) {
            println!("  {term:?}");
        }
    }
    Ok(())
}
