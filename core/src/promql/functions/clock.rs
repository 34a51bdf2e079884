//! Parts of the calendar, in UTC.

/// An instant taken apart, in the Gregorian calendar before its introduction and beyond any library's range too.
struct Parts {
    year: i64,
    /// 1 to 12
    month: i64,
    day_of_month: i64,
    day_of_year: i64,
    /// Sunday is 0.
    day_of_week: i64,
    /// Of the day.
    seconds: i64,
}

const DAY: i64 = 86_400;
/// Days in 400 years, after which the calendar repeats.
const CYCLE: i64 = 146_097;

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl Parts {
    fn of(seconds: i64) -> Parts {
        let days = seconds.div_euclid(DAY);
        // The epoch lies 719468 days behind the first of March of the year 0; years that begin in March end in the leap day.
        let since_march = days + 719_468;
        let (cycle, day) = (since_march.div_euclid(CYCLE), since_march.rem_euclid(CYCLE));
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let from_march = (5 * day + 2) / 153;
        let day_of_month = day - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let year = year + cycle * 400 + i64::from(month <= 2);
        let day_of_year = (1..month).map(|earlier| days_in_month(year, earlier)).sum::<i64>() + day_of_month;
        // The first of January 1970 was a Thursday.
        let day_of_week = (days + 4).rem_euclid(7);
        Parts { year, month, day_of_month, day_of_year, day_of_week, seconds: seconds.rem_euclid(DAY) }
    }
}

/// Returns the body of a function of the calendar: from seconds since the epoch to a number.
///
/// NaN and numbers beyond 64 bits are no instant and give NaN; what Prometheus makes of those depends on its processor.
pub(crate) fn body(name: &str) -> Option<fn(f64) -> f64> {
    macro_rules! part {
        ($read:expr) => {
            |seconds: f64| {
                let read: fn(Parts) -> i64 = $read;
                if seconds.abs() < i64::MAX as f64 { read(Parts::of(seconds as i64)) as f64 } else { f64::NAN }
            }
        };
    }
    Some(match name {
        "year" => part!(|at| at.year),
        "month" => part!(|at| at.month),
        "day_of_month" => part!(|at| at.day_of_month),
        "day_of_year" => part!(|at| at.day_of_year),
        "day_of_week" => part!(|at| at.day_of_week),
        "days_in_month" => part!(|at| days_in_month(at.year, at.month)),
        "hour" => part!(|at| at.seconds / 3600),
        "minute" => part!(|at| at.seconds / 60 % 60),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Datelike, Timelike};

    use super::{Parts, body};

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
            assert_eq!(body(name).unwrap()(at), expected, "{name}");
            assert!(body(name).unwrap()(f64::NAN).is_nan() && body(name).unwrap()(-1e30).is_nan(), "{name}");
        }
        assert_eq!(body("minute").unwrap()(1e18), 46.0);
    }

    #[test]
    fn every_week_of_many_centuries_is_as_another_calendar_has_it() {
        for seconds in (-70_000_000_000..200_000_000_000).step_by(7 * 86_400 + 12_345) {
            let (own, other) = (Parts::of(seconds), DateTime::from_timestamp(seconds, 0).expect("an instant"));
            let date = (i64::from(other.year()), i64::from(other.month()), i64::from(other.day()));
            assert_eq!((own.year, own.month, own.day_of_month), date, "{seconds}");
            let days = (i64::from(other.ordinal()), i64::from(other.weekday().num_days_from_sunday()));
            assert_eq!((own.day_of_year, own.day_of_week), days, "{seconds}");
            assert_eq!(own.seconds, i64::from(other.num_seconds_from_midnight()), "{seconds}");
        }
    }
}
