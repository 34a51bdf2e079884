//! The canonical text of a tree over several lines.
//!
//! The layout follows Prometheus `promql/parser/prettier.go`.

use super::ast::{Expr, ExprKind};

/// Expressions whose text on one line is at most this long stay on one line.
pub const WIDTH: usize = 100;

/// Returns the text of an expression; whatever is longer than `width` bytes on one line is split over several.
pub fn pretty(expr: &Expr, width: usize) -> String {
    let mut out = String::new();
    Layout { width }.write(&mut out, expr, 0);
    out
}

struct Layout {
    width: usize,
}

fn indent(out: &mut String, level: usize) {
    out.extend(std::iter::repeat_n("  ", level));
}

impl Layout {
    fn write(&self, out: &mut String, expr: &Expr, level: usize) {
        indent(out, level);
        self.write_after_indent(out, expr, level);
    }

    fn write_after_indent(&self, out: &mut String, expr: &Expr, level: usize) {
        let line = expr.to_string();
        if line.len() <= self.width {
            out.push_str(&line);
            return;
        }
        match &expr.kind {
            ExprKind::Aggregate(aggregate) => {
                self.write_list(out, &aggregate.head(), aggregate.param.iter().chain([&aggregate.expr]), level);
            }
            ExprKind::Call(call) => self.write_list(out, call.function.name, call.args.iter(), level),
            ExprKind::Paren(inner) => self.write_list(out, "", [inner.as_ref()].into_iter(), level),
            ExprKind::Binary(binary) => {
                // The sides stand one level deeper than the operator, so the indent written for it grows by one.
                out.push_str("  ");
                self.write_after_indent(out, &binary.left, level + 1);
                out.push('\n');
                indent(out, level);
                out.push_str(&binary.operator());
                out.push('\n');
                self.write(out, &binary.right, level + 1);
            }
            ExprKind::Unary { negative, operand } => {
                out.push(if *negative { '-' } else { '+' });
                self.write_after_indent(out, operand, level);
            }
            ExprKind::Subquery(subquery) => {
                self.write_after_indent(out, &subquery.expr, level);
                out.push_str(&subquery.suffix().to_string());
            }
            ExprKind::Number(_) | ExprKind::DurationNumber(_) | ExprKind::Text(_) | ExprKind::Vector(_) | ExprKind::Matrix(_) => {
                out.push_str(&line)
            }
        }
    }

    fn write_list<'a>(&self, out: &mut String, head: &str, items: impl Iterator<Item = &'a Expr>, level: usize) {
        out.push_str(head);
        out.push('(');
        for (index, item) in items.enumerate() {
            out.push_str(if index > 0 { ",\n" } else { "\n" });
            self.write(out, item, level + 1);
        }
        out.push('\n');
        indent(out, level);
        out.push(')');
    }
}
