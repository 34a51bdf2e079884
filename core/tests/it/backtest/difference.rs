//! What new rules would have told beyond old ones, and what not.

use tocsin_core::backtest::{align, difference};
use tocsin_core::time::Span;

use super::{group, groups, hours};

#[test]
fn a_higher_threshold_tells_later_and_less() {
    // Two spells: one that both see, the second half of which is above the new threshold, and one that only the old one sees.
    let series = ["x 1x9 6x4 9x19 1x25 6x9 1x60"];
    let old = hours(&["alert: High, expr: x > 5", "alert: Gone, expr: x > 8"], &series, 120);
    let new = hours(&["alert: High, expr: x > 7", "alert: Fresh, expr: x > 100"], &series, 120);
    let found = difference(&new, &old);
    let lines = |list: &[tocsin_core::backtest::Notification]| -> Vec<String> {
        list.iter().map(|one| format!("{} {}", one.reason.as_str(), one.title)).collect()
    };
    assert_eq!(
        lines(&found.only_old),
        [
            "first notification [FIRING:1] Gone",
            "all alerts resolved [RESOLVED] Gone",
            "first notification [FIRING:1] High",
            "all alerts resolved [RESOLVED] High"
        ]
    );
    assert_eq!(lines(&found.only_new), [""; 0]);
    let shifts: Vec<(&str, Span)> = found.shifted.iter().map(|shift| (shift.new.reason.as_str(), shift.by)).collect();
    // The end is told at the next flush of a group, five minutes apart; the groups begin at different instants.
    assert_eq!(shifts, [("first notification", Span::from_mins(5))]);
    assert_eq!(found.same, 1, "the end comes at the same flush");
    let rules: Vec<(&str, Option<u64>, Option<u64>)> = found
        .rules
        .iter()
        .map(|rule| (rule.name.as_str(), rule.new.as_ref().map(|new| new.fired), rule.old.as_ref().map(|old| old.fired)))
        .collect();
    assert_eq!(rules, [("Fresh", Some(0), None), ("Gone", None, Some(1)), ("High", Some(1), Some(2))]);
    let (ours, theirs) = found.receivers["team"];
    assert_eq!((ours.notifications, theirs.notifications), (2, 6));
    assert_eq!(difference(&old, &old).same, 6);
}

#[test]
fn groups_of_one_name_are_evaluated_at_the_same_slots() {
    let old = group(&["alert: A, expr: x"]);
    let text = "groups:\n  - {name: g, rules: [{alert: A, expr: x}]}\n  - {name: other, rules: [{alert: B, expr: x}]}\n";
    let mut new = tocsin_core::rule::read("elsewhere.yml", text, &tocsin_core::rule::Defaults::default()).0;
    align(&mut new, &old);
    let files: Vec<&str> = new.iter().map(|group| &*group.file).collect();
    assert_eq!(files, ["rules.yml", "elsewhere.yml"]);
    // Of two groups of one name nobody knows which is meant.
    let mut twice = [new.remove(0), groups(text).remove(0)];
    twice[0].file = "third.yml".into();
    let before: Vec<_> = twice.iter().map(|group| group.file.clone()).collect();
    align(&mut twice, &old);
    assert_eq!(twice.map(|group| group.file).to_vec(), before);
}
