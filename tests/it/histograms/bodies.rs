//! Bodies of one made-up exporter, one every 15 seconds of its own time.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::harness::protobuf::{
    COUNTER, GAUGE, GAUGE_HISTOGRAM, HISTOGRAM, Message, SUMMARY, UNTYPED, bucket, counter, exemplar, family, float_side,
    instant, metric, side,
};

/// Between two bodies, in milliseconds.
pub const STEP: i64 = 15_000;
const BOUNDS: [f64; 5] = [0.05, 0.1, 0.5, 1.0, 2.5];

/// A native histogram that counts what it observes.
#[derive(Clone, Default)]
struct Native {
    schema: i32,
    zero_threshold: f64,
    zero: i64,
    count: i64,
    sum: f64,
    positive: BTreeMap<i32, i64>,
    negative: BTreeMap<i32, i64>,
}

impl Native {
    /// Returns one that was at work before: how a rate begins close to zero is no matter of these stories.
    fn aged(mut self, spread: f64) -> Native {
        (1..400).for_each(|number| self.observe(spread * (f64::from(number) / 100.0 - 1.0)));
        self
    }

    fn observe(&mut self, value: f64) {
        self.count += 1;
        self.sum += value;
        if value.abs() <= self.zero_threshold {
            self.zero += 1;
        } else {
            let index = (value.abs().log2() * f64::from(self.schema).exp2()).ceil() as i32;
            let side = if value > 0.0 { &mut self.positive } else { &mut self.negative };
            *side.entry(index).or_default() += 1;
        }
    }

    fn message(&self, first: Message) -> Message {
        let list = |side: &BTreeMap<i32, i64>| side.iter().map(|(index, count)| (*index, *count)).collect::<Vec<_>>();
        let message = first.integer(1, self.count as u64).double(2, self.sum).signed(5, i64::from(self.schema));
        let message = message.double(6, self.zero_threshold).integer(7, self.zero as u64);
        side(side(message, 9, &list(&self.negative)), 12, &list(&self.positive))
    }

    /// As `message`, with counts that are floats.
    fn float_message(&self, scale: f64) -> Message {
        let list: Vec<(i32, i64)> = self.positive.iter().map(|(index, count)| (*index, *count)).collect();
        let message = Message::new().double(4, self.count as f64 * scale).double(2, self.sum).signed(5, i64::from(self.schema));
        float_side(message.double(6, self.zero_threshold).double(8, self.zero as f64 * scale), 12, &list, scale)
    }
}

/// A classic histogram.
#[derive(Clone, Default)]
struct Classic {
    counts: [u64; 6],
    sum: f64,
    /// The last observation of each bucket, and when it was.
    last: [Option<(f64, i64)>; 6],
}

impl Classic {
    /// Returns one that was at work before.
    fn aged() -> Classic {
        Classic { counts: [100, 80, 60, 40, 20, 10], sum: 200.0, ..Classic::default() }
    }

    fn observe(&mut self, value: f64, at: i64) {
        let bucket = BOUNDS.iter().position(|bound| value <= *bound).unwrap_or(BOUNDS.len());
        self.counts[bucket] += 1;
        self.sum += value;
        self.last[bucket] = Some((value, at));
    }

    fn cumulative(&self) -> Vec<(f64, u64)> {
        let mut sum = 0;
        let bounds = BOUNDS.iter().copied().chain([f64::INFINITY]);
        bounds
            .zip(self.counts)
            .map(|(bound, count)| {
                sum += count;
                (bound, sum)
            })
            .collect()
    }

    fn message(&self, with_infinity: bool) -> Message {
        let cumulative = self.cumulative();
        let mut message = Message::new().integer(1, cumulative[5].1).double(2, self.sum);
        for (index, (bound, count)) in cumulative.iter().enumerate().filter(|(index, _)| with_infinity || *index < 5) {
            let last = self.last[index].map(|(value, at)| {
                // Every other bucket's exemplar has no time of its own.
                exemplar(&[("trace_id", &format!("t{at}"))], value, (index % 2 == 0).then_some(at))
            });
            message = message.inner(3, &bucket(*bound, *count, last.as_ref()));
        }
        message
    }

    fn text(&self, labels: &str, at: &str, out: &mut String) {
        for (index, (bound, count)) in self.cumulative().into_iter().enumerate() {
            let bound = if bound.is_infinite() { "+Inf".to_owned() } else { format!("{bound:?}") };
            let _ = write!(out, "request_seconds_bucket{{{labels},le=\"{bound}\"}} {count} {at}");
            if let Some((value, at)) = self.last[index] {
                let time = if index % 2 == 0 { format!(" {}.{:03}", at / 1000, at % 1000) } else { String::new() };
                let _ = write!(out, " # {{trace_id=\"t{at}\"}} {value}{time}");
            }
            out.push('\n');
        }
        let _ = writeln!(out, "request_seconds_count{{{labels}}} {} {at}", self.cumulative()[5].1);
        let _ = writeln!(out, "request_seconds_sum{{{labels}}} {} {at}", self.sum);
    }
}

pub struct Bodies {
    seed: u64,
    steps: i64,
    at: i64,
    start: i64,
    latency: [Native; 2],
    wide: Native,
    gauged: Native,
    small: Native,
    classic: [Classic; 2],
    requests: f64,
}

impl Bodies {
    pub fn new(start: i64) -> Bodies {
        let native = |schema, zero_threshold| Native { schema, zero_threshold, ..Native::default() };
        Bodies {
            seed: 42,
            steps: 0,
            at: start,
            start,
            latency: [native(3, 0.001).aged(1.0), native(3, 0.001).aged(2.0)],
            wide: native(0, 0.5).aged(1000.0),
            gauged: native(2, 0.0),
            small: native(8, 1e-128).aged(0.01),
            classic: [Classic::aged(), Classic::aged()],
            requests: 0.0,
        }
    }

    fn dice(&mut self) -> f64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        (self.seed >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Goes on to the next body.
    pub fn step(&mut self) {
        self.steps += 1;
        self.at += STEP;
        match self.steps {
            // Counters begin anew, all of one histogram or only its count.
            13 => self.latency[0] = Native { schema: 3, zero_threshold: 0.001, ..Native::default() }.aged(1.0),
            17 => self.classic = [Classic::aged(), Classic::aged()],
            // The client gives up resolution, then widens its zero bucket.
            20 => self.latency[1] = Native { schema: 2, zero_threshold: 0.001, ..Native::default() }.aged(1.0),
            26 => self.latency[1] = Native { schema: 2, zero_threshold: 0.01, ..Native::default() }.aged(1.0),
            _ => {}
        }
        self.gauged = Native { schema: 2, ..Native::default() }.aged(1.0);
        for number in 0..(self.steps % 7) * 5 {
            let values = [self.dice(), self.dice(), self.dice()];
            self.latency[(number % 2) as usize].observe(values[0].powi(6) * 4.0);
            self.wide.observe((values[1] - 0.4) * 1e4);
            self.gauged.observe(values[2] * 8.0 - 2.0);
            self.small.observe(1.0 + values[0] / 50.0);
            let at = self.at - 100 * number;
            self.classic[(number % 2) as usize].observe(values[1].powi(3) * 4.0, at);
            self.requests += values[2];
        }
    }

    fn simple(&self) -> Vec<u8> {
        let (at, steps) = (Some(self.at), self.steps);
        let trace = exemplar(
            &[("trace_id", &format!("r{}", steps / 3)), ("span", "1")],
            self.requests / 2.0,
            Some(self.at - STEP * (steps % 3)),
        );
        let untimed = exemplar(&[("trace_id", &format!("u{}", steps / 4))], 1.0, None);
        let quantiles = [(0.5, self.requests / 3.0), (0.99, f64::NAN), (1.0, 7.0)]
            .iter()
            .fold(Message::new().integer(1, steps as u64).double(2, self.requests), |summary, (quantile, value)| {
                summary.inner(3, &Message::new().double(1, *quantile).double(2, *value))
            });
        [
            family(
                "requests_total",
                "Requests of \"all\" kinds.\nIn two lines.",
                COUNTER,
                "",
                &[
                    metric(&[("code", "200"), ("path", "/ä b")], at).inner(3, &counter(self.requests, Some(&trace), self.start)),
                    metric(&[("code", "500"), ("empty", "")], at).inner(3, &counter(2.0, Some(&untimed), self.start)),
                ],
            ),
            family("temperature_celsius", "", GAUGE, "celsius", &[metric(&[], at).inner(2, &Message::new().double(1, -3.25))]),
            family("nothing", "A family without metrics.", GAUGE, "", &[]),
            family(
                "any.thing",
                "Its type is not known.",
                UNTYPED,
                "",
                &[metric(&[("dotted.name", "x")], at).inner(5, &Message::new().double(1, f64::INFINITY))],
            ),
            family(
                "rpc_seconds",
                "A summary.",
                SUMMARY,
                "seconds",
                &[
                    metric(&[("instance", "own")], at).inner(4, &quantiles),
                    metric(&[("rpc", "none")], at).inner(4, &Message::new().integer(1, 3)),
                ],
            ),
        ]
        .concat()
    }

    /// Returns a body with histograms of all kinds.
    pub fn protobuf(&self) -> Vec<u8> {
        let at = Some(self.at);
        let traces = |native: &Native| {
            let mut message = native.message(Message::new()).inner(15, &instant(self.start));
            for number in 0..3i64 {
                let (value, time) = (0.1 * number as f64, self.at - STEP * ((self.steps + number) % 4));
                let traced = exemplar(&[("trace_id", &format!("n{time}-{number}"))], value, (number != 1).then_some(time));
                message = message.inner(16, &traced);
            }
            message
        };
        let histogram = |labels: &[(&str, &str)], message: &Message| metric(labels, at).inner(7, message);
        let both = self.small.message(self.classic[0].message(true));
        let natives = [
            family(
                "latency_seconds",
                "Native only.",
                HISTOGRAM,
                "seconds",
                &[
                    histogram(&[("path", "/a")], &traces(&self.latency[0])),
                    histogram(&[("path", "/b")], &self.latency[1].message(Message::new())),
                ],
            ),
            family(
                "wide",
                "With a zero bucket, and below it.",
                HISTOGRAM,
                "",
                &[histogram(&[], &self.wide.message(Message::new()))],
            ),
            family(
                "gauged",
                "A gauge.",
                GAUGE_HISTOGRAM,
                "",
                &[histogram(&[("queue", "q")], &self.gauged.message(Message::new()))],
            ),
            family(
                "float_native",
                "Counts that are floats.",
                HISTOGRAM,
                "",
                &[histogram(&[], &self.latency[0].float_message(0.25))],
            ),
            // Where the classic counts disagree with the native ones, each form has its own.
            family(
                "small",
                "Native and classic.",
                HISTOGRAM,
                "",
                &[histogram(&[("form", "both")], &both.integer(1, self.small.count as u64).double(2, self.small.sum))],
            ),
            family(
                "empty_native",
                "No observation yet.",
                HISTOGRAM,
                "",
                &[histogram(&[], &Message::new().inner(12, &Message::new()))],
            ),
        ];
        [natives.concat(), self.classic(), self.simple()].concat()
    }

    /// Returns a body whose histograms are classic.
    pub fn classic(&self) -> Vec<u8> {
        let at = Some(self.at);
        let histogram = |labels: &[(&str, &str)], message: &Message| metric(labels, at).inner(7, message);
        let mut bad = self.classic[1].message(true);
        bad = bad.integer(1, 1_000_000);
        [
            family(
                "request_seconds",
                "Classic buckets.",
                HISTOGRAM,
                "seconds",
                &[
                    histogram(&[("path", "/a")], &self.classic[0].message(true)),
                    histogram(&[("path", "/b")], &self.classic[1].message(true)),
                ],
            ),
            family(
                "classic_seconds",
                "Without the last bucket.",
                HISTOGRAM,
                "seconds",
                &[histogram(&[("bound", "own")], &self.classic[0].message(false))],
            ),
            family("contradiction", "Its count is not that of its buckets.", HISTOGRAM, "", &[histogram(&[], &bad)]),
            family(
                "bucketless",
                "No buckets at all.",
                HISTOGRAM,
                "",
                &[histogram(&[], &Message::new().integer(1, 3).double(2, 1.5))],
            ),
            family("classic_gauge", "A gauge.", GAUGE_HISTOGRAM, "", &[histogram(&[], &self.classic[1].message(true))]),
            self.simple(),
        ]
        .concat()
    }

    /// Returns the classic histograms as text.
    pub fn openmetrics(&self) -> Vec<u8> {
        let at = format!("{}.{:03}", self.at / 1000, self.at % 1000);
        let mut out = String::from(
            "# HELP request_seconds Classic buckets.\n# TYPE request_seconds histogram\n# UNIT request_seconds seconds\n",
        );
        self.classic[0].text("path=\"/a\"", &at, &mut out);
        self.classic[1].text("path=\"/b\"", &at, &mut out);
        let _ = writeln!(
            out,
            "# HELP contradiction Its count is not that of its buckets.\n# TYPE contradiction histogram\ncontradiction_bucket{{le=\"1\"}} 5 {at}\ncontradiction_bucket{{le=\"+Inf\"}} 4 {at}"
        );
        let _ = writeln!(out, "# TYPE requests counter");
        let (number, value) = (self.steps / 3, self.requests);
        let _ = writeln!(out, "requests_total{{code=\"200\"}} {value} {at} # {{trace_id=\"r{number}\"}} {} {at}", value / 2.0);
        let _ = writeln!(out, "requests_total{{code=\"500\"}} 2 {at} # {{trace_id=\"u{number}\"}} 1");
        let _ = writeln!(out, "requests_total{{code=\"600\"}} 2 {at} # {{trace_id=\"{}\"}} 1", "long".repeat(40));
        let _ = writeln!(
            out,
            "# TYPE late histogram\nlate_count 3 {at}\nlate_sum 1.5 {at}\nlate_bucket{{le=\"+Inf\"}} 3 {at}\nlate_bucket{{le=\"0.5\"}} 1 {at}"
        );
        (out + "# EOF\n").into_bytes()
    }
}
