//! What both are asked, in this order, and where the answers must differ.

/// How our answer differs from that of Alertmanager.
#[derive(Clone, Copy, Debug)]
pub enum Differs {
    No,
    /// Status and form of the error are the same, the words are our own.
    Words(&'static str),
    /// We answer with another status.
    Status(u16, &'static str),
}

#[derive(Clone, Debug)]
pub struct Ask {
    pub method: &'static str,
    pub path: &'static str,
    pub query: Vec<(String, String)>,
    /// The type of the content, which may be empty, and the content.
    pub body: Option<(&'static str, String)>,
    pub differs: Differs,
}

impl Ask {
    pub fn new(method: &'static str, path: &'static str) -> Ask {
        Ask { method, path, query: Vec::new(), body: None, differs: Differs::No }
    }

    pub fn query(mut self, pairs: &[(&str, &str)]) -> Ask {
        self.query = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self
    }

    pub fn json(self, body: &str) -> Ask {
        self.typed("application/json", body)
    }

    fn typed(mut self, kind: &'static str, body: &str) -> Ask {
        self.body = Some((kind, body.to_owned()));
        self
    }

    fn differs(mut self, differs: Differs) -> Ask {
        self.differs = differs;
        self
    }
}

/// Stands for no request: what was posted takes its place in the groups first.
pub const SETTLED: &str = "settled";

const GO: Differs = Differs::Words("Alertmanager passes on the words of Go's parsers");
const REGEX: Differs = Differs::Words("the engine of regular expressions is another one and says it in its words");
const NAME: Differs = Differs::Words("Alertmanager counts sets of matchers, of which there is one");
const METHOD: Differs = Differs::Words("the methods that an address takes stand in the header Allow");
const V1: Differs = Differs::Words("the word that v1 is gone is our own");
const URI: Differs = Differs::Status(200, "an alert is not lost for a link that is none");
const TRUTH: Differs = Differs::Status(400, "Alertmanager takes what is neither true nor false as false");

pub fn settle() -> Vec<Ask> {
    vec![Ask::new("GET", SETTLED)]
}

fn alerts(body: &str) -> Ask {
    Ask::new("POST", "/api/v2/alerts").json(body)
}

pub fn posts() -> Vec<Ask> {
    let typed = |kind| Ask::new("POST", "/api/v2/alerts").typed(kind, r#"[{"labels":{"alertname":"Typed"}}]"#);
    vec![
        alerts("{bad").differs(GO),
        alerts(""),
        Ask::new("POST", "/api/v2/alerts"),
        alerts("null"),
        alerts("{}").differs(GO),
        alerts("[]"),
        alerts("[{}]"),
        alerts(r#"[{"labels":null}]"#),
        alerts(r#"[{"labels":{}}]"#),
        alerts(r#"[{"labels":{"alertname":""}}]"#),
        alerts(r#"[{"labels":{"alertname":1}}]"#).differs(GO),
        alerts(r#"[{"labels":{"alertname":"A0","gone":null}}]"#),
        alerts(r#"[{"labels":{"alertname":"A1","team":"a"},"annotations":null}]"#),
        alerts(r#"[{"labels":{"alertname":"A2"},"annotations":{"x":null,"y":"z"}}]"#),
        alerts(r#"[{"labels":{"alertname":"A3"},"startsAt":null,"endsAt":null,"generatorURL":null}]"#),
        alerts(r#"[{"labels":{"alertname":"A4"},"startsAt":"2026-01-02","generatorURL":"http://graph/?a=b"}]"#),
        alerts(r#"[{"labels":{"alertname":"A5"},"startsAt":"yesterday"}]"#).differs(GO),
        alerts(r#"[{"labels":{"alertname":"A6"},"startsAt":"0001-01-01T00:00:00Z","endsAt":"0001-01-01T00:00:00Z"}]"#),
        alerts(r#"[{"labels":{"alertname":"L1"},"generatorURL":"not a url"}]"#).differs(URI),
        alerts(r#"[{"labels":{"alertname":"A7"},"generatorURL":""}]"#),
        alerts(r#"[{"labels":{"alertname":"A8"}},{"labels":{"alertname":""}},{"labels":{"alertname":"A9","job":"b"}}]"#),
        alerts(
            r#"[{"labels":{"alertname":"A9","job":"a","instance":"2"}},{"labels":{"alertname":"A9","job":"a","instance":"1"}}]"#,
        ),
        alerts(r#"[{"labels":{"alertname":"D1"},"unknown":1}]"#),
        alerts(r#"[{"labels":{"alertname":"E1"},"startsAt":"2030-01-02T00:00:00Z","endsAt":"2030-01-01T00:00:00Z"}]"#),
        alerts(r#"[{"labels":{"alertname":"E2","":"x"}}]"#),
        alerts(r#"[{"labels":{"alertname":"E3"},"annotations":{"":"x"}}]"#),
        alerts(r#"[{"labels":{"a b":"x"}}]"#),
        alerts(r#"[{"labels":{"alertname":"F1"}}] and more"#),
        typed(""),
        typed("text/plain"),
        typed("application/json; charset=utf-8"),
        alerts(
            r#"[{"labels":{"alertname":"Boss"}},{"labels":{"alertname":"Minion"}},{"labels":{"alertname":"Night","team":"night"}}]"#,
        ),
    ]
}

fn get(path: &'static str, query: &[(&str, &str)]) -> Ask {
    Ask::new("GET", path).query(query)
}

pub fn lists() -> Vec<Ask> {
    let (alerts, groups, receivers) = ("/api/v2/alerts", "/api/v2/alerts/groups", "/api/v2/receivers");
    let a = ("filter", "alertname=~\"A[0-9]\"");
    let few = ("filter", "alertname=~\"A[19]|Boss|Minion|Night\"");
    let mut asks = vec![
        get(receivers, &[]),
        get(receivers, &[("receiver_matchers", "team=\"web\"")]),
        get(receivers, &[("receiver_matchers", "name=~\"a.*|z.*\"")]),
        get(receivers, &[("receiver_matchers", "team!=web"), ("receiver_matchers", "name!=zeta")]),
        get(receivers, &[("receiver_matchers", "x{")]),
    ];
    for path in [alerts, groups] {
        asks.extend([
            get(path, &[a]),
            get(path, &[few]),
            get(path, &[few, ("active", "false")]),
            get(path, &[few, ("inhibited", "false")]),
            get(path, &[few, ("silenced", "false")]),
            get(path, &[few, ("muted", "false")]),
            get(path, &[few, ("muted", "false"), ("active", "false")]),
            get(path, &[few, ("unprocessed", "false")]),
            get(path, &[few, ("active", "0"), ("inhibited", "0")]),
            get(path, &[few, ("receiver", "alp")]),
            get(path, &[few, ("receiver", "alpha")]),
            get(path, &[few, ("receiver", "alpha|muted")]),
            get(path, &[few, ("receiver_matchers", "team=\"web\"")]),
            get(path, &[few, ("receiver_matchers", "name=~\"b.*\""), ("receiver", "alpha")]),
            get(path, &[few, ("filter", "team!=\"a\"")]),
            get(path, &[("filter", "alertname=none")]),
            get(path, &[("receiver", "(")]).differs(REGEX),
            get(path, &[("receiver_matchers", "x{")]),
            get(path, &[("filter", "{a=\"b\"}")]),
            get(path, &[("filter", "(")]),
            get(path, &[few, ("active", "maybe")]).differs(TRUTH),
        ]);
    }
    asks.extend([
        get("/api/v2/nosuch", &[]),
        get("/api/v2/silence/", &[]),
        Ask::new("POST", "/api/v2/status").differs(METHOD),
        Ask::new("PUT", "/api/v2/alerts").differs(METHOD),
        get("/api/v1/silences", &[]).differs(V1),
        Ask::new("POST", "/api/v1/silences").json("{}").differs(V1),
        get("/api/v1/silence/x", &[]).differs(V1),
        Ask::new("DELETE", "/api/v1/silence/x").differs(V1),
        get("/api/v1/receivers", &[]).differs(V1),
        get("/api/v1/status", &[]).differs(V1),
        Ask::new("POST", "/api/v1/alerts").json("[]").differs(V1),
        get("/api/v1/alerts", &[]).differs(Differs::Status(200, "the address is Prometheus' here")),
    ]);
    asks
}

fn silence(body: &str) -> Ask {
    Ask::new("POST", "/api/v2/silences").json(body)
}

/// A silence with these matchers and a far end, of that year.
fn lasting(matchers: &str, year: u32) -> Ask {
    silence(&format!(
        r#"{{"matchers":{matchers},"startsAt":"2026-01-01T00:00:00Z","endsAt":"{year}-01-01T00:00:00Z","createdBy":"ada","comment":"c"}}"#
    ))
}

const ONE: &str = r#"[{"name":"a","value":"b","isRegex":false}]"#;

pub fn silences() -> Vec<Ask> {
    let list = "/api/v2/silences";
    let timed = |starts: &str, ends: &str| {
        silence(&format!(r#"{{"matchers":{ONE},"startsAt":{starts},"endsAt":{ends},"createdBy":"ada","comment":"c"}}"#))
    };
    let by_id = |id: &str| {
        silence(&format!(
            r#"{{"id":"{id}","matchers":{ONE},"startsAt":"2026-01-01T00:00:00Z","endsAt":"2090-01-01T00:00:00Z","createdBy":"bob","comment":"d"}}"#
        ))
    };
    let mut asks = vec![
        get(list, &[]),
        silence("{bad").differs(GO),
        silence("[]").differs(GO),
        silence(""),
        silence("{}"),
        lasting("[]", 2090),
        lasting("null", 2090),
        lasting(r#"[{"name":"a","value":"","isRegex":false}]"#, 2090).differs(NAME),
        lasting(r#"[{"name":"a","value":"(","isRegex":true}]"#, 2090).differs(REGEX),
        lasting(r#"[{"name":"a","value":"b"}]"#, 2090),
        lasting(r#"[{"value":"b","isRegex":false}]"#, 2090),
        lasting(r#"[{"name":"a","isRegex":false}]"#, 2090),
        lasting(r#"[{"name":"","value":"b","isRegex":false}]"#, 2090).differs(NAME),
        timed("\"x\"", "\"2090-01-01T00:00:00Z\"").differs(GO),
        timed("\"2090-01-02T00:00:00Z\"", "\"2090-01-01T00:00:00Z\""),
        timed("\"2020-01-02T00:00:00Z\"", "\"2020-01-03T00:00:00Z\""),
        timed("null", "\"2090-01-01T00:00:00Z\""),
        timed("\"2026-01-01T00:00:00Z\"", "null"),
        silence(&format!(
            r#"{{"matchers":{ONE},"startsAt":"2026-01-01T00:00:00Z","endsAt":"2090-01-01T00:00:00Z","comment":"c"}}"#
        )),
        silence(&format!(
            r#"{{"matchers":{ONE},"startsAt":"2026-01-01T00:00:00Z","endsAt":"2090-01-01T00:00:00Z","createdBy":"x"}}"#
        )),
        by_id("nosuch"),
        by_id("b3a1e5ac-7c2d-4e9c-9a0a-1c7e5f6f1a11"),
        silence("text").differs(GO),
        Ask::new("POST", list).typed("text/plain", "{}"),
        lasting(r#"[{"name":"alertname","value":"A1|A2","isRegex":true}]"#, 2091),
        lasting(
            r#"[{"name":"alertname","value":"A1","isRegex":false,"isEqual":null},{"name":"b","value":"c","isRegex":false,"isEqual":false}]"#,
            2092,
        ),
        silence(
            r#"{"matchers":[{"name":"z","value":"y","isRegex":false}],"startsAt":"2080-01-01","endsAt":"2090-01-01T00:00:00Z",
                "createdBy":"","comment":"","annotations":{"k":"v"},"id":""}"#,
        ),
    ];
    for filter in [
        &[][..],
        &["alertname=\"A1\""],
        &["alertname=~\"A1|A2\""],
        &["alertname=~\".*\""],
        &["alertname!=\"A9\""],
        &["b!=\"c\"", "alertname=\"A1\""],
        &["b=c"],
        &["z=y"],
    ] {
        let pairs: Vec<(&str, &str)> = filter.iter().map(|one| ("filter", *one)).collect();
        asks.push(get(list, &pairs));
    }
    asks.extend([
        get(list, &[("filter", "(")]),
        // Which state a silence has is no matter of the list.
        get(list, &[("active", "false"), ("expired", "false")]),
        get("/api/v2/silence/{0}", &[]),
        get("/api/v2/silence/{2}", &[]),
        get("/api/v2/silence/nosuch", &[]),
        get("/api/v2/silence/b3a1e5ac-7c2d-4e9c-9a0a-1c7e5f6f1a11", &[]),
        get("/api/v2/alerts", &[("filter", "alertname=~\"A[12]\"")]),
        get("/api/v2/alerts", &[("filter", "alertname=~\"A[123]\""), ("silenced", "false")]),
        by_id("{2}"),
        Ask::new("DELETE", "/api/v2/silence/nosuch"),
        Ask::new("DELETE", "/api/v2/silence/b3a1e5ac-7c2d-4e9c-9a0a-1c7e5f6f1a11"),
        Ask::new("DELETE", "/api/v2/silence/{1}"),
        get("/api/v2/silence/{1}", &[]),
        Ask::new("DELETE", "/api/v2/silence/{1}"),
        get(list, &[]),
    ]);
    asks
}
