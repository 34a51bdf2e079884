//! What a refusal of CloudWatch or STS means.

use super::keys::element;

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub status: u16,
    /// The name of the error, such as `ThrottlingException`; empty when the answer gave none.
    pub code: String,
    /// For people: one line, which quotes nothing that was sent.
    pub message: String,
}

const MESSAGE_CHARS_MAX: usize = 200;

const THROTTLED: [&str; 10] = [
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "LimitExceededException",
    "LimitExceeded",
    "SlowDown",
];
const PASSING: [&str; 6] =
    ["InternalFailure", "InternalServiceFault", "InternalServiceError", "ServiceUnavailable", "RequestTimeout", "RequestExpired"];
const CREDENTIALS: [&str; 12] = [
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "ExpiredToken",
    "ExpiredTokenException",
    "SignatureDoesNotMatch",
    "InvalidSignatureException",
    "IncompleteSignature",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "AccessDenied",
    "AccessDeniedException",
    "AuthFailure",
];

impl Fault {
    /// Reads the answer to a request that failed: the JSON of CloudWatch, the XML of STS, or whatever a proxy says.
    pub fn read(status: u16, body: &[u8]) -> Fault {
        let text = String::from_utf8_lossy(body);
        let (code, message) = match serde_json::from_str::<serde_json::Value>(&text) {
            Ok(json) => {
                let field = |names: [&str; 2]| names.iter().find_map(|name| json[*name].as_str()).unwrap_or_default().to_owned();
                (field(["__type", "code"]), field(["message", "Message"]))
            }
            Err(_) => (element(&text, "Code").unwrap_or_default(), element(&text, "Message").unwrap_or_default()),
        };
        let code = code.rsplit('#').next().unwrap_or_default().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '.');
        let code: String = code.take(80).collect();
        // A complaint about a signature repeats the signed request behind its first sentence, session token and all.
        let first_line = message.lines().next().unwrap_or_default();
        let shown = if code.contains("Signature") { first_line.split(". ").next().unwrap_or_default() } else { first_line };
        Fault { status, code, message: shown.chars().take(MESSAGE_CHARS_MAX).collect() }
    }

    fn is_one_of(&self, codes: &[&str]) -> bool {
        codes.contains(&self.code.as_str())
    }

    /// Returns whether we asked too often.
    pub fn is_throttled(&self) -> bool {
        self.status == 429 || self.is_one_of(&THROTTLED)
    }

    /// Returns whether another attempt may succeed.
    pub fn may_pass(&self) -> bool {
        self.is_throttled() || self.status >= 500 || self.status == 408 || self.is_one_of(&PASSING)
    }

    /// Returns whether the credentials are at fault, so that they must be read anew.
    pub fn is_about_credentials(&self) -> bool {
        self.is_one_of(&CREDENTIALS) || self.status == 401
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HTTP {}", self.status)?;
        for part in [&self.code, &self.message] {
            if !part.is_empty() {
                write!(f, ": {part}")?;
            }
        }
        Ok(())
    }
}
