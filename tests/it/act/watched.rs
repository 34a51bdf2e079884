//! What goes through the service itself: metrics, pages, journeys, other runbooks.

use tocsin::act::step::call::Called;
use tocsin::act::step::journey::Look;
use tocsin::act::step::{About, Issue, carry_out, page};
use tocsin::clock;
use tocsin::db::deliveries::{Attempt, DeliveryFilter, DeliveryState, Verdict};
use tocsin_core::model::{Cell, LabelSet, Row, Value};
use tocsin_core::page::Page;
use tocsin_core::plane::Event;
use tocsin_core::route::alert::IncomingAlert;
use tocsin_core::run::action::{Compare, NoData, Urgency};
use tocsin_core::run::lever::Awaited;
use tocsin_core::run::request::Request;
use tocsin_core::run::value::Values;
use tocsin_core::time::{Span, Timestamp};

use super::stage::{LONG, Stage, answer, assert_not_done, issue, passed};
use crate::harness::soon;

#[tokio::test]
async fn an_expression_has_one_value_or_none() {
    let stage = Stage::new("{}").await;
    let store = &stage.means.store;
    let cells = [("a", 1.5), ("b", f64::NAN), ("c", f64::INFINITY)].map(|(name, value)| {
        let series = store.resolve(&LabelSet::from_pairs([("__name__", "depth"), ("queue", name)])).unwrap();
        Cell { series, at: None, value: Value::Float(value) }
    });
    store.append_unlogged(&Row { at: clock::now(), cells: cells.to_vec() }).unwrap();
    let ask = async |expr: &str| {
        let request = Request::Query { expr: expr.to_owned(), op: Compare::Less, value: 2.0, no_data: NoData::Allow };
        stage.carry_out(request, LONG).await
    };
    assert_eq!(answer(ask("depth{queue=\"a\"}").await)["value"], 1.5);
    assert_eq!(answer(ask("1 + 1").await)["value"], 2.0);
    assert!(answer(ask("nothing").await)["value"].is_null());
    assert_eq!(answer(ask("depth{queue=\"c\"}").await)["value"], f64::MAX, "without end is not without data");
    assert_not_done(&ask("depth{queue=\"b\"}").await, "NaN");
    assert_not_done(&ask("depth").await, "has 3 values");
    assert_not_done(&ask("depth[5m]").await, "neither");
    assert_not_done(&ask("sum(").await, "cannot read");
}

fn demand(policy: Option<&str>) -> Request {
    Request::Page { policy: policy.map(str::to_owned), summary: "step one failed".to_owned(), urgency: Urgency::Critical }
}

#[tokio::test]
async fn a_page_goes_to_the_policy_once_and_ends_when_somebody_has_seen_to_it() {
    let stage = Stage::new("{}").await;
    for _ in 0..2 {
        assert!(answer(stage.carry_out(demand(Some("night")), LONG).await)["page"].is_string());
    }
    let other = Issue { idem_key: "run-1/two/g1".to_owned(), ..issue(demand(None), LONG) };
    answer(carry_out(&stage.means, &other, async |handle| assert!(handle.is_none())).await);
    let pages =
        soon("two pages", async || Some(stage.means.db.pages::<Page>(false, 10).await.unwrap()).filter(|pages| pages.len() == 2))
            .await;
    let of = |receiver: &str| {
        pages.iter().find(|page| page.group.receiver == receiver).unwrap_or_else(|| panic!("{receiver}: {pages:?}"))
    };
    let alert = of("night").alerts.values().next().unwrap();
    assert_eq!(of("night").alerts.len(), 1);
    let label = |name: &str| alert.labels.get(name).to_owned();
    assert_eq!(
        ["alertname", "severity", "platform", "runbook", "run", "slug"].map(label),
        ["TocsinRun", "critical", "shop", "shop-restart", "run-1", "incident"]
    );
    assert_eq!(alert.annotations.get("summary"), Some("step one failed"));
    assert_eq!(alert.annotations.get("link"), Some("http://tocsin.test/runs/run-1"));
    assert_eq!(of("desk").alerts.len(), 1);
    page::resolve(&stage.means, "run-2").await.unwrap();
    assert!(stage.means.db.pages::<Page>(true, 10).await.unwrap().len() == 2);
    page::resolve(&stage.means, "run-1").await.unwrap();
    // The plane tells of an end with the group's next turn; the alerts have ended at once.
    let now = clock::now();
    let firing =
        stage.means.watch.ask(move |state| state.plane.alerts(now).iter().filter(|view| view.alert.is_firing(now)).count());
    assert_eq!(firing.await.unwrap(), 0);
    let late = Issue { before: passed(), ..issue(demand(None), LONG) };
    assert_not_done(&carry_out(&stage.means, &late, async |_| {}).await, "has passed");
}

#[tokio::test]
async fn another_runbook_is_called_through_the_desk() {
    let mut stage = Stage::new("{}").await;
    let call = || Request::Call { runbook: "shop-fix".to_owned(), params: Values::new() };
    let means = stage.means.clone();
    let asked = tokio::spawn(async move { carry_out(&means, &issue(call(), LONG), async |_| {}).await });
    let ask = stage.calls.recv().await.unwrap();
    assert_eq!((&*ask.runbook, &*ask.parent_run, &*ask.reference), ("shop-fix", "run-1", "run-1/one/g1"));
    ask.answer.send(Called::Ended { run: "run-2".to_owned(), state: "succeeded".to_owned() }).unwrap();
    assert_eq!(answer(asked.await.unwrap()), serde_json::json!({ "state": "succeeded", "run": "run-2" }));
    let means = stage.means.clone();
    let asked = tokio::spawn(async move { carry_out(&means, &issue(call(), LONG), async |_| {}).await });
    stage.calls.recv().await.unwrap().answer.send(Called::Refused("there is none".to_owned())).unwrap();
    assert_not_done(&asked.await.unwrap(), "there is none");
}

#[tokio::test]
async fn a_journey_is_waited_for() {
    let stage = Stage::new("{}").await;
    let wait = |journey: &str, what| Request::JourneyWait { journey: journey.to_owned(), what, since: Timestamp(1_000) };
    assert_not_done(&stage.carry_out(wait("other", Awaited::Failed), LONG).await, "no journey");
    let told = answer(stage.carry_out(wait("shop", Awaited::Failed), Span(500)).await);
    assert!(told["at"].is_null() && told["attempts"] == 0, "{told}");
    let looks = stage.looks.clone();
    tokio::spawn(async move {
        for (at, ok) in [(500, false), (1_500, true), (2_500, false), (3_500, true), (4_500, true)] {
            looks.lock().unwrap().push(Look { began: Timestamp(at), ok });
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    });
    assert_eq!(answer(stage.carry_out(wait("shop", Awaited::Failed), LONG).await)["at"], 2_500);
    let clean = answer(stage.carry_out(wait("shop", Awaited::Clean { count: 2 }), LONG).await);
    assert_eq!((&clean["at"], &clean["first"]), (&3_500.into(), &4_500.into()));
}

#[tokio::test]
async fn a_page_check_tells_who_was_paged_and_when() {
    let stage = Stage::new("{}").await;
    let since = clock::now();
    let check = |person: Option<&str>, receiver: Option<&str>, acked_within| Request::PageCheck {
        platform: "shop".to_owned(),
        since,
        person: person.map(str::to_owned),
        receiver: receiver.map(str::to_owned),
        delivered_within: Span::from_secs(30),
        acked_within,
    };
    let told = answer(stage.carry_out(check(None, None, Span::ZERO), Span(600)).await);
    assert!(told["ok"] == false && told["why"] == "nobody was paged for shop", "{told}");
    // The run's own page is not the one that is looked for.
    stage.carry_out(demand(None), LONG).await;
    let alert = IncomingAlert {
        labels: LabelSet::from_pairs([("alertname", "ShopDown"), ("platform", "shop")]),
        ends_at: Some(since + Span::from_mins(60)),
        ..IncomingAlert::default()
    };
    stage.means.watch.event(Event::Alerts(vec![alert])).await.unwrap().unwrap();
    let told = answer(stage.carry_out(check(None, None, Span::ZERO), Span::from_secs(2)).await);
    assert!(told["ok"] == false && told["why"].as_str().unwrap().contains("not delivered yet"), "{told}");
    let page = told["page"].as_str().unwrap().to_owned();
    let filter = DeliveryFilter { page_id: Some(page.clone()), limit: 10, ..DeliveryFilter::default() };
    let delivery = stage.means.db.deliveries(&filter).await.unwrap().remove(0);
    let attempt = Attempt {
        delivery_id: delivery.id,
        number: 1,
        at: clock::now(),
        outcome: "delivered".to_owned(),
        detail: String::new(),
        duration_ms: 1,
    };
    stage.means.db.record_attempt(&attempt, &Verdict::Finished(DeliveryState::Delivered)).await.unwrap();
    let told = answer(stage.carry_out(check(None, Some("desk"), Span::ZERO), LONG).await);
    assert!(told["ok"] == true && told["delivered_at"] == attempt.at.0 && told["receiver"] == "desk", "{told}");
    let told = answer(stage.carry_out(check(None, Some("night"), Span::ZERO), Span(600)).await);
    assert_eq!(told["ok"], false);
    let told = answer(stage.carry_out(check(Some("ann"), None, Span::ZERO), LONG).await);
    assert!(told["ok"] == false && told["why"].as_str().unwrap().contains("not ann"), "{told}");
    stage.means.watch.event(Event::Acknowledge { page, by: "ann".to_owned() }).await.unwrap().unwrap();
    let told = answer(stage.carry_out(check(None, None, Span::from_secs(60)), LONG).await);
    assert!(told["ok"] == true && told["person"] == "ann" && told["acked_at"].is_i64(), "{told}");
}

/// Who writes what a run is about cannot write who is paged.
#[tokio::test]
async fn labels_of_a_run_choose_no_receiver() {
    let stage = Stage::new("{}").await;
    let odd =
        Issue { about: About { platform: "night\",policy=\"night".to_owned(), ..About::default() }, ..issue(demand(None), LONG) };
    answer(carry_out(&stage.means, &odd, async |_| {}).await);
    let pages =
        soon("a page", async || Some(stage.means.db.pages::<Page>(false, 10).await.unwrap()).filter(|pages| !pages.is_empty()))
            .await;
    assert_eq!(pages[0].group.receiver, "desk");
}
