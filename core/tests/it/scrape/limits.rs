//! The soft limit on how many series a target may hold.

use super::*;

fn limited(series: u64) -> Story {
    Story::new(Job { limits: Limits { series, ..Limits::default() }, ..job() })
}

/// Returns a body of series with these numbers.
fn body(numbers: impl IntoIterator<Item = usize>) -> Vec<u8> {
    numbers.into_iter().flat_map(|number| format!("a{{n=\"{number}\"}} 1\n").into_bytes()).collect()
}

fn counts(outcome: &Outcome) -> (usize, usize, usize) {
    assert_eq!(outcome.report.error, None, "a soft limit fails no scrape");
    let kept = outcome.row.cells.iter().filter(|cell| !matches!(cell.value, Value::Float(value) if is_stale(value))).count();
    // The report takes eight series: five, and three of the limit.
    (kept - 8, outcome.report.held, outcome.report.refused)
}

#[test]
fn known_series_go_on_and_new_ones_are_refused() {
    let mut story = limited(3);
    story.check(
        "a 1\nb 1\nc 1\nd 1\ne 1\n",
        "{__name__=\"a\"} 1
         {__name__=\"b\"} 1
         {__name__=\"c\"} 1
         report 1 0.25 5 5 3 3 3 2",
    );
    let outcome = story.scraped(b"e 2\nd 2\nc 2\nb 2\na 2\n");
    assert_eq!(counts(&outcome), (3, 3, 2));
    assert_eq!(outcome.report.refusal.as_deref(), Some("the target has 3 series, its limit"));
    // Room is given back about an hour after a series has ended, by tens of minutes.
    assert_eq!(counts(&story.scraped(b"a 1\nd 1\n")), (1, 3, 1));
    story.now = story.now + Span::from_mins(45);
    assert_eq!(counts(&story.scraped(b"a 1\nd 1\n")), (1, 3, 1));
    story.now = story.now + Span::from_mins(15);
    assert_eq!(counts(&story.scraped(b"a 1\n")), (1, 1, 0));
    assert_eq!(counts(&story.scraped(b"a 1\nd 1\ne 1\n")), (3, 3, 0));
}

#[test]
fn a_target_that_renames_its_series_at_each_scrape_is_held() {
    let mut story = limited(100);
    let mut kept = 0;
    for round in 0..20 {
        kept += counts(&story.scraped(&body(round * 30..(round + 1) * 30))).0;
    }
    assert_eq!(kept, 100, "no more than the limit within an hour");
    // A restart of the target brings the same series again; they are no new ones.
    let mut story = limited(100);
    assert_eq!(counts(&story.scraped(&body(0..90))), (90, 90, 0));
    story.failed();
    assert_eq!(counts(&story.scraped(&body(0..90))), (90, 90, 0));
    for _ in 0..50 {
        assert_eq!(counts(&story.scraped(&body(0..40))), (40, 90, 0));
        assert_eq!(counts(&story.scraped(&body(0..90))), (90, 90, 0));
    }
    assert_eq!(counts(&story.scraped(&body(50..150))), (50, 100, 50), "ten new ones beside the forty known ones");
}

#[test]
fn a_reload_keeps_what_a_target_holds() {
    let limits = |series| Job { limits: Limits { series, ..Limits::default() }, ..job() };
    let mut story = Story::new(limits(10));
    assert_eq!(counts(&story.scraped(&body(0..10))), (10, 10, 0));
    story.replace(limits(12));
    assert_eq!(counts(&story.scraped(&body(0..20))), (12, 12, 8));
    // A limit that comes by a reload counts what is alive.
    let mut late = Story::new(job());
    late.scraped(&body(0..10));
    late.replace(limits(12));
    assert_eq!(counts(&late.scraped(&body(0..20))), (12, 12, 8));
    story.replace(limits(5));
    assert_eq!(counts(&story.scraped(&body(0..20))), (12, 12, 8), "a lower limit takes nothing away");
}

#[test]
fn a_target_beyond_its_limit_still_tells_of_itself() {
    let mut story = limited(1);
    let outcome = story.scraped(&body(0..50));
    assert_eq!(counts(&outcome), (1, 1, 49));
    assert_eq!(outcome.row.cells.len(), 9);
}
