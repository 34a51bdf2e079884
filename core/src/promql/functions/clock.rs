//! Parts of the calendar, in UTC.

use chrono::{DateTime, Datelike, NaiveDate, Timelike, Utc};

fn days_in_month(at: DateTime<Utc>) -> u32 {
    let (year, month) = if at.month() == 12 { (at.year() + 1, 1) } else { (at.year(), at.month() + 1) };
    let last = NaiveDate::from_ymd_opt(year, month, 1).and_then(|next| next.pred_opt());
    last.map_or(31, |last| last.day())
}

/// Returns the body of a function of the calendar: from seconds since the epoch to a number, NaN beyond the calendar.
pub(crate) fn body(name: &str) -> Option<fn(f64) -> f64> {
    macro_rules! part {
        ($read:expr) => {
            |seconds| {
                let at = if seconds.is_nan() { None } else { DateTime::from_timestamp(seconds as i64, 0) };
                let read: fn(DateTime<Utc>) -> f64 = $read;
                at.map_or(f64::NAN, read)
            }
        };
    }
    Some(match name {
        "year" => part!(|at| f64::from(at.year())),
        "month" => part!(|at| f64::from(at.month())),
        "day_of_month" => part!(|at| f64::from(at.day())),
        "day_of_year" => part!(|at| f64::from(at.ordinal())),
        "day_of_week" => part!(|at| f64::from(at.weekday().num_days_from_sunday())),
        "days_in_month" => part!(|at| f64::from(days_in_month(at))),
        "hour" => part!(|at| f64::from(at.hour())),
        "minute" => part!(|at| f64::from(at.minute())),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn parts_of_an_instant() {
        let at = 1_709_210_096.0; // 2024-02-29T12:34:56Z, a Thursday
        for (name, expected) in [
            ("year", 2024.0),
            ("month", 2.0),
            ("day_of_month", 29.0),
            ("day_of_year", 60.0),
            ("day_of_week", 4.0),
            ("days_in_month", 29.0),
            ("hour", 12.0),
            ("minute", 34.0),
        ] {
            assert_eq!(super::body(name).unwrap()(at), expected, "{name}");
        }
    }
}
