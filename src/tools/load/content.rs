//! The bytes of a load's stream, by their place: the connection's own pattern, or one message over and over.
//!
//! Bytes of a pattern say by themselves which connection and which place in it they belong to. All patterns are one ring of
//! random bytes, each read from a place of its own. The ring's length is prime, so that a piece that is lost, repeated or
//! moved shows, whatever power of two its size is; a piece of another connection fits by chance once in 65,521 times.

use std::sync::{Arc, LazyLock};

/// The ring's length: the largest prime below 64 KiB.
const PERIOD: usize = 65_521;
/// The ring is laid out this often, so that a long piece is in one place; twice fits a core's second-level cache.
const TURNS: usize = 3;

static RING: LazyLock<Box<[u8]>> = LazyLock::new(|| {
    let turn: Vec<u8> = (0..PERIOD as u64).map(|place| mix(place) as u8).collect();
    turn.repeat(TURNS).into()
});

/// A short message is laid out again and again up to this, so that a stream of it is written in pieces, not word by word.
const LAID_OUT_BYTES: usize = 64 * 1024;

#[derive(Clone, Debug)]
pub enum Content {
    /// The ring from this place on.
    Pattern(u64),
    Message(Arc<[u8]>),
}

/// `message` repeated, so that a stream of it can be written in long pieces. It begins and ends with a whole message.
pub fn laid_out(message: Arc<[u8]>) -> Arc<[u8]> {
    match LAID_OUT_BYTES / message.len().max(1) {
        0 | 1 => message,
        turns => message.repeat(turns).into(),
    }
}

impl Content {
    pub fn pattern(seed: u64) -> Self {
        Content::Pattern(mix(seed) % PERIOD as u64)
    }

    /// The bytes at `position`: at most `limit`, and at least 1 unless the content is empty.
    pub fn at(&self, position: u64, limit: u64) -> &[u8] {
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        match self {
            Content::Pattern(start) => {
                let place = ((start + position % PERIOD as u64) % PERIOD as u64) as usize;
                &RING[place..place + most.min((TURNS - 1) * PERIOD)]
            }
            Content::Message(message) if message.is_empty() => &[],
            Content::Message(message) => {
                let rest = &message[(position % message.len() as u64) as usize..];
                &rest[..rest.len().min(most)]
            }
        }
    }

    pub fn is_at(&self, mut position: u64, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let right = self.at(position, bytes.len() as u64);
            let (piece, rest) = bytes.split_at(right.len());
            if piece != right || piece.is_empty() {
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

    #[test]
    fn a_message_repeats_itself_wherever_it_is_cut() {
        let content = Content::Message((*b"abc").into());
        assert_eq!(content.at(4, 100), b"bc");
        assert_eq!(content.at(5, 1), b"c");
        assert!(content.is_at(2, b"cabcab") && content.is_at(0, b""));
        assert!(!content.is_at(2, b"cabcbb"));
        assert!(!Content::Message((*b"").into()).is_at(0, b"a"));
    }

    #[test]
    fn a_short_message_is_laid_out_in_whole_turns() {
        for message in [&b"abc"[..], &[7; 40_000], &[7; 70_000], b""] {
            let laid_out = laid_out(message.into());
            assert_eq!(laid_out.len() % message.len().max(1), 0);
            assert!(laid_out.len() <= LAID_OUT_BYTES.max(message.len()));
            assert!(Content::Message(message.into()).is_at(0, &laid_out));
        }
        assert!(laid_out((*b"abc").into()).len() > LAID_OUT_BYTES - 3);
    }

    #[test]
    fn a_pattern_is_compared_however_long() {
        let content = Content::pattern(9);
        let bytes: Vec<u8> = (0..200_000).map(|place| content.at(place, 1)[0]).collect();
        assert!(content.is_at(0, &bytes) && !content.is_at(1, &bytes));
    }

    fn bytes(pattern: &Content, position: u64, count: usize) -> Vec<u8> {
        (0..count as u64).map(|offset| pattern.at(position + offset, 1)[0]).collect()
    }

    #[test]
    fn a_long_piece_is_what_its_bytes_are() {
        let pattern = Content::pattern(7);
        for position in [0, 1, 65_520, 65_521, 1 << 40] {
            let long = bytes(&pattern, position, 300_000);
            assert!(pattern.is_at(position, &long));
            assert_eq!(pattern.at(position, 1000), &long[..1000]);
        }
    }

    #[test]
    fn a_byte_of_another_place_or_connection_is_found() {
        let pattern = Content::pattern(1);
        let mut message = bytes(&pattern, 64, 64);
        assert!(pattern.is_at(64, &message));
        assert!(!pattern.is_at(0, &message));
        assert!(!Content::pattern(2).is_at(64, &message));
        message[63] ^= 1;
        assert!(!pattern.is_at(64, &message));
    }

    #[test]
    fn a_lost_piece_of_any_power_of_two_is_found() {
        let pattern = Content::pattern(3);
        for size in (0..30).map(|power| 1u64 << power) {
            assert!(!pattern.is_at(1000, pattern.at(1000 + size, 16)), "{size}");
        }
    }
}
