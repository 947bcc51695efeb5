//! The head of an autoencoder, measured against what this machine can multiply.
//!
//!     cargo bench --features sae --bench sae [-- THREADS]
//!
//! The yardstick is a loop of fused multiply-adds that never leaves the registers; no product of
//! matrices reaches it. Shares are of that, on as many threads. On one thread, where Linux says how
//! long that had a processor, the time is that, so that other work on the machine counts little.
#![allow(
    unsafe_code,
    missing_debug_implementations,
    reason = "the loop needs the instructions that this machine was seen to have"
)]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use sparsely::encode::sae::{Activation, Autoencoder, AutoencoderParts, Description, Threshold};

fn main() {
    let threads = std::env::args().filter_map(|word| word.parse().ok()).next();
    let threads: usize = threads.unwrap_or(1);
    println!("threads {threads}");
    println!("what | multiply-adds G/s | share of the registers' | ms | texts/s of 128 tokens");
    let jump = || Activation::JumpRelu(Threshold::Scalar(0.5));
    let cases: Vec<(&str, usize, usize, usize, Activation)> = vec![
        ("relu, 512 tokens", 384, 16_384, 512, Activation::Relu),
        ("jumprelu, 512 tokens", 384, 16_384, 512, jump()),
        (
            "topk 32, 512 tokens",
            384,
            16_384,
            512,
            Activation::TopK(32),
        ),
        ("jumprelu, a query of 16", 384, 16_384, 16, jump()),
        ("jumprelu, 512 tokens", 384, 131_072, 512, jump()),
        ("jumprelu, a query of 16", 384, 131_072, 16, jump()),
        ("jumprelu, 128 tokens", 2304, 65_536, 128, jump()),
        ("jumprelu, a query of 16", 2304, 65_536, 16, jump()),
        ("jumprelu, 128 tokens", 4096, 131_072, 128, jump()),
        ("jumprelu, a query of 16", 4096, 131_072, 16, jump()),
        ("jumprelu, 128 tokens", 64, 1_048_576, 128, jump()),
    ];
    for (what, hidden, latents, tokens, activation) in cases {
        let mut parts = AutoencoderParts::new(hidden, latents, activation);
        fill(&mut parts.encoder, 1);
        parts.bias.fill(-1.0);
        let mut states = vec![0.0; hidden * tokens];
        fill(&mut states, 2);
        let memory = Autoencoder::from_parts(parts).expect("an autoencoder");
        measure(what, &memory, &states, threads);
        if (hidden, latents, tokens) == (384, 16_384, 512) {
            let folder = tempfile::tempdir().expect("a directory");
            Description::new(".")
                .write(folder.path(), &memory)
                .expect("written");
            let mapped = Autoencoder::open(folder.path()).expect("opened");
            measure(&format!("{what}, mapped"), &mapped, &states, threads);
        }
    }
}

/// The best of some runs, and the yardstick measured right beside each: other work on the machine
/// slows both.
fn measure(what: &str, autoencoder: &Autoencoder, states: &[f32], threads: usize) {
    let (hidden, latents) = (autoencoder.hidden(), autoencoder.latents());
    let tokens = states.len() / hidden;
    let work = as_f64(hidden) * as_f64(latents) * as_f64(tokens);
    let (mut best, mut peak) = (Duration::MAX, 0.0_f64);
    let begin = Instant::now();
    let mut runs = 0;
    while runs < 3 || (begin.elapsed() < Duration::from_secs(4) && runs < 12) {
        peak = peak.max(registers(threads));
        // Many ticks long: processor time is counted in those.
        let (start, mut repeats) = (Clock::start(threads), 0);
        while repeats == 0 || start.wall.elapsed() < Duration::from_millis(200) {
            let latents = autoencoder.strongest(black_box(states), threads);
            black_box(latents.expect("latents"));
            repeats += 1;
        }
        best = best.min(start.elapsed() / repeats);
        runs += 1;
    }
    let rate = work / best.as_secs_f64();
    println!(
        "{hidden} x {latents}, {what} | {:.1} | {:.0} % of {:.1} | {:.2} | {:.1}",
        rate / 1e9,
        100.0 * rate / peak,
        peak / 1e9,
        best.as_secs_f64() * 1e3,
        as_f64(tokens) / 128.0 / best.as_secs_f64(),
    );
}

/// Time on a processor where that is known, else on the wall.
struct Clock {
    wall: Instant,
    processor: Option<Duration>,
}

impl Clock {
    fn start(threads: usize) -> Clock {
        Clock {
            wall: Instant::now(),
            processor: if threads == 1 { processor() } else { None },
        }
    }

    fn elapsed(&self) -> Duration {
        match (self.processor, processor()) {
            (Some(start), Some(end)) => end - start,
            _ => self.wall.elapsed(),
        }
    }
}

/// How long this thread has had a processor.
fn processor() -> Option<Duration> {
    let words = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds = words.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}

/// Multiply-adds a second that never leave the registers.
fn registers(threads: usize) -> f64 {
    const ROUNDS: u32 = 1 << 25;
    let start = Clock::start(threads);
    let done: f64 = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(|| work(ROUNDS))).collect();
        let own = work(ROUNDS);
        own + others
            .into_iter()
            .map(|thread| thread.join().expect("a thread"))
            .sum::<f64>()
    });
    done / start.elapsed().as_secs_f64()
}

#[cfg(target_arch = "x86_64")]
fn work(rounds: u32) -> f64 {
    use core::arch::x86_64::*;

    #[target_feature(enable = "avx512f")]
    fn wide(rounds: u32) -> f64 {
        let (a, b) = (
            _mm512_set1_ps(black_box(0.999)),
            _mm512_set1_ps(black_box(1e-3)),
        );
        let mut sums = [b; 16];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(*sum, a, b);
            }
        }
        black_box(sums.map(|sum| _mm512_reduce_add_ps(sum)));
        f64::from(rounds) * 256.0
    }

    #[target_feature(enable = "avx2,fma")]
    fn narrow(rounds: u32) -> f64 {
        let (a, b) = (
            _mm256_set1_ps(black_box(0.999)),
            _mm256_set1_ps(black_box(1e-3)),
        );
        let mut sums = [b; 12];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(*sum, a, b);
            }
        }
        black_box(sums.map(|sum| _mm256_cvtss_f32(sum)));
        f64::from(rounds) * 96.0
    }

    if std::is_x86_feature_detected!("avx512f") {
        // SAFETY: the CPU has what the function is compiled for, as was just seen.
        return unsafe { wide(rounds) };
    }
    if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
        // SAFETY: the CPU has what the function is compiled for, as was just seen.
        return unsafe { narrow(rounds) };
    }
    plain(rounds)
}

#[cfg(not(target_arch = "x86_64"))]
fn work(rounds: u32) -> f64 {
    plain(rounds)
}

fn plain(rounds: u32) -> f64 {
    let (a, b) = (black_box(0.999_f32), black_box(1e-3_f32));
    let mut sums = [[b; 4]; 16];
    for _ in 0..rounds {
        for sum in sums.as_flattened_mut() {
            *sum = if cfg!(target_arch = "aarch64") {
                sum.mul_add(a, b)
            } else {
                *sum * a + b
            };
        }
    }
    black_box(sums);
    f64::from(rounds) * 64.0
}

fn fill(values: &mut [f32], seed: u32) {
    let mut state = seed;
    for value in values {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let [_, _, low, high] = state.to_le_bytes();
        *value = f32::from(i16::from_le_bytes([low, high])) / 65_536.0;
    }
}

#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
fn as_f64(size: usize) -> f64 {
    size as f64
}
