//! Any bytes as a body in either format: the parser answers, its places lie in the body, and what it accepts can be taken apart.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tocsin_core::model::exposition::{Entry, Format, Parser, decode_series};

fuzz_target!(|body: &[u8]| {
    for format in [Format::Text, Format::OpenMetrics] {
        let lines = body.iter().filter(|byte| **byte == b'\n').count() + 1;
        let mut parser = Parser::new(body, format);
        while let Some(entry) = parser.next() {
            match entry {
                Ok(Entry::Sample(line)) => {
                    let mut labels = Vec::new();
                    let decoded = decode_series(line.series, parser.kind(), &mut labels);
                    assert!(decoded.is_ok() || std::str::from_utf8(line.series).is_err());
                }
                Ok(_) => {}
                Err(error) => assert!((1..=lines).contains(&error.line) && error.column >= 1),
            }
        }
    }
});
