//! IEEE 754 half precision.

/// The largest half.
pub(super) const MAX: f32 = 65_504.0;

/// Exact. Without a branch, so that a loop of it becomes vector code: the bits move to where a
/// single has them, and a product with 2^112 corrects the exponent, of subnormals too.
pub(super) fn widen(bits: u16) -> f32 {
    const REBIAS: f32 = f32::from_bits((127 + 112) << 23);
    let value = f32::from_bits(u32::from(bits & 0x7fff) << 13) * REBIAS;
    let special = u32::from(value >= 65_536.0) * 0x7f80_0000;
    f32::from_bits(value.to_bits() | special | u32::from(bits & 0x8000) << 16)
}

/// To the nearest, ties to even; `value` is at most [`MAX`] in size.
pub(super) fn narrow(value: f32) -> u16 {
    const REBIAS: f32 = f32::from_bits((127 - 112) << 23);
    let sign = value.to_bits() >> 16 & 0x8000;
    let size = value.abs();
    // Below 2^-14 halves are subnormal: steps of 2^-24, which adding 0.5 rounds a single to.
    let bits = if size < 6.103_515_6e-5 {
        (size + 0.5).to_bits() - 0.5_f32.to_bits()
    } else {
        let bits = (size * REBIAS).to_bits();
        (bits + 0x0fff + (bits >> 13 & 1)) >> 13
    };
    #[expect(clippy::cast_possible_truncation, reason = "both parts are below 2^16")]
    let half = (sign | bits) as u16;
    half
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_goes_there_and_back() {
        for bits in (0..0x7c00_u16).flat_map(|bits| [bits, bits | 0x8000]) {
            assert_eq!(narrow(widen(bits)), bits);
        }
        assert_eq!(
            (widen(0x3c00), widen(0xc000), widen(1)),
            (1.0, -2.0, 2.0_f32.powi(-24))
        );
    }

    #[test]
    fn between_two_the_nearest_is_taken_and_the_even_one_of_two_as_near() {
        for bits in 0..0x7bff_u16 {
            let (low, high) = (widen(bits), widen(bits + 1));
            let middle = f32::midpoint(low, high);
            assert_eq!(narrow(middle), bits + (bits & 1), "{bits:04x}");
            assert_eq!(narrow(middle.next_up()), bits + 1);
            assert_eq!(narrow(middle.next_down()), bits);
        }
    }
}
