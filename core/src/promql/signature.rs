//! The signatures of PromQL's functions.

mod table;

pub use table::FUNCTIONS;

/// What kind of value an expression has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueType {
    Scalar,
    Text,
    InstantVector,
    RangeVector,
}

/// The signature of a function.
#[derive(Debug, PartialEq)]
pub struct Function {
    pub name: &'static str,
    pub args: &'static [ValueType],
    /// Zero: exactly the arguments of `args`. Positive: the last of `args` may be left out, or stand up to this many times.
    /// Negative: the last may be left out, or repeat without end.
    pub variadic: i8,
    pub returns: ValueType,
    pub experimental: bool,
}

impl Function {
    /// Returns the fewest arguments a call may have.
    pub fn args_min(&self) -> usize {
        if self.variadic == 0 { self.args.len() } else { self.args.len() - 1 }
    }

    /// Returns the most arguments a call may have; `None` when there is no end.
    pub fn args_max(&self) -> Option<usize> {
        usize::try_from(self.variadic).ok().map(|extra| self.args_min() + extra)
    }

    /// Returns the type of the argument at `index`: behind the last of `args` the last one repeats.
    pub fn arg(&self, index: usize) -> Option<ValueType> {
        self.args.get(index).or(self.args.last()).copied()
    }
}

/// Returns the function of this name, experimental ones included.
pub fn lookup(name: &str) -> Option<&'static Function> {
    FUNCTIONS.binary_search_by(|function| function.name.cmp(name)).ok().map(|at| &FUNCTIONS[at])
}
