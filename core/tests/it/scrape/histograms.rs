//! Rows out of Protocol Buffers, and out of classic histograms that become native ones.

use super::*;
use crate::encoder::{COUNTER, HISTOGRAM, Message, SUMMARY, bucket, counter, exemplar, family, metric, side};
use tocsin_core::model::Exemplar;

const PROTOBUF: &str = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

fn story(histograms: Histograms) -> Story {
    Story { content_type: PROTOBUF, ..Story::new(Job { histograms, ..job() }) }
}

fn native() -> Histograms {
    Histograms { native: true, ..Histograms::default() }
}

/// Compares a row; a series is written with its name in front, such as `h{a="b"} 1`.
#[track_caller]
fn compare(story: &Story, row: &Row, expected: &str) {
    let line = |line: &str| match line.find(['{', ' ']) {
        Some(end) if !line.starts_with("report") && line[end..].starts_with('{') => {
            format!("{{__name__=\"{}\", {}\n", &line[..end], &line[end + 1..])
        }
        Some(end) if !line.starts_with("report") => format!("{{__name__=\"{}\"}}{}\n", &line[..end], &line[end..]),
        _ => format!("{line}\n"),
    };
    story.compare(row, &expected.lines().map(|one| line(one.trim())).collect::<String>());
}

#[track_caller]
fn check(story: &mut Story, body: &[u8], expected: &str) -> Outcome {
    let outcome = story.scraped(body);
    compare(story, &outcome.row, expected);
    outcome
}

/// Returns a histogram of `count` observations between 1 and 2, native and classic.
fn both(count: i64) -> Message {
    let traced = exemplar(&[("trace", "classic")], 1.5, Some(14_000));
    let own = exemplar(&[("trace", "native")], 1.25, Some(13_000));
    let timeless = exemplar(&[("trace", "timeless")], 1.25, None);
    let message =
        Message::new().integer(1, count as u64).double(2, count as f64 * 1.5).inner(3, &bucket(2.0, count as u64, Some(&traced)));
    side(message, 12, &[(1, count)]).inner(16, &own).inner(16, &timeless)
}

fn show(exemplars: &[(SeriesRef, Exemplar)]) -> Vec<String> {
    exemplars.iter().map(|(series, own)| format!("{}: {} {} @{}", series.0, own.labels, own.value, own.at.0)).collect()
}

#[test]
fn each_job_gets_the_form_of_histogram_that_it_wants() {
    let body = |count| family("h", "Help.", HISTOGRAM, "", &[metric(&[("a", "b")], None).inner(7, &both(count))]);
    let whole = r#"h{a="b"} {count:2, sum:3, (1,2]:2}"#;
    let classic = "h_count{a=\"b\"} 2\nh_sum{a=\"b\"} 3\nh_bucket{a=\"b\", le=\"2.0\"} 2\nh_bucket{a=\"b\", le=\"+Inf\"} 2";
    let custom = r#"h{a="b"} {count:2, sum:3, [-Inf,2]:2}"#;
    for (wanted, expected, samples) in [
        (native(), whole.to_owned(), 1),
        (Histograms::default(), classic.to_owned(), 4),
        (Histograms { always_classic: true, ..native() }, format!("{whole}\n{classic}"), 5),
        (Histograms { convert: true, ..Histograms::default() }, custom.to_owned(), 1),
        (Histograms { convert: true, always_classic: true, ..Histograms::default() }, format!("{custom}\n{classic}"), 5),
        (Histograms { convert: true, ..native() }, whole.to_owned(), 1),
    ] {
        let mut story = story(wanted);
        check(&mut story, &body(2), &format!("{expected}\nreport 1 0.25 {samples} {samples} {samples}"));
        // The same again is found by its place, and nothing is asked of the store.
        let asked = story.resolved;
        check(&mut story, &body(2), &format!("{expected}\nreport 1 0.25 {samples} {samples} 0"));
        assert_eq!(story.resolved, asked);
        let outcome = story.scraped(&[]);
        assert_eq!(outcome.report.ended, samples, "an end is the same for histograms and floats");
    }
}

#[test]
fn series_of_protobuf_keep_their_place_whatever_comes_between() {
    let mut story = story(native());
    let body = |names: &[&str]| -> Vec<u8> {
        let series = |name: &&str| metric(&[("name", name)], None).inner(3, &counter(1.0, None, 1));
        family("requests_total", "", COUNTER, "", &names.iter().map(series).collect::<Vec<_>>())
    };
    let line = |name: &str, value: &str| format!("requests_total{{name=\"{name}\"}} {value}\n");
    check(&mut story, &body(&["a", "b", "c"]), &(line("a", "1") + &line("b", "1") + &line("c", "1") + "report 1 0.25 3 3 3"));
    check(&mut story, &body(&["a", "c"]), &(line("a", "1") + &line("c", "1") + &line("b", "stale") + "report 1 0.25 2 2 0"));
    check(
        &mut story,
        &body(&["d", "c", "a", "b"]),
        &(line("d", "1") + &line("c", "1") + &line("a", "1") + &line("b", "1") + "report 1 0.25 4 4 2"),
    );
    let ended = line("b", "stale") + &line("c", "stale") + &line("d", "stale");
    let twice = check(&mut story, &body(&["a", "a"]), &(line("a", "1") + &ended + "report 1 0.25 2 2 0"));
    assert_eq!(twice.report.duplicates, 1);
    // Another content type is another text for the same series.
    story.content_type = "text/plain";
    check(&mut story, b"requests_total{name=\"a\"} 5\n", &(line("a", "5") + "report 1 0.25 1 1 1"));
}

#[test]
fn limits_hold_for_native_histograms() {
    let wide = |counts: &[(i32, i64)]| {
        let all: i64 = counts.iter().map(|(_, count)| count).sum();
        let message = side(Message::new().integer(1, all as u64).double(2, 1.0).signed(5, 1), 12, counts);
        family("h", "", HISTOGRAM, "", &[metric(&[], None).inner(7, &message)])
    };
    let body = wide(&[(0, 1), (1, 1), (2, 1), (3, 1), (40, 1)]);
    let limited = |buckets_max, bucket_factor_min| story(Histograms { buckets_max, bucket_factor_min, ..native() });
    check(
        &mut limited(4, 0.0),
        &body,
        "h {count:5, sum:1, (0.5,1]:1, (1,2]:2, (2,4]:1, (524288,1.048576e+06]:1}\nreport 1 0.25 1 1 1",
    );
    check(&mut limited(0, 4.0), &body, "h {count:5, sum:1, (0.25,1]:1, (1,4]:3, (262144,1.048576e+06]:1}\nreport 1 0.25 1 1 1");
    let outcome = limited(1, 0.0).scraped(&body);
    assert_eq!(outcome.report.error.as_deref(), Some("histogram bucket limit exceeded"));
    let error = |job: Job, body: &[u8]| {
        Story { content_type: PROTOBUF, ..Story::new(job) }.scraped(body).report.error.unwrap_or_default()
    };
    let limits = Limits { samples: 1, ..Limits::default() };
    let two = [body.clone(), family("s", "", SUMMARY, "", &[metric(&[], None)])].concat();
    assert_eq!(error(Job { limits, histograms: native(), ..job() }, &two), "sample limit exceeded");
    let bad = side(Message::new().integer(1, 9), 12, &[(0, 1)]);
    let bad = family("h", "", HISTOGRAM, "", &[metric(&[], None).inner(7, &bad)]);
    let said = error(Job { histograms: native(), ..job() }, &bad);
    assert!(said.starts_with("1 observations found in buckets, but the Count field is 9"), "{said}");
    assert!(error(job(), &body[..body.len() - 1]).starts_with("a length of"), "a body that is cut off");
    let metric_relabel = vec![rule(Action::Drop, &["__name__"], "h", "", "")];
    assert_eq!(error(Job { histograms: native(), metric_relabel, ..job() }, &bad), "", "what is dropped is not looked at");
}

#[test]
fn times_of_protobuf_are_honoured_or_not() {
    let body = family("h", "", HISTOGRAM, "", &[metric(&[], Some(12_345)).inner(7, &both(1))]);
    check(&mut story(native()), &body, "h {count:1, sum:1.5, (1,2]:1} @12345\nreport 1 0.25 1 1 1");
    let without = Job { honor_timestamps: false, histograms: native(), ..job() };
    check(
        &mut Story { content_type: PROTOBUF, ..Story::new(without) },
        &body,
        "h {count:1, sum:1.5, (1,2]:1}\nreport 1 0.25 1 1 1",
    );
}

#[test]
fn exemplars_come_with_their_series() {
    let traced = exemplar(&[("trace", "c")], 0.5, None);
    let body = [
        family("c_total", "", COUNTER, "", &[metric(&[], None).inner(3, &counter(1.0, Some(&traced), 1))]),
        family("h", "", HISTOGRAM, "", &[metric(&[], None).inner(7, &both(2))]),
    ]
    .concat();
    let outcome = story(native()).scraped(&body);
    assert_eq!(show(&outcome.exemplars), [r#"0: {trace="c"} 0.5 @15000"#, r#"1: {trace="native"} 1.25 @13000"#]);
    let outcome = story(Histograms::default()).scraped(&body);
    assert_eq!(show(&outcome.exemplars), [r#"0: {trace="c"} 0.5 @15000"#, r#"3: {trace="classic"} 1.5 @14000"#]);
    // A body that is refused brings none.
    assert_eq!(show(&story(native()).scraped(&body[..body.len() - 1]).exemplars), [""; 0]);

    let text = b"# TYPE h histogram\nh_bucket{le=\"1\"} 1 # {a=\"b\"} 0.5\nh_bucket{le=\"+Inf\"} 2 # {c=\"d\",e=\"\"} 2 14.5\nh_count 2\nh_sum 3\n# EOF\n";
    let mut story = Story { content_type: "application/openmetrics-text", ..Story::new(job()) };
    assert_eq!(show(&story.scraped(text).exemplars), [r#"0: {a="b"} 0.5 @15000"#, r#"1: {c="d"} 2 @14500"#]);
    let convert = Histograms { convert: true, ..Histograms::default() };
    let mut story = Story { content_type: "application/openmetrics-text", ..Story::new(Job { histograms: convert, ..job() }) };
    let outcome = story.scraped(text);
    compare(&story, &outcome.row, "h {count:2, sum:3, [-Inf,1]:1, (1,+Inf]:1}\nreport 1 0.25 1 1 1");
    assert_eq!(show(&outcome.exemplars), [r#"0: {c="d"} 2 @14500"#], "one without a time is none of a native histogram");
}

#[test]
fn classic_histograms_of_text_are_put_together() {
    let convert = Histograms { convert: true, ..Histograms::default() };
    let body = "# TYPE h histogram\n\
        h_bucket{a=\"x\",le=\"0.5\"} 1\nh_bucket{a=\"x\",le=\"+Inf\"} 3\nh_sum{a=\"x\"} 7\nh_count{a=\"x\"} 3\n\
        h_bucket{a=\"y\",le=\"+Inf\"} 1\nh_sum{a=\"y\"} 1\n\
        h_other 5\n\
        # TYPE g gauge\ng_count 4\n\
        # TYPE bad histogram\nbad_bucket{le=\"1\"} 2\nbad_bucket{le=\"+Inf\"} 1\n\
        # TYPE last histogram\nlast_count 2\nlast_sum 1\n";
    let x = r#"h{a="x"} {count:3, sum:7, [-Inf,0.5]:1, (0.5,+Inf]:2}"#;
    let rest = "h{a=\"y\"} {count:1, sum:1, [-Inf,+Inf]:1}\nh_other 5\ng_count 4\nlast {count:2, sum:1, [-Inf,+Inf]:2}";
    let mut story = Story::new(Job { histograms: convert, ..job() });
    check(&mut story, body.as_bytes(), &format!("{x}\n{rest}\nreport 1 0.25 5 5 5"));
    let asked = story.resolved;
    check(&mut story, body.as_bytes(), &format!("{x}\n{rest}\nreport 1 0.25 5 5 0"));
    assert_eq!(story.resolved, asked);
    check(
        &mut story,
        body.replace("{a=\"x\"", "{a=\"z\"").as_bytes(),
        &format!("{}\n{rest}\n{}\nreport 1 0.25 5 5 1", x.replace("\"x\"", "\"z\""), r#"h{a="x"} stale"#),
    );
    let mut beside = Story::new(Job { histograms: Histograms { always_classic: true, ..convert }, ..job() });
    let text = "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_count 1\nh_sum 1\n";
    check(
        &mut beside,
        text.as_bytes(),
        "h_bucket{le=\"1.0\"} 1\nh_count 1\nh_sum 1\nh {count:1, sum:1, [-Inf,1]:1}\nreport 1 0.25 4 4 4",
    );
}

#[test]
fn metadata_of_protobuf_is_told_when_it_changes() {
    let body = |help: &str| family("c_bytes_total", help, COUNTER, "bytes", &[metric(&[], None)]);
    let mut story = story(native());
    let told = story.scraped(&body("One.")).metadata.unwrap();
    assert_eq!(
        (told["c_bytes_total"].kind.name(), told["c_bytes_total"].help.as_str(), told["c_bytes_total"].unit.as_str()),
        ("counter", "One.", "bytes")
    );
    assert_eq!(story.scraped(&body("One.")).metadata, None);
    assert_eq!(story.scraped(&body("Two.")).metadata.unwrap()["c_bytes_total"].help, "Two.");
}
