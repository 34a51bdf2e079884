//! A thousand sequences of alerts, silences and time, in a real Alertmanager and in us at the same instants: what both tell is compared.
//!
//! `TOCSIN_SEED` chooses other sequences than the usual ones, `TOCSIN_SEQUENCE` runs one of them alone.

mod generator;
mod pair;
mod scenarios;

use std::collections::BTreeMap;

use generator::{Differs, Sequence, sequence};
use pair::{Outcome, Pair};

const SEQUENCES: usize = 1000;
/// Sequences that run at once.
const WAVE: usize = 250;
/// Tries at one wave, should the machine be too busy to keep its times.
const TRIES: usize = 5;
const SEED: u64 = 20_261_122;

#[expect(clippy::disallowed_methods, reason = "which sequences to run is told by the environment")]
fn told(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// Runs sequences until they have run in time; panics when the machine never lets them.
async fn run(pair: &mut Pair, sequences: &[Sequence]) -> Vec<Outcome> {
    for attempt in 1..=TRIES {
        match pair.run(sequences).await {
            Ok(outcomes) => return outcomes,
            Err(late) => println!("try {attempt} at {} sequences does not count: {late}", sequences.len()),
        }
    }
    panic!("this machine was too busy {TRIES} times to post and to notify in time; nothing was compared");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn generated_sequences_are_told_as_alertmanager_tells_them() {
    let seed = told("TOCSIN_SEED").unwrap_or(SEED);
    let numbers: Vec<usize> = match told("TOCSIN_SEQUENCE") {
        Some(number) => vec![number as usize],
        None => (0..SEQUENCES).collect(),
    };
    println!("seed {seed}");
    let sequences: Vec<Sequence> = numbers.iter().map(|number| sequence(seed, *number)).collect();
    let mut pair = Pair::start(generator::CONFIG).await;
    let (mut agreed, mut notifications, mut faults) = (0, 0, Vec::new());
    let mut explained: BTreeMap<Differs, usize> = BTreeMap::new();
    for wave in sequences.chunks(WAVE) {
        for (sequence, outcome) in wave.iter().zip(run(&mut pair, wave).await) {
            notifications += outcome.theirs.values().map(Vec::len).sum::<usize>();
            // Whatever else is told: nobody is left with an alert that has ended.
            for left in outcome.left_open() {
                faults.push(format!("we never tell the end of {left}\n{sequence}{outcome}"));
            }
            match sequence.differs {
                _ if outcome.theirs == outcome.ours => agreed += 1,
                _ if outcome.agrees_but_for_what_is_cut() => *explained.entry(Differs::Cut).or_default() += 1,
                Some(differs) => *explained.entry(differs).or_default() += 1,
                None => faults.push(format!("{sequence}{outcome}")),
            }
            if sequences.len() == 1 {
                println!("{sequence}{outcome}");
            }
        }
    }
    println!("{agreed} sequences of {} agree, in {notifications} notifications of Alertmanager", sequences.len());
    let may_differ = sequences.iter().filter(|sequence| sequence.differs.is_some()).count();
    println!("{may_differ} may differ");
    for (differs, count) in &explained {
        println!("{count} differ as they must: {}", differs.reason());
    }
    let shown: Vec<&str> = faults.iter().map(String::as_str).take(5).collect();
    assert!(faults.is_empty(), "{} faults, seed {seed}; the first of them:\n{}", faults.len(), shown.join("\n\n"));
    if sequences.len() == SEQUENCES {
        assert!(may_differ < SEQUENCES / 4, "{may_differ} may differ; the others must be most");
        assert!(notifications > 4 * SEQUENCES, "{notifications} notifications are too few to prove anything");
    }
}
