//! A stand-in for CloudWatch that can be ill, late and slow to tell all, which moto cannot.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

#[derive(Default)]
struct Inner {
    /// Values of one queue's depth by second.
    points: BTreeMap<i64, f64>,
    /// What the next calls are answered with.
    troubles: VecDeque<(u16, String)>,
    /// What every call is answered with.
    illness: Option<(u16, String)>,
    /// Points in one page of an answer.
    page_len: usize,
    calls: Vec<(String, Value)>,
    faults: Vec<String>,
}

#[derive(Clone)]
pub struct CloudWatch {
    inner: Arc<Mutex<Inner>>,
    pub url: String,
}

impl CloudWatch {
    pub async fn start() -> CloudWatch {
        let inner = Arc::new(Mutex::new(Inner { page_len: usize::MAX, ..Inner::default() }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let router = Router::new().fallback(answer).with_state(inner.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        CloudWatch { inner, url }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder of this lock panics")
    }

    pub fn put(&self, second: i64, value: f64) {
        self.lock().points.insert(second, value);
    }

    pub fn pages_of(&self, points: usize) {
        self.lock().page_len = points;
    }

    /// Answers the next calls so, one after the other.
    pub fn trouble(&self, answers: &[(u16, &str)]) {
        self.lock().troubles.extend(answers.iter().map(|(status, body)| (*status, (*body).to_owned())));
    }

    /// Answers all calls so from now on; None: well.
    pub fn be_ill(&self, answer: Option<(u16, &str)>) {
        self.lock().illness = answer.map(|(status, body)| (status, body.to_owned()));
    }

    /// Returns the bodies of the calls of one action.
    pub fn calls(&self, action: &str) -> Vec<Value> {
        self.lock().calls.iter().filter(|(own, _)| own == action).map(|(_, body)| body.clone()).collect()
    }

    /// Panics when a request ever was not as documented.
    pub fn assert_no_faults(&self) {
        let faults = self.lock().faults.clone();
        assert!(faults.is_empty(), "requests that the documentation does not allow: {faults:#?}");
    }
}

async fn answer(State(inner): State<Arc<Mutex<Inner>>>, headers: HeaderMap, body: Bytes) -> (StatusCode, String) {
    let mut inner = inner.lock().expect("no holder of this lock panics");
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let action = header("x-amz-target").strip_prefix("GraniteServiceVersion20100801.").unwrap_or_default().to_owned();
    let signed = "SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature=";
    if !header("authorization").contains(signed) || header("content-type") != "application/x-amz-json-1.0" || action.is_empty() {
        inner.faults.push(format!("{headers:?}"));
    }
    let request: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    inner.calls.push((action.clone(), request.clone()));
    if let Some((status, body)) = inner.troubles.pop_front().or_else(|| inner.illness.clone()) {
        return (StatusCode::from_u16(status).expect("a status"), body);
    }
    let said = match action.as_str() {
        "ListMetrics" => json!({ "Metrics": [
            { "Namespace": "AWS/SQS", "MetricName": "Depth", "Dimensions": [{ "Name": "QueueName", "Value": "orders" }] } ] }),
        "GetMetricData" => data(&mut inner, &request),
        other => {
            inner.faults.push(format!("an action {other:?}"));
            json!({})
        }
    };
    (StatusCode::OK, said.to_string())
}

fn data(inner: &mut Inner, request: &Value) -> Value {
    let (start, end) = (request["StartTime"].as_i64().unwrap_or(0), request["EndTime"].as_i64().unwrap_or(0));
    if end <= start || request["MetricDataQueries"].as_array().is_none_or(|queries| queries.is_empty() || queries.len() > 500) {
        inner.faults.push(format!("a request {request}"));
    }
    let done: usize = request["NextToken"].as_str().and_then(|token| token.parse().ok()).unwrap_or(0);
    let all: Vec<(i64, f64)> = inner.points.range(start..end).map(|(at, value)| (*at, *value)).collect();
    let page: Vec<(i64, f64)> = all.iter().copied().skip(done).take(inner.page_len).collect();
    let token = (done + page.len() < all.len()).then(|| (done + page.len()).to_string());
    let results: Vec<Value> = request["MetricDataQueries"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|query| {
            json!({
                "Id": query["Id"], "Label": "x",
                "Timestamps": page.iter().map(|(at, _)| *at).collect::<Vec<_>>(),
                "Values": page.iter().map(|(_, value)| *value).collect::<Vec<_>>(),
                "StatusCode": if token.is_some() { "PartialData" } else { "Complete" },
            })
        })
        .collect();
    json!({ "MetricDataResults": results, "NextToken": token, "Messages": [] })
}
