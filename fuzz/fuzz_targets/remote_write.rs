//! Any bytes as a request of remote write, and as a record of the queue: both end, and what is read can be written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tocsin_core::remote::Protocol;
use tocsin_core::remote::read::{Request, read};
use tocsin_core::remote::record;
use tocsin_core::remote::write::{Entry, encode};

fn entries(request: &Request) -> Vec<Entry> {
    let entry = |(series, at, value): &(u32, _, _)| {
        let labels = request.series[*series as usize].clone();
        Entry { labels, at: *at, value: Clone::clone(value), exemplars: Vec::new() }
    };
    request.samples.iter().map(entry).collect()
}

fuzz_target!(|body: &[u8]| {
    drop(record::read(body));
    for protocol in [Protocol::V1, Protocol::V2] {
        let Ok(request) = read(body, protocol) else { continue };
        for (series, _) in &request.exemplars {
            assert!((*series as usize) < request.series.len());
        }
        let all = entries(&request);
        for other in [Protocol::V1, Protocol::V2] {
            let again = read(&encode(&all, other, &|_| None), other).expect("what we write is a message");
            assert_eq!(again.faults.count, 0, "{:?}", again.faults);
            assert_eq!(again.samples.len(), all.len());
        }
    }
});
