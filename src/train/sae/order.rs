//! A shuffled order of any number of things that takes no memory, and can be entered anywhere.

use crate::train::random::mix;

/// A permutation of the numbers below a count: four rounds of a Feistel network over the next even
/// number of bits, entered again until the result is below the count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order {
    count: u64,
    half: u32,
    key: u64,
}

impl Order {
    /// Of the numbers below `count`, decided by `key`.
    pub(super) fn new(count: u64, key: u64) -> Order {
        let bits = u64::BITS - count.saturating_sub(1).leading_zeros();
        Order {
            count,
            half: bits.div_ceil(2).max(1),
            key: mix(key),
        }
    }

    /// The number at `place`, which is below the count.
    pub(super) fn at(self, place: u64) -> u64 {
        let mask = (1 << self.half) - 1;
        let mut number = place;
        loop {
            let (mut left, mut right) = (number >> self.half, number & mask);
            for round in 0..4 {
                let turned = left
                    ^ (mix(right
                        .wrapping_add(self.key)
                        .wrapping_mul(4)
                        .wrapping_add(round))
                        & mask);
                (left, right) = (right, turned);
            }
            number = left << self.half | right;
            if number < self.count {
                return number;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_once_and_not_in_order() {
        for count in [1, 2, 3, 100, 1000, 4096, 5000] {
            let order = Order::new(count, 9);
            let numbers: Vec<u64> = (0..count).map(|place| order.at(place)).collect();
            let mut sorted = numbers.clone();
            sorted.sort_unstable();
            assert!(sorted.into_iter().eq(0..count), "{count}");
            if count > 99 {
                let stay = numbers
                    .iter()
                    .zip(0..)
                    .filter(|(number, place)| *number == place)
                    .count();
                assert!(stay < 10, "{stay} of {count} stay where they are");
            }
        }
        assert_ne!(Order::new(1000, 1).at(0), Order::new(1000, 2).at(0));
    }
}
