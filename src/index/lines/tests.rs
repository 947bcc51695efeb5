use super::*;
use crate::quantize::Scale;

#[test]
fn an_impact_goes_through_its_weight_and_back_on_every_scale() {
    let odd = [f32::MIN_POSITIVE, f32::MAX, 0.1, 1.0, 3.0, 254.9, 1e-20];
    let many = (0..4000).map(|at| f32::from_bits(0x0080_0000 + at * 530_000));
    for limit in odd
        .into_iter()
        .chain(many.filter(|limit| limit.is_finite()))
    {
        let scale = Scale::new(limit).unwrap();
        for impact in 1..=255 {
            assert_eq!(scale.impact(scale.weight(impact)), impact, "{limit}");
            assert!(!scale.saturates(scale.weight(impact)), "{limit}");
        }
    }
}

#[test]
fn weights_keep_their_bits() {
    let mut bits = 1_u32;
    for _ in 0..100_000 {
        bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let weight = f32::from_bits(bits & 0x7FFF_FFFF);
        if weight.is_finite() {
            let json = serde_json::to_string(&Weight(weight)).unwrap();
            let back: Weight = serde_json::from_str(&json).unwrap();
            assert_eq!(back.0.to_bits(), weight.to_bits(), "{json}");
        }
    }
}

#[test]
fn bytes_are_pairs_of_digits() {
    assert_eq!(to_hex(&[0, 0xAB, 255]), "00abff");
    assert_eq!(from_hex("00abFF").unwrap(), [0, 0xAB, 255]);
    for wrong in ["0", "0g", "é", "+1"] {
        assert!(from_hex(wrong).is_err(), "{wrong}");
    }
}
