//! Where each lane finds its impact among packed ones, for levels without byte expansion.

use super::LANES;

/// Entry of a lane that takes none: a byte shuffle gives 0 for it.
pub(super) const NONE: u8 = 0x80;

/// Per mask, the position of each lane's impact, or [`NONE`]. 2 KiB.
pub(super) static POSITIONS: [[u8; LANES]; 256] = positions();

const fn positions() -> [[u8; LANES]; 256] {
    let mut table = [[NONE; LANES]; 256];
    let mut mask = 0;
    while mask < 256 {
        let (mut lane, mut next) = (0, 0);
        while lane < LANES {
            if mask >> lane & 1 == 1 {
                table[mask][lane] = next;
                next += 1;
            }
            lane += 1;
        }
        mask += 1;
    }
    table
}
