//! Times as responses write them: RFC 3339 in UTC with microseconds and a numeric offset, as Python's `isoformat`.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};

use crate::wit::Instant;

impl Instant {
    /// Formats the time. A time beyond the range of `chrono` becomes the nearest one within.
    pub(crate) fn to_rfc3339(self) -> String {
        DateTime::<Utc>::from_timestamp(self.seconds, self.nanoseconds)
            .unwrap_or(if self.seconds < 0 { DateTime::<Utc>::MIN_UTC } else { DateTime::<Utc>::MAX_UTC })
            .to_rfc3339_opts(SecondsFormat::Micros, false)
    }
}

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_rfc3339())
    }
}

#[cfg(test)]
mod tests {
    use super::Instant;

    #[test]
    fn times_are_rfc3339_utc_with_a_numeric_offset() {
        let at = |seconds, nanoseconds| Instant { seconds, nanoseconds }.to_rfc3339();
        assert_eq!(at(1_700_000_000, 123_456_789), "2023-11-14T22:13:20.123456+00:00");
        assert_eq!(at(0, 0), "1970-01-01T00:00:00.000000+00:00");
        assert_eq!(at(-1, 500_000_000), "1969-12-31T23:59:59.500000+00:00");
        assert!(at(i64::MAX, 0).ends_with("+00:00"));
    }
}
