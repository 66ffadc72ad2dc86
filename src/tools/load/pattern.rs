//! What a scripted client sends: bytes that say by themselves which connection and which place in it they belong to.
//!
//! All patterns are one ring of random bytes, each read from a place of its own. The ring's length is prime, so that
//! a piece that is lost, repeated or moved shows, whatever power of two its size is; a piece of another connection fits by
//! chance once in 65,521 times.

use std::sync::LazyLock;

/// The ring's length: the largest prime below 64 KiB.
const PERIOD: usize = 65_521;
/// The ring is laid out this often, so that a long piece is in one place; twice fits a core's second-level cache.
const TURNS: usize = 3;

static RING: LazyLock<Box<[u8]>> = LazyLock::new(|| {
    let turn: Vec<u8> = (0..PERIOD as u64).map(|place| mix(place) as u8).collect();
    turn.repeat(TURNS).into()
});

/// The endless stream of bytes of one seed.
#[derive(Clone, Copy, Debug)]
pub struct Pattern {
    start: u64,
}

impl Pattern {
    /// The pattern of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Pattern { start: mix(seed) % PERIOD as u64 }
    }

    /// What comes at `position`: at least 1 byte, at most `limit`, and never more than two turns of the ring.
    #[must_use]
    pub fn at(&self, position: u64, limit: u64) -> &'static [u8] {
        let place = ((self.start + position % PERIOD as u64) % PERIOD as u64) as usize;
        let most = (TURNS - 1) * PERIOD;
        let count = usize::try_from(limit).map_or(most, |limit| limit.min(most));
        &RING[place..place + count]
    }

    /// Whether `bytes` are what comes at `position`.
    #[must_use]
    pub fn is_at(&self, mut position: u64, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let right = self.at(position, bytes.len() as u64);
            let (piece, rest) = bytes.split_at(right.len());
            if piece != right {
                return false;
            }
            position += piece.len() as u64;
            bytes = rest;
        }
        true
    }
}

/// `SplitMix64`: every bit of the result depends on every bit of the number.
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(pattern: Pattern, position: u64, count: usize) -> Vec<u8> {
        (0..count as u64).map(|offset| pattern.at(position + offset, 1)[0]).collect()
    }

    #[test]
    fn a_long_piece_is_what_its_bytes_are() {
        let pattern = Pattern::new(7);
        for position in [0, 1, 65_520, 65_521, 1 << 40] {
            let long = bytes(pattern, position, 300_000);
            assert!(pattern.is_at(position, &long));
            assert_eq!(pattern.at(position, 1000), &long[..1000]);
        }
    }

    #[test]
    fn a_byte_of_another_place_or_connection_is_found() {
        let pattern = Pattern::new(1);
        let mut message = bytes(pattern, 64, 64);
        assert!(pattern.is_at(64, &message));
        assert!(!pattern.is_at(0, &message));
        assert!(!Pattern::new(2).is_at(64, &message));
        message[63] ^= 1;
        assert!(!pattern.is_at(64, &message));
    }

    #[test]
    fn a_lost_piece_of_any_power_of_two_is_found() {
        let pattern = Pattern::new(3);
        for size in (0..30).map(|power| 1u64 << power) {
            assert!(!pattern.is_at(1000, pattern.at(1000 + size, 16)), "{size}");
        }
    }
}
