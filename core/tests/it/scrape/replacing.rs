//! A job takes the place of another: what stays, and what ends.

use tocsin_core::scrape::job::{FileDiscovery, HttpDiscovery};
use tocsin_core::scrape::lists::{Lists, News};

use super::*;

#[test]
fn series_go_on_under_a_changed_job() {
    let mut story = Story::new(job());
    story.check("a 1\nb 2\n", "{__name__=\"a\"} 1\n{__name__=\"b\"} 2\nreport 1 0.25 2 2 2");
    story.replace(Job { timeout: Span::from_secs(5), ..job() });
    story.check("a 1\nb 3\n", "{__name__=\"a\"} 1\n{__name__=\"b\"} 3\nreport 1 0.25 2 2 0");
    story.replace(Job { metric_relabel: vec![rule(Action::Drop, &["__name__"], "b", "", "")], ..job() });
    let outcome =
        story.check("a 1\nb 3\nc 4\n", "{__name__=\"a\"} 1\n{__name__=\"c\"} 4\n{__name__=\"b\"} stale\nreport 1 0.25 3 2 1");
    assert_eq!(outcome.report.ended, 1);
    story.check("a 1\nc 4\n", "{__name__=\"a\"} 1\n{__name__=\"c\"} 4\nreport 1 0.25 2 2 0");
}

#[test]
fn what_was_handed_over_ends_when_the_first_scrape_fails() {
    let mut story = Story::new(job());
    story.check("a 1\n", "{__name__=\"a\"} 1\nreport 1 0.25 1 1 1");
    story.replace(job());
    story.replace(job());
    let failed = story.failed();
    story.compare(&failed.row, "{__name__=\"a\"} stale\nreport 0 0.25 0 0 0");
    let failed = story.failed();
    story.compare(&failed.row, "report 0 0.25 0 0 0");
    story.check("a 1\n", "{__name__=\"a\"} 1\nreport 1 0.25 1 1 1");
    story.replace(job());
    let row = story.ended();
    story.compare(&row, "{__name__=\"a\"} stale\nreport stale stale stale stale stale");
}

#[test]
fn only_what_reads_a_body_counts_for_reading_alike() {
    let moved = Job { static_groups: vec![group(&["b:1"], &[])], interval: Span::from_secs(1), ..job() };
    assert!(job().reads_like(&moved));
    assert!(!job().reads_like(&Job { honor_labels: true, ..job() }));
    assert!(!job().reads_like(&Job { metric_relabel: vec![rule(Action::Drop, &["a"], "b", "", "")], ..job() }));
    assert!(!job().reads_like(&Job { limits: Limits { samples: 1, ..Limits::default() }, ..job() }));
}

fn files(pattern: &str, files: &[(&str, Option<&str>)]) -> News {
    let one = |address: &str| vec![group(&[address], &[])];
    let files = files.iter().map(|(path, address)| ((*path).to_owned(), address.map(one)));
    News::Files { pattern: pattern.to_owned(), files: files.collect() }
}

fn addresses(lists: &Lists) -> Vec<String> {
    lists.groups().into_iter().flat_map(|group| group.addresses).collect()
}

#[test]
fn a_file_that_cannot_be_read_keeps_its_last_good_list() {
    let mut lists = Lists::default();
    assert!(lists.take(files("*.json", &[("a.json", Some("a:1")), ("b.json", Some("b:1"))])));
    assert!(!lists.take(files("*.json", &[("a.json", None), ("b.json", Some("b:1"))])));
    assert_eq!(addresses(&lists), ["a:1", "b:1"]);
    assert!(lists.take(files("*.json", &[("a.json", None), ("b.json", Some("b:2")), ("c.json", None)])));
    assert_eq!(addresses(&lists), ["a:1", "b:2"]);
    assert!(lists.take(files("*.json", &[("b.json", Some("b:2"))])), "a file that is gone takes its targets with it");
    assert_eq!(addresses(&lists), ["b:2"]);
    assert!(lists.take(files("*.yml", &[("z.yml", Some("z:1"))])));
    assert!(lists.take(files("*.json", &[])));
    assert_eq!(addresses(&lists), ["z:1"]);
}

#[test]
fn a_changed_job_keeps_the_lists_that_it_still_asks_for() {
    let file = |pattern: &str| FileDiscovery { files: vec![pattern.to_owned()], refresh: Span::from_mins(5) };
    let http = |url: &str| HttpDiscovery { url: url.to_owned(), refresh: Span::from_mins(1), client: HttpClient::default() };
    let old = Job {
        static_groups: vec![group(&["s:1"], &[])],
        file_sd: vec![file("*.json"), file("*.yml")],
        http_sd: vec![http("http://one"), http("http://two")],
        ..job()
    };
    let mut lists = Lists::default().for_job(&old);
    assert_eq!(addresses(&lists), ["s:1"]);
    lists.take(files("*.json", &[("a.json", Some("a:1"))]));
    lists.take(files("*.yml", &[("b.yml", Some("b:1"))]));
    lists.take(News::Http { url: "http://one".to_owned(), groups: vec![group(&["one:1"], &[])] });
    lists.take(News::Http { url: "http://two".to_owned(), groups: vec![group(&["two:1"], &[])] });
    let new =
        Job { static_groups: vec![group(&["s:2"], &[])], file_sd: vec![file("*.yml")], http_sd: vec![http("http://two")], ..old };
    assert_eq!(addresses(&lists.for_job(&new)), ["s:2", "b:1", "two:1"]);
}
