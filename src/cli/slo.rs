//! `tocsin slo`: objectives and their error budgets.

use serde_json::Value;
use tocsin_core::template::escape_query;
use tocsin_core::time::Span;

use super::{Asked, each, table, text};

#[derive(Clone, Debug, clap::Subcommand)]
pub enum Slo {
    /// Lists the objectives: what was promised, what is, how much of the error budget is left and how fast it burns.
    List {
        #[command(flatten)]
        asked: Asked,
    },
    /// Shows one objective with its windows and alerts.
    Show {
        /// As `tocsin slo list` names it.
        id: String,
        #[command(flatten)]
        asked: Asked,
    },
}

/// Asks and prints.
pub async fn run(slo: Slo) -> anyhow::Result<()> {
    match slo {
        Slo::List { asked } => {
            asked.print("/objectives", list).await?;
        }
        Slo::Show { id, asked } => {
            asked.print(&format!("/objectives/{}", escape_query(&id)), show).await?;
        }
    }
    Ok(())
}

/// Returns a share in percent with so many decimal places at most.
fn percent(share: &Value, places: usize) -> String {
    let Some(share) = share.as_f64() else { return "-".to_owned() };
    let number = format!("{:.places$}", share * 100.0);
    let number = if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { &number };
    format!("{number} %")
}

fn rate(rate: &Value) -> String {
    rate.as_f64().map_or("-".to_owned(), |rate| format!("{rate:.2}"))
}

fn span(seconds: &Value) -> String {
    seconds.as_f64().map_or("-".to_owned(), |seconds| Span((seconds * 1000.0) as i64).to_string())
}

fn burn(objective: &Value, seconds: f64) -> String {
    each(&objective["burn"]).find(|burn| burn["window_seconds"] == seconds).map_or("-".to_owned(), |burn| rate(&burn["rate"]))
}

/// Returns the worst that there is to say of an objective.
fn state(objective: &Value) -> String {
    let firing = each(&objective["alerts"]).filter(|alert| alert["state"] == "firing");
    let mut severities: Vec<&str> = firing.filter_map(|alert| alert["severity"].as_str()).collect();
    severities.sort_unstable();
    severities.dedup();
    if !objective["error"].is_null() {
        return "error".to_owned();
    }
    if !severities.is_empty() {
        return format!("firing: {}", severities.join(", "));
    }
    let word = match objective {
        _ if objective["counted_until"].is_null() || objective["catching_up"] == true => "catching up",
        _ if objective["total"] == 0.0 => "nothing counted",
        _ if objective["low_traffic"] == true => "low traffic",
        _ => "good",
    };
    word.to_owned()
}

fn list(answer: &Value) -> String {
    let row = |objective: &Value| {
        [
            text(&objective["id"]),
            percent(&objective["target"], 5),
            text(&objective["window"]["text"]),
            percent(&objective["sli"], 3),
            percent(&objective["budget"]["remaining_share"], 1),
            burn(objective, 3600.0),
            state(objective),
        ]
    };
    let rows: Vec<_> = each(&answer["objectives"]).map(row).collect();
    table(["ID", "TARGET", "WINDOW", "SLI", "BUDGET LEFT", "BURN 1H", "STATE"], &rows)
}

fn show(objective: &Value) -> String {
    let mut out = format!("{}\n{}\n", text(&objective["title"]), text(&objective["definition_text"]));
    let number =
        |value: &Value| value.as_f64().map_or("-".to_owned(), |number| format!("{}", (number * 1000.0).round() / 1000.0));
    let (budget, unit) = (&objective["budget"], objective["unit"].as_str().unwrap_or("events"));
    let mut lines = vec![
        ("state", state(objective)),
        (
            "good",
            format!(
                "{} of {} {unit}, {}",
                number(&objective["good"]),
                number(&objective["total"]),
                percent(&objective["sli"], 4)
            ),
        ),
        ("target", percent(&objective["target"], 5)),
        (
            "budget left",
            format!(
                "{}: {} of {} {unit} are spent",
                percent(&budget["remaining_share"], 1),
                number(&budget["spent"]),
                number(&budget["allowed"])
            ),
        ),
        ("spent at", text(&budget["exhausted_at_forecast"])),
        ("counted until", text(&objective["counted_until"])),
        ("file", text(&objective["file"])),
    ];
    lines.extend(objective["error"].as_str().map(|error| ("error", error.to_owned())));
    out.extend(lines.iter().map(|(name, value)| format!("{name:<13} {value}\n")));
    let row = |alert: &Value| {
        [
            text(&alert["name"]),
            text(&alert["severity"]),
            span(&alert["long_seconds"]),
            rate(&alert["long_rate"]),
            span(&alert["short_seconds"]),
            rate(&alert["short_rate"]),
            alert["factor"].as_f64().map_or("-".to_owned(), |factor| factor.to_string()),
            text(&alert["state"]),
        ]
    };
    let rows: Vec<_> = each(&objective["alerts"]).map(row).collect();
    out.push('\n');
    out + &table(["ALERT", "SEVERITY", "LONG", "BURN", "SHORT", "BURN", "ABOVE", "STATE"], &rows)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objectives_are_listed_in_columns() {
        let objective = |id: &str, more: Value| {
            let mut objective = json!({
                "id": id, "target": 0.999, "window": {"text": "30d"}, "sli": 0.99987, "total": 100.0,
                "budget": {"remaining_share": 0.8754}, "burn": [{"window_seconds": 300.0, "rate": 9.0}, {"window_seconds": 3600.0, "rate": 0.125}],
                "alerts": [], "counted_until": "2026-11-21T00:00:00.000Z", "catching_up": false, "low_traffic": false, "error": null,
            });
            for (key, value) in more.as_object().expect("fields") {
                objective[key] = value.clone();
            }
            objective
        };
        let firing = json!([{"state": "firing", "severity": "ticket"}, {"state": "firing", "severity": "page"}, {"state": "firing", "severity": "page"}]);
        let answer = json!({"objectives": [
            objective("checkout", json!({})),
            objective("checkout/1", json!({"alerts": firing, "budget": {"remaining_share": -3.5}})),
            objective("silent", json!({"total": 0.0, "sli": null, "burn": []})),
            objective("broken", json!({"error": "too many samples"})),
        ]});
        assert_eq!(
            list(&answer),
            "ID          TARGET  WINDOW  SLI       BUDGET LEFT  BURN 1H  STATE\n\
             checkout    99.9 %  30d     99.987 %  87.5 %       0.12     good\n\
             checkout/1  99.9 %  30d     99.987 %  -350 %       0.12     firing: page, ticket\n\
             silent      99.9 %  30d     -         87.5 %       -        nothing counted\n\
             broken      99.9 %  30d     99.987 %  87.5 %       0.12     error\n"
        );
    }
}
