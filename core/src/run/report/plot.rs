//! A plot as a drawing: points joined where there is data, what they are compared with, and marks.

use std::fmt::Write;

use super::html::escape;
use super::{Moment, Plot};
use crate::time::Timestamp;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 28.0;

/// Where values lie in the drawing.
struct Frame {
    from: f64,
    until: f64,
    low: f64,
    high: f64,
}

impl Frame {
    fn of(plot: &Plot) -> Frame {
        let points = || plot.series.iter().flat_map(|series| &series.points);
        let times = points().map(|(at, _)| *at).chain(plot.marks.iter().map(|mark| mark.at.0));
        let (from, until) = times.fold((i64::MAX, i64::MIN), |(from, until), at| (from.min(at), until.max(at)));
        let values = points().filter_map(|(_, value)| *value).chain(plot.bound);
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        let (low, high) = if low <= high { (low, high) } else { (0.0, 1.0) };
        // A line that touches the frame is hard to see.
        let room = if high > low { (high - low) * 0.08 } else { high.abs().max(1.0) * 0.5 };
        let until = if until > from { until } else { from + 1 };
        Frame { from: from as f64, until: until as f64, low: low - room, high: high + room }
    }

    fn x(&self, at: i64) -> f64 {
        LEFT + (at as f64 - self.from) / (self.until - self.from) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        TOP + (self.high - value) / (self.high - self.low) * (HEIGHT - TOP - BOTTOM)
    }
}

/// Returns a number as a label shows it.
pub(super) fn number(value: f64) -> String {
    let magnitude = value.abs();
    let text = match magnitude {
        _ if value == value.trunc() && magnitude < 1e9 => format!("{value:.0}"),
        1000.0.. => format!("{value:.0}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    };
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// Returns the time of the day. Shape: `03:02:30`, in UTC.
pub(super) fn clock(at: Timestamp) -> String {
    at.rfc3339().get(11..19).unwrap_or_default().to_owned()
}

/// Returns the drawing as SVG.
pub(super) fn draw(plot: &Plot) -> String {
    let frame = Frame::of(plot);
    let title = escape(&plot.title);
    let mut out = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">");
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    let _ =
        write!(out, "<rect class=\"frame\" x=\"{LEFT}\" y=\"{TOP}\" width=\"{}\" height=\"{}\"/>", right - LEFT, bottom - TOP);
    for value in [frame.low, (frame.low + frame.high) / 2.0, frame.high] {
        let (y, text) = (frame.y(value), number(value));
        let _ = write!(out, "<text class=\"axis\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>", LEFT - 6.0, y + 4.0);
    }
    for (at, anchor) in [(frame.from, "start"), (frame.until, "end")] {
        let (x, text) = (frame.x(at as i64), clock(Timestamp(at as i64)));
        let y = HEIGHT - 10.0;
        let _ = write!(out, "<text class=\"axis\" x=\"{x:.1}\" y=\"{y}\" text-anchor=\"{anchor}\">{text}</text>");
    }
    if let Some(bound) = plot.bound {
        let y = frame.y(bound);
        let _ = write!(out, "<line class=\"bound\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>");
    }
    draw_marks(&mut out, &frame, &plot.marks);
    for (index, series) in plot.series.iter().enumerate() {
        for run in series.points.split(|(_, value)| value.is_none()).filter(|run| !run.is_empty()) {
            draw_run(&mut out, &frame, index, run);
        }
    }
    out.push_str("</svg>");
    out
}

fn draw_run(out: &mut String, frame: &Frame, index: usize, run: &[(i64, Option<f64>)]) {
    let places: Vec<(f64, f64)> = run.iter().filter_map(|(at, value)| Some((frame.x(*at), frame.y((*value)?)))).collect();
    if let [(x, y)] = places.as_slice() {
        let _ = write!(out, "<circle class=\"series s{index}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2\"/>");
        return;
    }
    let points: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let _ = write!(out, "<polyline class=\"series s{index}\" points=\"{}\"/>", points.join(" "));
}

fn draw_marks(out: &mut String, frame: &Frame, marks: &[Moment]) {
    for (index, mark) in marks.iter().enumerate() {
        let x = frame.x(mark.at.0);
        // Neighbours stand on two lines, and words at the right edge run to the left.
        let y = if index % 2 == 0 { 12.0 } else { 24.0 };
        let anchor = if x > WIDTH * 0.75 { "end" } else { "start" };
        let _ = write!(
            out,
            "<line class=\"mark\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{y}\" y2=\"{}\"/><text class=\"mark\" x=\"{:.1}\" y=\"{y}\" text-anchor=\"{anchor}\">{}</text>",
            HEIGHT - BOTTOM,
            if anchor == "end" { x - 4.0 } else { x + 4.0 },
            escape(&mark.text)
        );
    }
}
