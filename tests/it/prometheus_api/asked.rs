//! What both are asked, and where the answers must differ.

/// How our answer differs from that of Prometheus.
#[derive(Clone, Copy, Debug)]
pub enum Differs {
    No,
    /// Status and type of the error are the same, the words are our own.
    Words(&'static str),
    /// The status is the same, and Prometheus' answer is no JSON.
    Page(&'static str),
    /// We answer with another status.
    Status(u16, &'static str),
    /// The status and the warnings are the same; which entries a limit leaves is not said.
    Cut(&'static str),
}

impl Differs {
    /// Returns why the answers differ.
    pub fn reason(self) -> &'static str {
        match self {
            Differs::No => "they do not",
            Differs::Words(reason) | Differs::Page(reason) | Differs::Status(_, reason) | Differs::Cut(reason) => reason,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Ask {
    pub method: &'static str,
    pub path: String,
    pub pairs: Vec<(String, String)>,
    pub differs: Differs,
}

impl Ask {
    pub fn new(method: &'static str, path: &str, pairs: Vec<(String, String)>) -> Ask {
        Ask { method, path: path.to_owned(), pairs, differs: Differs::No }
    }
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn get(path: &str, list: &[(&str, &str)]) -> Ask {
    Ask::new("GET", path, pairs(list))
}

fn post(path: &str, list: &[(&str, &str)]) -> Ask {
    Ask::new("POST", path, pairs(list))
}

impl Ask {
    fn differs(mut self, differs: Differs) -> Ask {
        self.differs = differs;
        self
    }
}

const REGEX: Differs = Differs::Words("the engine of regular expressions is another one and says it in its words");
const GO: Differs = Differs::Words("Prometheus passes on the words of Go's parser of numbers");
const PAST: Differs = Differs::Status(400, "Prometheus takes times that no clock has, and wraps them around");
const INVERTED: Differs = Differs::Status(400, "a span that ends before it begins is a mistake of the caller in every list");

const QUERIES: [&str; 46] = [
    "1",
    "1e21",
    "1e-7",
    "-0",
    "1/0",
    "0.1+0.2",
    "\"a text\"",
    "vector(1)",
    "http_requests_total",
    "temperature_celsius",
    "temperature_celsius * 1e-9",
    "sum(http_requests_total)",
    "{\"utf8.metric\"}",
    "untyped_thing",
    "zero",
    "nothing",
    "http_requests_total offset 1y",
    "absent(nothing{a=\"b\"})",
    "scalar(zero)",
    "histogram_quantile(0.9, latency_seconds_bucket)",
    "rate(http_requests_total[5m])",
    "rate(temperature_celsius{room=\"kitchen\"}[5m])",
    "quantile(2, http_requests_total)",
    "count_values(\"é\", http_requests_total)",
    "topk(0, http_requests_total)",
    "http_requests_total > bool 5",
    "sum by (code) (http_requests_total) / on () group_left sum(http_requests_total)",
    "http_requests_total * on () temperature_celsius{room=~\"kitchen|cellar\"}",
    "label_replace(zero, \"a\", \"$1\", \"b\", \"(.*)\")",
    "",
    "sum(",
    "sum(up",
    "up{",
    "1 +",
    "{}",
    "foo bar",
    "nosuch(up)",
    "1 == 1",
    "up == \"a\"",
    "rate(up)",
    "up[5m",
    "up[0s]",
    "limitk(1, up)",
    "info(up)",
    "{\"a\",\"b\"}",
    "sum(up) by",
];

const TREES: [&str; 40] = [
    "up",
    "{__name__=\"up\"}",
    "sum(up)by(job)",
    "sum without() (a)",
    "rate(a{b=\"c\",d=~\"e.*\",f!=\"\",g!~\"h\"}[5m] offset 1m) / on(job) group_left(x) sum without(a)(b offset -5m @ start())",
    "1",
    "-1",
    "- up",
    "+up",
    "\"text\"",
    "(up)",
    "1+2*3",
    "a and b",
    "a unless on(x) b",
    "a or ignoring(y) b",
    "a > bool 1",
    "1 > bool 2",
    "a atan2 b",
    "a ^ b ^ c",
    "topk(3,a)",
    "count_values(\"x\",a)",
    "a[5m:1m]",
    "max_over_time(a[5m:])",
    "max_over_time(a[5m:1m] offset 3m @ end())",
    "a @ 12.5",
    "Inf",
    "NaN",
    "1e21",
    "0x1f",
    "5m",
    "time()",
    "day_of_month()",
    "round(a,5)",
    "label_replace(a,\"b\",\"c\",\"d\",\"e\")",
    "a * on(x,y) group_right b",
    "{\"a.b\",c=\"d\"}",
    "a{\"x.y\"=\"z\"}",
    "",
    "sum(",
    "limitk(1,a)",
];

/// The requests that Grafana's data source makes: as forms in bodies, with times in seconds.
fn of_grafana(now: &str, before: &str) -> Vec<Ask> {
    let span = [("start", before), ("end", now)];
    let in_span =
        |list: &[(&'static str, &str)]| list.iter().copied().map(|(a, b)| (a.to_owned(), b.to_owned())).collect::<Vec<_>>();
    let mut all = vec![
        post("query", &[("query", "1+1"), ("time", now)]),
        post("query", &[("query", "sum(http_requests_total)"), ("time", now)]),
        post("query_range", &[("query", "http_requests_total"), ("start", before), ("end", now), ("step", "1")]),
        get("label/__name__/values", &span),
        get(
            "label/job/values",
            &[("match[]", "{__name__=\"http_requests_total\"}"), ("start", before), ("end", now), ("limit", "40000")],
        ),
        get("labels", &[("match[]", "http_requests_total"), ("start", before), ("end", now)]),
        post("labels", &[("match[]", "http_requests_total"), ("start", before), ("end", now)]),
        post("series", &[("match[]", "http_requests_total"), ("start", before), ("end", now), ("limit", "40000")]),
        get("metadata", &[("limit", "5000")]),
        get("query_exemplars", &[("query", "http_requests_total"), ("start", before), ("end", now)]),
        get("format_query", &[("query", "sum(rate(a[5m]))by(b)")]),
        post("format_query", &[("query", "sum(rate(a[5m]))by(b)")]),
        post("parse_query", &[("query", "sum(rate(a[5m]))by(b)")]),
        get("rules", &[]),
        get("alerts", &[]),
        get("scrape_pools", &[]),
        get("notifications", &[]),
        get("status/walreplay", &[]),
        get("alertmanagers", &[]),
    ];
    all.push(Ask::new("GET", "label/U__label_2e_dotted/values", in_span(&span)));
    all
}

fn of_queries(now: &str, before: &str) -> Vec<Ask> {
    let mut all: Vec<Ask> = QUERIES.iter().map(|query| get("query", &[("query", query), ("time", now)])).collect();
    all.push(get("query", &[("query", "up{a=~\"(\"}"), ("time", now)]).differs(REGEX));
    let refused = Differs::Status(400, "a label that cannot be is found before anything is read");
    all.push(get("query", &[("query", "count_values(\"\", up)"), ("time", now)]).differs(refused));
    for time in ["abc", "1.5", "1e9", "-1", "2026-11-21T13:00:00Z", "2026-11-21T13:00:00.125+01:00", " 1", "0x10"] {
        all.push(get("query", &[("query", "vector(1)"), ("time", time)]));
    }
    for time in ["NaN", "Inf", "1e300"] {
        all.push(get("query", &[("query", "vector(1)"), ("time", time)]).differs(PAST));
    }
    for (name, value) in [
        ("timeout", "abc"),
        ("timeout", "1e300"),
        ("timeout", "5"),
        ("timeout", "1m"),
        ("limit", "-1"),
        ("limit", "0"),
        ("limit", "5"),
        ("lookback_delta", "1ms"),
        ("lookback_delta", "0"),
        ("lookback_delta", "-5"),
        ("lookback_delta", "x"),
        ("lookback_delta", "10m"),
        ("stats", ""),
        ("stats", "none"),
        ("stats", "true"),
    ] {
        all.push(get("query", &[("query", "http_requests_total"), ("time", now), (name, value)]));
        let range = [("query", "sum(http_requests_total)"), ("start", before), ("end", now), ("step", "1"), (name, value)];
        all.push(post("query_range", &range));
    }
    for query in ["http_requests_total", "sum(http_requests_total) + 5", "timestamp(zero) > 0", "max_over_time(sum(zero)[2s:1s])"]
    {
        let range = [("query", query), ("start", before), ("end", now), ("step", "1"), ("stats", "all")];
        let timestamps = Differs::Cut("the targets are scraped at other moments");
        all.push(get("query_range", &range).differs(if query.starts_with("timestamp") { timestamps } else { Differs::No }));
    }
    all.push(get("query", &[("query", "zero"), ("limit", "a")]).differs(GO));
    all.push(
        get("query", &[("query", "http_requests_total"), ("time", now), ("limit", "1")])
            .differs(Differs::Cut("the order is free")),
    );
    all.push(get("query", &[]));
    all.push(post("query", &[]));
    all
}

fn of_ranges(now: &str, before: &str) -> Vec<Ask> {
    let mut all = vec![get("query_range", &[]), get("query_range", &[("query", "up"), ("start", now)])];
    for (start, end, step, query) in [
        (before, now, "1", "temperature_celsius"),
        (before, now, "0.5", "zero"),
        (before, now, "1m", "zero"),
        (before, now, "1", "nothing"),
        (before, now, "1", "1"),
        ("0.5", "3", "0.25", "time()"),
        (before, now, "1", "zero[5m]"),
        (before, now, "1", "\"a\""),
        (before, now, "1", "sum("),
        (before, now, "", "zero"),
        (before, now, "0", "zero"),
        (before, now, "-1s", "zero"),
        (before, now, "abc", "zero"),
        (before, now, "1e300", "zero"),
        ("x", now, "1", "zero"),
        (before, "x", "1", "zero"),
        (now, before, "1", "zero"),
        ("0", "11000", "1", "zero"),
        ("0", "11001", "1", "zero"),
    ] {
        all.push(get("query_range", &[("query", query), ("start", start), ("end", end), ("step", step)]));
    }
    let sorted = Differs::Words("that sort does nothing here is said, as later versions of Prometheus do");
    all.push(get("query_range", &[("query", "sort(zero)"), ("start", before), ("end", now), ("step", "1")]).differs(sorted));
    all
}

fn of_lists(now: &str, before: &str) -> Vec<Ask> {
    let mut all = Vec::new();
    for matched in [
        &["http_requests_total"][..],
        &["http_requests_total", "zero"],
        &["{job=~\".+\",__name__=~\"h.*\"}"],
        &["{\"utf8.metric\"}"],
        &["nothing"],
        &[""],
        &["{}"],
        &["{job=~\".*\"}"],
        &["http_requests_total{"],
        &["http_requests_total[5m]"],
        &["sum(http_requests_total)"],
        &["1"],
    ] {
        for path in ["series", "labels", "label/code/values", "label/__name__/values", "label/nothing/values"] {
            let mut list: Vec<(&str, &str)> = matched.iter().map(|text| ("match[]", *text)).collect();
            list.extend([("start", before), ("end", now)]);
            all.push(get(path, &list));
        }
    }
    for path in ["series", "labels", "label/code/values"] {
        let with = |list: &[(&str, &str)]| get(path, &[list, &[("match[]", "http_requests_total")]].concat());
        all.extend([
            with(&[("start", "x")]),
            with(&[("end", "x")]),
            with(&[("start", "0"), ("end", "1")]),
            with(&[("limit", "-5")]),
        ]);
        all.push(with(&[("limit", "1")]).differs(Differs::Cut("the order is free")));
        all.push(with(&[("limit", "x")]).differs(GO));
        all.push(with(&[("start", now), ("end", before)]).differs(INVERTED));
        all.push(with(&[("match[]", "{a=~\"(\"}")]).differs(REGEX));
    }
    all.push(get("series", &[]));
    for name in ["U__", "U__a_zz_", "U__a_2e", "U__label_2E_dotted", "U__co_64_e", "label.dotted", "0abc", "a-b", "U___"] {
        all.push(get(&format!("label/{name}/values"), &[("start", before), ("end", now)]));
    }
    for list in [
        &[][..],
        &[("limit", "0")],
        &[("limit", "-1")],
        &[("limit", "x")],
        &[("limit_per_metric", "1")],
        &[("limit_per_metric", "x")],
        &[("metric", "http_requests_total")],
        &[("metric", "latency_seconds")],
        &[("metric", "nothing")],
        &[("metric", "untyped_thing")],
    ] {
        all.push(get("metadata", list));
    }
    for list in [
        &[][..],
        &[("metric", "http_requests_total")],
        &[("metric", "nothing")],
        &[("match_target", "{job=\"shop\"}")],
        &[("match_target", "{job=\"none\"}")],
        &[("match_target", "{")],
        &[("limit", "0")],
    ] {
        all.push(get("targets/metadata", list));
    }
    all.push(get("targets/metadata", &[("limit", "x")]));
    all
}

fn of_status() -> Vec<Ask> {
    let mut all = Vec::new();
    for list in [
        &[][..],
        &[("state", "active")],
        &[("state", "ACTIVE")],
        &[("state", "dropped")],
        &[("state", "any")],
        &[("state", "other")],
        &[("scrapePool", "shop")],
        &[("scrapePool", "none")],
    ] {
        all.push(get("targets", list));
    }
    for list in [
        &[("type", "alert")][..],
        &[("type", "RECORD")],
        &[("type", "x")],
        &[("type", "")],
        &[("rule_name[]", "Hot"), ("rule_name[]", "Held")],
        &[("rule_group[]", "two")],
        &[("rule_group[]", "none")],
        &[("file[]", "none")],
        &[("exclude_alerts", "true")],
        &[("exclude_alerts", "1")],
        &[("exclude_alerts", "F")],
        &[("match[]", "{severity=\"page\"}")],
        &[("match[]", "{severity=\"page\"}"), ("match[]", "{kind=\"recorded\"}")],
        &[("match[]", "{room_of=~\".+\"}")],
        &[("match[]", "{room_of=\"\",team=\"web\"}")],
        &[("match[]", "{")],
        &[("match[]", "{}")],
        &[("group_limit", "0")],
        &[("group_limit", "-1")],
        &[("group_limit", "10")],
        &[("group_limit", "1"), ("rule_name[]", "Other")],
        &[("group_next_token", "abc")],
        &[("group_limit", "1"), ("group_next_token", "abc")],
        &[("type", "alert"), ("rule_name[]", "Hot"), ("rule_group[]", "one"), ("exclude_alerts", "true")],
    ] {
        all.push(get("rules", list));
    }
    all.push(get("rules", &[("exclude_alerts", "x")]).differs(GO));
    all.push(get("rules", &[("group_limit", "x")]).differs(GO));
    for limit in ["0", "-1", "x"] {
        all.push(get("status/tsdb", &[("limit", limit)]));
    }
    let envelope = Differs::Page("Prometheus answers with a page of text, and we with a reason that programs can read");
    all.push(get("nosuch", &[]).differs(envelope));
    all.push(post("label/job/values", &[]).differs(envelope));
    all.push(post("rules", &[]).differs(envelope));
    all
}

/// Returns everything that both answer alike.
pub fn all(now: i64) -> Vec<Ask> {
    let (now, before) = (now.to_string(), (now - 2).to_string());
    let mut all = of_grafana(&now, &before);
    all.extend(of_queries(&now, &before));
    all.extend(of_ranges(&now, &before));
    all.extend(of_lists(&now, &before));
    all.extend(of_status());
    all.extend(
        TREES.iter().flat_map(|query| [get("parse_query", &[("query", query)]), get("format_query", &[("query", query)])]),
    );
    all
}

/// Returns what only we can be asked: the answers tell of the program, of its load and of its settings.
pub fn told(now: i64) -> Vec<Ask> {
    let now = now.to_string();
    let mut all: Vec<Ask> = ["buildinfo", "runtimeinfo", "flags", "config", "tsdb", "walreplay"]
        .iter()
        .map(|name| get(&format!("status/{name}"), &[]))
        .collect();
    all.push(get("status/tsdb", &[("limit", "3")]));
    all.push(get("query", &[("query", "sum(zero)"), ("time", &now), ("stats", "all")]));
    all
}
