//! Damaged bodies: whatever arrives, the parser answers, and its fast way answers as its thorough one.

use tocsin_core::model::exposition::{Entry, Format, Parser, decode_series};

const TEXT: &str = r#"# HELP http_requests_total Requests \\ by code.\n
# TYPE http_requests_total counter
http_requests_total{method="post",code="200"} 1027 1395066363000
http_requests_total{method="post",code="400"}    3 1395066363000
msdos{path="C:\\DIR\\F.TXT",error="Cannot \"find\":\n\"F.TXT\""} 1.458255915e9
{"utf.8","a b"="ü"} -3.14e-7
# TYPE latency histogram
latency_bucket{le="0.05"} 24054
latency_bucket{le="+Inf"} 144320
weird{} +Inf -0
"#;

const OPENMETRICS: &str = r#"# TYPE a_seconds histogram
# UNIT a_seconds seconds
# HELP a_seconds Bounds "and" more.
a_seconds_bucket{le="0.5"} 17 # {trace="KOO5",n="4"} 0.67 1520879607.7
a_seconds_bucket{le="+Inf"} 18 1520879608.1 # {} 9.5
a_seconds_count 18
a_seconds_created 1520872607.123
{"b.c",d="e"} NaN
# EOF
"#;

/// A small generator of numbers (xorshift), so that a failure can be repeated from its seed.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit
    }
}

fn mutate(body: &[u8], dice: &mut Dice) -> Vec<u8> {
    const SPICES: &[u8] = b"\0\n\r\t \"\\{}=,#+-.eE_:0129aNIx\xff\xc3";
    let mut out = body.to_vec();
    for _ in 0..=dice.below(4) {
        let at = dice.below(out.len() + 1);
        let spice = SPICES[dice.below(SPICES.len())];
        match dice.below(5) {
            0 => out.insert(at, spice),
            1 if at < out.len() => out[at] = spice,
            2 if at < out.len() => drop(out.remove(at)),
            3 => out.truncate(at),
            _ => {
                let from = dice.below(out.len() + 1).min(at);
                let piece = out[from..at].to_vec();
                let to = dice.below(out.len() + 1);
                out.splice(to..to, piece);
            }
        }
        if out.len() > 4096 {
            out.truncate(4096);
        }
    }
    out
}

/// Reads a body and returns its entries as text, ended by the error where there is one.
fn read(body: &[u8], format: Format) -> Vec<String> {
    let mut parser = Parser::new(body, format);
    let mut out = Vec::new();
    while let Some(entry) = parser.next() {
        if let Ok(Entry::Sample(line)) = &entry {
            // Text that the parser accepts can be taken apart, or its names are not UTF-8.
            let mut labels = Vec::new();
            if decode_series(line.series, parser.kind(), &mut labels).is_err() {
                assert!(std::str::from_utf8(line.series).is_err(), "{}", line.series.escape_ascii());
            }
            if let Some(exemplar) = &line.exemplar {
                let _ = decode_series(exemplar.labels, parser.kind(), &mut labels);
            }
        }
        out.push(format!("{entry:?}"));
    }
    out
}

#[test]
fn damaged_bodies_never_panic() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for (body, format) in [(TEXT, Format::Text), (OPENMETRICS, Format::OpenMetrics)] {
        assert!(read(body.as_bytes(), format).len() >= 8);
        for _ in 0..20_000 {
            let damaged = mutate(body.as_bytes(), &mut dice);
            read(&damaged, format);
        }
    }
}

#[test]
fn the_fast_way_reads_what_the_thorough_way_reads() {
    let mut dice = Dice(0x51_7cc1_b727_220a);
    for (body, format) in [(TEXT, Format::Text), (OPENMETRICS, Format::OpenMetrics)] {
        for _ in 0..20_000 {
            let damaged = mutate(body.as_bytes(), &mut dice);
            if std::str::from_utf8(&damaged).is_err() {
                continue;
            }
            // A comment that is not UTF-8 sends the whole body the thorough way.
            let fast = read(&damaged, format);
            let mut thorough = damaged.clone();
            let prefix: &[u8] = match format {
                Format::Text => b"#\xff\n",
                Format::OpenMetrics => continue,
            };
            thorough.splice(0..0, prefix.iter().copied());
            let thorough: Vec<String> = read(&thorough, format).into_iter().skip(1).collect();
            assert_eq!(fast.len(), thorough.len(), "{}", damaged.escape_ascii());
            for (fast, thorough) in fast.iter().zip(&thorough) {
                assert!(fast == thorough || fast.starts_with("Err") && thorough.starts_with("Err"), "{fast} {thorough}");
            }
        }
    }
}
