//! HTTP digest authentication.
//!
//! Source: RFC 7616, with `qop=auth`.

use md5::{Digest, Md5};
use sha2::Sha256;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Md5,
    Sha256,
}

/// What a server asks for in `WWW-Authenticate`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    /// The word for the algorithm as the server wrote it.
    algorithm_word: Option<String>,
    /// The server takes the form without counts, of RFC 2069.
    counted: bool,
    /// The nonce had merely grown old.
    pub stale: bool,
}

/// Cuts a list of `name=value` pairs, with values that may be quoted.
fn parameters(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some((name, behind)) = rest.split_once('=') {
        let name = name.trim().trim_start_matches(',').trim().to_ascii_lowercase();
        let behind = behind.trim_start();
        let (value, after) = match behind.strip_prefix('"') {
            Some(quoted) => {
                let (mut value, mut end, mut escaped) = (String::new(), quoted.len(), false);
                for (at, c) in quoted.char_indices() {
                    match c {
                        '\\' if !escaped => escaped = true,
                        '"' if !escaped => {
                            end = at + 1;
                            break;
                        }
                        c => {
                            value.push(c);
                            escaped = false;
                        }
                    }
                }
                (value, &quoted[end..])
            }
            None => {
                let end = behind.find(',').unwrap_or(behind.len());
                (behind[..end].trim().to_owned(), &behind[end..])
            }
        };
        found.push((name, value));
        rest = after.trim_start_matches([',', ' ', '\t']);
    }
    found
}

impl Challenge {
    /// Reads a header; None when it is no digest challenge that can be answered.
    pub fn parse(header: &str) -> Option<Challenge> {
        let (scheme, rest) = header.trim().split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("digest") {
            return None;
        }
        let found = parameters(rest);
        let get = |name: &str| found.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone());
        let algorithm_word = get("algorithm");
        let algorithm = match algorithm_word.as_deref().map(str::to_ascii_uppercase).as_deref() {
            None | Some("MD5") => Algorithm::Md5,
            Some("SHA-256") => Algorithm::Sha256,
            Some(_) => return None,
        };
        let qop = get("qop");
        if let Some(qop) = &qop
            && !qop.split(',').any(|word| word.trim().eq_ignore_ascii_case("auth"))
        {
            return None;
        }
        Some(Challenge {
            realm: get("realm")?,
            nonce: get("nonce").filter(|nonce| !nonce.is_empty())?,
            opaque: get("opaque"),
            algorithm,
            algorithm_word,
            counted: qop.is_some(),
            stale: get("stale").is_some_and(|word| word.eq_ignore_ascii_case("true")),
        })
    }

    fn hash(&self, text: &str) -> String {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        match self.algorithm {
            Algorithm::Md5 => hex(&Md5::digest(text.as_bytes())),
            Algorithm::Sha256 => hex(&Sha256::digest(text.as_bytes())),
        }
    }

    /// Returns the value of the `Authorization` header for one request.
    ///
    /// `uri` is the path and query as they are sent; `count` is 1 for the first request under this nonce, and grows by one with each;
    /// `own_nonce` is a text that nobody can guess.
    pub fn answer(&self, user: &str, password: &str, method: &str, uri: &str, count: u32, own_nonce: &str) -> String {
        let Challenge { realm, nonce, .. } = self;
        let who = self.hash(&format!("{user}:{realm}:{password}"));
        let what = self.hash(&format!("{method}:{uri}"));
        let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        let response = if self.counted {
            self.hash(&format!("{who}:{nonce}:{count:08x}:{own_nonce}:auth:{what}"))
        } else {
            self.hash(&format!("{who}:{nonce}:{what}"))
        };
        let mut header = format!(
            "Digest username={}, realm={}, nonce={}, uri={}, response=\"{response}\"",
            quoted(user),
            quoted(realm),
            quoted(nonce),
            quoted(uri)
        );
        if let Some(word) = &self.algorithm_word {
            header.push_str(&format!(", algorithm={word}"));
        }
        if self.counted {
            header.push_str(&format!(", qop=auth, nc={count:08x}, cnonce={}", quoted(own_nonce)));
        }
        if let Some(opaque) = &self.opaque {
            header.push_str(&format!(", opaque={}", quoted(opaque)));
        }
        header
    }
}
