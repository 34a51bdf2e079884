//! The log of canary writes: what was tried, and what was acknowledged, each line safe on the disk before the next write.

use std::fs;
use std::io::{self, BufRead, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tocsin_core::time::Timestamp;

/// One write, as it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub number: i64,
    pub sent_at: Timestamp,
    /// None: nobody said that it was taken, and it may have been all the same.
    pub acknowledged_at: Option<Timestamp>,
    /// Who took it.
    pub source: Option<String>,
}

/// Returns the file of a tag.
pub fn path(folder: &Path, tag: &str) -> PathBuf {
    folder.join(format!("{}.log", &crate::id::digest(tag)[..32]))
}

pub struct Log(fs::File);

impl Log {
    /// Opens a log to write on, behind what stands there.
    pub fn open(path: &Path) -> io::Result<Log> {
        let mut file = fs::OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(path)?;
        // A line that a crash tore ends here, and is none.
        file.write_all(b"\n")?;
        Ok(Log(file))
    }

    pub fn add(&mut self, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_vec(line).map_err(io::Error::other)?;
        text.push(b'\n');
        self.0.write_all(&text)?;
        self.0.sync_data()
    }
}

/// Returns the lines of a log in order; none where there is no log. Torn ones are left out.
pub fn read(path: &Path) -> io::Result<Vec<Line>> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut lines = Vec::new();
    for line in io::BufReader::new(file).lines() {
        lines.extend(serde_json::from_str(&line?).ok());
    }
    Ok(lines)
}

/// What the writes tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Acknowledged writes that were sent before the first gap, or all where there is none.
    pub acknowledged: Vec<(i64, Timestamp)>,
    /// The first write that was acknowledged behind the gap, and who took it.
    pub after_gap: Option<(Timestamp, String)>,
}

impl Tally {
    /// Reads the lines of a log. The gap is the first row of writes that nobody took.
    pub fn of(lines: &[Line]) -> Tally {
        let gap = lines.iter().position(|line| line.acknowledged_at.is_none()).unwrap_or(lines.len());
        let (before, behind) = lines.split_at(gap);
        Tally {
            acknowledged: before.iter().filter_map(|line| Some((line.number, line.acknowledged_at?))).collect(),
            after_gap: behind.iter().find_map(|line| Some((line.acknowledged_at?, line.source.clone()?))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: i64, source: Option<&str>) -> Line {
        let sent_at = Timestamp(number * 1_000);
        let acknowledged_at = source.map(|_| sent_at + tocsin_core::time::Span(5));
        Line { number, sent_at, acknowledged_at, source: source.map(str::to_owned) }
    }

    #[test]
    fn only_what_was_sent_before_the_first_gap_counts() {
        let lines = [line(1, Some("a")), line(2, Some("a")), line(3, None), line(4, None), line(5, Some("b")), line(6, None)];
        let tally = Tally::of(&lines);
        assert_eq!(tally.acknowledged, [(1, Timestamp(1_005)), (2, Timestamp(2_005))]);
        assert_eq!(tally.after_gap, Some((Timestamp(5_005), "b".to_owned())));
        assert_eq!(Tally::of(&lines[..2]).acknowledged.len(), 2);
        assert_eq!(Tally::of(&[]), Tally::default());
    }

    #[test]
    fn a_torn_line_is_left_out_and_the_log_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(folder.path(), "run-1/loss");
        assert_eq!(read(&path).unwrap(), []);
        Log::open(&path).unwrap().add(&line(1, Some("a"))).unwrap();
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"number\":2,\"sen").unwrap();
        Log::open(&path).unwrap().add(&line(3, None)).unwrap();
        assert_eq!(read(&path).unwrap(), [line(1, Some("a")), line(3, None)]);
    }
}
