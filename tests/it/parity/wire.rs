//! Remote write, as far as a test needs it: series in Protocol Buffers, framed as Snappy.
//!
//! Source: Prometheus `prompb/remote.proto` and `types.proto`; the Snappy format description.

use std::ops::Range;

use super::series::{END, Generated, START};
use crate::harness::http;

/// What goes into one request. Unit: milliseconds.
const SLICE: i64 = 20 * 60_000;
/// A literal of Snappy whose length stands in two bytes.
const LITERAL_MAX: usize = 1 << 16;

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Writes a field that has a length.
fn field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number << 3 | 2);
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn request(series: &[Generated], slice: Range<i64>) -> Vec<u8> {
    let mut request = Vec::new();
    for one in series.iter().filter(|one| one.samples.iter().any(|(at, _)| slice.contains(at))) {
        let mut body = Vec::new();
        for (name, value) in &one.labels {
            let mut label = Vec::new();
            field(&mut label, 1, name.as_bytes());
            field(&mut label, 2, value.as_bytes());
            field(&mut body, 1, &label);
        }
        for (at, value) in one.samples.iter().filter(|(at, _)| slice.contains(at)) {
            let mut sample = vec![1 << 3 | 1];
            sample.extend_from_slice(&value.to_bits().to_le_bytes());
            sample.push(2 << 3);
            varint(&mut sample, *at as u64);
            field(&mut body, 2, &sample);
        }
        field(&mut request, 1, &body);
    }
    request
}

/// Frames bytes as Snappy, without making them smaller.
fn snappy(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    varint(&mut out, bytes.len() as u64);
    for piece in bytes.chunks(LITERAL_MAX) {
        out.push(61 << 2);
        out.extend_from_slice(&((piece.len() - 1) as u16).to_le_bytes());
        out.extend_from_slice(piece);
    }
    out
}

/// Writes series to an address of remote write, slice by slice of time, since what is much older than the newest is refused.
pub async fn write(url: &str, series: &[Generated]) {
    let mut from = START - SLICE;
    while from <= END {
        let slice = request(series, from..from + SLICE);
        from += SLICE;
        let request = http()
            .post(url)
            .header("content-type", "application/x-protobuf")
            .header("content-encoding", "snappy")
            .header("x-prometheus-remote-write-version", "0.1.0")
            .body(snappy(&slice));
        let answer = request.send().await.expect("it answers");
        let status = answer.status();
        assert!(status.is_success(), "{status}: {}", answer.text().await.unwrap_or_default());
    }
}
