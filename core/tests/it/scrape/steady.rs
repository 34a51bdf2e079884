//! The memory of previous scrapes must never change what a row says: it is held against a target without memory.

use super::*;
use crate::exposition::mutation::Dice;

/// Lines of a body, each of them now and then missing, new, out of order or repeated.
fn body(dice: &mut Dice, round: usize) -> Vec<(String, usize)> {
    let mut lines = Vec::new();
    for n in 0..60 {
        if dice.below(40) == 0 {
            continue;
        }
        let churn = if n % 10 == 0 { round / 3 } else { 0 };
        let spacing = if n % 17 == 5 { "  " } else { " " };
        lines.push((format!("metric_{}{{pos=\"{n}\",churn=\"{churn}\"}}{spacing}", n / 7), dice.below(1000)));
        if dice.below(60) == 0 {
            let again = lines[dice.below(lines.len())].clone();
            lines.push(again);
        }
    }
    match dice.below(12) {
        0 => lines.reverse(),
        1 => lines.rotate_left(dice.below(20)),
        2 => lines.truncate(10),
        _ => {}
    }
    lines
}

#[test]
fn rows_are_those_of_a_plain_comparison() {
    for seed in 1..=20u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut story = Story::new(job());
        let mut before: BTreeMap<String, usize> = BTreeMap::new();
        for round in 0..80 {
            if dice.below(15) == 0 {
                let ended = story.failed().report.ended;
                assert_eq!(ended, before.len(), "seed {seed} round {round}");
                before.clear();
                continue;
            }
            let lines = body(&mut dice, round);
            let text: String =
                lines.iter().map(|(key, value)| format!("# HELP {} x\n{key}{value}\n", &key[..key.find('{').unwrap()])).collect();
            let mut now: BTreeMap<String, usize> = BTreeMap::new();
            let mut expected = Vec::new();
            for (key, value) in &lines {
                let key = key.trim_end().to_owned();
                if now.insert(key.clone(), *value).is_none() {
                    expected.push(format!("{key} {value}"));
                }
            }
            let outcome = story.scraped(text.as_bytes());
            let shown = story.show(&outcome.row);
            let mut cells: Vec<String> = shown
                .lines()
                .filter(|line| !line.starts_with("report"))
                .map(|line| {
                    let (labels, value) = line.rsplit_once(' ').unwrap();
                    let field = |name: &str| {
                        let from = labels.find(&format!("{name}=\"")).unwrap() + name.len() + 2;
                        &labels[from..from + labels[from..].find('"').unwrap()]
                    };
                    format!("{}{{pos=\"{}\",churn=\"{}\"}} {value}", field("__name__"), field("pos"), field("churn"))
                })
                .collect();
            let mut vanished: Vec<String> = cells.split_off(expected.len());
            vanished.sort();
            assert_eq!(cells, expected, "seed {seed} round {round}");
            let gone: Vec<String> =
                before.keys().filter(|key| !now.contains_key(*key)).map(|key| format!("{key} stale")).collect();
            assert_eq!(vanished, gone, "seed {seed} round {round}");
            assert_eq!(outcome.report.duplicates, lines.len() - now.len());
            before = now;
        }
    }
}
