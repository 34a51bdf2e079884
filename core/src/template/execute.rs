//! Tree and data → text.

use std::sync::Arc;

use super::builtins;
use super::html::Page;
use super::tree::{Branch, Command, Node, Operand, OperandKind, Pipe, Tree};
use super::value::{Map, Value};
use super::{Functions, Limits, MissingKey, Options, Param, Signature, TemplateError, TemplateSet};

/// Runs a template of a set.
///
/// Source: Go `text/template/exec.go`, for the semantics and the words of the errors.
pub(super) fn execute(
    set: &TemplateSet,
    name: &str,
    data: &Value,
    functions: &dyn Functions,
    options: &Options,
) -> Result<String, TemplateError> {
    let Some(tree) = set.tree(name) else {
        return Err(TemplateError::new(format!("template: no template {name:?} associated with template {name:?}")));
    };
    let mut run = Run {
        set,
        functions,
        missing_key: options.missing_key,
        limits: &options.limits,
        page: options.html.then(Page::default),
        out: String::new(),
        steps: 0,
        depth: 0,
    };
    run.template(tree, data.clone())?;
    Ok(run.out)
}

/// What the whole execution shares.
struct Run<'a> {
    set: &'a TemplateSet,
    functions: &'a dyn Functions,
    missing_key: MissingKey,
    limits: &'a Limits,
    page: Option<Page>,
    out: String,
    steps: usize,
    depth: usize,
}

/// One template under execution.
struct Frame<'a> {
    tree: &'a Tree,
    variables: Vec<(&'a str, Value)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Flow {
    Next,
    Break,
    Continue,
}

type Outcome<T> = Result<T, TemplateError>;

impl<'a> Frame<'a> {
    /// Returns an error at a place of the template; `shown` is the piece of the template that failed.
    fn error(&self, at: usize, shown: impl std::fmt::Display, message: impl std::fmt::Display) -> TemplateError {
        let place = self.tree.place(at);
        TemplateError::new(format!("template: {place}: executing {:?} at <{shown}>: {message}", self.tree.name))
    }

    fn variable(&self, name: &str) -> Option<&Value> {
        self.variables.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    fn assign(&mut self, name: &str, value: Value) {
        if let Some((_, slot)) = self.variables.iter_mut().rev().find(|(known, _)| *known == name) {
            *slot = value;
        }
    }
}

impl<'a> Run<'a> {
    fn template(&mut self, tree: &'a Tree, dot: Value) -> Outcome<()> {
        let mut frame = Frame { tree, variables: vec![("$", dot.clone())] };
        self.nodes(&mut frame, &tree.body, &dot).map(drop)
    }

    fn enter(&mut self, frame: &Frame<'_>, at: usize) -> Outcome<()> {
        self.depth += 1;
        if self.depth > self.limits.depth {
            let message = format!("exceeded maximum template depth ({})", self.limits.depth);
            return Err(TemplateError::new(format!("template: {}: {message}", frame.tree.place(at))));
        }
        Ok(())
    }

    fn write(&mut self, frame: &Frame<'_>, text: &str) -> Outcome<()> {
        self.out.push_str(text);
        if self.out.len() > self.limits.output_bytes {
            let message = format!("output is longer than {} bytes", self.limits.output_bytes);
            return Err(TemplateError::new(format!("template: {}: {message}", frame.tree.name)));
        }
        Ok(())
    }

    fn nodes(&mut self, frame: &mut Frame<'a>, nodes: &'a [Node], dot: &Value) -> Outcome<Flow> {
        for node in nodes {
            let flow = self.node(frame, node, dot)?;
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn node(&mut self, frame: &mut Frame<'a>, node: &'a Node, dot: &Value) -> Outcome<Flow> {
        match node {
            Node::Text(text) => match &mut self.page {
                None => self.write(frame, text)?,
                Some(page) => {
                    let text = page.literal(text);
                    self.write(frame, &text)?;
                }
            },
            Node::Action(pipe) => {
                let value = self.pipe(frame, pipe, dot)?;
                if pipe.names.is_empty() {
                    self.show(frame, pipe, &value)?;
                }
            }
            Node::If(branch) => return self.choose(frame, branch, dot, false),
            Node::With(branch) => return self.choose(frame, branch, dot, true),
            Node::Range(branch) => return self.range(frame, branch, dot),
            Node::Template { at, name, pipe } => {
                let Some(tree) = self.set.tree(name) else {
                    return Err(frame.error(*at, node_text(name, pipe.as_ref()), format!("template {name:?} not defined")));
                };
                let dot = match pipe {
                    Some(pipe) => self.pipe(frame, pipe, dot)?,
                    None => Value::Nil,
                };
                self.enter(frame, *at)?;
                self.template(tree, dot)?;
                self.depth -= 1;
            }
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    fn show(&mut self, frame: &Frame<'_>, pipe: &Pipe, value: &Value) -> Outcome<()> {
        let text = match (&mut self.page, value) {
            (_, Value::Function(_)) => return Err(frame.error(pipe.at, pipe, "can't print a value of type func")),
            (Some(page), value) => page.value(value),
            (None, Value::Nil) => "<no value>".into(),
            (None, value) => value.to_string(),
        };
        self.write(frame, &text)
    }

    fn choose(&mut self, frame: &mut Frame<'a>, branch: &'a Branch, dot: &Value, moves_dot: bool) -> Outcome<Flow> {
        let visible = frame.variables.len();
        self.enter(frame, branch.pipe.at)?;
        let value = self.pipe(frame, &branch.pipe, dot)?;
        let flow = if value.truth() {
            self.nodes(frame, &branch.body, if moves_dot { &value } else { dot })?
        } else {
            match &branch.otherwise {
                Some(nodes) => self.nodes(frame, nodes, dot)?,
                None => Flow::Next,
            }
        };
        self.depth -= 1;
        frame.variables.truncate(visible);
        Ok(flow)
    }

    fn range(&mut self, frame: &mut Frame<'a>, branch: &'a Branch, dot: &Value) -> Outcome<Flow> {
        let visible = frame.variables.len();
        self.enter(frame, branch.pipe.at)?;
        let value = self.pipe(frame, &branch.pipe, dot)?;
        let count = match value.plain() {
            Value::List(list) => self.iterate(
                frame,
                branch,
                list.iter().enumerate().map(|(index, item)| (Value::Int(index as i64), item.clone())),
            )?,
            Value::Map(map) => {
                self.iterate(frame, branch, map.entries.iter().map(|(key, item)| (Value::text(key), item.clone())))?
            }
            Value::Int(end) => {
                self.iterate(frame, branch, (0..end.max(0)).map(|index| (Value::Int(index), Value::Int(index))))?
            }
            Value::Nil => 0,
            _ => return Err(frame.error(branch.pipe.at, &branch.pipe, format!("range can't iterate over {value}"))),
        };
        frame.variables.truncate(visible);
        let flow = match &branch.otherwise {
            Some(nodes) if count == 0 => self.nodes(frame, nodes, dot)?,
            _ => Flow::Next,
        };
        self.depth -= 1;
        frame.variables.truncate(visible);
        Ok(flow)
    }

    /// Runs the body once for each item; returns how often.
    fn iterate(
        &mut self,
        frame: &mut Frame<'a>,
        branch: &'a Branch,
        items: impl Iterator<Item = (Value, Value)>,
    ) -> Outcome<usize> {
        let visible = frame.variables.len();
        let mut count = 0;
        for (key, item) in items {
            self.steps += 1;
            if self.steps > self.limits.iterations {
                let message = format!("more than {} iterations", self.limits.iterations);
                return Err(frame.error(branch.pipe.at, &branch.pipe, message));
            }
            count += 1;
            let names = &branch.pipe.names;
            let values = if names.len() > 1 { vec![key, item.clone()] } else { vec![item.clone()] };
            for (name, value) in names.iter().zip(values) {
                if branch.pipe.assigns {
                    frame.assign(name, value);
                } else {
                    frame.variables.push((name, value));
                }
            }
            let flow = self.nodes(frame, &branch.body, &item)?;
            frame.variables.truncate(visible);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(count)
    }

    fn pipe(&mut self, frame: &mut Frame<'a>, pipe: &'a Pipe, dot: &Value) -> Outcome<Value> {
        let mut value = None;
        for command in &pipe.commands {
            value = Some(self.command(frame, command, dot, value)?);
        }
        let value = value.unwrap_or(Value::Nil);
        // A range gives its variables to each item, not to the whole.
        for name in &pipe.names {
            if pipe.assigns {
                frame.assign(name, value.clone());
            } else {
                frame.variables.push((name, value.clone()));
            }
        }
        Ok(value)
    }

    /// Runs one command; `piped` is what stood in front of the `|`.
    fn command(&mut self, frame: &mut Frame<'a>, command: &'a Command, dot: &Value, piped: Option<Value>) -> Outcome<Value> {
        let head = &command.args[0];
        let args = &command.args[1..];
        match &head.kind {
            OperandKind::Field(names) => self.fields(frame, head, dot.clone(), names, dot, args, piped),
            OperandKind::Chain(inner, names) => {
                let receiver = self.operand(frame, inner, dot)?;
                self.fields(frame, inner.last(), receiver, names, dot, args, piped)
            }
            OperandKind::Variable(names) => {
                let receiver = frame.variable(&names[0]).cloned().unwrap_or(Value::Nil);
                if names.len() == 1 {
                    self.takes_no_arguments(frame, head, args, &piped)?;
                    return Ok(receiver);
                }
                self.fields(frame, head, receiver, &names[1..], dot, args, piped)
            }
            OperandKind::Function(name) => self.function(frame, command, name, dot, args, piped),
            _ => {
                self.takes_no_arguments(frame, head, args, &piped)?;
                if matches!(head.kind, OperandKind::Nil) {
                    return Err(frame.error(head.at, head, "nil is not a command"));
                }
                self.operand(frame, head, dot)
            }
        }
    }

    fn takes_no_arguments(&self, frame: &Frame<'_>, head: &Operand, args: &[Operand], piped: &Option<Value>) -> Outcome<()> {
        if args.is_empty() && piped.is_none() {
            return Ok(());
        }
        Err(frame.error(head.at, head, format!("can't give argument to non-function {head}")))
    }

    /// Returns the value of an operand that stands as an argument.
    fn operand(&mut self, frame: &mut Frame<'a>, operand: &'a Operand, dot: &Value) -> Outcome<Value> {
        Ok(match &operand.kind {
            OperandKind::Dot => dot.clone(),
            OperandKind::Nil => Value::Nil,
            OperandKind::Bool(value) => Value::Bool(*value),
            OperandKind::Number { value, .. } => value.clone(),
            OperandKind::Text { value, .. } => Value::Text(value.clone()),
            OperandKind::Pipe(pipe) => {
                self.enter(frame, operand.at)?;
                let visible = frame.variables.len();
                let value = self.pipe(frame, pipe, dot)?;
                frame.variables.truncate(visible);
                self.depth -= 1;
                value
            }
            OperandKind::Field(names) => return self.walk(frame, operand, dot.clone(), names),
            OperandKind::Variable(names) => {
                let receiver = frame.variable(&names[0]).cloned().unwrap_or(Value::Nil);
                return self.walk(frame, operand, receiver, &names[1..]);
            }
            OperandKind::Chain(inner, names) => {
                let receiver = self.operand(frame, inner, dot)?;
                return self.walk(frame, inner.last(), receiver, names);
            }
            OperandKind::Function(name) => {
                let signature = self.signature(name);
                self.call(frame, operand.at, operand, name, &signature, Vec::new())?
            }
        })
    }

    fn walk(&mut self, frame: &Frame<'_>, operand: &Operand, receiver: Value, names: &[String]) -> Outcome<Value> {
        let mut value = receiver;
        for name in names {
            value = self.field(frame, operand, &value, name, &[], false)?;
        }
        Ok(value)
    }

    /// Walks a chain of fields whose last may be a method with arguments; `shown` is what messages point at.
    #[expect(clippy::too_many_arguments, reason = "these are the parts of one command")]
    fn fields(
        &mut self,
        frame: &mut Frame<'a>,
        shown: &'a Operand,
        receiver: Value,
        names: &'a [String],
        dot: &Value,
        args: &'a [Operand],
        piped: Option<Value>,
    ) -> Outcome<Value> {
        let (last, path) = names.split_last().expect("a chain names at least one field");
        let receiver = self.walk(frame, shown, receiver, path)?;
        let mut values = Vec::with_capacity(args.len() + 1);
        for arg in args {
            values.push(self.operand(frame, arg, dot)?);
        }
        values.extend(piped);
        self.field(frame, shown, &receiver, last, &values, !values.is_empty())
    }

    fn field(
        &mut self,
        frame: &Frame<'_>,
        shown: &Operand,
        receiver: &Value,
        name: &str,
        args: &[Value],
        has_args: bool,
    ) -> Outcome<Value> {
        let fail = |message: String| Err(frame.error(shown.at, shown, message));
        if let Value::Object(object) = receiver {
            if let Some(result) = object.call(name, args) {
                return result.or_else(|message| fail(format!("error calling {name}: {message}")));
            }
            if let Some(value) = object.field(name) {
                if has_args && let Value::Function(function) = &value {
                    return function(args).or_else(|message| fail(format!("error calling {name}: {message}")));
                }
                if has_args {
                    return fail(format!("{name} has arguments but cannot be invoked as function"));
                }
                return Ok(value);
            }
        }
        match receiver.plain() {
            Value::Nil => match self.missing_key {
                MissingKey::Error => fail(format!("nil data; no entry for key {name:?}")),
                MissingKey::Invalid | MissingKey::Zero => Ok(Value::Nil),
            },
            Value::Map(_) if has_args => fail(format!("{name} is not a method but has arguments")),
            Value::Map(map) => self.entry(&map, name).or_else(fail),
            _ => fail(format!("can't evaluate field {name} in type {}", receiver.type_name())),
        }
    }

    fn entry(&self, map: &Arc<Map>, name: &str) -> Result<Value, String> {
        match (map.entries.get(name), self.missing_key) {
            (Some(value), _) => Ok(value.clone()),
            (None, MissingKey::Error) => Err(format!("map has no entry for key {name:?}")),
            (None, MissingKey::Zero) if map.of_text => Ok("".into()),
            (None, MissingKey::Zero | MissingKey::Invalid) => Ok(Value::Nil),
        }
    }

    /// Returns what a function takes; a built-in takes anything.
    fn signature(&self, name: &str) -> Signature {
        self.functions.signature(name).unwrap_or_else(|| {
            let (count, more) = builtins::arity(name);
            const ANY: [Param; 3] = [Param::Any, Param::Any, Param::Any];
            let params = match (count, more) {
                (0, _) | (1, false) => &ANY[..1],
                (1, true) | (2, false) => &ANY[..2],
                _ => &ANY[..3],
            };
            Signature { params, repeats: more }
        })
    }

    fn function(
        &mut self,
        frame: &mut Frame<'a>,
        command: &'a Command,
        name: &'a str,
        dot: &Value,
        args: &'a [Operand],
        piped: Option<Value>,
    ) -> Outcome<Value> {
        let own = self.functions.signature(name).is_some();
        let signature = self.signature(name);
        let given = args.len() + usize::from(piped.is_some());
        let head = &command.args[0];
        self.check_count(frame, head.at, head, name, &signature, given)?;
        if !own && matches!(name, "and" | "or") {
            return self.short_circuit(frame, name == "or", dot, args, piped);
        }
        let mut values = Vec::with_capacity(given);
        for (index, arg) in args.iter().enumerate() {
            let value = self.operand(frame, arg, dot)?;
            values.push(self.fit(frame, arg, signature.param(index), value)?);
        }
        if let Some(value) = piped {
            values.push(self.fit(frame, args.last().unwrap_or(head), signature.param(args.len()), value)?);
        }
        self.call(frame, command.at, command, name, &signature, values)
    }

    fn check_count(
        &self,
        frame: &Frame<'_>,
        at: usize,
        shown: impl std::fmt::Display,
        name: &str,
        signature: &Signature,
        given: usize,
    ) -> Outcome<()> {
        let least = signature.params.len() - usize::from(signature.repeats);
        let message = if signature.repeats && given < least {
            format!("wrong number of args for {name}: want at least {least} got {given}")
        } else if !signature.repeats && given != least {
            format!("wrong number of args for {name}: want {least} got {given}")
        } else {
            return Ok(());
        };
        Err(frame.error(at, shown, message))
    }

    /// Returns an argument as a parameter wants it.
    fn fit(&self, frame: &Frame<'_>, operand: &Operand, param: Param, value: Value) -> Outcome<Value> {
        let fits = match (param, &value) {
            (Param::Any, _) => true,
            (Param::Text, Value::Text(_) | Value::Safe(..)) => true,
            (Param::Float, Value::Float(_)) => true,
            (Param::Float, Value::Int(number)) if matches!(operand.kind, OperandKind::Number { .. }) => {
                return Ok(Value::Float(*number as f64));
            }
            (Param::Int, Value::Int(_)) => true,
            (Param::List, Value::Nil) => return Ok(Value::list([])),
            (Param::List, value) => matches!(value.plain(), Value::List(_)),
            (Param::Named(name), Value::Object(object)) => object.type_name() == name,
            (Param::Text | Param::Float | Param::Int | Param::Named(_), _) => false,
        };
        if fits {
            return Ok(value);
        }
        let expected = param.type_name();
        let message = match (&operand.kind, &value) {
            (OperandKind::Number { .. } | OperandKind::Text { .. } | OperandKind::Bool(_), _) => {
                format!("expected {expected}; found {operand}")
            }
            (_, Value::Nil) => format!("invalid value; expected {expected}"),
            _ => format!("wrong type for value; expected {expected}; got {}", value.type_name()),
        };
        Err(frame.error(operand.at, operand, message))
    }

    /// Runs `and` and `or`: operands behind the one that decides are not evaluated.
    fn short_circuit(
        &mut self,
        frame: &mut Frame<'a>,
        until: bool,
        dot: &Value,
        args: &'a [Operand],
        piped: Option<Value>,
    ) -> Outcome<Value> {
        let mut value = Value::Nil;
        for arg in args {
            value = self.operand(frame, arg, dot)?;
            if value.truth() == until {
                return Ok(value);
            }
        }
        Ok(piped.unwrap_or(value))
    }

    fn call(
        &mut self,
        frame: &Frame<'_>,
        at: usize,
        shown: impl std::fmt::Display,
        name: &str,
        signature: &Signature,
        values: Vec<Value>,
    ) -> Outcome<Value> {
        self.check_count(frame, at, &shown, name, signature, values.len())?;
        let result = if self.functions.signature(name).is_some() {
            let functions = self.functions;
            functions.call(name, &values, &mut |name, data| self.nested(frame, at, name, data))
        } else {
            builtins::call(name, &values)
        };
        result.map_err(|message| frame.error(at, shown, format!("error calling {name}: {message}")))
    }

    /// Runs another template of the set for a function and returns what it writes.
    fn nested(&mut self, frame: &Frame<'_>, at: usize, name: &str, data: &Value) -> Result<String, String> {
        let tree = self.set.tree(name).ok_or_else(|| format!("template {name:?} not defined"))?;
        self.enter(frame, at).map_err(|error| error.to_string())?;
        let outer_page = self.page.as_mut().map(std::mem::take);
        let outer = std::mem::take(&mut self.out);
        let result = self.template(tree, data.clone());
        self.depth -= 1;
        self.page = outer_page;
        let written = std::mem::replace(&mut self.out, outer);
        result.map(|()| written).map_err(|error| error.to_string())
    }
}

fn node_text(name: &str, pipe: Option<&Pipe>) -> String {
    match pipe {
        Some(pipe) => format!("{{{{template {name:?} {pipe}}}}}"),
        None => format!("{{{{template {name:?}}}}}"),
    }
}
