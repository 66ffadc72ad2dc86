//! Numbers that no peer can foretell, from the kernel.

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

#[cfg(test)]
mod tests {
    use super::*;

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
