//! Questions of the language that every Prometheus since 3.5 speaks: made up, or from templates.

use super::Closeness;
use super::series::{END, Noise, START};

const LENGTHS: [&str; 8] = ["15s", "37s", "1m", "90s", "5m", "10m", "30m", "1h"];
const STEPS: [&str; 5] = ["", "10s", "30s", "1m", "7m"];
const LABELS: [&str; 5] = ["job", "instance", "code", "le", "version"];
const VECTORS: [&str; 10] = [
    "requests_total",
    "temperature",
    "wild",
    "is_up",
    "build_info",
    "latency_seconds_bucket",
    "latency_seconds_count",
    "latency_seconds_sum",
    "nothing",
    "temperature",
];
const EXACT: [&str; 6] = ["abs", "ceil", "floor", "sgn", "sqrt", "round"];
const LIBRARY: [&str; 21] = [
    "exp", "ln", "log2", "log10", "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh",
    "deg", "rad", "exp", "ln", "log2",
];
const CALENDAR: [&str; 9] =
    ["day_of_month", "day_of_week", "day_of_year", "days_in_month", "hour", "minute", "month", "year", "timestamp"];
const OVER_TIME: [&str; 22] = [
    "rate",
    "increase",
    "delta",
    "idelta",
    "irate",
    "resets",
    "changes",
    "avg_over_time",
    "min_over_time",
    "max_over_time",
    "sum_over_time",
    "count_over_time",
    "last_over_time",
    "present_over_time",
    "absent_over_time",
    "stddev_over_time",
    "stdvar_over_time",
    "deriv",
    "ts_of_max_over_time",
    "ts_of_min_over_time",
    "ts_of_last_over_time",
    "rate",
];
const SUMS: [&str; 4] = ["sum", "avg", "stddev", "stdvar"];
const PICKS: [&str; 4] = ["min", "max", "count", "group"];
const ARITHMETIC: [&str; 6] = ["+", "-", "*", "/", "%", "^"];
const COMPARISONS: [&str; 6] = ["==", "!=", "<", "<=", ">", ">="];
const SETS: [&str; 3] = ["and", "or", "unless"];

/// Makes up questions.
pub struct Questions {
    pub noise: Noise,
    closeness: Closeness,
}

impl Questions {
    pub fn new(noise: Noise) -> Questions {
        Questions { noise, closeness: Closeness::Equal }
    }

    /// Returns a question, and how close its answers must be.
    pub fn next(&mut self) -> (String, Closeness) {
        self.closeness = Closeness::Equal;
        let question = if self.noise.chance(0.05) { self.scalar(2) } else { self.vector(3) };
        (question, self.closeness)
    }

    fn nearly(&mut self) {
        self.closeness = Closeness::Nearly;
    }

    fn length(&mut self) -> &'static str {
        self.noise.pick(&LENGTHS)
    }

    fn number(&mut self) -> String {
        let all = ["0", "1", "2", "0.5", "-1", "10", "100", "1e3", "0.001", "NaN", "Inf", "-Inf", "1m", "0x1f", "60"];
        self.noise.pick(&all).to_owned()
    }

    fn scalar(&mut self, depth: u32) -> String {
        match self.noise.between(0, if depth == 0 { 3 } else { 6 }) {
            0 | 1 => self.number(),
            2 => "time()".to_owned(),
            3 => format!("scalar({})", self.vector(depth - 1)),
            4 => "pi()".to_owned(),
            _ => {
                let op = self.noise.pick(&ARITHMETIC);
                if op == "^" {
                    self.nearly();
                }
                format!("({} {op} {})", self.scalar(depth - 1), self.scalar(depth - 1))
            }
        }
    }

    /// Returns `offset` and `@`, mostly none.
    fn shifted(&mut self) -> String {
        let mut text = String::new();
        if self.noise.chance(0.15) {
            let sign = if self.noise.chance(0.3) { "-" } else { "" };
            text.push_str(&format!(" offset {sign}{}", self.length()));
        }
        if self.noise.chance(0.08) {
            let at = self.noise.between(START, END) as f64 / 1000.0;
            let at = self.noise.pick(&["start()", "end()", ""]).to_owned() + &format!("{at}");
            let at = at.split_once(')').map_or(at.clone(), |(call, _)| format!("{call})"));
            text.push_str(&format!(" @ {at}"));
        }
        text
    }

    fn selector(&mut self) -> String {
        let name = self.noise.pick(&VECTORS);
        let mut matchers = Vec::new();
        if self.noise.chance(0.3) {
            let all = [
                "job=\"api\"",
                "job!=\"api\"",
                "instance=~\"[ab].*\"",
                "instance!~\"a:1|d:2\"",
                "code=\"500\"",
                "code=~\"4..|5..\"",
                "code=\"\"",
                "le=\"0.1\"",
                "job=~\".+\"",
                "absent=~\"|x\"",
            ];
            matchers.push(self.noise.pick(&all));
        }
        if self.noise.chance(0.05) {
            return "{__name__=~\"temperature|is_up\"}".to_owned();
        }
        if matchers.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", matchers.join(",")) }
    }

    fn range(&mut self, depth: u32) -> String {
        if depth > 0 && self.noise.chance(0.2) {
            let (length, step) = (self.noise.pick(&["1m", "5m", "10m", "30m"]), self.noise.pick(&STEPS));
            let inner = self.vector(depth - 1);
            return format!("({inner})[{length}:{step}]{}", self.shifted());
        }
        format!("{}[{}]{}", self.selector(), self.length(), self.shifted())
    }

    fn grouping(&mut self) -> String {
        let labels: Vec<&str> = LABELS.into_iter().filter(|_| self.noise.chance(0.35)).collect();
        match self.noise.between(0, 5) {
            0 => String::new(),
            1 => format!(" without ({})", labels.join(", ")),
            _ => format!(" by ({})", labels.join(", ")),
        }
    }

    fn vector(&mut self, depth: u32) -> String {
        if depth == 0 {
            return self.selector() + &self.shifted();
        }
        let depth = depth - 1;
        match self.noise.between(0, 20) {
            0 | 1 => self.selector() + &self.shifted(),
            2 => {
                let of = self.vector(depth);
                // A last digit more or less makes another whole number.
                let name = if self.closeness == Closeness::Nearly { "abs" } else { self.noise.pick(&EXACT) };
                format!("{name}({of})")
            }
            3 => {
                let name = self.noise.pick(&LIBRARY);
                // Of what is only nearly equal, a cosine need not be.
                let of = self.vector(depth);
                let of = if self.closeness == Closeness::Nearly { self.selector() } else { of };
                self.nearly();
                format!("{name}({of})")
            }
            4 => {
                // What day is it at NaN? Prometheus says something else on each kind of processor.
                let name = self.noise.pick(&CALENDAR);
                format!("{name}({} > -1e9 < 1e10)", self.vector(depth))
            }
            5..=8 => {
                let name = self.noise.pick(&OVER_TIME);
                format!("{name}({})", self.range(depth))
            }
            9 => {
                let share = self.scalar(0);
                match self.noise.between(0, 4) {
                    // Later versions than 3.5 answer NaN where a sample is NaN, which these are not.
                    3 => format!("mad_over_time(temperature[{}])", self.length()),
                    0 => {
                        // Zeros of both signs are equal, and which of them stands first is nobody's promise.
                        self.nearly();
                        format!("quantile_over_time({share}, {})", self.range(depth))
                    }
                    1 => format!("predict_linear({}, {share})", self.range(depth)),
                    _ => format!("double_exponential_smoothing({}, 0.3, 0.6)", self.range(depth)),
                }
            }
            10 | 11 => {
                self.nearly();
                let name = self.noise.pick(&SUMS);
                let grouping = self.grouping();
                // How far values of great size lie apart hangs on the order of its sums.
                let of = if name.starts_with("std") { self.selector() } else { self.vector(depth) };
                format!("{name}{grouping} ({of})")
            }
            12 => {
                let name = self.noise.pick(&PICKS);
                let grouping = self.grouping();
                format!("{name}{grouping} ({})", self.vector(depth))
            }
            13 => self.ranked(depth),
            14 | 15 => self.binary(depth),
            16 => {
                let vector = self.vector(depth);
                let (op, scalar) = (self.operator(), self.scalar(1));
                if self.noise.chance(0.5) { format!("({vector} {op} {scalar})") } else { format!("({scalar} {op} {vector})") }
            }
            17 => {
                self.nearly();
                let (share, grouping) = (self.noise.pick(&["0.5", "0.9", "0.99", "0", "1", "-1", "2"]), "by (le, job)");
                let length = self.length();
                match self.noise.between(0, 2) {
                    0 => format!("histogram_quantile({share}, sum {grouping} (rate(latency_seconds_bucket[{length}])))"),
                    _ => format!("histogram_quantile({share}, latency_seconds_bucket)"),
                }
            }
            18 => match self.noise.between(0, 3) {
                0 => format!("label_replace({}, \"pool\", \"$1-x\", \"instance\", \"(.*):.*\")", self.vector(depth)),
                1 => format!("label_join({}, \"both\", \"/\", \"job\", \"instance\")", self.vector(depth)),
                // Series that become the same and have no step in common are refused by 3.5 and joined by later versions.
                _ => "label_replace(is_up, \"instance\", \"\", \"instance\", \".*\")".to_owned(),
            },
            _ => match self.noise.between(0, 6) {
                0 => format!("absent({})", self.vector(depth)),
                1 => format!("clamp({}, {}, {})", self.vector(depth), self.scalar(0), self.scalar(0)),
                2 => format!("clamp_min({}, {})", self.vector(depth), self.scalar(1)),
                3 => format!("round({}, {})", self.selector(), self.scalar(0)),
                4 => format!("vector({})", self.scalar(1)),
                _ => format!("-{}", self.vector(depth)),
            },
        }
    }

    /// Which of equal values is taken is nobody's promise, so only values that hardly are equal are ranked.
    fn ranked(&mut self, depth: u32) -> String {
        let grouping = self.grouping();
        match self.noise.between(0, 4) {
            0 => format!("quantile{grouping} (0.4, {})", self.vector(depth)),
            1 => format!("count_values{grouping} (\"v\", {})", self.selector()),
            number => {
                let name = if number == 2 { "topk" } else { "bottomk" };
                format!("{name}{grouping} ({}, temperature)", self.noise.between(0, 6))
            }
        }
    }

    fn operator(&mut self) -> String {
        match self.noise.between(0, 3) {
            0 | 1 => {
                let op = self.noise.pick(&ARITHMETIC);
                if op == "^" {
                    self.nearly();
                }
                // What is left over makes much of a last digit.
                let op = if op == "%" && self.closeness == Closeness::Nearly { "-" } else { op };
                op.to_owned()
            }
            _ => {
                let bool = if self.noise.chance(0.5) { " bool" } else { "" };
                format!("{}{bool}", self.noise.pick(&COMPARISONS))
            }
        }
    }

    fn binary(&mut self, depth: u32) -> String {
        let (left, right) = (self.vector(depth), self.vector(depth));
        if self.noise.chance(0.25) {
            let on = self.noise.pick(&["", " on (job)", " ignoring (code, le, version)"]);
            return format!("({left} {}{on} {right})", self.noise.pick(&SETS));
        }
        let op = self.operator();
        match self.noise.between(0, 4) {
            0 => format!("(requests_total {op} on (job, instance) group_left (version) build_info)"),
            1 => format!("(build_info {op} on (job, instance) group_right () requests_total)"),
            2 => format!("({left} {op} on (job, instance) {right})"),
            _ => format!("({left} {op} {right})"),
        }
    }
}

/// Returns the questions of a file of templates, every variant of each.
pub fn templates(text: &str) -> Vec<(String, Closeness)> {
    const VARIANTS: [(&str, &[&str]); 13] = [
        ("range", &["1s", "15s", "1m", "5m", "15m", "1h"]),
        ("offset", &["1m", "5m", "10m"]),
        ("simpleAggrOp", &["sum", "avg", "max", "min", "count", "stddev", "stdvar"]),
        ("simpleTimeAggrOp", &["sum", "avg", "max", "min", "count", "stddev", "stdvar", "absent", "last", "present"]),
        ("topBottomOp", &["topk", "bottomk"]),
        ("quantile", &["-0.5", "0.1", "0.5", "0.75", "0.95", "0.90", "0.99", "1", "1.5"]),
        ("arithBinOp", &["+", "-", "*", "/", "%", "^"]),
        ("compBinOp", &["==", "!=", "<", ">", "<=", ">="]),
        ("binOp", &["+", "-", "*", "/", "%", "^", "==", "!=", "<", ">", "<=", ">="]),
        ("simpleMathFunc", &["abs", "ceil", "floor", "exp", "sqrt", "ln", "log2", "log10", "round"]),
        ("extrapolatedRateFunc", &["delta", "rate", "increase"]),
        ("clampFunc", &["clamp_min", "clamp_max"]),
        ("instantRateFunc", &["idelta", "irate"]),
    ];
    let is_query = |line: &&str| line.trim_start().trim_start_matches("- ").starts_with("query:");
    let mut found = Vec::new();
    for line in text.lines().filter(is_query) {
        let written = line.split_once("query:").expect("a key").1.trim();
        let written = match (written.strip_prefix('\''), written.strip_prefix('"')) {
            (Some(single), _) => single.strip_suffix('\'').expect("the other quote").replace("''", "'"),
            (_, Some(double)) => double.strip_suffix('"').expect("the other quote").replace("\\\"", "\"").replace("\\\\", "\\"),
            _ => written.to_owned(),
        };
        let mut questions = vec![written];
        for (name, values) in VARIANTS {
            let mark = format!("{{{{.{name}}}}}");
            questions = questions
                .into_iter()
                .flat_map(|question| match question.contains(&mark) {
                    true => values.iter().map(|value| question.replace(&mark, value)).collect(),
                    false => vec![question],
                })
                .collect();
        }
        found.extend(questions.into_iter().map(|question| (question, Closeness::Nearly)));
    }
    found
}
