//! Which rules can be evaluated for many slots at once, in which order, and how far back they look.

use crate::model::{METRIC_NAME, Matcher};
use crate::promql::ast::{DurationExpr, Expr, ExprKind, VectorSelector};
use crate::promql::evaluate::Options;
use crate::promql::walk::selectors;
use crate::rule::{Kind, RuleGroup};
use crate::time::Span;

/// The series that alerting rules write.
pub(super) const ALERT_SERIES: [&str; 2] = ["ALERTS", "ALERTS_FOR_STATE"];
/// What is recorded is kept for so long in any case: queries of templates are not known before they are asked.
const KEPT_MIN: Span = Span::from_mins(24 * 60);
/// Room of the warm-up for news that are said again, and for series that have ended to be over.
const SLACK: Span = Span::from_mins(6);

/// How the rules of some groups are evaluated.
pub(super) struct Plan {
    /// Rules, by their numbers over all groups, whose values can be computed ahead of the walk: those of one level read nothing but
    /// stored samples and what earlier levels record.
    pub levels: Vec<Vec<usize>>,
    /// Whether a rule has to be evaluated slot by slot.
    pub is_stepped: Vec<bool>,
    /// Whether anything may read `ALERTS` and its kin.
    pub reads_alerts: bool,
    /// How far back recorded series may be read; None: as far as there are any.
    pub reach: Option<Span>,
    pub warm_up: Span,
}

/// A rule as far as others depend on it.
struct Node<'r> {
    group: usize,
    index: usize,
    offset: Span,
    reads: Vec<&'r [Matcher]>,
    /// None: an alerting rule.
    records: Option<&'r str>,
    /// None: it cannot be told from its text.
    reach: Option<Span>,
    lasts: Span,
}

impl Node<'_> {
    fn may_read(&self, name: &str) -> bool {
        self.reads.iter().any(|matchers| may_name(matchers, name))
    }

    /// Returns whether, at a slot of its own, it sees all that the other has recorded up to the instant that it asks for.
    fn sees_whole(&self, other: &Node<'_>) -> bool {
        self.offset >= other.offset && (self.group != other.group || other.index < self.index)
    }
}

/// Returns whether a selector may select series of a name.
pub(super) fn may_name(matchers: &[Matcher], name: &str) -> bool {
    matchers.iter().filter(|matcher| matcher.name == METRIC_NAME).all(|matcher| matcher.is_match(name))
}

impl Plan {
    pub fn new(groups: &[RuleGroup], options: &Options) -> Plan {
        let nodes = nodes(groups, options);
        let names_alerts = |node: &Node<'_>| ALERT_SERIES.iter().any(|name| node.may_read(name));
        let sources: Vec<Vec<usize>> = nodes
            .iter()
            .map(|node| {
                let is_read = |(_, other): &(usize, &Node<'_>)| other.records.is_some_and(|name| node.may_read(name));
                nodes.iter().enumerate().filter(is_read).map(|(number, _)| number).collect()
            })
            .collect();
        let can_wait = |number: usize| {
            let node = &nodes[number];
            node.reach.is_some() && !names_alerts(node) && sources[number].iter().all(|source| node.sees_whole(&nodes[*source]))
        };
        let mut level_of: Vec<Option<usize>> = vec![None; nodes.len()];
        let mut levels: Vec<Vec<usize>> = Vec::new();
        loop {
            // What is left over in the end reads itself, by way of others or not, or reads of one that does.
            let ready = |number: &usize| {
                level_of[*number].is_none()
                    && can_wait(*number)
                    && sources[*number].iter().all(|source| level_of[*source].is_some())
            };
            let level: Vec<usize> = (0..nodes.len()).filter(ready).collect();
            if level.is_empty() {
                break;
            }
            level.iter().for_each(|number| level_of[*number] = Some(levels.len()));
            levels.push(level);
        }
        let reads_alerts = nodes.iter().any(names_alerts) || texts(groups).any(|text| text.contains(ALERT_SERIES[0]));
        let reads_recorded = |number: &usize| !sources[*number].is_empty() || names_alerts(&nodes[*number]);
        let mut reaches = (0..nodes.len()).filter(reads_recorded).map(|number| nodes[number].reach);
        let reach = reaches.try_fold(KEPT_MIN, |longest, own| Some(longest.max(own?)));
        let warm_up = warm_up(groups, &nodes, &sources, &levels);
        Plan { is_stepped: level_of.iter().map(Option::is_none).collect(), levels, reads_alerts, reach, warm_up }
    }
}

fn nodes<'r>(groups: &'r [RuleGroup], options: &Options) -> Vec<Node<'r>> {
    let mut nodes = Vec::new();
    for (number, group) in groups.iter().enumerate() {
        for (index, rule) in group.rules.iter().enumerate() {
            let (records, lasts) = match &rule.kind {
                Kind::Record { name, .. } => (Some(name.as_str()), Span::ZERO),
                Kind::Alert(alerting) => (None, alerting.hold + alerting.keep_firing),
            };
            nodes.push(Node {
                group: number,
                index,
                offset: group.query_offset,
                reads: selectors(&rule.expr),
                records,
                reach: reach(&rule.expr, options.lookback),
                lasts,
            });
        }
    }
    nodes
}

/// Returns the texts of labels and annotations.
fn texts(groups: &[RuleGroup]) -> impl Iterator<Item = &str> {
    groups.iter().flat_map(|group| &group.rules).flat_map(|rule| {
        let texts = match &rule.kind {
            Kind::Record { .. } => None,
            Kind::Alert(alerting) => Some(alerting.labels.iter().chain(&alerting.annotations)),
        };
        texts.into_iter().flatten().map(|(_, text)| text.text.as_str())
    })
}

fn warm_up(groups: &[RuleGroup], nodes: &[Node<'_>], sources: &[Vec<usize>], levels: &[Vec<usize>]) -> Span {
    let mut needs = vec![Span::ZERO; nodes.len()];
    let mut chain = |number: usize| {
        let before = sources[number].iter().map(|source| needs[*source]).max();
        needs[number] = before.map_or(Span::ZERO, |before| before + nodes[number].reach.unwrap_or(Span::ZERO));
    };
    levels.iter().flatten().for_each(|number| chain(*number));
    let ahead: std::collections::BTreeSet<usize> = levels.iter().flatten().copied().collect();
    (0..nodes.len()).filter(|number| !ahead.contains(number)).for_each(chain);
    let longest = nodes.iter().zip(&needs).map(|(node, need)| node.lasts + *need).max().unwrap_or(Span::ZERO);
    let interval = groups.iter().map(|group| group.interval + group.query_offset).max().unwrap_or(Span::ZERO);
    longest + interval + SLACK
}

/// Returns how far behind its instant an expression looks, at most.
///
/// None: where it looks depends on more than the instant, or it lies ahead.
fn reach(expr: &Expr, lookback: Span) -> Option<Span> {
    match &expr.kind {
        ExprKind::Number(_) | ExprKind::DurationNumber(_) | ExprKind::Text(_) => Some(Span::ZERO),
        ExprKind::Vector(selector) => Some(behind(selector)? + lookback),
        ExprKind::Matrix(matrix) => Some(behind(&matrix.vector)? + length(Some(&matrix.range))?),
        ExprKind::Subquery(subquery) if subquery.at.is_some() => None,
        ExprKind::Subquery(subquery) => {
            length(subquery.step.as_ref())?;
            let own = length(Some(&subquery.range))? + length(subquery.offset.as_ref())?;
            Some(own + reach(&subquery.expr, lookback)?)
        }
        ExprKind::Call(call) => longest(call.args.iter(), lookback),
        ExprKind::Aggregate(aggregate) => longest(aggregate.param.iter().chain([&aggregate.expr]), lookback),
        ExprKind::Binary(binary) => longest([&binary.left, &binary.right], lookback),
        ExprKind::Unary { operand, .. } => reach(operand, lookback),
        ExprKind::Paren(inner) => reach(inner, lookback),
    }
}

fn longest<'e>(exprs: impl IntoIterator<Item = &'e Expr>, lookback: Span) -> Option<Span> {
    exprs.into_iter().try_fold(Span::ZERO, |longest, expr| Some(longest.max(reach(expr, lookback)?)))
}

/// Returns how far behind the instant a selector begins to look back.
fn behind(selector: &VectorSelector) -> Option<Span> {
    match (selector.at, selector.edges) {
        (None, None) => length(selector.offset.as_ref()),
        _ => None,
    }
}

fn length(length: Option<&DurationExpr>) -> Option<Span> {
    match length {
        None => Some(Span::ZERO),
        Some(DurationExpr::Literal(span)) if *span >= Span::ZERO => Some(*span),
        Some(_) => None,
    }
}
