//! Recurring spans of civil time.

use chrono_tz::Tz;

/// One entry under a name of `time_intervals`. An empty list asks nothing; all lists must agree.
///
/// Source: Alertmanager `timeinterval`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TimeInterval {
    pub times: Vec<TimeRange>,
    /// 0 is Sunday, 6 Saturday.
    pub weekdays: Vec<InclusiveRange>,
    /// 1 to 31; negative counts from the month's end (-1 is the last day).
    pub days_of_month: Vec<InclusiveRange>,
    /// 1 to 12.
    pub months: Vec<InclusiveRange>,
    pub years: Vec<InclusiveRange>,
    /// None: UTC.
    pub location: Option<Tz>,
}

/// Minutes since midnight, the end left out; 1440 is the end of the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    pub start_minute: u16,
    pub end_minute: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InclusiveRange {
    pub begin: i32,
    pub end: i32,
}
