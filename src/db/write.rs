//! Statements on their way into a transaction.

use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

use super::Cell;

/// One statement of a transaction.
#[derive(Clone, Debug)]
pub struct Write {
    sql: Sql,
    pub(super) cells: Vec<Cell>,
    pub(super) is_condition: bool,
}

#[derive(Clone, Copy, Debug)]
enum Sql {
    Whole(&'static str),
    Row(&'static RowSql),
}

/// A statement that writes one row. Those that follow one another go out as one statement, which costs a fraction of as many.
#[derive(Debug)]
pub struct RowSql {
    /// `INSERT INTO table (columns)`.
    pub insert: &'static str,
    pub columns: usize,
    /// What makes a row unique comes first: no statement writes one row twice, which PostgreSQL refuses.
    pub keys: usize,
    /// `ON CONFLICT …`.
    pub conflict: &'static str,
}

/// So many values go into one statement: few texts, of which the databases keep the plans. To bind a value, SQLite looks for its name
/// among those of the whole statement, so the work grows with the square of its length.
const VALUES_MAX: [usize; 2] = [512, 64];

impl Write {
    /// Binds `cells` to `$1`, `$2`, … of a statement.
    pub fn new(sql: &'static str, cells: impl IntoIterator<Item = Cell>) -> Write {
        Write { sql: Sql::Whole(sql), cells: cells.into_iter().collect(), is_condition: false }
    }

    /// Writes a row of these cells, one for each column.
    pub fn row(sql: &'static RowSql, cells: impl IntoIterator<Item = Cell>) -> Write {
        Write { sql: Sql::Row(sql), cells: cells.into_iter().collect(), is_condition: false }
    }

    /// Returns the statement as a condition of its transaction: when it touches no row, none of the statements happens.
    pub(super) fn or_nothing(self) -> Write {
        Write { is_condition: true, ..self }
    }

    /// Returns what errors call it.
    pub(super) fn name(&self) -> &'static str {
        match self.sql {
            Sql::Whole(sql) => sql,
            Sql::Row(row) => row.insert,
        }
    }

    fn row_sql(&self) -> Option<&'static RowSql> {
        match self.sql {
            Sql::Row(row) if !self.is_condition => Some(row),
            Sql::Row(_) | Sql::Whole(_) => None,
        }
    }
}

/// Splits writes into pieces that each go out as one statement, in their order.
pub(super) fn together(writes: &[Write]) -> impl Iterator<Item = &[Write]> {
    let mut rest = writes;
    std::iter::from_fn(move || {
        let (now, later) = rest.split_at(first_together(rest));
        rest = later;
        (!now.is_empty()).then_some(now)
    })
}

/// Returns what makes a row unique. Keys are text and whole numbers; what is taken for the same though it is not goes out alone.
fn key<'a>(write: &'a Write, row: &RowSql) -> Vec<(&'a str, i64)> {
    let part = |cell: &'a Cell| match cell {
        Cell::Text(text) => (text.as_str(), 0),
        Cell::Int(number) => ("", *number),
        Cell::Null | Cell::NullInt | Cell::NullReal | Cell::Real(_) => ("", 0),
    };
    write.cells[..row.keys].iter().map(part).collect()
}

fn first_together(writes: &[Write]) -> usize {
    let Some(row) = writes.first().and_then(Write::row_sql) else { return writes.len().min(1) };
    let most = VALUES_MAX[0] / row.columns;
    let mut seen = BTreeSet::new();
    let is_next = |place: &usize| {
        let is_same = writes[*place].row_sql().is_some_and(|own| std::ptr::eq(own, row));
        is_same && seen.insert(key(&writes[*place], row))
    };
    let count = (0..writes.len().min(most)).take_while(is_next).count();
    VALUES_MAX.into_iter().map(|values| values / row.columns).find(|shape| *shape <= count).unwrap_or(1).max(1)
}

/// Returns the text of a piece of `together`.
pub(super) fn sql(together: &[Write]) -> SqlStr {
    let row = match together[0].sql {
        Sql::Whole(sql) => return sql.into_sql_str(),
        Sql::Row(row) => row,
    };
    let mut text = format!("{} VALUES ", row.insert);
    for place in 0..together.len() * row.columns {
        text.push_str(match place {
            0 => "(",
            _ if place % row.columns == 0 => "), (",
            _ => ", ",
        });
        text.push_str(&format!("${}", place + 1));
    }
    text.push_str(&format!(") {}", row.conflict));
    AssertSqlSafe(text).into_sql_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    static PAIR: RowSql =
        RowSql { insert: "INSERT INTO pair (k, v)", columns: 2, keys: 1, conflict: "ON CONFLICT (k) DO NOTHING" };

    #[test]
    fn rows_of_one_table_go_out_together_and_none_of_them_twice() {
        let pair = |key: i64| Write::row(&PAIR, [key.into(), "v".into()]);
        let shapes = |writes: &[Write]| together(writes).map(<[Write]>::len).collect::<Vec<_>>();
        assert_eq!(shapes(&[]), Vec::<usize>::new());
        assert_eq!(shapes(&(0..300).map(pair).collect::<Vec<_>>()), [256, 32, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
        // The thirtieth comes again.
        let twice: Vec<Write> = (0..40).chain([30]).chain(100..200).map(pair).collect();
        assert_eq!(shapes(&twice)[0], 32);
        assert_eq!(together(&twice).map(<[Write]>::len).sum::<usize>(), twice.len());
        for one in together(&twice) {
            assert!(one.iter().enumerate().all(|(place, write)| one[..place].iter().all(|own| own.cells[0] != write.cells[0])));
        }
        let mixed: Vec<Write> = (0..32).map(pair).chain([Write::new("DELETE FROM pair", [])]).chain((0..33).map(pair)).collect();
        assert_eq!(shapes(&mixed), [32, 1, 32, 1]);
        assert_eq!(shapes(&[pair(1).or_nothing(), pair(2)]), [1, 1]);
    }

    #[test]
    fn each_value_has_a_place_of_its_own() {
        let writes = [Write::row(&PAIR, [1.into(), "a".into()]), Write::row(&PAIR, [2.into(), "b".into()])];
        let text = "INSERT INTO pair (k, v) VALUES ($1, $2), ($3, $4) ON CONFLICT (k) DO NOTHING";
        assert_eq!(sql(&writes).as_str(), text);
    }
}
