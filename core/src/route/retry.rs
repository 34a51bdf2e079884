//! What an answer means for a delivery, and when to try again.

use chrono::DateTime;

use crate::time::{Span, Timestamp};

/// What a provider's answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Delivered,
    /// The provider is in trouble or wants us to slow down.
    Retry,
    /// The place or the credentials are wrong, or the way there leads elsewhere: a deploy, a rotation or a person may mend that.
    Mendable,
    /// The provider has understood and refuses; the same request would be refused again.
    Rejected,
}

/// Returns what an HTTP status means. 429 is retried on every channel: not retrying it loses pages.
pub fn class(status: u16) -> Class {
    match status {
        200..=299 => Class::Delivered,
        408 | 425 | 429 | 500..=599 => Class::Retry,
        400 | 413 | 415 | 422 => Class::Rejected,
        _ => Class::Mendable,
    }
}

/// Returns what the code of a mail server's refusal means for one recipient.
///
/// Source: RFC 5321 section 4.2.3, RFC 4954 section 6, RFC 7504.
pub fn smtp_class(code: u16) -> Class {
    match code {
        200..=299 => Class::Delivered,
        // 554 says only that it failed: also that we may not relay, or that nobody is served now.
        550..=553 | 555 | 556 => Class::Rejected,
        500..=599 => Class::Mendable,
        _ => Class::Retry,
    }
}

/// The wait where somebody has to mend something: shorter ones would lock accounts and fill logs.
pub const MENDING_WAIT: Span = Span::from_mins(1);

/// The first wait; each later one is twice as long.
const WAIT_MIN: Span = Span::from_secs(1);
/// The longest wait between two attempts, so that a provider that comes back is used soon.
const WAIT_MAX: Span = Span::from_secs(60);
/// A provider's own wish is heeded up to here; a longer one would outlast an escalation.
const WISH_MAX: Span = Span::from_mins(5);

/// Reads the header Retry-After: seconds, or an instant, of which the way to it is returned.
///
/// Source: RFC 9110 section 10.2.3.
pub fn wish(text: &str, now: Timestamp) -> Option<Span> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return (seconds >= 0.0).then(|| span_of(seconds));
    }
    let at = DateTime::parse_from_rfc2822(text).ok()?;
    Some((Timestamp(at.timestamp_millis()) - now).max(Span::ZERO))
}

/// Returns a number of seconds as a span, rounded up.
pub fn span_of(seconds: f64) -> Span {
    Span((seconds * 1000.0).ceil() as i64)
}

/// Returns when to try again after the attempt numbered `attempts` (counted from 1) failed at `now`.
///
/// `wish` is the provider's Retry-After; `spread` (any number) moves the instant by up to a quarter of the wait, so that many
/// deliveries do not come back at once.
pub fn next_attempt(now: Timestamp, attempts: u32, wish: Option<Span>, spread: u64) -> Timestamp {
    let doubled = WAIT_MIN.0 << attempts.saturating_sub(1).min(16);
    let wait = doubled.min(WAIT_MAX.0);
    let moved = wait + (spread % (wait as u64 / 4 + 1)) as i64;
    now + Span(moved.max(wish.map_or(0, |wish| wish.0.clamp(0, WISH_MAX.0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute_and_heed_the_provider() {
        let wait = |attempts, wish| next_attempt(Timestamp(0), attempts, wish, 0).0;
        assert_eq!([1, 2, 3, 7, 100].map(|attempts| wait(attempts, None)), [1_000, 2_000, 4_000, 60_000, 60_000]);
        assert_eq!(wait(1, Some(Span::from_secs(30))), 30_000);
        assert_eq!(wait(1, Some(Span::from_secs(86_400))), 300_000);
        assert_eq!(wait(3, Some(Span::from_secs(-5))), 4_000);
        assert!((1_000..=1_250).contains(&next_attempt(Timestamp(0), 1, None, 987_654_321).0));
    }

    #[test]
    fn a_wish_is_in_seconds_or_an_instant() {
        let now = Timestamp::parse_rfc3339("2015-10-21T07:27:30Z").unwrap();
        for (text, expected) in [
            ("30", Some(30_000)),
            (" 0.25 ", Some(250)),
            ("Wed, 21 Oct 2015 07:28:00 GMT", Some(30_000)),
            ("Wed, 21 Oct 2015 07:00:00 GMT", Some(0)),
            ("-1", None),
            ("NaN", None),
            ("soon", None),
        ] {
            assert_eq!(wish(text, now), expected.map(Span), "{text}");
        }
    }

    #[test]
    fn only_what_would_be_refused_again_is_final() {
        use Class::{Delivered, Mendable, Rejected, Retry};
        assert_eq!([200, 202, 429, 503].map(class), [Delivered, Delivered, Retry, Retry]);
        assert_eq!([400, 413, 422].map(class), [Rejected, Rejected, Rejected]);
        assert_eq!([401, 403, 404, 302].map(class), [Mendable, Mendable, Mendable, Mendable]);
        assert_eq!([250, 421, 451, 535, 550, 554].map(smtp_class), [Delivered, Retry, Retry, Mendable, Rejected, Mendable]);
        assert_eq!(next_attempt(Timestamp(0), 1, Some(MENDING_WAIT), 0), Timestamp(60_000));
    }
}
