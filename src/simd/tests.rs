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
