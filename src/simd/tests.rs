//! Every kernel of every level, against `scalar`, on the same inputs.

use super::*;

/// The levels this machine can run. CI sets `REQUIRE_LEVELS` so that a missing one fails instead
/// of passing unseen.
fn levels() -> Vec<Level> {
    let levels: Vec<Level> = InstructionSet::available()
        .into_iter()
        .filter_map(Level::of)
        .collect();
    let required = std::env::var("REQUIRE_LEVELS").unwrap_or_default();
    for name in required.split(',').filter(|name| !name.is_empty()) {
        let found = levels
            .iter()
            .any(|level| format!("{level:?}").to_lowercase().starts_with(name));
        assert!(found, "this machine cannot run level {name}");
    }
    levels
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn word(&mut self) -> u16 {
        let [low, high, ..] = self.next().to_le_bytes();
        u16::from_le_bytes([low, high])
    }
}

#[test]
fn rows_add_up_alike() {
    let mut random = Random(1);
    for lines in 0..20 {
        for weights in [[0; 4], [1; 4], [u16::MAX; 4], [3, 500, 4095, 17]] {
            let rows: Vec<Vec<Line>> = (0..4)
                .map(|_| {
                    (0..lines)
                        .map(|_| std::array::from_fn(|_| random.next().to_le_bytes()[0]))
                        .collect()
                })
                .collect();
            let rows: [&[Line]; 4] = std::array::from_fn(|row| &rows[row][..]);
            let start: Vec<Sums> = (0..lines)
                .map(|_| std::array::from_fn(|_| random.word()))
                .collect();
            let mut want = start.clone();
            scalar::add_rows(rows, weights, &mut want);
            for level in levels() {
                let mut got = start.clone();
                level.add_rows(rows, weights, &mut got);
                assert!(want == got, "{level:?}, {lines} lines, weights {weights:?}");
            }
        }
    }
}

#[test]
fn a_line_is_32_words_of_4_cells() {
    let mut line: Line = [0; LINE_LEN];
    // Cell 2 + 32 is the second nibble of the third word.
    line[4] = 0x70;
    let mut sums = [[0; LINE_CELLS]];
    let empty = [[0; LINE_LEN]];
    scalar::add_rows([&[line], &empty, &empty, &empty], [3, 1, 1, 1], &mut sums);
    let mut want = [0; LINE_CELLS];
    want[34] = 21;
    assert_eq!(sums[0], want);
}

#[test]
fn cells_compare_alike() {
    let mut random = Random(2);
    for least in [0, 1, 77, 0x7FFF, 0x8000, 0x8001, u16::MAX] {
        for _ in 0..50 {
            let sums: Sums = std::array::from_fn(|cell| match cell % 4 {
                0 => least,
                1 => least.wrapping_sub(1),
                _ => random.word(),
            });
            let want = scalar::at_least(&sums, least);
            for level in levels() {
                assert_eq!(level.at_least(&sums, least), want, "{level:?}, {least}");
            }
        }
    }
}

#[test]
fn largest_bytes_are_found_alike() {
    let mut random = Random(8);
    for at in 0..64 {
        for word in [0, 1 << at, u64::MAX << at, u64::MAX >> at, random.next()] {
            assert_eq!(largest_byte(word), scalar::largest_byte(word), "{word:x}");
        }
    }
}

#[test]
fn lines_are_reduced_alike() {
    let mut random = Random(7);
    for _ in 0..50 {
        let sums: Vec<Sums> = (0..3)
            .map(|_| std::array::from_fn(|_| random.word()))
            .collect();
        let kept = std::array::from_fn(|_| (random.next() & random.next()).to_le_bytes()[3] & 3);
        for level in levels() {
            let mut most = [0; 3];
            level.run(Maxima {
                sums: &sums,
                most: &mut most,
            });
            let want = sums.iter().map(|line| line.iter().max().unwrap());
            assert!(most.iter().eq(want), "{level:?}");
            let mut left = sums[0];
            level.run(Keep {
                sums: &mut left,
                kept: &kept,
            });
            for (cell, (left, sum)) in left.iter().zip(&sums[0]).enumerate() {
                let want = if kept[cell] == 0 { 0 } else { *sum };
                assert_eq!(*left, want, "{level:?}, cell {cell}");
            }
        }
    }
}

#[test]
fn masked_terms_add_up_alike() {
    let mut random = Random(3);
    for mask in 0..=255 {
        for weight in [0, 1, 4095, 0x7FFF] {
            let terms: [Masked; 4] = std::array::from_fn(|at| Masked {
                impacts: if at == 0 { u64::MAX } else { random.next() },
                mask: if at < 2 {
                    mask
                } else {
                    random.next().to_le_bytes()[0]
                },
                weight,
            });
            let start: [u32; LANES] = std::array::from_fn(|lane| match lane {
                0 => u32::MAX,
                _ => u32::from(random.word()) << 16,
            });
            let mut want = start;
            let most = scalar::add_masked(&terms, &mut want);
            assert_eq!(most, *want.iter().max().unwrap());
            for level in levels() {
                let mut got = start;
                assert_eq!(level.add_masked(&terms, &mut got), most, "{level:?}");
                assert_eq!(got, want, "{level:?}, mask {mask}, weight {weight}");
            }
        }
    }
}

/// Floats of both signs, zeros among them.
fn floats(random: &mut Random, count: usize) -> Vec<f32> {
    (0..count)
        .map(|_| (f32::from(random.word()) - 32_768.0) / 4096.0)
        .collect()
}

#[test]
fn logits_pool_alike() {
    let mut random = Random(4);
    for count in 0..200 {
        let start = floats(&mut random, count);
        let mut logits = floats(&mut random, count);
        for bad in [None, Some(f32::NAN), Some(f32::INFINITY), Some(-f32::NAN)] {
            if let (Some(bad), true) = (bad, count > 0) {
                logits[count / 2] = bad;
            }
            let finite = bad.is_none() || count == 0;
            let mut want = start.clone();
            for (value, logit) in want.iter_mut().zip(&logits) {
                *value = if logit > value { *logit } else { *value };
            }
            for level in levels() {
                let mut values = start.clone();
                let values = &mut values[..];
                let logits = &logits[..];
                let raise = plain::Raise { values, logits };
                assert_eq!(level.run(raise), finite, "{level:?}, {count}");
                assert_eq!(values, want, "{level:?}, {count}");
            }
        }
    }
}

#[cfg(feature = "native")]
#[test]
fn layers_compute_alike_and_by_their_formulas() {
    use plain::{Activate, Activation, AddAndNormalize, Softmax};
    let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    let mut random = Random(5);
    for width in [1, 2, 15, 16, 17, 64, 100] {
        let states = floats(&mut random, width * 3);
        let update = floats(&mut random, width * 3);
        let [bias, weight, shift] = [0; 3].map(|_| floats(&mut random, width));
        let run = |level: Level| {
            let mut outputs = Vec::new();
            for activation in [Activation::Gelu, Activation::GeluTanh, Activation::Relu] {
                let mut values = states.clone();
                level.run(Activate {
                    values: &mut values,
                    bias: &bias,
                    activation,
                });
                outputs.push(values);
            }
            let mut values = states.clone();
            level.run(Softmax {
                values: &mut values,
                width,
                scale: 0.25,
            });
            outputs.push(values);
            let mut values = states.clone();
            level.run(AddAndNormalize {
                states: &mut values,
                update: &update,
                bias: &bias,
                weight: &weight,
                shift: &shift,
                epsilon: 1e-12,
            });
            outputs.push(values);
            outputs
        };
        let want = run(Level::Scalar);
        for level in levels() {
            for (want, got) in want.iter().zip(run(level)) {
                assert_eq!(bits(want), bits(&got), "{level:?}, {width}");
            }
        }
        // In doubles, as the formulas are written.
        let wide = |values: &[f32]| values.iter().map(|v| f64::from(*v)).collect::<Vec<_>>();
        for (row, got) in want[3].chunks(width).enumerate() {
            let x = wide(&states[row * width..(row + 1) * width]);
            let sum: f64 = x.iter().map(|x| (x / 4.0).exp()).sum();
            for (x, got) in x.iter().zip(got) {
                assert!(((x / 4.0).exp() / sum - f64::from(*got)).abs() < 1e-6);
            }
        }
        for (row, got) in want[4].chunks(width).enumerate() {
            let at = row * width..(row + 1) * width;
            let x: Vec<f64> = wide(&states[at.clone()])
                .iter()
                .zip(wide(&update[at]))
                .zip(wide(&bias))
                .map(|((state, update), bias)| state + update + bias)
                .collect();
            let mean = x.iter().sum::<f64>() / x.len() as f64;
            let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64;
            if variance < 1e-3 {
                continue;
            }
            for (at, got) in got.iter().enumerate() {
                let unit = (x[at] - mean) / (variance + 1e-12).sqrt();
                let want = unit * f64::from(weight[at]) + f64::from(shift[at]);
                assert!((want - f64::from(*got)).abs() < 1e-4, "{want} {got}");
            }
        }
        for (at, got) in want[1].iter().enumerate() {
            let x = f64::from(states[at] + bias[at % width]);
            let y = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
            assert!((0.5 * x * (1.0 + y.tanh()) - f64::from(*got)).abs() < 1e-5);
        }
    }
}
