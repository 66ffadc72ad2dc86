//! Bytes that differ everywhere and can be told again from a seed, so that a lost, doubled or moved piece shows.

/// An endless sequence of pseudo-random bytes (xorshift64, Marsaglia 2003).
pub struct Pattern {
    state: u64,
    word: [u8; 8],
    used: usize,
}

impl Pattern {
    pub fn new(seed: u64) -> Self {
        Pattern { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, word: [0; 8], used: 8 }
    }

    fn next_word(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    /// The next `length` bytes.
    pub fn take(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        bytes.extend_from_slice(&self.word[self.used..]);
        while bytes.len() < length {
            self.word = self.next_word().to_le_bytes();
            bytes.extend_from_slice(&self.word);
        }
        // What is left over of the last word begins the next piece.
        self.used = 8 - (bytes.len() - length);
        bytes.truncate(length);
        bytes
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next_word() >> 33).unwrap() % bound
    }
}

/// The first `length` bytes of the sequence with this seed.
pub fn pattern(seed: u64, length: usize) -> Vec<u8> {
    Pattern::new(seed).take(length)
}

#[test]
fn the_pieces_of_a_pattern_are_the_pattern() {
    let whole = pattern(7, 1000);
    let mut sequence = Pattern::new(7);
    let pieces: Vec<u8> =
        [0, 1, 7, 8, 9, 300, 675].into_iter().flat_map(|length| sequence.take(length)).collect();
    assert_eq!(pieces, whole);
}
