use super::*;
use crate::model::sample::STALE_BITS;

fn check(samples: &[(i64, u64)]) -> usize {
    let (mut open, mut run) = (Open::default(), Vec::new());
    for (at, bits) in samples {
        push(&mut open, &mut run, *at, &Value::Float(f64::from_bits(*bits)));
    }
    open.seal(&mut run);
    let mut out = Decoded::default();
    for chunk in Chunks::of(&run) {
        chunk.unwrap().decode(i64::MIN, i64::MAX, &mut out).unwrap();
    }
    let read: Vec<_> = out.floats.iter().map(|(at, value)| (*at, value.to_bits())).collect();
    assert_eq!(read, samples);
    run.len()
}

fn random(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

#[test]
fn any_bits_at_any_times_round_trip() {
    let mut seed = 7;
    for _ in 0..400 {
        let (mut at, mut value, mut samples) = (random(&mut seed) as i64 >> 20, 0u64, Vec::new());
        for _ in 0..random(&mut seed) % 300 {
            let step = match random(&mut seed) % 5 {
                0 => random(&mut seed) >> (random(&mut seed) % 40 + 20),
                1 => 14_990 + random(&mut seed) % 20,
                _ => 15_000,
            };
            let Some(next) = at.checked_add(step as i64 + 1) else { break };
            at = next;
            value = match random(&mut seed) % 6 {
                0 => random(&mut seed),
                1 => STALE_BITS,
                2 => f64::from_bits(value).floor().to_bits(),
                3 => ((random(&mut seed) % 1000) as f64).to_bits(),
                _ => value,
            };
            samples.push((at, value));
        }
        check(&samples);
    }
    check(&[(i64::MIN, 0), (-1, 1), (0, 2), (i64::MAX, 3)]);
}

#[test]
fn a_constant_at_a_steady_interval_takes_a_bit() {
    let samples: Vec<_> = (0..1200).map(|index| (1_795_231_655_000 + index * 15_000, 4.0f64.to_bits())).collect();
    let bytes = check(&samples);
    assert!(bytes < 420, "1200 constant samples take {bytes} bytes");
}

#[test]
fn whole_numbers_take_what_their_steps_need() {
    let at = |index: usize| 1_795_231_655_000 + index as i64 * 15_000;
    let whole =
        |numbers: &[f64]| check(&numbers.iter().enumerate().map(|(index, own)| (at(index), own.to_bits())).collect::<Vec<_>>());
    let mut seed = 11;
    let mut counter = 1e9;
    let counts: Vec<f64> = (0..1200)
        .map(|_| {
            counter += (20 + random(&mut seed) % 12) as f64;
            counter
        })
        .collect();
    let bytes = whole(&counts);
    assert!(bytes < 1800, "1200 counts take {bytes} bytes");
    // As many fractions take far more, and one of them does not spoil what was before it.
    let halves: Vec<f64> = counts.iter().map(|own| own / 7.0).collect();
    let fractions = whole(&halves);
    assert!(fractions > 3 * bytes, "{fractions} bytes, {bytes} for whole numbers");
    let mixed: Vec<f64> = counts[..600].iter().chain([&0.5]).chain(&counts[..600]).copied().collect();
    assert!(whole(&mixed) > bytes);
    let edges =
        [0.0, -0.0, 1.0, -1.0, WHOLE_MAX, -WHOLE_MAX, WHOLE_MAX + 2.0, WHOLE_MAX, f64::NAN, 3.0, f64::INFINITY, 4.0, 1e300];
    for from in 0..edges.len() {
        let turned: Vec<f64> = (0..200).map(|index| edges[(from + index * (1 + index / 50)) % edges.len()]).collect();
        whole(&turned);
        whole(&turned.iter().copied().filter(|own| is_whole(*own)).collect::<Vec<_>>());
    }
}

#[test]
fn damaged_runs_never_panic() {
    let mut run = Vec::new();
    let values: Vec<Value> = (0..100).map(|index| Value::Float(f64::from(index) * if index < 50 { 7.0 } else { 0.7 })).collect();
    seal_samples(&mut run, values.iter().enumerate().map(|(index, value)| (index as i64 * 15_000, value)));
    let mut seed = 3;
    for _ in 0..20_000 {
        let mut bad = run.clone();
        let at = random(&mut seed) as usize % bad.len();
        bad[at] ^= 1 << (random(&mut seed) % 8);
        bad.truncate(random(&mut seed) as usize % (bad.len() + 1));
        let mut out = Decoded::default();
        for chunk in Chunks::of(&bad).flatten() {
            let _ = chunk.decode(i64::MIN, i64::MAX, &mut out);
        }
        assert!(out.len() <= 100 * usize::from(SAMPLES_MAX));
    }
}
