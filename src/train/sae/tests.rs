use std::path::{Path, PathBuf};

use super::{
    gradient::{ByLatent, Scale, Setting, pass},
    weights::{Weights, dot, normalize},
    *,
};
use crate::{ErrorKind, Progress, train::random::Random};

fn number(random: &mut Random) -> f32 {
    f32::from(u16::try_from(random.next() & 0xffff).unwrap()) / 32_768.0 - 1.0
}

fn numbers(random: &mut Random, count: usize) -> Vec<f32> {
    (0..count).map(|_| number(random)).collect()
}

fn small_weights(width: usize, latents: usize, seed: u64) -> Weights {
    let mut random = Random::new(seed);
    let mut decoder = numbers(&mut random, latents * width);
    decoder.chunks_exact_mut(width).for_each(normalize);
    Weights {
        width,
        encoder: numbers(&mut random, latents * width),
        encoder_bias: numbers(&mut random, latents),
        decoder,
        decoder_bias: numbers(&mut random, width),
    }
}

/// Squared errors of the main and, for fixed leftovers, of the auxiliary reconstruction.
fn errors(weights: &Weights, rows: &[f32], setting: Setting<'_>, leftovers: &[f32]) -> (f64, f64) {
    let (mut main, mut auxiliary) = (0.0, 0.0);
    let mut token = 0;
    for block in pass(weights, rows, setting) {
        main += block.main.error;
        let mut start = 0;
        for end in &block.auxiliary.ends {
            let mut left: Vec<f64> = leftovers[token * weights.width..][..weights.width]
                .iter()
                .map(|value| -f64::from(*value))
                .collect();
            for used in &block.auxiliary.uses[start..*end] {
                let row = &weights.decoder[used.latent as usize * weights.width..][..weights.width];
                left.iter_mut()
                    .zip(row)
                    .for_each(|(left, value)| *left += f64::from(used.value * value));
            }
            auxiliary += left.iter().map(|value| value * value).sum::<f64>();
            (start, token) = (*end, token + 1);
        }
    }
    (main, auxiliary)
}

#[test]
fn slopes_agree_with_finite_differences() {
    let (width, latents) = (6, 20);
    let weights = small_weights(width, latents, 3);
    let mut random = Random::new(4);
    let rows = numbers(&mut random, 9 * width);
    let dead: Vec<u32> = vec![1, 4, 7, 11, 15, 19];
    let setting = Setting {
        active: 5,
        auxiliary: 2,
        dead: &dead,
        threads: 2,
    };
    let blocks = pass(&weights, &rows, setting);
    let leftovers: Vec<f32> = blocks
        .iter()
        .flat_map(|block| block.main.residual.iter().map(|value| -value))
        .collect();
    let by_latent = ByLatent::new(latents, &blocks);
    // Each side on its own; factor 2 makes slopes those of the squared error.
    for (scale, is_main) in [
        (
            Scale {
                main: 2.0,
                auxiliary: 0.0,
            },
            true,
        ),
        (
            Scale {
                main: 0.0,
                auxiliary: 2.0,
            },
            false,
        ),
    ] {
        let error = |weights: &Weights| {
            let (main, auxiliary) = errors(weights, &rows, setting, &leftovers);
            if is_main { main } else { auxiliary }
        };
        let mut checked = 0;
        for latent in 0..latents {
            let (mut encoder, mut decoder) = (vec![0.0; width], vec![0.0; width]);
            let bias = by_latent.slopes(latent, &blocks, scale, &mut encoder, &mut decoder);
            let step = 1e-3;
            let difference = |change: &dyn Fn(&mut Weights, f32)| {
                let moved = |by: f32| {
                    let mut weights = weights.clone();
                    change(&mut weights, by);
                    error(&weights)
                };
                (moved(step) - moved(-step)) / (2.0 * f64::from(step))
            };
            for at in 0..width {
                let place = latent * width + at;
                let of_encoder = difference(&|weights, by| weights.encoder[place] += by);
                let of_decoder = difference(&|weights, by| weights.decoder[place] += by);
                for (got, want) in [(encoder[at], of_encoder), (decoder[at], of_decoder)] {
                    // Where a latent enters or leaves the largest few the error has a step.
                    if want.abs() < 50.0 {
                        assert!(
                            (f64::from(got) - want).abs() < 2e-2 * (1.0 + want.abs()),
                            "latent {latent}: {got}, by differences {want}"
                        );
                        checked += usize::from(got != 0.0);
                    }
                }
            }
            let want = difference(&|weights, by| weights.encoder_bias[latent] += by);
            if want.abs() < 50.0 {
                assert!(
                    (f64::from(bias) - want).abs() < 2e-2 * (1.0 + want.abs()),
                    "bias {latent}: {bias}, by differences {want}"
                );
            }
        }
        assert!(checked > 30, "{checked} slopes that are not 0");
    }
}

/// Tokens that are sums of two of `atoms` hidden directions, away from the origin; one text.
fn planted(folder: &Path, atoms: usize, width: usize, tokens: usize) -> (PathBuf, Vec<f32>) {
    let mut random = Random::new(8);
    let mut directions = numbers(&mut random, atoms * width);
    directions.chunks_exact_mut(width).for_each(normalize);
    let path = folder.join("planted.cache");
    let mut writer = HiddenWriter::create(&path, width, Precision::Single, 1, 1 << 30).unwrap();
    for _ in 0..tokens / 10 {
        let mut text = Vec::new();
        for _ in 0..10 {
            let mut token = vec![0.3; width];
            for _ in 0..2 {
                let atom = random.below(atoms);
                let size = 1.5 + number(&mut random) / 2.0;
                weights::add_scaled(&mut token, size, &directions[atom * width..][..width]);
            }
            text.extend(token);
        }
        writer.add(&text).unwrap();
    }
    writer.finish().unwrap();
    (path, directions)
}

fn small_options() -> AutoencoderOptions {
    AutoencoderOptions {
        latents: 48,
        active: 2,
        auxiliary: 8,
        batch: 256,
        epochs: 12,
        rate: 0.01,
        seed: 2,
        checkpoint_every: 7,
        ..AutoencoderOptions::default()
    }
}

#[test]
fn a_planted_dictionary_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let (path, directions) = planted(folder.path(), 24, 16, 8000);
    let cache = HiddenCache::open(&path).unwrap();
    for start in [Start::Random, Start::Tokens] {
        let options = AutoencoderOptions {
            start,
            ..small_options()
        };
        let (learned, report) = train_autoencoder(&cache, &options, &mut Progress::none()).unwrap();
        let (first, last) = (report.losses[0], report.losses[report.losses.len() - 1]);
        assert!(last < first / 3.0, "{start:?}: loss {first} to {last}");
        assert!(report.explained_variance > 0.9, "{start:?}: {report:?}");
        assert!(report.l0 > 1.5 && report.l0 <= 2.0, "{start:?}: {report:?}");
        let found = directions
            .chunks_exact(16)
            .filter(|direction| {
                learned
                    .decoder
                    .chunks_exact(16)
                    .any(|row| dot(direction, row) > 0.95)
            })
            .count();
        assert!(found >= 21, "{start:?}: {found} of 24 directions");
    }
}

#[test]
fn threads_and_interruptions_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = planted(folder.path(), 24, 16, 3000);
    let cache = HiddenCache::open(&path).unwrap();
    let options = AutoencoderOptions {
        epochs: 4,
        dead_after: Some(600),
        ..small_options()
    };
    let (whole, report) = train_autoencoder(&cache, &options, &mut Progress::none()).unwrap();
    let threads = AutoencoderOptions {
        threads: 3,
        ..options.clone()
    };
    assert_eq!(
        train_autoencoder(&cache, &threads, &mut Progress::none())
            .unwrap()
            .0,
        whole
    );

    let checkpoint = folder.path().join("training.safetensors");
    let options = AutoencoderOptions {
        checkpoint: Some(checkpoint.clone()),
        ..options
    };
    let stops = |at: u64| {
        let mut watch = move |step: crate::Step| match step.done == at {
            true => std::ops::ControlFlow::Break(()),
            false => std::ops::ControlFlow::Continue(()),
        };
        train_autoencoder(&cache, &options, &mut Progress::new(&mut watch)).unwrap_err()
    };
    // Twice, and each time between two checkpoints: what came after the last one is done again.
    assert_eq!(stops(9).kind(), ErrorKind::Cancelled);
    assert_eq!(stops(24).kind(), ErrorKind::Cancelled);
    let (resumed, again) = train_autoencoder(&cache, &options, &mut Progress::none()).unwrap();
    assert_eq!(resumed, whole);
    assert_eq!(again, report);

    let other = AutoencoderOptions {
        seed: 3,
        ..options.clone()
    };
    let error = train_autoencoder(&cache, &other, &mut Progress::none()).unwrap_err();
    assert!(error.to_string().contains("another training's"), "{error}");
    let bytes = std::fs::read(&checkpoint).unwrap();
    for cut in [0, 7, 100, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&checkpoint, &bytes[..cut]).unwrap();
        train_autoencoder(&cache, &options, &mut Progress::none()).unwrap_err();
    }
}

#[test]
fn options_and_caches_that_cannot_be_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.cache");
    let mut writer = HiddenWriter::create(&path, 3, Precision::Half, 5, 200).unwrap();
    writer.add(&[1.0, -2.0, 0.5, 0.0, 3.0, 65_504.0]).unwrap();
    assert!(writer.add(&[1.0]).is_err(), "no whole row");
    for bad in [f32::NAN, f32::INFINITY, 70_000.0] {
        assert_eq!(
            writer.add(&[bad, 0.0, 0.0]).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
    }
    assert_eq!(
        writer.add(&[0.0; 3 * 30]).unwrap_err().kind(),
        ErrorKind::Limit
    );
    assert!(!path.exists(), "nothing stands there before it is whole");
    writer.add(&[]).unwrap();
    writer.finish().unwrap();
    let cache = HiddenCache::open(&path).unwrap();
    assert_eq!(
        (cache.width(), cache.texts(), cache.tokens(), cache.digest()),
        (3, 2, 2, 5)
    );
    assert_eq!((cache.text(0), cache.text(1)), (0..2, 2..2));
    let mut rows = [0.0; 6];
    cache.read(0, &mut rows).unwrap();
    assert_eq!(rows, [1.0, -2.0, 0.5, 0.0, 3.0, 65_504.0]);

    let refused = |options: AutoencoderOptions, what: &str| {
        let error = train_autoencoder(&cache, &options, &mut Progress::none()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(what), "{error}");
    };
    let good = AutoencoderOptions {
        latents: 4,
        active: 2,
        ..AutoencoderOptions::default()
    };
    refused(
        AutoencoderOptions {
            active: 5,
            ..good.clone()
        },
        "active latents",
    );
    refused(
        AutoencoderOptions {
            latents: 0,
            ..good.clone()
        },
        "latents",
    );
    refused(
        AutoencoderOptions {
            rate: f32::NAN,
            ..good.clone()
        },
        "learning rate",
    );
    refused(
        AutoencoderOptions {
            epochs: 0,
            ..good.clone()
        },
        "passes",
    );
    train_autoencoder(&cache, &good, &mut Progress::none()).unwrap();

    let bytes = std::fs::read(&path).unwrap();
    for cut in 0..bytes.len() {
        std::fs::write(&path, &bytes[..cut]).unwrap();
        HiddenCache::open(&path).unwrap_err();
    }
    for (at, value) in [
        (0, b'X'),
        (8, 2),
        (12, 3),
        (16, 0),
        (24, 200),
        (31, 255),
        (32, 200),
        (39, 255),
        (bytes.len() - 9, 1),
    ] {
        let mut damaged = bytes.clone();
        damaged[at] = value;
        std::fs::write(&path, &damaged).unwrap();
        assert_eq!(
            HiddenCache::open(&path).unwrap_err().kind(),
            ErrorKind::Model,
            "byte {at}"
        );
    }
    let mut damaged = bytes;
    damaged[64 + 1] = 0x7e; // A NaN, as a half.
    std::fs::write(&path, &damaged).unwrap();
    let cache = HiddenCache::open(&path).unwrap();
    let error = train_autoencoder(&cache, &good, &mut Progress::none()).unwrap_err();
    assert!(error.to_string().contains("token 0 is NaN"), "{error}");

    let empty = folder.path().join("empty.cache");
    HiddenWriter::create(&empty, 3, Precision::Half, 0, 1 << 20)
        .unwrap()
        .finish()
        .unwrap();
    let error = train_autoencoder(
        &HiddenCache::open(&empty).unwrap(),
        &good,
        &mut Progress::none(),
    )
    .unwrap_err();
    assert!(error.to_string().contains("at least one token"), "{error}");
}
