//! The largest few of many.

/// An active latent of a token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Active {
    pub(super) latent: u32,
    pub(super) value: f32,
}

/// Writes the `most` largest positive of `values` to `found`, by rising latent; of equal ones the
/// lower latents.
///
/// A bound comes first: every stretch of latents has a largest value, and as many of those as are
/// wanted are a lower bound of what is taken. What reaches it is a few times what is wanted.
pub(super) fn largest(values: &[f32], most: usize, found: &mut Vec<Active>) {
    found.clear();
    if most == 0 {
        return;
    }
    let stretch = (values.len() / (most * 4)).clamp(1, 64);
    let mut tops: Vec<f32> = values
        .chunks(stretch)
        .map(|chunk| {
            chunk.iter().fold(
                0.0_f32,
                |top, value| if *value > top { *value } else { top },
            )
        })
        .collect();
    let bound = if tops.len() > most {
        *tops
            .select_nth_unstable_by(most - 1, |a, b| b.total_cmp(a))
            .1
    } else {
        0.0
    };
    for (latent, value) in (0_u32..).zip(values) {
        if *value >= bound && *value > 0.0 {
            found.push(Active {
                latent,
                value: *value,
            });
        }
    }
    keep(found, most);
}

/// As [`largest`] among the given `latents` only, which rise.
pub(super) fn largest_among(values: &[f32], latents: &[u32], most: usize, found: &mut Vec<Active>) {
    found.clear();
    found.extend(latents.iter().filter_map(|&latent| {
        let value = values[latent as usize];
        (value > 0.0).then_some(Active { latent, value })
    }));
    keep(found, most);
}

fn keep(found: &mut Vec<Active>, most: usize) {
    if found.len() <= most {
        return;
    }
    if most > 0 {
        found.select_nth_unstable_by(most - 1, |a, b| {
            b.value.total_cmp(&a.value).then(a.latent.cmp(&b.latent))
        });
    }
    found.truncate(most);
    found.sort_unstable_by_key(|active| active.latent);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::random::Random;

    #[test]
    fn the_same_as_sorting() {
        let mut random = Random::new(5);
        for (count, most) in [
            (1, 1),
            (7, 3),
            (64, 64),
            (1000, 32),
            (16_384, 32),
            (5000, 1),
            (10, 0),
            (33, 50),
        ] {
            // Few different values, so that there are ties; some negative.
            let values: Vec<f32> = (0..count)
                .map(|_| f32::from(u8::try_from(random.below(200)).unwrap()) - 60.0)
                .collect();
            let mut order: Vec<u32> = (0_u32..)
                .take(count)
                .filter(|&at| values[at as usize] > 0.0)
                .collect();
            order.sort_by(|a, b| {
                values[*b as usize]
                    .total_cmp(&values[*a as usize])
                    .then(a.cmp(b))
            });
            order.truncate(most);
            order.sort_unstable();
            let mut found = Vec::new();
            largest(&values, most, &mut found);
            assert_eq!(
                found.iter().map(|active| active.latent).collect::<Vec<_>>(),
                order,
                "{most} of {count}"
            );
            let all: Vec<u32> = (0_u32..).take(count).collect();
            largest_among(&values, &all, most, &mut found);
            assert_eq!(
                found.iter().map(|active| active.latent).collect::<Vec<_>>(),
                order
            );
        }
    }
}
