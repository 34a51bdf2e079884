//! The syntax tree of a template.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::value::Value;

/// One parsed template of a set.
#[derive(Debug)]
pub(super) struct Tree {
    /// The name it is called by.
    pub name: String,
    /// The name of the text it stands in, for messages.
    pub text_name: String,
    pub text: Arc<str>,
    pub body: Vec<Node>,
}

impl Tree {
    /// Returns whether the template writes nothing but white space.
    pub fn is_blank(&self) -> bool {
        self.body.iter().all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()))
    }

    /// Returns `name:line:column` of a byte of the text; the column counts bytes from zero, as Go does.
    pub fn place(&self, at: usize) -> String {
        let before = &self.text[..at];
        let column = before.rfind('\n').map_or(at, |newline| at - newline - 1);
        format!("{}:{}:{column}", self.text_name, 1 + before.matches('\n').count())
    }
}

#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    Action(Pipe),
    If(Branch),
    With(Branch),
    Range(Branch),
    Template { at: usize, name: String, pipe: Option<Pipe> },
    Break,
    Continue,
}

#[derive(Debug)]
pub(super) struct Branch {
    pub pipe: Pipe,
    pub body: Vec<Node>,
    pub otherwise: Option<Vec<Node>>,
}

/// Commands joined by `|`, and the variables that take the result.
#[derive(Debug)]
pub(super) struct Pipe {
    pub at: usize,
    /// True for `=`, false for `:=`.
    pub assigns: bool,
    pub names: Vec<String>,
    pub commands: Vec<Command>,
}

#[derive(Debug)]
pub(super) struct Command {
    pub at: usize,
    /// At least one; the first is what is called or shown.
    pub args: Vec<Operand>,
}

#[derive(Debug)]
pub(super) struct Operand {
    pub at: usize,
    pub kind: OperandKind,
}

#[derive(Debug)]
pub(super) enum OperandKind {
    Dot,
    Nil,
    Bool(bool),
    Number {
        text: String,
        value: Value,
    },
    Text {
        quoted: String,
        value: Arc<str>,
    },
    /// `.a.b`
    Field(Vec<String>),
    /// `$x.a.b`, the variable's name first.
    Variable(Vec<String>),
    Function(String),
    Pipe(Pipe),
    /// `(…).a.b`
    Chain(Box<Operand>, Vec<String>),
}

/// Collects the fields and variables, such as `.Value` and `$value`, that actions of these nodes write; conditions do not count.
pub(super) fn collect_shown(nodes: &[Node], shown: &mut BTreeSet<String>) {
    for node in nodes {
        match node {
            Node::Action(pipe) if pipe.names.is_empty() => collect_pipe(pipe, shown),
            Node::If(branch) | Node::With(branch) | Node::Range(branch) => {
                collect_shown(&branch.body, shown);
                collect_shown(branch.otherwise.as_deref().unwrap_or_default(), shown);
            }
            Node::Text(_) | Node::Action(_) | Node::Template { .. } | Node::Break | Node::Continue => {}
        }
    }
}

fn collect_pipe(pipe: &Pipe, shown: &mut BTreeSet<String>) {
    for operand in pipe.commands.iter().flat_map(|command| &command.args) {
        match &operand.kind {
            OperandKind::Field(_) | OperandKind::Variable(_) => {
                shown.insert(operand.to_string());
            }
            OperandKind::Pipe(pipe) => collect_pipe(pipe, shown),
            OperandKind::Dot
            | OperandKind::Nil
            | OperandKind::Bool(_)
            | OperandKind::Number { .. }
            | OperandKind::Text { .. }
            | OperandKind::Function(_)
            | OperandKind::Chain(..) => {}
        }
    }
}

impl Operand {
    /// Returns the part that is evaluated last; Go points at it when the result has no such field.
    pub fn last(&self) -> &Operand {
        match &self.kind {
            OperandKind::Pipe(pipe) => {
                let last = pipe.commands.last().and_then(|command| command.args.last());
                last.map_or(self, Operand::last)
            }
            _ => self,
        }
    }

    /// Returns whether the operand can stand behind a `|`.
    pub fn is_callable(&self) -> bool {
        match self.kind {
            OperandKind::Dot
            | OperandKind::Nil
            | OperandKind::Bool(_)
            | OperandKind::Number { .. }
            | OperandKind::Text { .. } => false,
            OperandKind::Field(_)
            | OperandKind::Variable(_)
            | OperandKind::Function(_)
            | OperandKind::Pipe(_)
            | OperandKind::Chain(..) => true,
        }
    }
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.names.is_empty() {
            write!(f, "{} {} ", self.names.join(", "), if self.assigns { "=" } else { ":=" })?;
        }
        for (index, command) in self.commands.iter().enumerate() {
            write!(f, "{}{command}", if index > 0 { " | " } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, arg) in self.args.iter().enumerate() {
            write!(f, "{}{arg}", if index > 0 { " " } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            OperandKind::Dot => f.write_str("."),
            OperandKind::Nil => f.write_str("nil"),
            OperandKind::Bool(value) => write!(f, "{value}"),
            OperandKind::Number { text, .. } => f.write_str(text),
            OperandKind::Text { quoted, .. } => f.write_str(quoted),
            OperandKind::Field(names) => write!(f, ".{}", names.join(".")),
            OperandKind::Variable(names) => f.write_str(&names.join(".")),
            OperandKind::Function(name) => f.write_str(name),
            OperandKind::Pipe(pipe) => write!(f, "({pipe})"),
            OperandKind::Chain(head, names) => write!(f, "{head}.{}", names.join(".")),
        }
    }
}
