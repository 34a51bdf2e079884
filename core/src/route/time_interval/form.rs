//! A time interval in the words of Alertmanager's files, for records and for other programs.

use serde::{Deserialize, Serialize};

use super::text::{self, MONTHS, WEEKDAYS};
use super::{InclusiveRange, TimeInterval, TimeRange};

/// One entry of `time_intervals`: `{"weekdays": ["monday:friday"], "times": [{"start_time": "22:00", "end_time": "06:00"}]}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IntervalForm {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub times: Vec<RangeForm>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub weekdays: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub days_of_month: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub months: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub years: Vec<String>,
    /// None: UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RangeForm {
    /// Hours and minutes, such as `22:00`.
    pub start_time: String,
    pub end_time: String,
}

impl IntervalForm {
    /// Reads the words. Errors: every fault, each with its key.
    pub fn read(&self) -> Result<TimeInterval, Vec<String>> {
        let mut faults = Vec::new();
        let mut times = Vec::new();
        for RangeForm { start_time, end_time } in &self.times {
            match text::time_range(start_time, end_time) {
                Ok(range) => times.push(range),
                Err(found) => faults.extend(found.into_iter().map(|fault| format!("times: {fault}"))),
            }
        }
        let mut ranges = |key: &str, texts: &[String], read: fn(&str) -> Result<InclusiveRange, String>| {
            let mut all = Vec::new();
            for text in texts {
                match read(&text.to_lowercase()) {
                    Ok(range) => all.push(range),
                    Err(fault) => faults.push(format!("{key}: {fault}")),
                }
            }
            all
        };
        let mut interval = TimeInterval {
            times,
            weekdays: ranges("weekdays", &self.weekdays, text::weekday_range),
            days_of_month: ranges("days_of_month", &self.days_of_month, text::day_range),
            months: ranges("months", &self.months, text::month_range),
            years: ranges("years", &self.years, text::year_range),
            location: None,
        };
        if let Some(name) = self.location.as_deref().filter(|name| !name.is_empty()) {
            match text::zone(name) {
                Ok(zone) => interval.location = Some(zone),
                Err(fault) => faults.push(format!("location: {fault}")),
            }
        }
        if faults.is_empty() { Ok(interval) } else { Err(faults) }
    }
}

impl From<&TimeInterval> for IntervalForm {
    fn from(interval: &TimeInterval) -> IntervalForm {
        let minute = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        let range = |range: &TimeRange| RangeForm { start_time: minute(range.start_minute), end_time: minute(range.end_minute) };
        let ranges = |all: &[InclusiveRange], member: &dyn Fn(i32) -> String| {
            all.iter()
                .map(|InclusiveRange { begin, end }| match begin == end {
                    true => member(*begin),
                    false => format!("{}:{}", member(*begin), member(*end)),
                })
                .collect()
        };
        let number = |value: i32| value.to_string();
        IntervalForm {
            times: interval.times.iter().map(range).collect(),
            weekdays: ranges(&interval.weekdays, &|day| WEEKDAYS[day as usize].to_owned()),
            days_of_month: ranges(&interval.days_of_month, &number),
            months: ranges(&interval.months, &|month| MONTHS[month as usize - 1].to_owned()),
            years: ranges(&interval.years, &number),
            location: interval.location.map(|zone| zone.name().to_owned()),
        }
    }
}

/// For records: lists of intervals in their words.
pub(crate) mod record {
    use serde::de::{Deserialize, Deserializer, Error};
    use serde::ser::Serializer;

    use super::{IntervalForm, TimeInterval};

    pub fn serialize<S: Serializer>(intervals: &[TimeInterval], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(intervals.iter().map(IntervalForm::from))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<TimeInterval>, D::Error> {
        let forms = Vec::<IntervalForm>::deserialize(deserializer)?;
        forms.iter().map(|form| form.read().map_err(|faults| D::Error::custom(faults.join("; ")))).collect()
    }
}
