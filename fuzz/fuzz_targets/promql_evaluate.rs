//! Any question over a few awkward series: evaluation ends with an answer or an error, within its limits.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use tocsin_core::promql::evaluate::{Cancel, Options, instant, range};
use tocsin_core::promql::notation;
use tocsin_core::promql::parse::{Syntax, parse};
use tocsin_core::promql::script::Memory;
use tocsin_core::time::{Span, Timestamp};

/// One value every 15 s.
const SERIES: [&str; 8] = [
    "a{job=\"x\", le=\"1\"} 0+1x20 _x5 3+7x20 stale 1 NaN Inf -Inf 0 -0 1e308 -1e308",
    "a{job=\"x\", le=\"+Inf\"} 0+2x40",
    "a{job=\"y\", le=\"1\"} 5 4 3 _ 2 1 stale _ 9",
    "b_total{job=\"x\", code=\"200\"} 0+3x20 0+5x20",
    "b_total{job=\"y\", code=\"500\"} 1x40",
    "info{job=\"x\", version=\"1\"} 1x40",
    "h{job=\"x\"} {{schema:0 count:5 sum:8.5 buckets:[1 2 2]}}+{{schema:0 count:1 sum:1 buckets:[1]}}x30",
    "h{job=\"y\"} {{schema:-53 custom_values:[1 5] count:5 sum:8 buckets:[1 2 2]}}x20 1 2 3",
];
const SAMPLES_MAX: usize = 20_000;

fn series() -> &'static Memory {
    static MEMORY: OnceLock<Memory> = OnceLock::new();
    MEMORY.get_or_init(|| {
        let mut memory = Memory::default();
        for text in SERIES {
            let (labels, values) = notation::series(text).expect("the series is sound");
            for (step, value) in (0..).zip(values) {
                let Some(value) = value else { continue };
                memory.append(&labels, Timestamp(step * 15_000), value).expect("each is newer than the last");
            }
        }
        memory
    })
}

fuzz_target!(|text: &str| {
    let Ok(expr) = parse(text, &Syntax::everything()) else { return };
    for delayed_name_removal in [false, true] {
        let options = Options {
            samples_max: SAMPLES_MAX,
            points_max: 50,
            delayed_name_removal,
            start_timestamps: delayed_name_removal,
            text: Some(text.into()),
            ..Options::default()
        };
        let (source, cancel) = (series(), Cancel::new());
        let answers = [
            instant(&expr, Timestamp(300_000), source, &options, &cancel),
            range(&expr, Timestamp(0), Timestamp(600_000), Span(30_000), source, &options, &cancel),
        ];
        for answer in answers.into_iter().flatten() {
            assert!(answer.stats.samples_peak <= SAMPLES_MAX);
        }
    }
});
