//! The bytes of a load's stream, by their place: the connection's own pattern, or one message over and over.

use crate::tools::load::pattern::Pattern;
use std::sync::Arc;

#[derive(Clone, Debug)]
pub enum Content {
    /// The pattern of the connection's seed: each byte is of this connection and this place.
    Pattern(Pattern),
    Message(Arc<[u8]>),
}

/// A short message is laid out again and again up to this, so that a stream of it is written in pieces, not word by word.
const LAID_OUT_BYTES: usize = 64 * 1024;

/// `message` repeated, so that a stream of it can be written in long pieces. It begins and ends with a whole message.
#[must_use]
pub fn laid_out(message: Arc<[u8]>) -> Arc<[u8]> {
    match LAID_OUT_BYTES / message.len().max(1) {
        0 | 1 => message,
        turns => message.repeat(turns).into(),
    }
}

impl Content {
    /// The bytes at `position`: at most `limit`, and at least 1 unless the content is empty.
    #[must_use]
    pub fn at(&self, position: u64, limit: u64) -> &[u8] {
        match self {
            Content::Pattern(pattern) => pattern.at(position, limit),
            Content::Message(message) if message.is_empty() => &[],
            Content::Message(message) => {
                let rest = &message[(position % message.len() as u64) as usize..];
                let most = usize::try_from(limit).unwrap_or(usize::MAX);
                &rest[..rest.len().min(most)]
            }
        }
    }

    /// Whether `bytes` are what comes at `position`.
    #[must_use]
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
        let content = Content::Pattern(Pattern::new(9));
        let bytes: Vec<u8> = (0..200_000).map(|place| content.at(place, 1)[0]).collect();
        assert!(content.is_at(0, &bytes) && !content.is_at(1, &bytes));
    }
}
