//! The chain of the audit. Lines are written in the transaction of what they tell of, and linked soon after.

use tocsin_core::access::chain::{Line, START, link};
use tocsin_core::time::Timestamp;

use super::{Cell, Db, DbError, Row, Write};

/// Lines that one step links or checks.
const STEP: i64 = 500;
/// Of a longer audit no more is checked at once.
const CHECKED_MAX: usize = 1_000_000;

/// How the chain of the audit stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// Lines that were checked.
    pub lines: usize,
    /// The hash of the last line that is linked; whoever keeps it elsewhere can tell later whether anything before it was changed.
    pub head: Option<String>,
    pub head_id: Option<i64>,
    /// Lines that are too new to be linked.
    pub unlinked: usize,
    /// The first line that does not belong to the one before it.
    pub broken_at: Option<i64>,
}

const LINE: &str = "id, at_ms, who, action, subject, outcome, detail, hash";

fn line(row: &Row) -> Result<(Line, Option<String>), DbError> {
    let line = Line {
        id: row.int(0)?,
        at: Timestamp(row.int(1)?),
        who: row.text(2)?.to_owned(),
        action: row.text(3)?.to_owned(),
        subject: row.text(4)?.to_owned(),
        outcome: row.text(5)?.to_owned(),
        detail: row.text(6)?.to_owned(),
    };
    Ok((line, row.optional_text(7)?.map(str::to_owned)))
}

impl Db {
    /// Links lines that are not yet linked, oldest first; returns whether there are more.
    pub async fn link_audit(&self) -> Result<bool, DbError> {
        let last = "SELECT hash FROM audit WHERE hash IS NOT NULL ORDER BY id DESC LIMIT 1";
        let mut before = match self.rows("audit", last, []).await?.first() {
            Some(row) => row.text(0)?.to_owned(),
            None => START.to_owned(),
        };
        let sql = format!("SELECT {LINE} FROM audit WHERE hash IS NULL ORDER BY id LIMIT $1");
        let rows = self.rows("audit", sql, [Cell::from(STEP)]).await?;
        let mut writes = Vec::new();
        for row in &rows {
            let (line, _) = line(row)?;
            before = link(&before, &line);
            let cells = [line.id.into(), before.as_str().into()];
            writes.push(Write::new("UPDATE audit SET hash = $2 WHERE id = $1 AND hash IS NULL", cells));
        }
        self.apply(&writes).await?;
        Ok(rows.len() as i64 == STEP)
    }

    /// Computes the chain anew and compares.
    pub async fn check_audit(&self) -> Result<Chain, DbError> {
        let mut chain = Chain::default();
        let (mut before, mut after) = (START.to_owned(), i64::MIN);
        loop {
            let sql = format!("SELECT {LINE} FROM audit WHERE id > $1 ORDER BY id LIMIT $2");
            let rows = self.rows("audit", sql, [after.into(), STEP.into()]).await?;
            for row in &rows {
                let (line, stored) = line(row)?;
                after = line.id;
                chain.lines += 1;
                let Some(stored) = stored else {
                    chain.unlinked += 1;
                    continue;
                };
                // A line behind one that is not linked was linked by nobody of ours.
                if link(&before, &line) != stored || chain.unlinked > 0 {
                    chain.broken_at = Some(line.id);
                    return Ok(chain);
                }
                (chain.head, chain.head_id) = (Some(stored.clone()), Some(line.id));
                before = stored;
            }
            if (rows.len() as i64) < STEP || chain.lines >= CHECKED_MAX {
                return Ok(chain);
            }
        }
    }
}
