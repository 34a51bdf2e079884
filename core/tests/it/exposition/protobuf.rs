//! The reader of Protocol Buffers: on bytes written by hand, on recorded bodies, and on damaged ones.

use tocsin_core::model::exposition::MetricType;
use tocsin_core::model::exposition::protobuf::{BadMessage, Families, Metric, Part};
use tocsin_core::model::{LabelSet, METRIC_NAME};

use crate::corpora;
use crate::encoder::{
    COUNTER, GAUGE, GAUGE_HISTOGRAM, HISTOGRAM, Message, SUMMARY, UNTYPED, bucket, counter, exemplar, family, float_side,
    instant, metric, side,
};

use super::mutation::Dice;

/// Reads a body to its end; every series is a line.
fn read(body: &[u8]) -> Result<Vec<String>, BadMessage> {
    let (mut lines, mut metric) = (Vec::new(), Metric::default());
    for family in Families::new(body) {
        let family = family?;
        let mut metrics = family.metrics();
        while metrics.read(&mut metric)? {
            let mut line = |part: Part, value: String| -> Result<(), BadMessage> {
                let mut labels = Vec::new();
                metric.series(family.name, part, &mut labels)?;
                let at = metric.at.map(|at| format!(" @{}", at.0)).unwrap_or_default();
                let labels = LabelSet::from_pairs(labels);
                let shown = labels.without(|name| name == METRIC_NAME).to_string();
                lines.push(format!("{}{} {value}{at}", labels.name(), if shown == "{}" { "" } else { &shown }));
                Ok(())
            };
            match family.kind {
                MetricType::Summary => {
                    line(Part::Count, metric.summary.count.to_string())?;
                    line(Part::Sum, metric.summary.sum.to_string())?;
                    for (quantile, value) in &metric.summary.quantiles {
                        line(Part::Quantile(*quantile), value.to_string())?;
                    }
                }
                MetricType::Histogram | MetricType::GaugeHistogram => {
                    let distribution = &metric.distribution;
                    if distribution.is_native() {
                        let native = distribution.native(family.kind == MetricType::GaugeHistogram);
                        line(Part::Histogram, native.map_or_else(|error| error.to_string(), |native| native.to_string()))?;
                    }
                    line(Part::Count, distribution.observations().to_string())?;
                    for bucket in &distribution.buckets {
                        line(Part::Bucket(bucket.upper), bucket.count.to_string())?;
                    }
                }
                _ => line(Part::Value, metric.value.to_string())?,
            }
        }
    }
    Ok(lines)
}

#[track_caller]
fn check(body: &[u8], expected: &[&str]) {
    assert_eq!(read(body).unwrap(), expected);
}

#[track_caller]
fn check_error(body: &[u8], expected: &str) {
    assert_eq!(read(body).unwrap_err().to_string(), expected);
}

#[test]
fn bytes_written_by_hand_are_read() {
    // A family of 27 bytes: name "up", type gauge, one metric with the label a="b" and the value 1.
    check(b"\x1b\x0a\x02up\x18\x01\x22\x13\x0a\x06\x0a\x01a\x12\x01b\x12\x09\x09\0\0\0\0\0\0\xf0\x3f", &[r#"up{a="b"} 1"#]);
    // The order of fields is free, what is not known is stepped over, groups with it, and lengths may be longer than they need.
    check(
        b"\xa2\x80\x00\x22\x16\x12\x09\x09\0\0\0\0\0\0\xf0\x3f\xf8\x01\x01\x0a\x06\x12\x01b\x0a\x01a\x18\x01\x0a\x02up\x6b\x08\x05\x6c",
        &[r#"up{a="b"} 1"#],
    );
    check(b"", &[]);
    // A family without metrics says nothing, whatever it is called.
    check(b"\x00\x02\x18\x63", &[]);
}

#[test]
fn damage_is_refused_where_it_is() {
    check_error(b"\x05\x0a", "a length of 5 bytes, of which there are 1 (byte 0)");
    check_error(b"\xff\xff\xff\xff\xff\x01", "a length of 68719476735 bytes, of which there are 0 (byte 0)");
    check_error(b"\x80\x80\x80\x80\x80\x00", "the length of a metric family is longer than five bytes (byte 0)");
    check_error(b"\xff", "the body ends within a number (byte 0)");
    check_error(&[0xff; 11], "a number is longer than ten bytes (byte 0)");
    check_error(b"\x02\x08\x01", "field 1 is written as Varint in place of Bytes (byte 1)");
    check_error(b"\x01\x07", "a field of form 7, which does not exist (byte 1)");
    check_error(b"\x02\x00\x01", "a field with the number 0 (byte 1)");
    check_error(b"\x01\x6b", "a group does not end (byte 2)");
    check_error(b"\x01\x6c", "a group ends that did not begin (byte 1)");
    check_error(b"\x02\x22\x00", "invalid metric name:  (byte 1)");
    check_error(b"\x05\x0a\x01\xff\x22\x00", "invalid metric name: \u{fffd} (byte 1)");
    check_error(b"\x07\x0a\x01a\x18\x09\x22\x00", "unknown metric type for metric \"a\": 9 (byte 1)");
    check_error(b"\x08\x0a\x01a\x2a\x01b\x22\x00", "unit \"b\" not a suffix of metric \"a\" (byte 1)");
    check_error(b"\x08\x0a\x01a\x12\x01\xff\x22\x00", "invalid help for metric \"a\" (byte 1)");
    let with_label = |label: &[u8]| family("a", "", UNTYPED, "", &[metric(&[("a", "b")], None).bytes(1, label)]);
    check_error(&with_label(b"\x0a\x01a\x12\x01\xff"), "invalid label value: \u{fffd} (byte 18)");
    check_error(&with_label(b"\x12\x01b"), "invalid label name: it is empty (byte 18)");
}

/// Returns a body with one of everything.
fn everything() -> Vec<u8> {
    let traced = exemplar(&[("trace_id", "x")], 2.5, Some(1_700_000_000_123));
    let native = side(
        side(Message::new().integer(1, 12).double(2, 18.4).signed(5, 1), 9, &[(0, 1), (1, 2)]),
        12,
        &[(-2, 3), (4, 2), (5, 3)],
    );
    let native = native.double(6, 0.001).integer(7, 1).inner(15, &instant(5)).inner(16, &traced);
    let float = float_side(Message::new().double(4, 1.5).double(2, 3.0).signed(5, -1), 12, &[(1, 1), (2, 2)], 0.5);
    let classic = Message::new()
        .integer(1, 4)
        .double(2, 1.5)
        .inner(3, &bucket(0.5, 1, Some(&traced)))
        .inner(3, &bucket(f64::INFINITY, 4, None));
    let summary = Message::new()
        .integer(1, 7)
        .double(2, 0.5)
        .inner(3, &Message::new().double(1, 0.99).double(2, -1.0))
        .inner(4, &instant(9));
    [
        family(
            "requests_bytes_total",
            "Help.",
            COUNTER,
            "bytes",
            &[metric(&[("b", "2"), ("a", "")], Some(-5)).inner(3, &counter(3.0, Some(&traced), 1))],
        ),
        family("rpc", "", SUMMARY, "", &[metric(&[], None).inner(4, &summary)]),
        family("level", "", GAUGE, "", &[metric(&[], None).inner(2, &Message::new().double(1, -0.5))]),
        family("native", "", HISTOGRAM, "", &[metric(&[], None).inner(7, &native)]),
        family("float", "", GAUGE_HISTOGRAM, "", &[metric(&[], None).inner(7, &float)]),
        family("classic", "", HISTOGRAM, "", &[metric(&[("z", "ü")], None).inner(7, &classic)]),
    ]
    .concat()
}

#[test]
fn every_kind_of_metric_is_read() {
    check(
        &everything(),
        &[
            r#"requests_bytes_total{b="2"} 3 @-5"#,
            "rpc_count 7",
            "rpc_sum 0.5",
            r#"rpc{quantile="0.99"} -1"#,
            "level -0.5",
            "native {count:12, sum:18.4, [-1.414213562373095,-1):2, [-1,-0.7071067811865475):1, [-0.001,0.001]:1, \
             (0.35355339059327373,0.5]:3, (2.82842712474619,4]:2, (4,5.65685424949238]:3}",
            "native_count 12",
            "float {count:1.5, sum:3, (1,4]:0.5, (4,16]:1}",
            "float_count 1.5",
            r#"classic_count{z="ü"} 4"#,
            r#"classic_bucket{le="0.5", z="ü"} 1"#,
            r#"classic_bucket{le="+Inf", z="ü"} 4"#,
        ],
    );
}

#[test]
fn native_histograms_that_contradict_themselves_are_named() {
    let said =
        |message: Message| read(&family("h", "", HISTOGRAM, "", &[metric(&[], None).inner(7, &message)])).unwrap()[0].clone();
    let span = |offset: i64, length: u64| Message::new().signed(1, offset).integer(2, length);
    let three = || Message::new().integer(1, 3).inner(12, &span(0, 2));
    for (message, fault) in [
        (three().packed_signed(13, &[1]), "spans need 2 buckets, have 1 buckets"),
        (three().packed_signed(13, &[1, 0]), "2 observations found in buckets, but the Count field is 3"),
        (three().packed_signed(13, &[4, -5]), "bucket number 2 has observation count of -1"),
        (three().inner(12, &span(-1, 1)).packed_signed(13, &[1, 0, 0]), "span number 2 with offset -1"),
        (three().inner(12, &span(0, 4_000_000_000)).packed_signed(13, &[1, 0, 0]), "spans need 4000000002 buckets"),
        (three().packed_signed(13, &[i64::MAX, 1]), "bucket number 2 has observation count of -"),
    ] {
        let said = said(message);
        assert!(said.contains(fault), "{said} in place of {fault}");
    }
    // Observations of NaN are in no bucket.
    let with_nan = three().double(2, f64::NAN).packed_signed(13, &[1, 0]);
    assert_eq!(said(with_nan), "h {count:3, sum:NaN, (0.5,1]:1, (1,2]:1}");
    // Unpacked lists are lists too, and values that come twice count once.
    let unpacked = three().signed(13, 1).signed(13, 1).double(2, 9.0).double(2, 5.0);
    assert_eq!(said(unpacked), "h {count:3, sum:5, (0.5,1]:1, (1,2]:2}");
}

#[test]
fn a_damaged_body_never_breaks_the_reader() {
    let body = everything();
    let bounds: Vec<usize> = {
        let mut at = 0;
        std::iter::from_fn(|| {
            let length = *body.get(at)? as usize;
            let (length, more) = if length > 127 { ((length & 127) | (body[at + 1] as usize) << 7, 2) } else { (length, 1) };
            at += length + more;
            Some(at)
        })
        .collect()
    };
    assert_eq!(bounds.last(), Some(&body.len()));
    for cut in 0..body.len() {
        assert_eq!(read(&body[..cut]).is_ok(), cut == 0 || bounds.contains(&cut), "cut at {cut}");
    }
    let (mut dice, mut accepted) = (Dice(7), 0);
    for _ in 0..200_000 {
        let mut bad = body.clone();
        for _ in 0..1 + dice.below(4) {
            let at = dice.below(bad.len());
            match dice.below(4) {
                0 => bad[at] = dice.below(256) as u8,
                1 => bad[at] ^= 1 << dice.below(8),
                2 => drop(bad.remove(at)),
                _ => bad.insert(at, dice.below(256) as u8),
            }
        }
        match read(&bad) {
            Ok(_) => accepted += 1,
            Err(error) => assert!(error.at <= bad.len(), "{error}"),
        }
    }
    assert!((1_000..150_000).contains(&accepted), "{accepted} damaged bodies were accepted");
}

#[test]
fn what_prometheus_says_of_itself_is_read() {
    let Some(path) = corpora::path("expositions/prometheus.protobuf-delimited.bin") else { return };
    let body = std::fs::read(path).unwrap();
    let lines = read(&body).unwrap();
    let native = lines.iter().filter(|line| line.contains("{count:")).count();
    println!("{} bytes, {} series, {native} native histograms", body.len(), lines.len());
    assert!(lines.len() > 500 && native > 3, "{} series, {native} of them native", lines.len());
    assert!(!lines.iter().any(|line| line.contains("observations found")), "a histogram of Prometheus was refused");
    assert!(lines.iter().any(|line| line.starts_with("go_goroutines ")));
}
