//! A report as a page that stands alone: no script, nothing that is fetched, every text escaped.

use std::fmt::Write;

use super::plot::{clock, draw, number};
use super::{PhaseRow, Report};

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6675; --line: #d5dbe3; --paper: #ffffff; --good: #1a7f4b; --bad: #c2361f;
  --one: #2f6fdb; --bound: #b7791f; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --soft: #9aa5b4; --line: #39424f; --paper: #12161c; --good: #4cc38a;
  --bad: #ff7b63; --one: #7aa8ff; --bound: #e0b04c; } }
* { box-sizing: border-box }
body { margin: 2rem auto; max-width: 52rem; padding: 0 1rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif }
h1 { font-size: 1.5rem; margin: 0 0 .25rem } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem }
p { margin: .25rem 0 } .soft { color: var(--soft) } .good { color: var(--good) } .bad { color: var(--bad) }
.verdict { font-size: 1.25rem; font-weight: 600 }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; padding: .3rem .6rem .3rem 0;
  border-bottom: 1px solid var(--line); vertical-align: top } th { font-weight: 600; color: var(--soft) }
td.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
svg { display: block; width: 100%; height: auto; margin: .5rem 0 1rem }
.frame { fill: none; stroke: var(--line) } .series { fill: none; stroke: var(--one); stroke-width: 1.5 }
circle.series { fill: var(--one) } .bound { stroke: var(--bound); stroke-dasharray: 5 4 }
line.mark { stroke: var(--soft); stroke-dasharray: 2 3 } text { font-size: 11px; fill: var(--soft) }
.bar { fill: var(--one) } .bar.over { fill: var(--bad) } .budget { stroke: var(--bound); stroke-width: 2 }
@media print { body { margin: 0 } }
";

/// Returns a text that is safe between tags and inside quotes. Control characters become spaces.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// Returns the page of a report. The same report always makes the same page.
pub fn html(report: &Report) -> String {
    let title = escape(&report.title);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title}: {}</title><style>{STYLE}</style></head><body>\n",
        escape(&report.verdict)
    );
    let good = ["held", "met", "succeeded", "tabletop"].contains(&report.verdict.as_str());
    let class = if good { "good" } else { "bad" };
    let _ = writeln!(
        out,
        "<h1>{title}</h1><p class=\"soft\">{} of {}, run {}</p><p class=\"verdict {class}\">{}</p><p>{}</p>",
        escape(report.kind),
        escape(&report.platform),
        escape(&report.run),
        escape(&report.verdict),
        escape(&report.why)
    );
    figures(&mut out, report);
    phases(&mut out, &report.phases);
    checks(&mut out, report);
    if let Some(page) = report.page.as_ref().and_then(|page| page.as_object()) {
        out.push_str("<h2>Page</h2><table>");
        for (name, value) in page {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let _ = write!(out, "<tr><th>{}</th><td>{}</td></tr>", escape(name), escape(&text));
        }
        out.push_str("</table>\n");
    }
    for plot in &report.plots {
        let _ = writeln!(out, "<h2>{}</h2>{}", escape(&plot.title), draw(plot));
    }
    out.push_str("<h2>Time line</h2><table>");
    for moment in &report.timeline {
        let _ = write!(
            out,
            "<tr><td class=\"n\" title=\"{}\">{}</td><td>{}</td></tr>",
            moment.at.rfc3339(),
            clock(moment.at),
            escape(&moment.text)
        );
    }
    out.push_str("</table><p class=\"soft\">Times of the day in UTC.</p>\n</body></html>\n");
    out
}

/// Returns a name without the unit at its end, and the unit.
fn unit(name: &str) -> (String, &'static str) {
    match name.strip_suffix("_seconds") {
        Some(stem) => (stem.replace('_', " "), " s"),
        None => (name.replace('_', " "), ""),
    }
}

fn figures(out: &mut String, report: &Report) {
    let names: std::collections::BTreeSet<&String> = report.measured.keys().collect();
    let wanted = ["rto_seconds", "rpo_seconds"].into_iter().filter(|name| report.objective.contains_key(*name));
    let wanted: Vec<String> = wanted.map(str::to_owned).collect();
    let names: std::collections::BTreeSet<&String> = names.into_iter().chain(&wanted).collect();
    if names.is_empty() {
        return;
    }
    out.push_str("<h2>Measured</h2><table><tr><th>what</th><th>found</th><th>objective</th></tr>");
    for name in names {
        let (label, unit) = unit(name);
        let text = |value: Option<&f64>| value.map_or_else(|| "—".to_owned(), |value| format!("{}{unit}", number(*value)));
        let (found, goal) = (report.measured.get(name), report.objective.get(name));
        let class = match (found, goal) {
            (_, None) => "",
            (Some(found), Some(goal)) if found <= goal => "good",
            _ => "bad",
        };
        let _ = write!(
            out,
            "<tr><td>{}</td><td class=\"n {class}\">{}</td><td class=\"n\">{}</td></tr>",
            escape(&label),
            text(found),
            text(goal)
        );
    }
    out.push_str("</table>\n");
}

fn phases(out: &mut String, phases: &[PhaseRow]) {
    if phases.is_empty() {
        return;
    }
    let longest = phases.iter().map(|phase| phase.seconds.max(phase.budget_seconds.unwrap_or(0.0))).fold(1.0, f64::max);
    let width = |seconds: f64| seconds / longest * 196.0;
    out.push_str("<h2>Phases</h2><table><tr><th>phase</th><th>from</th><th>took</th><th>budget</th><th></th></tr>");
    for phase in phases {
        let budget = phase.budget_seconds.map_or_else(|| "—".to_owned(), |budget| format!("{} s", number(budget)));
        let class = if phase.ok { "" } else { " over" };
        let line = phase.budget_seconds.map(|budget| {
            let x = width(budget) + 2.0;
            format!("<line class=\"budget\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"0\" y2=\"16\"/>")
        });
        let _ = write!(
            out,
            "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n{}\">{} s</td><td class=\"n\">{budget}</td><td><svg viewBox=\"0 0 200 16\" \
             aria-hidden=\"true\"><rect class=\"bar{class}\" x=\"2\" y=\"4\" width=\"{:.1}\" height=\"8\"/>{}</svg></td></tr>",
            escape(&phase.name),
            clock(phase.from),
            if phase.ok { "" } else { " bad" },
            number(phase.seconds),
            width(phase.seconds),
            line.unwrap_or_default()
        );
    }
    out.push_str("</table>\n");
}

fn checks(out: &mut String, report: &Report) {
    if report.checks.is_empty() {
        return;
    }
    out.push_str("<h2>Checks</h2><table>");
    for check in &report.checks {
        let (class, word) = if check.ok { ("good", "yes") } else { ("bad", "no") };
        let _ = write!(
            out,
            "<tr><td>{}</td><td class=\"{class}\">{word}</td><td>{}</td></tr>",
            escape(&check.id),
            escape(&check.text)
        );
    }
    out.push_str("</table>\n");
}
