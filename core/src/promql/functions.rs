//! The functions of PromQL: their signatures. Their bodies stand in `functions/`, one family a file.

use super::ast::ValueType;

/// The signature of a function.
#[derive(Debug, PartialEq)]
pub struct Function {
    pub name: &'static str,
    pub args: &'static [ValueType],
    /// Zero: exactly the arguments of `args`. Positive: the last this many may be left out. Negative: the last may repeat without end.
    pub variadic: i8,
    pub returns: ValueType,
    pub experimental: bool,
}
