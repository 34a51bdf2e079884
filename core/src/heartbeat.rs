//! Heartbeats: signs of life that we send to a watcher outside, who tells people when they stay away.

use crate::client::{HttpClient, Secret};
use crate::time::Span;

/// Where a sign of life goes, and how often.
#[derive(Clone, Debug, PartialEq)]
pub struct Heartbeat {
    pub url: Secret,
    /// Asked in place of the other while we are not well; None: then nobody is asked, and the watcher misses us.
    pub fail_url: Option<Secret>,
    pub method: Method,
    pub every: Span,
    pub timeout: Span,
    pub client: HttpClient,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    #[default]
    Get,
    Head,
    Post,
}
