use super::*;
use crate::model::LabelSet;

/// Reads a body without the fast way.
fn read_slowly(body: &[u8], format: Format) -> (Vec<Entry<'_>>, Option<String>) {
    let mut parser = Parser::new(body, format);
    parser.is_utf8 = false;
    collect(parser)
}

fn collect(parser: Parser<'_>) -> (Vec<Entry<'_>>, Option<String>) {
    let mut entries = Vec::new();
    for entry in parser {
        match entry {
            Ok(entry) => entries.push(entry),
            Err(error) => return (entries, Some(error.to_string())),
        }
    }
    (entries, None)
}

fn show(body: &[u8], format: Format) -> String {
    let mut out = String::new();
    let mut parser = Parser::new(body, format);
    while let Some(entry) = parser.next() {
        let line = match entry {
            Err(error) => format!("error {error}"),
            Ok(Entry::Comment(text)) => format!("comment {}", text.escape_ascii()),
            Ok(Entry::Help { metric, text }) => format!("help {} {}", metric.escape_ascii(), text.escape_ascii()),
            Ok(Entry::Type { metric, kind }) => format!("type {} {}", metric.escape_ascii(), kind.name()),
            Ok(Entry::Unit { metric, unit }) => format!("unit {} {}", metric.escape_ascii(), unit.escape_ascii()),
            Ok(Entry::Sample(line)) => {
                let mut labels = Vec::new();
                decode_series(line.series, parser.kind(), &mut labels).unwrap();
                let mut text = format!("{} {}", LabelSet::from_pairs(labels), line.value);
                if let Some(at) = line.at {
                    text += &format!(" @{}", at.0);
                }
                if let Some(exemplar) = line.exemplar {
                    text += &format!(" # {} {}", exemplar.labels.escape_ascii(), exemplar.value);
                    if let Some(at) = exemplar.at {
                        text += &format!(" @{}", at.0);
                    }
                }
                text
            }
        };
        out += &line;
        out.push('\n');
    }
    out
}

#[track_caller]
fn check(format: Format, body: &str, expected: &str) {
    let expected: String = expected.lines().map(|line| line.trim().to_owned() + "\n").collect();
    assert_eq!(show(body.as_bytes(), format), expected);
    let fast = collect(Parser::new(body.as_bytes(), format));
    assert_eq!(format!("{fast:?}"), format!("{:?}", read_slowly(body.as_bytes(), format)), "the two ways differ");
}

#[test]
fn text_is_read_with_all_its_freedoms() {
    check(
        Format::Text,
        "# HELP load One \\\\ two\\n.\n# TYPE load gauge\nload 0.25\nload{cpu=\"a\\\"b\\\\c\\nd\\x\", } 1e3 1700000000123\n\n \
         # plain\n\t idle { a = \"1\" b=\"2\" ,}\t+Inf  \n{\"my.metric\",\"a b\"=\"c\"} NaN\nempty{} 1",
        "help load One \\\\\\\\ two\\\\n.
         type load gauge
         {__name__=\"load\"} 0.25
         {__name__=\"load\", cpu=\"a\\\"b\\\\c\\nd\\\\x\"} 1000 @1700000000123
         comment # plain
         {__name__=\"idle\", a=\"1\", b=\"2\"} inf
         {__name__=\"my.metric\", \"a b\"=\"c\"} NaN
         {__name__=\"empty\"} 1",
    );
}

#[test]
fn openmetrics_is_strict() {
    check(
        Format::OpenMetrics,
        "# TYPE a_seconds histogram\n# UNIT a_seconds seconds\n# HELP a_seconds Two \\\"words\\\".\na_seconds_bucket{le=\"1\"} 4 # \
         {trace=\"x\"} 0.5 12.0625\na_seconds_bucket{le=\"+Inf\"} 5 1700000000.1239 # {} 2\na_seconds_created 17\n# EOF",
        "type a_seconds histogram
         unit a_seconds seconds
         help a_seconds Two \\\\\\\"words\\\\\\\".
         {__name__=\"a_seconds_bucket\", le=\"1.0\"} 4 # {trace=\\\"x\\\"} 0.5 @12062
         {__name__=\"a_seconds_bucket\", le=\"+Inf\"} 5 @1700000000123 # {} 2
         {__name__=\"a_seconds_created\"} 17",
    );
    for (body, error) in [
        ("a 1\n", "line 2, column 1: data does not end with # EOF"),
        ("a 1\n# EOF\n\n", "line 3, column 1: unexpected data after # EOF"),
        ("a 1\n\n# EOF\n", "line 2, column 1: expected a valid start token, got \"\\n\" (\"INVALID\") while parsing: \"\\n\""),
        ("a{ b=\"1\"} 1\n# EOF", "line 1, column 3: expected label name, got \" \" (\"INVALID\") while parsing: \"a{ \""),
        ("# UNIT a b\n# EOF", "line 1, column 9: unit \"b\" not a suffix of metric \"a\""),
        ("# TYPE a untyped\n# EOF", "line 1, column 9: invalid metric type \"untyped\""),
        ("a 1 # {b} 1\n# EOF", "line 1, column 9: expected equal, got \"} \" (\"BCLOSE\") while parsing: \"a 1 # {b} \""),
        ("a 1\r\n# EOF", "line 1, column 2: strconv.ParseFloat: parsing \"1\\r\": invalid syntax while parsing: \"a 1\\r\""),
    ] {
        let (_, found) = collect(Parser::new(body.as_bytes(), Format::OpenMetrics));
        assert_eq!(found.as_deref(), Some(error), "{body:?}");
    }
}

#[test]
fn broken_text_is_refused_with_its_place() {
    for (body, error) in [
        ("ok 1\nbad", "line 2, column 4: expected value after metric, got \"\\n\" (\"INVALID\") while parsing: \"bad\\n\""),
        ("a 1\r\n", "line 1, column 3: strconv.ParseFloat: parsing \"1\\r\": invalid syntax while parsing: \"a 1\\r\""),
        ("a 1 -5", "line 1, column 5: expected timestamp or new record, got \"-\" (\"INVALID\") while parsing: \"a 1 -\""),
        (
            "a 1 99999999999999999999",
            "line 1, column 5: strconv.ParseInt: parsing \"99999999999999999999\": value out of range while \
          parsing: \"a 1 99999999999999999999\"",
        ),
        ("a 1e999", "line 1, column 3: strconv.ParseFloat: parsing \"1e999\": value out of range while parsing: \"a 1e999\""),
        ("a{,} 1", "line 1, column 3: expected label name, got \",}\" (\"COMMA\") while parsing: \"a{,}\""),
        ("a{\"b\"} 1", "line 1, column 6: metric name already set while parsing: \"a{\\\"b\\\"}\""),
        ("{b=\"c\"} 1", "line 1, column 1: metric name not set while parsing: \"{b=\\\"c\\\"} 1\""),
        ("# TYPE a counter \n", "line 1, column 9: invalid metric type \"counter \""),
    ] {
        let (_, found) = collect(Parser::new(body.as_bytes(), Format::Text));
        assert_eq!(found.as_deref(), Some(error), "{body:?}");
    }
    let (_, found) = collect(Parser::new(b"a{b=\"\xff\"} 1\n", Format::Text));
    assert_eq!(found.as_deref(), Some("line 1, column 5: invalid UTF-8 label value: \"\\\"\\xff\\\"\""));
}

#[test]
fn an_expected_series_is_taken_only_as_a_whole() {
    let body = b"a 1\nab{c=\"d\"} 2 5\nab {c=\"d\"} 3\n# x\na 4";
    let mut parser = Parser::new(body, Format::Text);
    let know = |key: &'static [u8]| move |rest: &[u8]| rest.starts_with(key).then_some(key.len());
    assert_eq!(parser.next_expected(know(b"b")), None);
    assert_eq!(parser.next_expected(know(b"a")), Some((&b"a"[..], 1.0, None)));
    assert_eq!(parser.next_expected(know(b"a")), None, "the name runs on");
    assert_eq!(parser.next_expected(know(b"ab{c=\"d\"}")), Some((&b"ab{c=\"d\"}"[..], 2.0, Some(Timestamp(5)))));
    assert_eq!(parser.next_expected(know(b"ab")), None, "labels follow");
    assert!(matches!(parser.next(), Some(Ok(Entry::Sample(line))) if line.value == 3.0));
    assert_eq!(parser.next_expected(know(b"a")), None, "a comment comes first");
    assert_eq!(parser.next(), Some(Ok(Entry::Comment(b"# x"))));
    assert_eq!(parser.next_expected(know(b"a")), Some((&b"a"[..], 4.0, None)));
    assert_eq!(parser.next(), None);
}

/// Damages a body by one byte in every way that matters and holds the two ways of reading against each other.
#[track_caller]
fn check_damages(body: &str, format: Format) {
    let body = body.as_bytes();
    for at in 0..=body.len() {
        for spice in *b"\0\n\r\t \"\\{}=,#+-.e_:09aNE" {
            let inserted = [&body[..at], &[spice], &body[at..]].concat();
            let replaced = [&body[..at], &[spice], &body[(at + 1).min(body.len())..]].concat();
            for damaged in [inserted, replaced] {
                let (fast, slow) = (collect(Parser::new(&damaged, format)), read_slowly(&damaged, format));
                assert_eq!(format!("{fast:?}"), format!("{slow:?}"), "{}", damaged.escape_ascii());
            }
        }
        let cut = &body[..at];
        assert_eq!(format!("{:?}", collect(Parser::new(cut, format))), format!("{:?}", read_slowly(cut, format)));
    }
}

#[test]
fn both_ways_read_damaged_text_alike() {
    check_damages(
        "# HELP a Two \\\\ words\n# TYPE a counter\na_total{b=\"c\\\"d\", e=\"f\",} 12.5 1700\na 1e3\n{\"g.h\",i=\"j\"} +Inf\n",
        Format::Text,
    );
}

#[test]
fn both_ways_read_damaged_openmetrics_alike() {
    check_damages(
        "# TYPE a_s counter\n# UNIT a_s s\n# HELP a_s b c\na_s_total{b=\"c\\\"d\"} 12.5 17.25 # {e=\"f\"} 0.5 17\na 1e3\n# EOF\n",
        Format::OpenMetrics,
    );
}

#[test]
fn what_the_lexer_steps_over_is_no_part_of_labels() {
    check(Format::Text, "a{b=\t\0\"c\0\"\0,d= \0 \"e\"\0} 1", "{__name__=\"a\", b=\"c\\x00\", d=\"e\"} 1");
}
