//! Shows the bytes of one direction to the reporter, with `--dump`, and to the session's taps.

use crate::{
    relay::half::Observer,
    report::reporter::Reporter,
    session::{
        event::{Side, What},
        record::Record,
    },
};

/// Looks at what one side of a session sends.
pub struct Dump<'a> {
    reporter: &'a Reporter,
    record: &'a Record,
    side: Side,
    limit: Option<usize>,
}

impl<'a> Dump<'a> {
    /// Tells the reporter the first `limit` bytes of each piece; none: nothing.
    #[must_use]
    pub fn new(reporter: &'a Reporter, record: &'a Record, side: Side, limit: Option<usize>) -> Self {
        Dump { reporter, record, side, limit }
    }
}

impl Observer for Dump<'_> {
    fn watches(&self) -> bool {
        self.limit.is_some() || self.record.taps.count() > 0
    }

    fn show(&self, offset: u64, bytes: &[u8]) {
        if let Some(limit) = self.limit {
            let shown = bytes[..bytes.len().min(limit)].into();
            let session = self.record.id;
            self.reporter.report(What::Data { session, from: self.side, offset, bytes: bytes.len(), shown });
        }
        self.record.taps.offer(self.side, offset, bytes);
    }
}
