//! The counts of objectives.

use tocsin_core::slo::{Bounds, Count, Ledger, Row, Tally, tiers};
use tocsin_core::time::{Span, Timestamp};

use super::{Place, at};
use tocsin::db::Db;

fn row(objective: &str, definition: &str, tier_ms: i64, seconds: i64) -> Row {
    Row {
        objective: objective.to_owned(),
        definition: definition.to_owned(),
        tier_ms,
        at_ms: seconds * 1000,
        good: seconds,
        good_millionths: 999_999,
        total: seconds + 1,
        total_millionths: 1,
    }
}

async fn ids(db: &Db) -> Vec<(String, Timestamp)> {
    let mut ids: Vec<_> = db.slo_ids().await.expect("ids").into_iter().map(|found| (found.id, found.until)).collect();
    ids.sort();
    ids
}

pub async fn counts_come_back_as_they_went(place: Place) {
    let db = place.open().await;
    db.add_slo_rows(&[]).await.expect("nothing to do");
    assert_eq!(ids(&db).await, []);
    let edges = Row {
        at_ms: i64::MIN,
        good: i64::MAX,
        good_millionths: i32::MIN,
        total: i64::MIN,
        total_millionths: i32::MAX,
        ..row("größe/1", "d", i64::MAX, 0)
    };
    db.add_slo_rows(std::slice::from_ref(&edges)).await.expect("a write");
    assert_eq!(db.slo_rows("größe/1").await.expect("rows"), [edges]);
    assert_eq!(db.slo_rows("none").await.expect("rows"), []);
    // Every size around the ones that statements and transactions have.
    for len in [1, 7, 8, 9, 63, 64, 65, 511, 512, 513, 585, 4_095, 4_096, 4_097, 9_000] {
        let id = format!("slo {len}");
        let rows: Vec<Row> = (0..len).map(|second| row(&id, "d", 0, second)).collect();
        for _ in 0..2 {
            db.add_slo_rows(&rows).await.expect("a write that may be repeated");
        }
        assert_eq!(db.slo_rows(&id).await.expect("rows"), rows, "{len}");
    }
    let mixed: Vec<Row> = (0..2_000).map(|number| row(&format!("mixed {}", number % 3), "d", 0, number)).collect();
    db.add_slo_rows(&mixed).await.expect("a write");
    assert_eq!(db.slo_rows("mixed 2").await.expect("rows").len(), 666);
    db.close().await;
}

pub async fn a_ledger_goes_on_from_its_rows(place: Place) {
    let db = place.open().await;
    let tiers = tiers(Span::from_mins(2 * 24 * 60));
    let (mut ledger, mut rows) = Ledger::new("checkout/1", "abc", &tiers, at(0));
    // Nine hours of steps, stored as they come in one database life, and gone on with in the next.
    let tally = |step: i64| Tally { good: Count::from_parts(step * 3, 250_000), total: Count::from_parts(step * 4, 0) };
    for step in 1..=9 * 240 {
        rows.extend(ledger.append(at(step * 15), tally(step)));
    }
    db.add_slo_rows(&rows).await.expect("a write");
    for (tier_ms, before) in ledger.cutoffs() {
        db.drop_slo_rows("checkout/1", tier_ms, before).await.expect("a write");
    }
    db.close().await;

    let db = place.open().await;
    let stored = db.slo_rows("checkout/1").await.expect("rows");
    assert!(stored.len() < rows.len(), "what is older than the cutoffs is gone");
    let mut held = ledger.rows();
    held.sort_by_key(|row| (row.tier_ms, row.at_ms));
    assert_eq!(stored, held, "what the ledger holds is what is stored");
    let (restored, seeded) = Ledger::restore("checkout/1", "abc", &tiers, stored).expect("a ledger");
    assert_eq!(seeded, []);
    assert_eq!(restored.last(), ledger.last());
    for hours in [1, 6, 9] {
        let bounds = Bounds { from: at((9 - hours) * 3600), to: at(9 * 3600) };
        assert_eq!(restored.window(bounds), ledger.window(bounds));
    }
    assert_eq!(ids(&db).await, [("checkout/1".to_owned(), at(9 * 3600))]);
    db.close().await;
}

pub async fn counts_are_forgotten_by_age_by_definition_and_whole(place: Place) {
    let db = place.open().await;
    let mut rows = Vec::new();
    for second in 0..5_000 {
        rows.push(row("a", "old", 0, second));
        rows.push(row("a", "new", 0, second));
        if second % 60 == 0 {
            rows.push(row("a", "new", 60_000, second));
        }
    }
    rows.push(row("b", "old", 0, 1));
    db.add_slo_rows(&rows).await.expect("a write");
    let left = async |id: &str| -> Vec<(String, i64, usize)> {
        let rows = db.slo_rows(id).await.expect("rows");
        let kinds = [("old", 0), ("new", 0), ("new", 60_000)];
        let count = |(definition, tier): (&str, i64)| {
            let same = |row: &&Row| row.definition == definition && row.tier_ms == tier;
            (definition.to_owned(), tier, rows.iter().filter(same).count())
        };
        kinds.into_iter().map(count).collect()
    };
    let counts = |old, new, coarse| {
        [("old", 0, old), ("new", 0, new), ("new", 60_000, coarse)].map(|(name, tier, count)| (name.to_owned(), tier, count))
    };
    assert_eq!(left("a").await, counts(5_000, 5_000, 84));
    db.drop_slo_rows("a", 0, at(4_000)).await.expect("a write");
    assert_eq!(left("a").await, counts(1_000, 1_000, 84), "one tier, and the row at the cutoff stays");
    db.drop_slo_rows("a", 60_000, at(60)).await.expect("a write");
    db.drop_slo_rows("a", 60_000, at(60)).await.expect("a write");
    assert_eq!(left("a").await, counts(1_000, 1_000, 83));
    db.forget_other_counts("a", "new").await.expect("a write");
    assert_eq!(left("a").await, counts(0, 1_000, 83));
    assert_eq!(ids(&db).await, [("a".to_owned(), at(4_999)), ("b".to_owned(), at(1))]);
    db.forget_objective("a").await.expect("a write");
    db.forget_objective("a").await.expect("a write");
    assert_eq!(ids(&db).await, [("b".to_owned(), at(1))]);
    assert_eq!(left("b").await, counts(1, 0, 0));
    db.close().await;
}
