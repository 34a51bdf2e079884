//! What one body, and one after the other, become.

use super::*;

#[test]
fn series_that_vanish_are_ended_and_those_that_return_are_new() {
    let mut story = Story::new(job());
    story.check("a 1\nb{x=\"1\"} 2\n", "{__name__=\"a\"} 1\n{__name__=\"b\", x=\"1\"} 2\nreport 1 0.25 2 2 2");
    story.check(
        "a 3\nb{x=\"2\"} 4\n",
        "{__name__=\"a\"} 3\n{__name__=\"b\", x=\"2\"} 4\n{__name__=\"b\", x=\"1\"} stale\nreport 1 0.25 2 2 1",
    );
    story.check(
        "b{x=\"1\"} 5",
        "{__name__=\"b\", x=\"1\"} 5\n{__name__=\"a\"} stale\n{__name__=\"b\", x=\"2\"} stale\nreport 1 0.25 1 1 1",
    );
    story.check("b{x=\"1\"} 6", "{__name__=\"b\", x=\"1\"} 6\nreport 1 0.25 1 1 0");
    let row = story.ended();
    story.compare(&row, "{__name__=\"b\", x=\"1\"} stale\nreport stale stale stale stale stale");
}

#[test]
fn a_failed_scrape_ends_all_series_once() {
    let mut story = Story::new(job());
    story.check("a 1\nb 2\n", "{__name__=\"a\"} 1\n{__name__=\"b\"} 2\nreport 1 0.25 2 2 2");
    let failed = story.failed();
    story.compare(&failed.row, "{__name__=\"a\"} stale\n{__name__=\"b\"} stale\nreport 0 0.25 0 0 0");
    assert_eq!((failed.report.ended, failed.report.error.as_deref()), (2, Some("connection refused")));
    let failed = story.failed();
    story.compare(&failed.row, "report 0 0.25 0 0 0");
    story.check("a 1\nc 2\n", "{__name__=\"a\"} 1\n{__name__=\"c\"} 2\nreport 1 0.25 2 2 1");
    story.check("a 1\nc 2\n", "{__name__=\"a\"} 1\n{__name__=\"c\"} 2\nreport 1 0.25 2 2 0");
}

#[test]
fn a_body_that_cannot_be_read_brings_nothing() {
    let mut story = Story::new(job());
    story.check("a 1\nb 2\n", "{__name__=\"a\"} 1\n{__name__=\"b\"} 2\nreport 1 0.25 2 2 2");
    let broken = story.check("a 1\nnew 1\nb{ 2\n", "{__name__=\"a\"} stale\n{__name__=\"b\"} stale\nreport 0 0.25 2 2 1");
    assert!(broken.report.error.unwrap().ends_with("while parsing: \"b{ 2\" (line 3)"));
    story.check("a 1\nnew 1\n", "{__name__=\"a\"} 1\n{__name__=\"new\"} 1\nreport 1 0.25 2 2 1");
    story.content_type = "application/json";
    let refused = story.check("a 1\n", "{__name__=\"a\"} stale\n{__name__=\"new\"} stale\nreport 0 0.25 0 0 0");
    assert!(refused.report.error.unwrap().starts_with("received unsupported Content-Type \"application/json\""));
    story.content_type = "application/openmetrics-text; version=1.0.0";
    story.check("a 1\n", "report 0 0.25 1 1 0");
    story.check("a 1\n# EOF\n", "{__name__=\"a\"} 1\nreport 1 0.25 1 1 0");
}

#[test]
fn an_empty_body_is_a_success_without_series() {
    let mut story = Story::new(job());
    story.check("a 1\n", "{__name__=\"a\"} 1\nreport 1 0.25 1 1 1");
    story.content_type = "nonsense";
    story.check("", "{__name__=\"a\"} stale\nreport 1 0.25 0 0 0");
    story.check("", "report 1 0.25 0 0 0");
    story.content_type = "text/plain";
    story.check("a 1\n", "{__name__=\"a\"} 1\nreport 1 0.25 1 1 0");
}

#[test]
fn labels_of_the_target_win_or_yield() {
    let body = "a{job=\"x\",exported_job=\"y\",instance=\"\"} 1\nb{exported_exported_job=\"p\",exported_job=\"q\",job=\"r\"} 1\n";
    let mut story = Story::new(job());
    story.check(
        body,
        "{__name__=\"a\", exported_exported_job=\"x\", exported_job=\"y\"} 1
         {__name__=\"b\", exported_exported_exported_job=\"r\", exported_exported_job=\"p\", exported_job=\"q\"} 1
         report 1 0.25 2 2 2",
    );
    let mut story = Story::new(Job { honor_labels: true, ..job() });
    story.check(
        body,
        "{__name__=\"a\", exported_job=\"y\"} 1 of x/
         {__name__=\"b\", exported_exported_job=\"p\", exported_job=\"q\"} 1 of r/a:1
         report 1 0.25 2 2 2",
    );
}

#[test]
fn rules_drop_and_rewrite_series() {
    let metric_relabel = vec![
        rule(Action::Drop, &["__name__"], "go_.*", "", ""),
        rule(Action::LabelDrop, &[], "path", "", ""),
        rule(Action::Replace, &["code"], "(.).*", "class", "${1}xx"),
    ];
    let mut story = Story::new(Job { metric_relabel, ..job() });
    let body = "go_x 1\nreq{code=\"404\",path=\"/\"} 2\nreq{code=\"404\",path=\"/b\"} 3\n";
    for added in [1, 0] {
        let outcome = story.scraped(body.as_bytes());
        assert_eq!((outcome.report.duplicates, outcome.report.samples, outcome.report.kept), (1, 3, 2));
        let added = if added == 1 { 2 } else { 0 };
        story.compare(&outcome.row, &format!("{{__name__=\"req\", class=\"4xx\", code=\"404\"}} 2\nreport 1 0.25 3 2 {added}"));
    }
    // One of two texts that mean one series goes away: the series stays.
    story.check("req{code=\"404\",path=\"/b\"} 3\n", "{__name__=\"req\", class=\"4xx\", code=\"404\"} 3\nreport 1 0.25 1 1 0");
    story.check("go_x 1\n", "{__name__=\"req\", class=\"4xx\", code=\"404\"} stale\nreport 1 0.25 1 0 0");
}

#[test]
fn the_first_of_equal_samples_counts() {
    let mut story = Story::new(job());
    let outcome = story.check(
        "a 1\na 2\nb{x=\"1\",y=\"2\"} 3\nb{y=\"2\",x=\"1\"} 4\nc 1 5000\nc 2 6000\n",
        "{__name__=\"a\"} 1
         {__name__=\"b\", x=\"1\", y=\"2\"} 3
         {__name__=\"c\"} 1 @5000
         {__name__=\"c\"} 2 @6000
         report 1 0.25 6 6 4",
    );
    assert_eq!(outcome.report.duplicates, 2);
    // The other way to write a series takes over without an end.
    story.check("b{y=\"2\",x=\"1\"} 4\na 1\n", "{__name__=\"b\", x=\"1\", y=\"2\"} 4\n{__name__=\"a\"} 1\nreport 1 0.25 2 2 0");
}

#[test]
fn times_of_the_target_are_honoured_within_bounds() {
    let mut story = Story::new(job());
    let outcome = story.check("a 1 1000\nb 2 900000\n", "{__name__=\"a\"} 1 @1000\nreport 1 0.25 2 2 1");
    assert_eq!(outcome.report.out_of_bounds, 1);
    story.check("c 1\n", "{__name__=\"c\"} 1\nreport 1 0.25 1 1 1");
    let mut story = Story::new(Job { track_timestamps_staleness: true, ..job() });
    story.check("a 1 1000\n", "{__name__=\"a\"} 1 @1000\nreport 1 0.25 1 1 1");
    story.check("c 1\n", "{__name__=\"c\"} 1\n{__name__=\"a\"} stale\nreport 1 0.25 1 1 1");
    let mut story = Story::new(Job { honor_timestamps: false, ..job() });
    story.check("a 1 1000\n", "{__name__=\"a\"} 1\nreport 1 0.25 1 1 1");
}

#[test]
fn a_broken_limit_fails_the_scrape() {
    let limits = |change: fn(&mut Limits)| {
        let mut limits = Limits::default();
        change(&mut limits);
        Story::new(Job { limits, ..job() })
    };
    let mut story = limits(|limits| limits.samples = 2).with_extra_metrics();
    story.check("a 1\nb 1\n", "{__name__=\"a\"} 1\n{__name__=\"b\"} 1\nreport 1 0.25 2 2 2 10 2 8");
    let broken = story.check("a 1\nb 1\nc 1\nd 1", "{__name__=\"a\"} stale\n{__name__=\"b\"} stale\nreport 0 0.25 4 4 0 10 2 15");
    assert_eq!(broken.report.error.as_deref(), Some("sample limit exceeded"));

    let mut story = limits(|limits| limits.body_bytes = 5).with_extra_metrics();
    assert_eq!(story.scraped(b"a 1\nb 1\n").report.error.as_deref(), Some("body size limit exceeded"));
    story.check("a 10\nb", "report 0 0.25 0 0 0 10 0 -1");

    let error = |mut story: Story, body: &str| story.scraped(body.as_bytes()).report.error.unwrap_or_default();
    assert_eq!(
        error(limits(|limits| limits.labels = 3), "a{b=\"c\"} 1"),
        "label_limit exceeded (metric: a, number of labels: 4, limit: 3)"
    );
    assert_eq!(
        error(limits(|limits| limits.label_name_bytes = 9), "a{bbbbbbbbbb=\"c\"} 1"),
        "label_name_length_limit exceeded (metric: a, label name: bbbbbbbbbb, length: 10, limit: 9)"
    );
    assert_eq!(
        error(limits(|limits| limits.label_value_bytes = 4), "a{b=\"ccccc\"} 1"),
        "label_value_length_limit exceeded (metric: a, label name: b, value: \"ccccc\", length: 5, limit: 4)"
    );
    assert_eq!(error(limits(|limits| limits.labels = 4), "a{b=\"c\"} 1"), "");
}

#[test]
fn names_must_be_valid() {
    let error = |job: Job, body: &[u8]| Story::new(job).scraped(body).report.error.unwrap_or_default();
    let classic = || Job { classic_names_only: true, ..job() };
    assert_eq!(error(job(), b"{\"a.b\",\"c d\"=\"e\"} 1"), "");
    assert_eq!(
        error(classic(), b"{\"a.b\"} 1"),
        "invalid metric name or label names: {__name__=\"a.b\", instance=\"a:1\", job=\"demo\"}"
    );
    assert!(error(classic(), b"{\"a\",\"c:d\"=\"e\"} 1").starts_with("invalid metric name"));
    assert_eq!(error(classic(), b"a:b 1"), "");
    assert_eq!(error(job(), b"{\"\"} 1"), "missing metric name (__name__ label)");
    assert!(error(job(), b"{\"a\",\"\"=\"x\"} 1").starts_with("invalid metric name"));
    assert!(error(job(), b"{\"a\xff\"} 1").starts_with("invalid metric name"));
    assert_eq!(error(job(), b"a{b=\"1\",b=\"2\"} 1"), "label name \"b\" is not unique: invalid sample");
    assert_eq!(error(job(), b"a{__name__=\"b\"} 1"), "label name \"__name__\" is not unique: invalid sample");
}

#[test]
fn series_that_the_store_refuses_are_left_out_and_asked_for_again() {
    let mut story = Story::new(job());
    story.room = 6;
    let outcome = story.check("a 1\nb 1\n", "{__name__=\"a\"} 1\n{__name__=\"b\"} 1\nreport 1 0.25 2 2");
    assert_eq!((outcome.report.refused, outcome.report.refusal.as_deref()), (1, Some("no room for new series")));
    let outcome = story.check("a 1\nb 1\nc 1\n", "{__name__=\"a\"} 1\n{__name__=\"b\"} 1\nreport 1 0.25 3 3");
    assert_eq!((outcome.report.refused, outcome.report.error), (2, None));
    story.room = 8;
    story.check("a 1\nb 1\nc 1\n", "{__name__=\"a\"} 1\n{__name__=\"b\"} 1\n{__name__=\"c\"} 1\nreport 1 0.25 3 3 1");
}

#[test]
fn bounds_of_histograms_take_their_canonical_form() {
    let mut story = Story::new(job());
    story.check(
        "# TYPE h histogram\nh_bucket{le=\"1\"} 2\n# TYPE s summary\ns{quantile=\"0.50\",le=\"1\"} 3\n",
        "{__name__=\"h_bucket\", le=\"1.0\"} 2\n{__name__=\"s\", le=\"1\", quantile=\"0.5\"} 3\nreport 1 0.25 2 2 2",
    );
}

#[test]
fn metadata_is_told_when_it_changes() {
    let mut story = Story::new(job());
    let body = "# TYPE a counter\n# HELP a Two\\nlines.\na 1\n# HELP b Other.\n";
    let told = story.scraped(body.as_bytes()).metadata.unwrap();
    let shown: Vec<String> = told.iter().map(|(name, about)| format!("{name} {} {:?}", about.kind.name(), about.help)).collect();
    assert_eq!(shown, ["a counter \"Two\\nlines.\"", "b unknown \"Other.\""]);
    assert_eq!(story.scraped(body.as_bytes()).metadata, None);
    assert_eq!(story.failed().metadata, None);
    assert_eq!(story.scraped(body.replace("Other", "New").as_bytes()).metadata.unwrap()["b"].help, "New.");
}

#[test]
fn numbers_of_series_are_asked_for_anew_after_a_long_outage() {
    let mut story = Story::new(job());
    story.scraped(b"a 1\n");
    story.scraped(b"a 1\n");
    assert_eq!(story.resolved, 6);
    story.now = story.now + Span::from_mins(20);
    story.check("a 1\n", "{__name__=\"a\"} 1\nreport 1 0.25 1 1 0");
    assert_eq!(story.resolved, 12);
}
