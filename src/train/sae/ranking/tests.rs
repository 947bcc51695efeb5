use super::{
    slopes::Grouped,
    texts::{Fired, scores},
    *,
};
use crate::{
    ErrorKind,
    encode::sae::{Activation, Input, InputNorm},
    train::{
        random::Random,
        sae::{HiddenWriter, Precision},
    },
};

fn number(random: &mut Random) -> f32 {
    f32::from(u16::try_from(random.next() & 0xffff).unwrap()) / 32_768.0 - 1.0
}

fn cache(folder: &std::path::Path, width: usize, texts: &[Vec<f32>]) -> HiddenCache {
    let path = folder.join("texts.cache");
    let mut writer = HiddenWriter::create(&path, width, Precision::Single, 1, 1 << 24).unwrap();
    texts.iter().for_each(|text| writer.add(text).unwrap());
    writer.finish().unwrap();
    HiddenCache::open(&path).unwrap()
}

fn autoencoder(width: usize, latents: usize, activation: Activation) -> Autoencoder {
    let mut random = Random::new(6);
    Autoencoder::from_parts(AutoencoderParts {
        encoder: (0..latents * width).map(|_| number(&mut random)).collect(),
        bias: (0..latents).map(|_| 0.2 * number(&mut random)).collect(),
        input: Input {
            norm: InputNorm::None,
            scale: 1.5,
            subtracted: Some(vec![0.1; width]),
        },
        ..AutoencoderParts::new(width, latents, activation)
    })
    .unwrap()
}

#[test]
fn slopes_agree_with_finite_differences() {
    let folder = tempfile::tempdir().unwrap();
    let (width, latents) = (5, 12);
    let mut random = Random::new(9);
    let texts: Vec<Vec<f32>> = (0..9)
        .map(|at| {
            (0..width * (1 + at % 4))
                .map(|_| number(&mut random))
                .collect()
        })
        .collect();
    let cache = cache(folder.path(), width, &texts);
    let examples = [
        Example {
            query: 0,
            candidates: vec![3, 4, 5],
            teacher: Some(vec![2.0, 0.5, -1.0]),
        },
        Example {
            query: 1,
            candidates: vec![6, 3],
            teacher: None,
        },
        Example {
            query: 2,
            candidates: vec![7, 8],
            teacher: Some(vec![0.1, 0.3]),
        },
    ];
    for (distillation, pooled) in [
        (Distillation::Divergence, 0.0),
        (Distillation::Margins, 0.0),
        (Distillation::Divergence, 0.6),
    ] {
        let options = RankingOptions {
            batch: 3,
            temperature: 1.5,
            distillation,
            pooled,
            pooled_scale: 3.0,
            flops: (0.05, 0.08),
            flops_rise: 0.0,
            tokens: (2, 3),
            ..RankingOptions::default()
        };
        let parts = autoencoder(width, latents, Activation::Relu).to_parts();
        let head = Head::new(parts, width).unwrap();
        let tuning = Tuning {
            of_encoder: Moments::new(latents * width),
            of_bias: Moments::new(latents),
            head,
            cache: &cache,
            examples: &examples,
            options: &options,
            steps: 10,
            batch: 3,
        };
        let forward = tuning.forward(3).unwrap();
        let grouped = Grouped::new(latents, forward.grouped(width));
        let (mut moved, mut checked) = (tuning, 0);
        for latent in 0..latents {
            let mut slopes = vec![0.0; width];
            let bias = grouped.slopes(latent, &mut slopes);
            let step = 2e-3;
            let mut difference = |place: Option<usize>, got: f32| {
                let mut at = |by: f32| {
                    let weight = match place {
                        Some(place) => &mut moved.head.encoder[latent * width + place],
                        None => &mut moved.head.bias[latent],
                    };
                    let before = *weight;
                    *weight += by;
                    let loss = moved.forward(3).unwrap().loss;
                    match place {
                        Some(place) => moved.head.encoder[latent * width + place] = before,
                        None => moved.head.bias[latent] = before,
                    }
                    loss
                };
                // Where a latent begins to fire, or another token becomes its largest, the slopes
                // from above and from below differ, and either or what is between is right.
                let (above, here, below) = (at(step), at(0.0), at(-step));
                let step = f64::from(step);
                let sides = [(above - here) / step, (here - below) / step];
                let near = 3e-3 * (1.0 + sides[0].abs());
                let (low, high) = (sides[0].min(sides[1]) - near, sides[0].max(sides[1]) + near);
                assert!(
                    (low..=high).contains(&f64::from(got)),
                    "{distillation:?} latent {latent} {place:?}: {got}, by differences {sides:?}"
                );
                checked += usize::from(got.abs() > 1e-4);
            };
            difference(None, bias);
            (0..width).for_each(|place| difference(Some(place), slopes[place]));
        }
        assert!(checked > 40, "{checked} slopes that are not 0");
    }
}

/// Pairs of a query and a passage that share a direction among `width`, in noise that they do not.
fn toy(folder: &std::path::Path, width: usize, pairs: usize) -> (HiddenCache, Vec<Example>) {
    let mut random = Random::new(21);
    let mut texts = Vec::new();
    let mut examples = Vec::new();
    for _ in 0..pairs {
        let (a, b) = (random.below(width / 2), random.below(width / 2));
        for _ in 0..2 {
            let mut text = Vec::new();
            for token in 0..3 {
                let mut state: Vec<f32> = (0..width)
                    .map(|at| if at < width / 2 { 0.3 } else { 1.5 } * number(&mut random))
                    .collect();
                state[if token == 0 { a } else { b }] += 1.5;
                text.extend(state);
            }
            texts.push(text);
        }
        examples.push(Example {
            query: texts.len() - 2,
            candidates: vec![texts.len() - 1],
            teacher: None,
        });
    }
    (cache(folder, width, &texts), examples)
}

#[test]
fn tuning_lifts_the_ranking_of_what_is_held_out() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, examples) = toy(folder.path(), 24, 500);
    let before = autoencoder(24, 96, Activation::TopK(12));
    let options = RankingOptions {
        epochs: 20,
        rate: 0.02,
        temperature: 1.0,
        held_out: 0.2,
        flops: (1e-3, 1e-3),
        checkpoint_every: 20,
        ..RankingOptions::default()
    };
    let (tuned, report) =
        tune_for_ranking(&before, &cache, &examples, &options, &mut Progress::none()).unwrap();
    let (first, last) = (
        report.measured[0].1,
        report.measured[report.measured.len() - 1].1,
    );
    assert!(
        last.ndcg_at_10 > first.ndcg_at_10 + 0.05,
        "{first:?} to {last:?}"
    );
    let mean = |losses: &[f32]| losses.iter().sum::<f32>() / losses.len() as f32;
    let tenth = report.losses.len() / 10;
    assert!(
        mean(&report.losses[report.losses.len() - tenth..]) < 0.9 * mean(&report.losses[..tenth])
    );
    assert_eq!(report.examples, 400);
    assert_eq!(tuned.activation(), before.activation());

    // A regularizer that counts for something leaves fewer latents.
    let sparse = RankingOptions {
        flops: (0.3, 0.3),
        ..options.clone()
    };
    let (_, sparser) =
        tune_for_ranking(&before, &cache, &examples, &sparse, &mut Progress::none()).unwrap();
    let flops = |report: &RankingReport| report.measured[report.measured.len() - 1].1.latents;
    assert!(
        flops(&sparser).1 < flops(&report).1,
        "{:?} {:?}",
        flops(&sparser),
        flops(&report)
    );
}

#[test]
fn fewer_examples_than_a_batch_takes_are_learned_from_whole() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, examples) = toy(folder.path(), 24, 5);
    let start = autoencoder(24, 96, Activation::TopK(12));
    let options = RankingOptions {
        epochs: 40,
        rate: 0.02,
        temperature: 1.0,
        ..RankingOptions::default()
    };
    let (_, report) =
        tune_for_ranking(&start, &cache, &examples, &options, &mut Progress::none()).unwrap();
    assert_eq!((report.steps, report.examples), (40, 5));
    assert!(
        report.losses[39] < report.losses[0] / 2.0,
        "{:?}",
        report.losses
    );
}

#[test]
fn a_teacher_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, mut examples) = toy(folder.path(), 24, 200);
    // One that prefers the passage of the next pair.
    let count = examples.len();
    for at in 0..count {
        let wrong = examples[(at + 1) % count].candidates[0];
        examples[at].candidates.push(wrong);
        examples[at].teacher = Some(vec![0.0, 3.0]);
    }
    let options = RankingOptions {
        epochs: 30,
        rate: 0.02,
        temperature: 1.0,
        held_out: 0.0,
        flops: (0.0, 0.0),
        ..RankingOptions::default()
    };
    for distillation in [Distillation::Divergence, Distillation::Margins] {
        let options = RankingOptions {
            distillation,
            ..options.clone()
        };
        let start = autoencoder(24, 96, Activation::TopK(12));
        let (tuned, report) =
            tune_for_ranking(&start, &cache, &examples, &options, &mut Progress::none()).unwrap();
        assert!(report.measured.is_empty());
        let agrees = |autoencoder: &Autoencoder| {
            let head = Head::new(autoencoder.to_parts(), 24).unwrap();
            let fired = |text: usize| -> Vec<Fired> {
                head.run(&cache, &[text], 9, 1).unwrap().fired.remove(0)
            };
            let prefers = |example: &&Example| {
                let (query, passages) = (
                    [fired(example.query)],
                    [fired(example.candidates[0]), fired(example.candidates[1])],
                );
                let scores = scores(96, &query, &passages, 1);
                scores[1] > scores[0]
            };
            examples.iter().filter(prefers).count()
        };
        let (before, after) = (agrees(&start), agrees(&tuned));
        assert!(
            after > before + 40 && after > 150,
            "{distillation:?}: {before} to {after} of 200"
        );
    }
}

#[test]
fn threads_and_interruptions_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, examples) = toy(folder.path(), 24, 120);
    let start = autoencoder(24, 600, Activation::TopK(12));
    let options = RankingOptions {
        epochs: 3,
        rate: 0.01,
        temperature: 1.0,
        pooled: 0.5,
        checkpoint_every: 4,
        ..RankingOptions::default()
    };
    let weights =
        |autoencoder: Autoencoder| (autoencoder.to_parts().encoder, autoencoder.to_parts().bias);
    let (whole, report) =
        tune_for_ranking(&start, &cache, &examples, &options, &mut Progress::none()).unwrap();
    let whole = weights(whole);
    let threads = RankingOptions {
        threads: 3,
        ..options.clone()
    };
    assert!(
        weights(
            tune_for_ranking(&start, &cache, &examples, &threads, &mut Progress::none())
                .unwrap()
                .0
        ) == whole
    );
    let options = RankingOptions {
        checkpoint: Some(folder.path().join("tuning.safetensors")),
        ..options
    };
    let mut watch = |step: crate::Step| match (step.stage, step.done) {
        ("tuning for ranking", 6) => std::ops::ControlFlow::Break(()),
        _ => std::ops::ControlFlow::Continue(()),
    };
    let error = tune_for_ranking(
        &start,
        &cache,
        &examples,
        &options,
        &mut Progress::new(&mut watch),
    )
    .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    let (resumed, again) =
        tune_for_ranking(&start, &cache, &examples, &options, &mut Progress::none()).unwrap();
    assert!(weights(resumed) == whole);
    assert_eq!(
        (again.losses, again.measured.last()),
        (report.losses, report.measured.last())
    );
}

#[test]
fn the_weights_that_ranked_best_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, mut examples) = toy(folder.path(), 24, 160);
    let right: Vec<usize> = examples
        .iter()
        .map(|example| example.candidates[0])
        .collect();
    // What is learned is wrong, what is held out is right.
    for at in 0..120 {
        examples[at].candidates = vec![right[at + 1], right[at]];
    }
    let start = autoencoder(24, 96, Activation::TopK(12));
    let options = RankingOptions {
        epochs: 20,
        // It tears what there was.
        rate: 0.5,
        temperature: 1.0,
        held_out: 0.25,
        checkpoint: Some(folder.path().join("tuning.safetensors")),
        checkpoint_every: 10,
        ..RankingOptions::default()
    };
    let tune = |options: &RankingOptions| {
        tune_for_ranking(&start, &cache, &examples, options, &mut Progress::none()).unwrap()
    };
    let (kept, report) = tune(&options);
    let ndcg = |at: usize| report.measured[at].1.ndcg_at_10;
    let last = report.measured.len() - 1;
    assert!(ndcg(last) < ndcg(0), "{:?}", report.measured);
    let best = (0..=last).fold(0, |best, at| if ndcg(at) > ndcg(best) { at } else { best });
    assert_eq!(report.kept, report.measured[best].0);
    assert_ne!(report.kept, report.steps);
    // A run that finds itself done keeps the same, out of its checkpoint.
    let (again, second) = tune(&options);
    assert_eq!(second.kept, report.kept);
    assert_eq!(again.to_parts().encoder, kept.to_parts().encoder);
    if report.kept == 0 {
        assert_eq!(kept.to_parts().encoder, start.to_parts().encoder);
    }
}

#[test]
fn examples_and_options_that_cannot_be_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, examples) = toy(folder.path(), 24, 4);
    let start = autoencoder(24, 30, Activation::Relu);
    let refused =
        |start: &Autoencoder, examples: &[Example], options: RankingOptions, what: &str| {
            let error = tune_for_ranking(start, &cache, examples, &options, &mut Progress::none())
                .unwrap_err();
            assert!(error.to_string().contains(what), "{error}");
        };
    let with = |change: &dyn Fn(&mut Example)| {
        let mut examples = examples.clone();
        change(&mut examples[2]);
        examples
    };
    let options = RankingOptions::default;
    refused(&start, &[], options(), "at least one");
    refused(
        &start,
        &with(&|example| example.query = 8),
        options(),
        "texts below 8",
    );
    refused(
        &start,
        &with(&|example| example.candidates.clear()),
        options(),
        "no candidates",
    );
    refused(
        &start,
        &with(&|example| example.teacher = Some(vec![1.0, 2.0])),
        options(),
        "scores of a teacher",
    );
    refused(
        &start,
        &with(&|example| example.teacher = Some(vec![f32::NAN])),
        options(),
        "finite scores",
    );
    refused(
        &autoencoder(23, 30, Activation::Relu),
        &examples,
        options(),
        "width of the autoencoder",
    );
    refused(
        &start,
        &examples,
        RankingOptions {
            temperature: 0.0,
            ..options()
        },
        "temperature",
    );
    refused(
        &start,
        &examples,
        RankingOptions {
            batch: 0,
            ..options()
        },
        "queries of a step",
    );
}
