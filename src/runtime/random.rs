//! Numbers that no peer can foretell, from the kernel; and numbers that are the same in each run, from a seed.

use rustix::rand::{GetRandomFlags, getrandom};
use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// A number that no peer can guess.
pub fn random() -> u64 {
    let mut bytes = [0; size_of::<u64>()];
    match getrandom(&mut bytes, GetRandomFlags::empty()) {
        Ok(count) if count == bytes.len() => u64::from_ne_bytes(bytes),
        // A filter of system calls may refuse it; the standard library has a key of its own for its tables.
        _ => RandomState::new().hash_one(0),
    }
}

/// A time that is up to a tenth longer or shorter, so that what begins together does not stay together.
pub fn jittered(time: Duration) -> Duration {
    const STEPS: u64 = 2001;
    #[expect(clippy::cast_precision_loss, reason = "the numbers are small")]
    let part = (random() % STEPS) as f64 / 10_000.0;
    // A time that no float holds is as good as without it.
    Duration::try_from_secs_f64(time.as_secs_f64() * (0.9 + part)).unwrap_or(time)
}

/// Draws that follow from what they are drawn for, on every machine alike (SplitMix64; Steele, Lea, Flood, OOPSLA 2014).
#[derive(Clone, Debug)]
pub struct Lot(u64);

impl Lot {
    /// The lot of these words. Where one ends and the next begins counts.
    pub fn of(words: &[&[u8]]) -> Self {
        let mut lot = Lot(0);
        for word in words {
            for byte in word.iter() {
                lot.0 ^= u64::from(*byte);
                lot.0 = lot.draw();
            }
            lot.0 ^= word.len() as u64 | 1 << 32;
            lot.0 = lot.draw();
        }
        lot
    }

    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to below 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are what the type holds")]
    pub fn share(&mut self) -> f64 {
        (self.draw() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// From 0 to `most`.
    pub fn up_to(&mut self, most: u64) -> u64 {
        match most.checked_add(1) {
            // The product's upper half: far more even than a remainder, and enough here.
            Some(count) => ((u128::from(self.draw()) * u128::from(count)) >> 64) as u64,
            None => self.draw(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lot_is_the_same_for_the_same_words_and_spreads_over_others() {
        let share = |word: &[u8]| Lot::of(&[b"seed", word]).share();
        assert_eq!(share(b"1"), share(b"1"));
        assert_ne!(Lot::of(&[b"ab", b"c"]).share(), Lot::of(&[b"a", b"bc"]).share());
        let below = (0..10_000_u32).filter(|number| share(&number.to_le_bytes()) < 0.2).count();
        assert!((1900..2100).contains(&below), "{below}");
        let mut lot = Lot::of(&[]);
        assert!((0..1000).all(|_| lot.up_to(3) <= 3));
        assert_eq!(lot.up_to(0), 0);
        lot.up_to(u64::MAX);
    }

    #[test]
    fn a_jittered_time_differs_by_a_tenth_at_most_and_is_the_same_on_average() {
        const COUNT: u32 = 10_000;
        let time = Duration::from_secs(10);
        let times: Vec<Duration> = (0..COUNT).map(|_| jittered(time)).collect();
        let (least, most) = (Duration::from_secs(9), Duration::from_secs(11));
        assert!(times.iter().all(|one| (least..=most).contains(one)));
        let average = times.iter().sum::<Duration>() / COUNT;
        assert!(average.abs_diff(time) < Duration::from_millis(50), "{average:?}");
        assert!(jittered(Duration::MAX) > Duration::MAX / 2);
    }

    #[test]
    fn no_two_numbers_are_the_same() {
        let mut numbers: Vec<u64> = (0..1000).map(|_| random()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 1000);
    }
}
