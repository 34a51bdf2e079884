//! Damaged and hostile expressions: the parser answers every one of them, with little stack and few words.

use tocsin_core::promql::parse::{
    FAULTS_MAX, HEIGHT_MAX, NESTING_MAX, Syntax, TEXT_BYTES_MAX, parse, parse_metric, parse_selector,
};
use tocsin_core::promql::pretty::pretty;

const SEEDS: [&str; 16] = [
    r#"sum by (job, "a.b") (rate(http_requests_total{code=~"5..", path!="/x"}[5m] offset -1h)) / on () group_left (x) up > bool 0.5"#,
    r#"histogram_quantile(0.99, sum without (pod) (rate({"my.latency", le!~"a|b"}[5m])))"#,
    "max_over_time(rate(foo[2s])[5m:10s] @ start() offset 1w)[1h30m:]",
    "foo[-(10s-5s)+20s*2^2 % step()] anchored @ 1603774568.25 offset -min_of(5s, range()+8s)",
    "a + fill_left (-1) fill_right (NaN) b unless ignoring (c) d or -e ^ -2 ^ 3 atan2 +f",
    r#"label_replace(up, "a", '$1\x41\u00e4\U0001F600\101', "b", `(.*)\d`) # comment"#,
    "topk by (a,) (5, x) </ 3 >/ -Inf",
    "limit_ratio(-0.5, foo) and on (a) info(bar, {a=\"b\"})",
    "count_values(\"v\", sum(a) by (b)) == 0x1F + 1_000.5e-3 - 5m",
    "offset{step=\"1s\"}[5m] offset (2*2)",
    "start() + end() - max_of(1, 2)",
    "absent(and{by=\"x\"}) or without",
    "{__name__=~\"a.+\", _0=\"\", ``='b'}",
    "((((1)))) + (2 - (3 * (4 / (5 % 6))))",
    "quantile_over_time(scalar(x), y[1d1h1m1s1ms:1ms] @ end())",
    "x{a=\"ünïcode ☃\"} * 9223372036854775808",
];

/// A generator of the same numbers in every run: xorshift64*.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end.max(1)
    }
}

const SPICE: &[&str] = &[
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "\"",
    "'",
    "`",
    "\\",
    ",",
    ":",
    "::",
    "=",
    "=~",
    "!",
    "!~",
    "@",
    "#",
    "\n",
    " ",
    "-",
    "+",
    "^",
    "offset ",
    " by ",
    "on(",
    "bool ",
    "5m",
    "1e",
    "0x",
    "_",
    ".",
    "\u{fffd}",
    "é",
    "\u{0}",
    "inf",
    "start()",
    "step()",
    "anchored",
    "group_left",
    "fill(",
    "sum(",
    "</",
    "9999999999999999999y",
    "\\x",
    "\\777",
    "<",
    "%",
];

fn mutate(text: &str, dice: &mut Dice) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for _ in 0..=dice.below(4) {
        let at = dice.below(chars.len() + 1);
        let other = dice.below(chars.len() + 1);
        let (from, to) = (at.min(other), at.max(other).min(at.min(other) + 12));
        match dice.below(5) {
            0 => drop(chars.drain(from..to)),
            1 => {
                let piece: Vec<char> = chars[from..to].to_vec();
                chars.splice(other..other, piece);
            }
            2 if !chars.is_empty() => {
                let (a, b) = (dice.below(chars.len()), dice.below(chars.len()));
                chars.swap(a, b);
            }
            _ => {
                let spice = SPICE[dice.below(SPICE.len())];
                chars.splice(at..at, spice.chars());
            }
        }
    }
    chars.into_iter().collect()
}

fn examine(text: &str) -> bool {
    for syntax in [Syntax::default(), Syntax::everything()] {
        match parse(text, &syntax) {
            Ok(expr) => {
                let printed = expr.to_string();
                let again = parse(&printed, &syntax)
                    .unwrap_or_else(|faults| panic!("{text:?} prints as {printed:?}: {}", faults[0].render(&printed)));
                assert_eq!(again.to_string(), printed, "of {text:?}");
                let wide = pretty(&expr, 20);
                assert_eq!(parse(&wide, &syntax).map(|expr| expr.to_string()).as_ref(), Ok(&printed), "of {text:?}");
            }
            Err(faults) => {
                assert!(!faults.is_empty() && faults.len() <= FAULTS_MAX, "{} faults of {text:?}", faults.len());
                for fault in faults {
                    assert!(
                        fault.place.start <= fault.place.end && fault.place.end as usize <= text.len(),
                        "{fault:?} of {text:?}"
                    );
                    assert!(fault.render(text).contains("parse error: "));
                }
            }
        }
    }
    // These have their own ways into the parser.
    drop((parse_selector(text), parse_metric(text)));
    parse(text, &Syntax::everything()).is_ok()
}

#[test]
fn damaged_expressions_never_panic_and_sound_ones_print_soundly() {
    const ROUNDS: usize = 20_000;
    let mut dice = Dice(0x7e57_0001);
    for seed in SEEDS {
        assert!(examine(seed), "{seed} is refused: {:?}", parse(seed, &Syntax::everything()));
    }
    let mut sound = 0;
    for round in 0..ROUNDS {
        let text = mutate(SEEDS[round % SEEDS.len()], &mut dice);
        sound += usize::from(examine(&text));
    }
    println!("{sound} of {ROUNDS} damaged expressions were sound");
    assert!(sound > ROUNDS / 50, "the damage is too great to test anything");
}

#[test]
fn depth_is_bounded_before_the_stack_ends() {
    let many = 100_000;
    let (open, close) = ("(".repeat(many), ")".repeat(many));
    for text in [
        open.clone(),
        format!("{open}1{close}"),
        "-".repeat(many) + "1",
        "1".to_owned() + &"+1".repeat(many),
        "1".to_owned() + &"^1".repeat(many),
        "abs(".repeat(many),
        "sum(".repeat(many),
        "foo".to_owned() + &"[5m:1m]".repeat(many),
        "foo".to_owned() + &" offset 5m".repeat(many),
        format!("foo[{open}1{close}]"),
        "foo[".to_owned() + &"-".repeat(many) + "1]",
        "foo[1".to_owned() + &"+1".repeat(many) + "]",
        "foo[".to_owned() + &"min_of(".repeat(many),
        "{".to_owned() + &",".repeat(many),
        "sum by (".to_owned() + &"a,".repeat(many),
        "f(".to_owned() + &",".repeat(many),
        "\"".to_owned() + &"\\".repeat(many),
    ] {
        assert!(!examine(&text), "{}… was accepted", &text[..20]);
    }
    let long = "x".repeat(TEXT_BYTES_MAX + 1);
    assert!(!examine(&long));
}

#[test]
fn what_is_just_allowed_fits_the_stack() {
    // One level is the expression itself.
    let deep = NESTING_MAX as usize - 1;
    for text in [
        "(".repeat(deep) + "1" + &")".repeat(deep),
        "abs(".repeat(deep) + "x" + &")".repeat(deep),
        "-".repeat(deep) + "x",
        "1".to_owned() + &"+1".repeat(HEIGHT_MAX as usize - 1),
        "x[".to_owned() + &"(".repeat(deep - 1) + "1" + &")".repeat(deep - 1) + "]",
    ] {
        assert!(examine(&text), "{}… was refused: {:?}", &text[..20], parse(&text, &Syntax::everything()));
    }
}
