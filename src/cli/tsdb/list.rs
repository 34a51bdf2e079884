//! `tocsin tsdb list` and `verify`.

use std::path::Path;

use anyhow::bail;
use serde_json::Value;

use super::Where;
use crate::cli::{each, table, text};
use crate::disk::{contents, verify as verifying};

#[derive(Clone, Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    place: Where,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Lists and prints.
pub async fn run(list: List) -> anyhow::Result<()> {
    let found = match &list.place.data {
        None => list.place.remote.get("/tsdb").await?,
        Some(data) => {
            let (found, report) = contents::of_folder(data)?;
            for damage in &report.damage {
                eprintln!("{}: byte {}: {}; see tocsin tsdb verify", damage.file.display(), damage.offset, damage.reason);
            }
            serde_json::to_value(found)?
        }
    };
    print!("{}", if list.json { format!("{found:#}\n") } else { words(&found) });
    Ok(())
}

/// Returns a number of bytes for people.
fn bytes(value: &Value) -> String {
    let count = value.as_f64().unwrap_or(0.0);
    match count {
        ..1024.0 => format!("{count} B"),
        ..1_048_576.0 => format!("{:.1} KiB", count / 1024.0),
        ..1_073_741_824.0 => format!("{:.1} MiB", count / 1_048_576.0),
        _ => format!("{:.2} GiB", count / 1_073_741_824.0),
    }
}

fn words(found: &Value) -> String {
    let block = |block: &Value| {
        [
            text(&block["name"]),
            text(&block["first"]),
            text(&block["last"]),
            block["series"].to_string(),
            block["samples"].to_string(),
            bytes(&block["bytes"]),
            block["bytes_per_sample"].to_string(),
        ]
    };
    let rows: Vec<_> = each(&found["blocks"]).map(block).collect();
    let mut out = table(["BLOCK", "FROM", "TO", "SERIES", "SAMPLES", "BYTES", "A SAMPLE"], &rows);
    let (totals, head, wal) = (&found["totals"], &found["head"], &found["wal"]);
    out.push_str(&format!(
        "\n{} blocks: {} samples, {}, {} bytes a sample\n",
        totals["blocks"],
        totals["blocks_samples"],
        bytes(&totals["blocks_bytes"]),
        totals["bytes_per_sample"]
    ));
    if head.is_null() {
        out.push_str("memory: a service runs on this folder; ask it with --url\n");
    } else {
        let (series, samples) = (&head["series"], &head["samples"]);
        let span = format!("from {} to {}", text(&head["first"]), text(&head["last"]));
        out.push_str(&format!("memory: {series} series, {samples} samples, {}, {span}\n", bytes(&head["bytes"])));
    }
    let sum = |list: &Value| Value::from(each(list).filter_map(|file| file["bytes"].as_u64()).sum::<u64>());
    out.push_str(&format!(
        "log: {} segments, {}; checkpoint {}\n",
        each(&wal["segments"]).count(),
        bytes(&sum(&wal["segments"])),
        bytes(&sum(&wal["checkpoints"]))
    ));
    if found["tombstones"] != 0 {
        out.push_str(&format!("deletions whose samples still take room: {}\n", found["tombstones"]));
    }
    for file in each(&wal["damaged"]) {
        out.push_str(&format!("damaged and kept aside: {} ({})\n", text(&file["name"]), bytes(&file["bytes"])));
    }
    for snapshot in each(&found["snapshots"]) {
        out.push_str(&format!(
            "snapshot {}: {}, {}\n",
            text(&snapshot["name"]),
            text(&snapshot["made_at"]),
            bytes(&snapshot["bytes"])
        ));
    }
    out.push_str(&format!("all: from {} to {}\n", text(&totals["first"]), text(&totals["last"])));
    out
}

/// Verifies and prints.
///
/// Errors: when anything is wrong.
pub fn verify(data: &Path) -> anyhow::Result<()> {
    let verdict = verifying::verify(data)?;
    verdict.notes.iter().for_each(|note| println!("note: {note}"));
    verdict.faults.iter().for_each(|fault| println!("{fault}"));
    let read = bytes(&Value::from(verdict.bytes));
    println!("{} blocks with {} samples and {} files of logs read, {read}", verdict.blocks, verdict.samples, verdict.logs);
    if !verdict.faults.is_empty() {
        bail!("{} faults", verdict.faults.len());
    }
    println!("nothing is wrong");
    Ok(())
}
