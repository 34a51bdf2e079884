//! Go's `text/template`, with a variant that escapes for HTML: the language of alert annotations and notifications.
//!
//! Text is parsed once into a `TemplateSet` and executed as often as needed against a `Value` and a set of `Functions`. Everything
//! that a template can make grow is bounded by `Limits`.
//!
//! Not served: complex numbers, channels and iterators, `%b` and `%x` of floats.
//! Source: the documentation of Go's packages `text/template`, `html/template` and `fmt`.

mod builtins;
mod execute;
mod html;
pub mod humanize;
mod lexer;
mod literal;
pub mod number;
mod parser;
mod print;
pub mod time;
mod tree;
pub mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use builtins::is_builtin;
pub use builtins::{escape_html, escape_query};
use tree::Tree;
pub use value::{Map, Object, Record, Safe, Value};

/// How deep parentheses, branches and loops may be nested in a text.
const NESTING_MAX: usize = 100;

/// The longest text that is read as a template.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// Why a template cannot be read or executed: Go's words, `template: name:line:column: …`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    message: String,
}

impl TemplateError {
    fn new(message: String) -> TemplateError {
        TemplateError { message }
    }
}

/// What a parameter of a function takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Param {
    Any,
    Text,
    Int,
    Float,
    List,
    /// An object of this type.
    Named(&'static str),
}

impl Param {
    fn type_name(self) -> &'static str {
        match self {
            Param::Any => "interface {}",
            Param::Text => "string",
            Param::Int => "int",
            Param::Float => "float64",
            Param::List => "[]string",
            Param::Named(name) => name,
        }
    }
}

/// The parameters of a function.
#[derive(Clone, Copy, Debug)]
pub struct Signature {
    pub params: &'static [Param],
    /// Whether the last parameter may be given any number of times, also never.
    pub repeats: bool,
}

impl Signature {
    pub const fn new(params: &'static [Param]) -> Signature {
        Signature { params, repeats: false }
    }

    pub const fn repeating(params: &'static [Param]) -> Signature {
        Signature { params, repeats: true }
    }

    fn param(&self, index: usize) -> Param {
        self.params.get(index).or(self.params.last()).copied().unwrap_or(Param::Any)
    }
}

/// Runs another template of the set by name; for functions that include one.
pub type Include<'a> = dyn FnMut(&str, &Value) -> Result<String, String> + 'a;

/// The functions of a template beside the built-in ones.
pub trait Functions {
    /// Returns what a function takes, `None` when there is no such function.
    fn signature(&self, name: &str) -> Option<Signature>;

    /// Calls a function; the arguments fit its signature.
    fn call(&self, name: &str, args: &[Value], include: &mut Include<'_>) -> Result<Value, String>;
}

/// No functions but the built-in ones.
pub struct NoFunctions;

impl Functions for NoFunctions {
    fn signature(&self, _name: &str) -> Option<Signature> {
        None
    }

    fn call(&self, name: &str, _args: &[Value], _include: &mut Include<'_>) -> Result<Value, String> {
        Err(format!("function {name:?} not defined"))
    }
}

/// What a missing key of a map means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissingKey {
    /// Nothing, shown as `<no value>`.
    Invalid,
    /// The zero value of the map's elements; what Prometheus and Alertmanager use.
    #[default]
    Zero,
    Error,
}

/// How much one execution may do.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub output_bytes: usize,
    /// Rounds of all loops together.
    pub iterations: usize,
    /// Templates, branches, loops and parentheses inside each other.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { output_bytes: 1 << 20, iterations: 100_000, depth: 200 }
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    pub missing_key: MissingKey,
    /// Escape what actions write for the place in the HTML page where it lands.
    pub html: bool,
    pub limits: Limits,
}

/// Parsed templates that can call each other by name.
#[derive(Clone, Debug, Default)]
pub struct TemplateSet {
    trees: BTreeMap<String, Arc<Tree>>,
}

impl TemplateSet {
    pub fn new() -> TemplateSet {
        TemplateSet::default()
    }

    /// Reads a text under a name and adds it and every template that it defines; later definitions replace earlier ones.
    ///
    /// Errors: the first fault of the text; the set is then unchanged.
    pub fn add(&mut self, name: &str, text: &str, functions: &dyn Functions) -> Result<(), TemplateError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(TemplateError::new(format!("template: {name}: longer than {TEXT_BYTES_MAX} bytes")));
        }
        for tree in parser::parse(name, text, functions)? {
            // A text of definitions alone does not replace a template that writes something.
            if !tree.is_blank() || !self.trees.contains_key(&tree.name) {
                self.trees.insert(tree.name.clone(), Arc::new(tree));
            }
        }
        Ok(())
    }

    /// Runs a template and returns what it writes.
    ///
    /// Errors: what a function or a value refuses, and broken limits; what was written until then is lost.
    pub fn execute(
        &self,
        name: &str,
        data: &Value,
        functions: &dyn Functions,
        options: &Options,
    ) -> Result<String, TemplateError> {
        execute::execute(self, name, data, functions, options)
    }

    /// Returns the fields and variables, such as `.Value` and `$value`, that a template writes out; conditions do not count.
    pub fn shown(&self, name: &str) -> BTreeSet<String> {
        let mut shown = BTreeSet::new();
        if let Some(tree) = self.tree(name) {
            tree::collect_shown(&tree.body, &mut shown);
        }
        shown
    }

    fn tree(&self, name: &str) -> Option<&Tree> {
        self.trees.get(name).map(|tree| &**tree)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data() -> Value {
        Value::map(BTreeMap::from([
            ("Name".into(), "web".into()),
            ("Count".into(), Value::Int(3)),
            ("Ratio".into(), Value::Float(0.5)),
            ("Items".into(), Value::list(["a".into(), "b".into(), "c".into()])),
            ("Labels".into(), Value::text_map([("b", "2"), ("a", "1")])),
        ]))
    }

    fn run(text: &str) -> Result<String, String> {
        let mut set = TemplateSet::new();
        set.add("t", text, &NoFunctions).map_err(|error| error.to_string())?;
        set.execute("t", &data(), &NoFunctions, &Options::default()).map_err(|error| error.to_string())
    }

    fn check(text: &str, expected: &str) {
        assert_eq!(run(text).as_deref(), Ok(expected), "{text}");
    }

    fn fails(text: &str, message: &str) {
        assert_eq!(run(text), Err(message.to_owned()), "{text}");
    }

    #[test]
    fn texts_and_values() {
        check("plain", "plain");
        check("{{ .Name }} {{.Count}} {{ .Ratio }} {{ .Items }} {{ .Labels }}", "web 3 0.5 [a b c] map[a:1 b:2]");
        check("a {{- .Name -}} b", "awebb");
        check("a {{- /* not seen */ -}} b{{/* nor this */}}c", "abc");
        check("{{ 1e6 }} {{ 0x10 }} {{ 'a' }} {{ `raw\\n` }} {{ \"q\\t\" }} {{ true }}", "1e+06 16 97 raw\\n q\t true");
        check("{{ .Missing }} {{ .Labels.missing }}|", "<no value> |");
        check("{{ .Labels.a }}{{ (index .Labels \"b\") }}{{ index .Items 1 }}", "12b");
    }

    #[test]
    fn branches_loops_and_variables() {
        check("{{ if .Count }}yes{{ else }}no{{ end }}", "yes");
        check("{{ if eq .Name \"db\" }}1{{ else if eq .Name \"web\" }}2{{ else }}3{{ end }}", "2");
        check("{{ with .Missing }}x{{ else with .Name }}{{ . }}{{ end }}", "web");
        check("{{ range .Items }}{{ . }},{{ end }}", "a,b,c,");
        check("{{ range $i, $e := .Items }}{{ if $i }};{{ end }}{{ $i }}{{ $e }}{{ end }}", "0a;1b;2c");
        check("{{ range $k, $v := .Labels }}{{ $k }}={{ $v }} {{ end }}", "a=1 b=2 ");
        check("{{ range .Missing }}x{{ else }}none{{ end }}", "none");
        check("{{ range .Items }}{{ if eq . \"b\" }}{{ continue }}{{ end }}{{ . }}{{ end }}", "ac");
        check("{{ range .Items }}{{ if eq . \"b\" }}{{ break }}{{ end }}{{ . }}{{ end }}", "a");
        check("{{ range 3 }}{{ . }}{{ end }}", "012");
        check("{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ end }}{{ $x }}", "2");
        check("{{ $x := 1 }}{{ if true }}{{ $x := 2 }}{{ $x }}{{ end }}{{ $x }}", "21");
        check("{{ range .Items }}{{ $.Name }}{{ end }}", "webwebweb");
    }

    #[test]
    fn templates_call_each_other() {
        check("{{ define \"x\" }}<{{ . }}>{{ end }}{{ template \"x\" .Name }}{{ template \"x\" 1 }}", "<web><1>");
        check("{{ block \"y\" .Items }}{{ len . }}{{ end }}", "3");
        fails("{{ template \"z\" . }}", "template: t:1:0: executing \"t\" at <{{template \"z\" .}}>: template \"z\" not defined");
    }

    #[test]
    fn pipes_and_built_in_functions() {
        check("{{ .Name | printf \"%s-%d\" | len }}", "16");
        check("{{ printf \"%.2f\" .Ratio }} {{ print 1 2 \"a\" }} {{ println \"b\" }}", "0.50 1 2a b\n");
        check("{{ and 1 0 .x.y.z }} {{ or 0 \"x\" }} {{ not 0 }}", "0 x true");
        check("{{ if and .Missing (eq .Missing.Deeper 1) }}x{{ end }}", "");
        check(
            "{{ eq 1 2 1 }} {{ ne \"a\" \"b\" }} {{ lt 1 2 }} {{ ge 1.5 1.5 }} {{ gt \"b\" \"a\" }}",
            "true true true true true",
        );
        check("{{ slice \"abcd\" 1 3 }} {{ slice .Items 1 }} {{ len \"é\" }}", "bc [b c] 2");
        check("{{ html \"<a>\" }} {{ urlquery \"a b&c\" }} {{ js \"it's\" }}", "&lt;a&gt; a+b%26c it\\'s");
    }

    #[test]
    fn faults_are_told_in_go_s_words() {
        fails("{{", "template: t:1: unclosed action");
        fails("a\n{{ foo }}", "template: t:2: function \"foo\" not defined");
        fails("{{ $x }}", "template: t:1: undefined variable \"$x\"");
        fails("{{ if }}x{{ end }}", "template: t:1: missing value for if");
        fails("{{ if true }}", "template: t:1: unexpected EOF");
        fails("{{ end }}", "template: t:1: unexpected {{end}}");
        fails("{{ break }}", "template: t:1: {{break}} outside {{range}}");
        fails("{{ 1 | 2 }}", "template: t:1: non executable command in pipeline stage 2");
        fails("{{ \"a }}", "template: t:1: unterminated quoted string");
        fails("{{ (1 }}", "template: t:1: unclosed left paren");
        fails("{{ /* x */ }}", "template: t:1: unexpected \"/\" in command");
        fails(
            "{{ .Name.First }}",
            "template: t:1:3: executing \"t\" at <.Name.First>: can't evaluate field First in type string",
        );
        fails(
            "\n {{ index .Items 7 }}",
            "template: t:2:4: executing \"t\" at <index .Items 7>: error calling index: index out of range: 7",
        );
        fails(
            "{{ lt 1 1.5 }}",
            "template: t:1:3: executing \"t\" at <lt 1 1.5>: error calling lt: incompatible types for comparison",
        );
        fails("{{ len }}", "template: t:1:3: executing \"t\" at <len>: wrong number of args for len: want 1 got 0");
        fails("{{ .Name 1 }}", "template: t:1:3: executing \"t\" at <.Name>: Name is not a method but has arguments");
    }

    #[test]
    fn a_template_cannot_run_away() {
        for text in [
            "{{ define \"x\" }}{{ template \"x\" . }}{{ end }}{{ template \"x\" . }}",
            "{{ range 1000000000 }}{{ end }}",
            "{{ range 1000 }}{{ printf \"%9999s\" \"x\" }}{{ end }}",
        ] {
            assert!(run(text).is_err(), "{text}");
        }
        let deep = format!("{}1{}", "{{ if true }}".repeat(5000), "{{ end }}".repeat(5000));
        assert!(run(&deep).is_err());
        assert!(run(&format!("{{{{ {}1{} }}}}", "(".repeat(5000), ")".repeat(5000))).is_err());
        assert!(run(&format!("{}1{}", "{{ if true }}".repeat(50), "{{ end }}".repeat(50))).is_ok());
    }

    #[test]
    fn damaged_texts_never_panic() {
        let text = "{{ define \"x\" }}{{ end }}a{{- if eq .Name `x` -}}{{ range $i, $e := .Items }}{{ $e | printf \"%s\" }}{{ end }}{{ else }}é{{ end }}";
        for cut in 0..text.len() {
            if text.is_char_boundary(cut) {
                let _ = run(&text[..cut]);
                let _ = run(&text[cut..]);
                for piece in ["}}", "{{", "\"", "(", "|", "$", ".", "-}}", "é"] {
                    let _ = run(&format!("{}{piece}{}", &text[..cut], &text[cut..]));
                }
            }
        }
    }

    #[test]
    fn html_pages_are_escaped_by_place() {
        let mut set = TemplateSet::new();
        set.add("t", "<p title=\"{{ . }}\">{{ . }}</p>{{ .Missing }}", &NoFunctions).unwrap();
        let options = Options { html: true, ..Options::default() };
        let data = Value::text_map([("a", "<")]);
        assert_eq!(set.execute("t", &data, &NoFunctions, &options).unwrap(), "<p title=\"map[a:&lt;]\">map[a:&lt;]</p>");
    }
}
