//! Moments as text, in UTC. Events come many a second, so the text of a second is made once.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::{
    cell::Cell,
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// `2026-11-21T20:26:21`, which every second has until the year 9999.
type Second = [u8; SECOND_BYTES];
const SECOND_BYTES: usize = 19;
/// The place of the time of day in it.
const TIME_AT: usize = 11;

thread_local! {
    /// The second that was shown last, since the epoch.
    static LAST: Cell<(u64, Second)> = const { Cell::new((0, EPOCH)) };
}

const EPOCH: Second = *b"1970-01-01T00:00:00";

/// A moment with microseconds (RFC 3339); the epoch if the clock is before it, or beyond the year 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(pub SystemTime);

impl Default for Moment {
    fn default() -> Self {
        Moment(UNIX_EPOCH)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse::<Timestamp>().map(|moment| Moment(moment.into())).map_err(D::Error::custom)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (second, fraction) = split(self.0);
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        text[..SECOND_BYTES].copy_from_slice(&second);
        put_digits(&mut text[SECOND_BYTES + 1..SECOND_BYTES + 7], fraction.subsec_micros());
        f.write_str(str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

/// The time of day with milliseconds; midnight if [`Moment`] is the epoch.
pub struct TimeOfDay(pub SystemTime);

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (second, fraction) = split(self.0);
        let mut text = *b"00:00:00.000";
        let time = &second[TIME_AT..];
        text[..time.len()].copy_from_slice(time);
        put_digits(&mut text[time.len() + 1..], fraction.subsec_millis());
        f.write_str(str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

/// The text of a moment's second, and what is beyond it.
fn split(moment: SystemTime) -> (Second, Duration) {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (last, text) = LAST.get();
    if last == since.as_secs() {
        return (text, since);
    }
    match second(since.as_secs()) {
        Some(text) => {
            LAST.set((since.as_secs(), text));
            (text, since)
        }
        None => (EPOCH, Duration::ZERO),
    }
}

fn second(seconds: u64) -> Option<Second> {
    let moment = Timestamp::from_second(i64::try_from(seconds).ok()?).ok()?;
    moment.to_string().as_bytes().get(..SECOND_BYTES)?.try_into().ok()
}

fn put_digits(room: &mut [u8], number: u32) {
    let mut rest = number;
    for place in room.iter_mut().rev() {
        *place = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::Offset;
    use proptest::prelude::*;

    #[test]
    fn what_has_no_text_of_its_own_is_the_epoch() {
        for moment in
            [UNIX_EPOCH - Duration::from_millis(1), UNIX_EPOCH + Duration::from_secs(400_000_000_000)]
        {
            assert_eq!(Moment(moment).to_string(), "1970-01-01T00:00:00.000000Z");
            assert_eq!(TimeOfDay(moment).to_string(), "00:00:00.000");
        }
    }

    proptest! {
        #[test]
        fn a_moment_reads_as_the_calendar_has_it(micros in 0_u64..253_402_207_200_000_000, step in 0_u64..3) {
            // Twice, and once in the same second: the second time it is remembered.
            for micros in [micros, micros + step * 400_000] {
                let moment = UNIX_EPOCH + Duration::from_micros(micros);
                let expected = Timestamp::try_from(moment).unwrap();
                prop_assert_eq!(Moment(moment).to_string(), format!("{expected:.6}"));
                let time = Offset::UTC.to_datetime(expected).time();
                prop_assert_eq!(TimeOfDay(moment).to_string(), format!("{time:.3}"));
            }
        }
    }
}
