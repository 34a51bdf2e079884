//! A second opinion: the crate `prometheus-parse`, over bodies of the shapes that it reads correctly.

use std::collections::BTreeMap;

use prometheus_parse::{Scrape, Value};
use tocsin_core::model::LabelSet;
use tocsin_core::model::exposition::Format;

use super::mutation::Dice;
use super::samples;

/// Writes a body of untyped samples, counters and gauges. The crate passes over names with colons, and cuts values of labels at commas,
/// braces and escapes, so there are none.
fn body(dice: &mut Dice) -> String {
    let mut out = String::new();
    for metric in 0..1 + dice.below(8) {
        let name = format!("metric_{metric}{}", ["", "_total"][dice.below(2)]);
        match dice.below(3) {
            0 => out += &format!("# HELP {name} Some words.\n# TYPE {name} counter\n"),
            1 => out += &format!("# TYPE {name} gauge\n"),
            _ => {}
        }
        for sample in 0..1 + dice.below(5) {
            out += &name;
            let labels: Vec<String> = (0..dice.below(4))
                .map(|label| format!("label_{label}=\"{}{sample}\"", ["a", "b c", "ü/d", "x-1.5"][dice.below(4)]))
                .collect();
            let labels = if sample > 0 { [vec![format!("nr=\"{sample}\"")], labels].concat() } else { labels };
            if !labels.is_empty() {
                out += &format!("{{{}}}", labels.join(","));
            }
            out += &match dice.below(5) {
                0 => format!(" {}", dice.below(1 << 50)),
                1 => format!(" {}", dice.below(1 << 50) as f64 / 1e7),
                2 => format!(" -{:e}", dice.below(1 << 50) as f64 * 1e12),
                3 => " +Inf".to_owned(),
                _ => " NaN".to_owned(),
            };
            if dice.below(3) == 0 {
                out += &format!(" {}", 1_700_000_000_000 + dice.below(1 << 30));
            }
            out.push('\n');
        }
    }
    out
}

#[test]
fn another_parser_reads_the_same_samples() {
    let mut dice = Dice(0x853c_49e6_748f_ea9b);
    for _ in 0..500 {
        let body = body(&mut dice);
        let theirs: Vec<String> = Scrape::parse(body.lines().map(|line| Ok(line.to_owned())))
            .unwrap()
            .samples
            .iter()
            .map(|sample| {
                let mut labels: BTreeMap<&str, &str> =
                    sample.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                labels.insert("__name__", &sample.metric);
                let value = match sample.value {
                    Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value) => value,
                    _ => panic!("the generator writes no {:?}", sample.value),
                };
                format!("{} {value:?}", LabelSet::from_pairs(labels))
            })
            .collect();
        let ours: Vec<String> = samples(body.as_bytes(), Format::Text)
            .unwrap()
            .iter()
            .map(|(labels, line)| format!("{labels} {:?}", line.value))
            .collect();
        assert_eq!(ours, theirs, "{body}");
    }
}
