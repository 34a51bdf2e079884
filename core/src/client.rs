//! How we speak to other servers over HTTP: settings, not sockets.

use std::collections::BTreeMap;
use std::fmt;

/// A secret as it was configured. Its value is read at the last moment, by the edge, and never printed.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// Written in the configuration itself.
    Inline(String),
    /// The content of a file, read at each use; surrounding white space is cut.
    File(String),
    /// The value of an environment variable.
    Env(String),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Secret::Inline(_) => f.write_str("<secret>"),
            Secret::File(path) => write!(f, "<secret in file {path:?}>"),
            Secret::Env(name) => write!(f, "<secret in environment variable {name}>"),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct HttpClient {
    pub auth: Auth,
    pub tls: Tls,
    pub proxy_url: Option<String>,
    /// Take the proxy from HTTP_PROXY, HTTPS_PROXY and NO_PROXY.
    pub proxy_from_environment: bool,
    /// Hosts, domains and networks to reach without the proxy, separated by commas.
    pub no_proxy: Option<String>,
    pub follow_redirects: bool,
    pub enable_http2: bool,
    pub headers: BTreeMap<String, Vec<Secret>>,
}

impl Default for HttpClient {
    fn default() -> Self {
        HttpClient {
            auth: Auth::None,
            tls: Tls::default(),
            proxy_url: None,
            proxy_from_environment: false,
            no_proxy: None,
            follow_redirects: true,
            enable_http2: true,
            headers: BTreeMap::new(),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub enum Auth {
    #[default]
    None,
    Basic {
        username: Secret,
        password: Option<Secret>,
    },
    /// `Authorization: <scheme> <credentials>`; the scheme is `Bearer` unless told otherwise.
    Authorization {
        scheme: String,
        credentials: Secret,
    },
}

impl Auth {
    /// Returns what nobody else may know.
    pub fn secret(&self) -> Option<&Secret> {
        match self {
            Auth::None => None,
            Auth::Basic { password, .. } => password.as_ref(),
            Auth::Authorization { credentials, .. } => Some(credentials),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tls {
    /// PEM text or file of the authorities to trust, in place of the system's.
    pub ca: Option<Secret>,
    /// PEM text or file of our certificate and its key.
    pub cert: Option<Secret>,
    pub key: Option<Secret>,
    pub server_name: Option<String>,
    pub insecure_skip_verify: bool,
}
