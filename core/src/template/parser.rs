//! Tokens → tree.

use std::sync::Arc;

use super::lexer::{Kind, Token, lex};
use super::literal;
use super::tree::{Branch, Command, Node, Operand, OperandKind, Pipe, Tree};
use super::{Functions, NESTING_MAX, TemplateError, is_builtin};

/// Returns the template of a text, then the templates that it defines.
///
/// Source: Go `text/template/parse`, for the grammar and the words of the errors.
pub(super) fn parse(name: &str, text: &str, functions: &dyn Functions) -> Result<Vec<Tree>, TemplateError> {
    let mut parser = Parser {
        name,
        text: Arc::from(text),
        tokens: lex(text),
        next: 0,
        functions,
        variables: vec!["$".into()],
        ranges: 0,
        nesting: 0,
        action_line: 0,
        defined: Vec::new(),
    };
    let mut body = Vec::new();
    loop {
        match parser.peek().kind {
            Kind::EndOfText => break,
            Kind::LeftDelimiter if parser.keyword_ahead("define") => parser.definition()?,
            _ => match parser.node()? {
                Item::Node(node) => body.push(node),
                Item::End => return Err(parser.error("unexpected {{end}}")),
                Item::Else => return Err(parser.error("unexpected {{else}}")),
            },
        }
    }
    let main = Tree { name: name.to_owned(), text_name: name.to_owned(), text: parser.text.clone(), body };
    let mut trees = vec![main];
    trees.append(&mut parser.defined);
    Ok(trees)
}

/// What one step of a list of nodes brings.
enum Item {
    Node(Node),
    /// `{{else`; the closing delimiter is still to come.
    Else,
    /// `{{end}}`
    End,
}

/// What ended a list of nodes.
#[derive(PartialEq)]
enum ListEnd {
    Else,
    End,
}

struct Parser<'a> {
    name: &'a str,
    text: Arc<str>,
    tokens: Vec<Token<'a>>,
    next: usize,
    functions: &'a dyn Functions,
    variables: Vec<String>,
    ranges: usize,
    nesting: usize,
    action_line: u32,
    defined: Vec<Tree>,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> &Token<'a> {
        // The list ends in `EndOfText` or `Error`, and neither is ever passed.
        &self.tokens[self.next.min(self.tokens.len() - 1)]
    }

    fn take(&mut self) -> Token<'a> {
        let token = self.peek().clone();
        if self.next + 1 < self.tokens.len() {
            self.next += 1;
        }
        token
    }

    fn skip_space(&mut self) {
        while self.peek().kind == Kind::Space {
            self.next += 1;
        }
    }

    fn take_solid(&mut self) -> Token<'a> {
        self.skip_space();
        self.take()
    }

    /// Returns whether the action that starts here starts with a keyword.
    fn keyword_ahead(&self, word: &str) -> bool {
        self.tokens[self.next + 1..]
            .iter()
            .find(|token| token.kind != Kind::Space)
            .is_some_and(|token| token.kind == Kind::Keyword && token.text == word)
    }

    fn error(&self, message: impl AsRef<str>) -> TemplateError {
        let behind = &self.tokens[self.next.saturating_sub(1)];
        self.error_at(behind.line, message)
    }

    fn error_at(&self, line: u32, message: impl AsRef<str>) -> TemplateError {
        TemplateError::new(format!("template: {}:{line}: {}", self.name, message.as_ref()))
    }

    fn unexpected(&self, token: &Token<'_>, context: &str) -> TemplateError {
        let shown = match &token.kind {
            Kind::Error(message) => {
                let mut extra = String::new();
                if self.action_line != 0 && self.action_line != token.line {
                    let words = if message.ends_with(" action") { "" } else { " in action" };
                    extra = format!("{words} started at {}:{}", self.name, self.action_line);
                }
                return self.error_at(token.line, format!("{message}{extra}"));
            }
            Kind::EndOfText => "EOF".to_owned(),
            Kind::Keyword => format!("<{}>", token.text),
            _ if token.text.len() > 10 => format!("{:?}...", token.text.chars().take(10).collect::<String>()),
            _ => format!("{:?}", token.text),
        };
        self.error_at(token.line, format!("unexpected {shown} in {context}"))
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Result<Token<'a>, TemplateError> {
        let token = self.take_solid();
        if token.kind == kind { Ok(token) } else { Err(self.unexpected(&token, context)) }
    }

    fn deeper(&mut self) -> Result<(), TemplateError> {
        self.nesting += 1;
        if self.nesting > NESTING_MAX {
            return Err(self.error(format!("nested deeper than {NESTING_MAX} levels")));
        }
        Ok(())
    }

    fn definition(&mut self) -> Result<(), TemplateError> {
        self.take();
        self.take_solid();
        let name = self.template_name("define clause")?;
        self.expect(Kind::RightDelimiter, "define clause")?;
        let outer = std::mem::replace(&mut self.variables, vec!["$".into()]);
        let (body, end) = self.list()?;
        if end == ListEnd::Else {
            return Err(self.error("unexpected {{else}} in define clause"));
        }
        self.variables = outer;
        self.define(name, body)
    }

    fn define(&mut self, name: String, body: Vec<Node>) -> Result<(), TemplateError> {
        let tree = Tree { name, text_name: self.name.to_owned(), text: self.text.clone(), body };
        if let Some(earlier) = self.defined.iter().position(|other| other.name == tree.name) {
            if tree.is_blank() {
                return Ok(());
            }
            if !self.defined[earlier].is_blank() {
                return Err(self.error(format!("template: multiple definition of template {:?}", tree.name)));
            }
            self.defined.remove(earlier);
        }
        self.defined.push(tree);
        Ok(())
    }

    fn template_name(&mut self, context: &str) -> Result<String, TemplateError> {
        let token = self.take_solid();
        match token.kind {
            Kind::Quoted | Kind::Raw => literal::text(token.text).map_err(|message| self.error(message)),
            _ => Err(self.unexpected(&token, context)),
        }
    }

    /// Reads nodes up to `{{end}}` or `{{else`.
    fn list(&mut self) -> Result<(Vec<Node>, ListEnd), TemplateError> {
        self.deeper()?;
        let mut nodes = Vec::new();
        let end = loop {
            if self.peek().kind == Kind::EndOfText {
                return Err(self.error_at(self.peek().line, "unexpected EOF"));
            }
            match self.node()? {
                Item::Node(node) => nodes.push(node),
                Item::Else => break ListEnd::Else,
                Item::End => break ListEnd::End,
            }
        };
        self.nesting -= 1;
        Ok((nodes, end))
    }

    fn node(&mut self) -> Result<Item, TemplateError> {
        let token = self.take();
        match token.kind {
            Kind::Text => Ok(Item::Node(Node::Text(token.text.to_owned()))),
            Kind::LeftDelimiter => {
                self.action_line = token.line;
                let item = self.action(token.at);
                self.action_line = 0;
                item
            }
            _ => Err(self.unexpected(&token, "input")),
        }
    }

    fn action(&mut self, at: usize) -> Result<Item, TemplateError> {
        self.skip_space();
        let token = self.peek().clone();
        if token.kind != Kind::Keyword {
            let pipe = self.pipeline("command", Kind::RightDelimiter)?;
            return Ok(Item::Node(Node::Action(pipe)));
        }
        self.take();
        let node = match token.text {
            "if" => Node::If(self.branch("if")?),
            "with" => Node::With(self.branch("with")?),
            "range" => Node::Range(self.branch("range")?),
            "template" => {
                let name = self.template_name("template clause")?;
                let pipe = self.optional_pipe("template clause")?;
                Node::Template { at, name, pipe }
            }
            "block" => self.block(at)?,
            word @ ("break" | "continue") => {
                self.expect(Kind::RightDelimiter, &format!("{{{{{word}}}}}"))?;
                if self.ranges == 0 {
                    return Err(self.error(format!("{{{{{word}}}}} outside {{{{range}}}}")));
                }
                if word == "break" { Node::Break } else { Node::Continue }
            }
            "else" => return Ok(Item::Else),
            "end" => {
                self.expect(Kind::RightDelimiter, "end")?;
                return Ok(Item::End);
            }
            _ => return Err(self.unexpected(&token, "command")),
        };
        Ok(Item::Node(node))
    }

    fn block(&mut self, at: usize) -> Result<Node, TemplateError> {
        let name = self.template_name("block clause")?;
        let pipe = self.pipeline("block clause", Kind::RightDelimiter)?;
        let outer = std::mem::replace(&mut self.variables, vec!["$".into()]);
        let ranges = std::mem::take(&mut self.ranges);
        let (body, end) = self.list()?;
        if end == ListEnd::Else {
            return Err(self.error("unexpected {{else}} in block clause"));
        }
        (self.variables, self.ranges) = (outer, ranges);
        self.define(name.clone(), body)?;
        Ok(Node::Template { at, name, pipe: Some(pipe) })
    }

    fn optional_pipe(&mut self, context: &str) -> Result<Option<Pipe>, TemplateError> {
        self.skip_space();
        if self.peek().kind == Kind::RightDelimiter {
            self.take();
            return Ok(None);
        }
        self.pipeline(context, Kind::RightDelimiter).map(Some)
    }

    fn branch(&mut self, context: &'static str) -> Result<Branch, TemplateError> {
        let visible = self.variables.len();
        let pipe = self.pipeline(context, Kind::RightDelimiter)?;
        self.ranges += usize::from(context == "range");
        let (body, end) = self.list()?;
        self.ranges -= usize::from(context == "range");
        let otherwise = match end {
            ListEnd::End => None,
            ListEnd::Else => Some(self.otherwise(context)?),
        };
        self.variables.truncate(visible);
        Ok(Branch { pipe, body, otherwise })
    }

    /// Reads what follows `{{else`: a list of its own, or `if …` and `with …`, which share the closing `{{end}}`.
    fn otherwise(&mut self, context: &'static str) -> Result<Vec<Node>, TemplateError> {
        self.deeper()?;
        self.skip_space();
        let token = self.peek().clone();
        let chained = token.kind == Kind::Keyword && token.text == context && context != "range";
        let nodes = if chained {
            self.take();
            let branch = self.branch(context)?;
            vec![if context == "if" { Node::If(branch) } else { Node::With(branch) }]
        } else {
            self.expect(Kind::RightDelimiter, "else")?;
            let (nodes, end) = self.list()?;
            if end == ListEnd::Else {
                return Err(self.error("expected end; found {{else}}"));
            }
            nodes
        };
        self.nesting -= 1;
        Ok(nodes)
    }

    fn pipeline(&mut self, context: &str, end: Kind) -> Result<Pipe, TemplateError> {
        self.deeper()?;
        self.skip_space();
        let mut pipe = Pipe { at: self.peek().at, assigns: false, names: Vec::new(), commands: Vec::new() };
        self.declarations(context, &mut pipe)?;
        loop {
            let token = self.take_solid();
            if token.kind == end {
                break;
            }
            match token.kind {
                Kind::Bool
                | Kind::Character
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Nil
                | Kind::Raw
                | Kind::Quoted
                | Kind::Variable
                | Kind::LeftParen => {
                    self.next -= 1;
                    pipe.commands.push(self.command()?);
                }
                _ => return Err(self.unexpected(&token, context)),
            }
        }
        if pipe.commands.is_empty() {
            return Err(self.error(format!("missing value for {context}")));
        }
        if let Some(stage) = pipe.commands.iter().skip(1).position(|command| !command.args[0].is_callable()) {
            return Err(self.error(format!("non executable command in pipeline stage {}", stage + 2)));
        }
        self.nesting -= 1;
        Ok(pipe)
    }

    /// Reads `$x :=`, `$x =`, and in a range `$index, $element :=`.
    fn declarations(&mut self, context: &str, pipe: &mut Pipe) -> Result<(), TemplateError> {
        let start = self.next;
        let mut names = Vec::new();
        loop {
            let token = self.take_solid();
            if token.kind != Kind::Variable {
                break;
            }
            names.push(token.text.to_owned());
            let behind = self.take_solid();
            match behind.kind {
                Kind::Assign | Kind::Declare => {
                    pipe.assigns = behind.kind == Kind::Assign;
                    for name in &names {
                        if pipe.assigns {
                            self.known_variable(name)?;
                        } else {
                            self.variables.push(name.clone());
                        }
                    }
                    pipe.names = names;
                    return Ok(());
                }
                Kind::Comma if context == "range" && names.len() == 1 => {
                    self.skip_space();
                    if self.peek().kind != Kind::Variable {
                        return Err(self.error("range can only initialize variables"));
                    }
                }
                Kind::Comma if context == "range" => return Err(self.error("too many declarations in range")),
                _ => break,
            }
        }
        self.next = start;
        Ok(())
    }

    fn known_variable(&self, name: &str) -> Result<(), TemplateError> {
        if self.variables.iter().any(|known| known == name) {
            return Ok(());
        }
        Err(self.error(format!("undefined variable {name:?}")))
    }

    fn command(&mut self) -> Result<Command, TemplateError> {
        self.skip_space();
        let mut command = Command { at: self.peek().at, args: Vec::new() };
        loop {
            self.skip_space();
            if let Some(operand) = self.operand()? {
                command.args.push(operand);
            }
            let token = self.take();
            match token.kind {
                Kind::Space => continue,
                Kind::RightDelimiter | Kind::RightParen => self.next -= 1,
                Kind::Pipe => {}
                _ => return Err(self.unexpected(&token, "operand")),
            }
            break;
        }
        if command.args.is_empty() {
            return Err(self.error("empty command"));
        }
        Ok(command)
    }

    fn operand(&mut self) -> Result<Option<Operand>, TemplateError> {
        let Some(mut operand) = self.term()? else { return Ok(None) };
        if self.peek().kind != Kind::Field {
            return Ok(Some(operand));
        }
        let mut names = Vec::new();
        while self.peek().kind == Kind::Field {
            names.push(self.take().text[1..].to_owned());
        }
        match &mut operand.kind {
            OperandKind::Field(own) | OperandKind::Variable(own) => own.append(&mut names),
            OperandKind::Function(_) | OperandKind::Pipe(_) | OperandKind::Chain(..) => {
                let at = operand.at;
                operand = Operand { at, kind: OperandKind::Chain(Box::new(operand), names) };
            }
            OperandKind::Dot
            | OperandKind::Nil
            | OperandKind::Bool(_)
            | OperandKind::Number { .. }
            | OperandKind::Text { .. } => {
                return Err(self.error(format!("unexpected . after term {:?}", operand.to_string())));
            }
        }
        Ok(Some(operand))
    }

    fn term(&mut self) -> Result<Option<Operand>, TemplateError> {
        let token = self.take_solid();
        let kind = match token.kind {
            Kind::Identifier => {
                if self.functions.signature(token.text).is_none() && !is_builtin(token.text) {
                    return Err(self.error(format!("function {:?} not defined", token.text)));
                }
                OperandKind::Function(token.text.to_owned())
            }
            Kind::Dot => OperandKind::Dot,
            Kind::Nil => OperandKind::Nil,
            Kind::Variable => {
                self.known_variable(token.text)?;
                OperandKind::Variable(vec![token.text.to_owned()])
            }
            Kind::Field => OperandKind::Field(vec![token.text[1..].to_owned()]),
            Kind::Bool => OperandKind::Bool(token.text == "true"),
            Kind::Character | Kind::Number => {
                let value = literal::number(token.text).map_err(|message| self.error(message))?;
                OperandKind::Number { text: token.text.to_owned(), value }
            }
            Kind::Quoted | Kind::Raw => {
                let value = literal::text(token.text).map_err(|message| self.error(message))?;
                OperandKind::Text { quoted: token.text.to_owned(), value: value.into() }
            }
            Kind::LeftParen => OperandKind::Pipe(self.pipeline("parenthesized pipeline", Kind::RightParen)?),
            _ => {
                if !matches!(token.kind, Kind::EndOfText | Kind::Error(_)) {
                    self.next -= 1;
                }
                return Ok(None);
            }
        };
        Ok(Some(Operand { at: token.at, kind }))
    }
}
