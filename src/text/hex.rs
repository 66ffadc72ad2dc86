//! Payload as hexadecimal digits: plain for machines, as `xxd` shows it for people.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::fmt;

/// Bytes as lower-case hexadecimal digits, two a byte.
#[derive(Clone, Copy, Debug)]
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const BLOCK_BYTES: usize = 32; // Few writes, and small enough for the stack.
        for block in self.0.chunks(BLOCK_BYTES) {
            let mut digits = [0; 2 * BLOCK_BYTES];
            for (pair, byte) in digits.chunks_exact_mut(2).zip(block) {
                pair.copy_from_slice(&digits_of(*byte));
            }
            f.write_str(str::from_utf8(&digits[..2 * block.len()]).map_err(|_| fmt::Error)?)?;
        }
        Ok(())
    }
}

/// The bytes of hexadecimal digits, two a byte; none if there is anything else.
fn unhex(digits: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let pair = |[high, low]: &[u8; 2]| Some(digit(*high)? << 4 | digit(*low)?);
    pairs.iter().map(pair).collect::<Option<_>>().filter(|_| rest.is_empty())
}

/// Bytes that cross as lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HexBytes(pub Vec<u8>);

impl Serialize for HexBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Hex(&self.0))
    }
}

impl<'de> Deserialize<'de> for HexBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let digits = String::deserialize(deserializer)?;
        unhex(&digits).map(HexBytes).ok_or_else(|| D::Error::custom("these are no hexadecimal digits"))
    }
}

/// How many bytes a line of a dump shows.
pub const ROW_BYTES: usize = 16;

/// One line of a dump as `xxd` shows it, without its end: the offset, up to [`ROW_BYTES`] bytes in groups of two, and
/// those that are printable ASCII.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The first byte's place in the stream.
    pub offset: u64,
    /// The bytes; what is beyond [`ROW_BYTES`] is not shown.
    pub bytes: &'a [u8],
}

const HEX_COLUMNS: usize = 2 * ROW_BYTES + ROW_BYTES / 2 - 1;
const GAP_COLUMNS: usize = 2;

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = &self.bytes[..self.bytes.len().min(ROW_BYTES)];
        let mut columns = [b' '; HEX_COLUMNS + GAP_COLUMNS + ROW_BYTES];
        for (index, &byte) in bytes.iter().enumerate() {
            let digits = 2 * index + index / 2;
            columns[digits..digits + 2].copy_from_slice(&digits_of(byte));
            let printable = byte == b' ' || byte.is_ascii_graphic();
            columns[HEX_COLUMNS + GAP_COLUMNS + index] = if printable { byte } else { b'.' };
        }
        let used = &columns[..HEX_COLUMNS + GAP_COLUMNS + bytes.len()];
        write!(f, "{:08x}: {}", self.offset, str::from_utf8(used).map_err(|_| fmt::Error)?)
    }
}

/// The two digits of a byte.
pub(super) const fn digits_of(byte: u8) -> [u8; 2] {
    [digit(byte >> 4), digit(byte)]
}

/// The digit of the lower four bits.
pub(super) const fn digit(value: u8) -> u8 {
    b"0123456789abcdef"[(value & 0xf) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_row_reads_as_in_xxd() {
        let full = Row { offset: 0, bytes: b"GET / HTTP/1.1\r\n" };
        assert_eq!(full.to_string(), "00000000: 4745 5420 2f20 4854 5450 2f31 2e31 0d0a  GET / HTTP/1.1..");
        let part = Row { offset: 0x1_2345_6789, bytes: b"\x00\x7f\xff~ " };
        assert_eq!(part.to_string(), "123456789: 007f ff7e 20                             ...~ ");
    }

    #[test]
    fn what_is_no_digit_is_no_byte() {
        for digits in ["0g", "+f", "0", "é0"] {
            assert_eq!(unhex(digits), None, "{digits}");
        }
    }

    proptest! {
        #[test]
        fn hex_digits_are_the_bytes(bytes: Vec<u8>) {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            prop_assert_eq!(Hex(&bytes).to_string(), digits.as_str());
            prop_assert_eq!(unhex(&digits), Some(bytes));
        }
    }
}
