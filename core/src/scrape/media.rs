//! What we ask a target for, and what we take its answer to be.

use std::fmt::Write;

use crate::model::exposition::Format;

use super::job::{Encoding, Job, Protocol};

/// Returns the value of the `Accept` header: the job's protocols, best first, then anything.
///
/// Source: Prometheus `scrape.acceptHeader`.
pub fn accept_header(job: &Job) -> String {
    const WEIGHT_MAX: usize = 6;
    let escaping = if job.classic_names_only { "underscores" } else { "allow-utf-8" };
    let mut header = String::new();
    for (index, protocol) in job.protocols.iter().enumerate() {
        let (media, is_escaped) = match protocol {
            Protocol::OpenMetrics0 => ("application/openmetrics-text;version=0.0.1", false),
            Protocol::OpenMetrics1 => ("application/openmetrics-text;version=1.0.0", true),
            Protocol::Protobuf => {
                ("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited", false)
            }
            Protocol::Text0 => ("text/plain;version=0.0.4", false),
            Protocol::Text1 => ("text/plain;version=1.0.0", true),
        };
        header += media;
        if is_escaped {
            let _ = write!(header, ";escaping={escaping}");
        }
        let _ = write!(header, ";q=0.{},", WEIGHT_MAX - index);
    }
    header + &format!("*/*;q=0.{}", WEIGHT_MAX - job.protocols.len())
}

/// The header that tells a target how many seconds it has.
pub const TIMEOUT_HEADER: &str = "X-Prometheus-Scrape-Timeout-Seconds";

/// Returns how a body is written by its content type, or by the job's choice for targets that send none that we know.
///
/// Errors: a message when neither decides.
/// Source: Prometheus `textparse.New`.
pub fn encoding_of(content_type: Option<&str>, fallback: Option<Protocol>) -> Result<Encoding, String> {
    let content_type = content_type.unwrap_or_default();
    let problem = if content_type.is_empty() {
        "non-compliant scrape target sending blank Content-Type and no fallback_scrape_protocol specified for target".to_owned()
    } else {
        match media_type(content_type).as_deref() {
            Some("text/plain") => return Ok(Encoding::Text(Format::Text)),
            Some("application/openmetrics-text") => return Ok(Encoding::Text(Format::OpenMetrics)),
            Some("application/vnd.google.protobuf") => return Ok(Encoding::Protobuf),
            Some(_) => {
                format!("received unsupported Content-Type {content_type:?} and no fallback_scrape_protocol specified for target")
            }
            None => format!("cannot parse Content-Type {content_type:?} and no fallback_scrape_protocol for target"),
        }
    };
    fallback.map(Protocol::encoding).ok_or(problem)
}

/// Returns the media type of a header in small letters; `None` when the header is malformed.
fn media_type(header: &str) -> Option<String> {
    let (media, mut parameters) = header.split_once(';').unwrap_or((header, ""));
    let media = media.trim().to_ascii_lowercase();
    let is_media = match media.split_once('/') {
        Some((kind, subtype)) => is_token(kind) && is_token(subtype),
        None => is_token(&media),
    };
    if !is_media {
        return None;
    }
    loop {
        parameters = parameters.trim_start();
        // A semicolon at the very end is forgiven.
        if parameters.is_empty() {
            return Some(media);
        }
        let (name, behind) = parameters.split_once('=')?;
        if !is_token(name) {
            return None;
        }
        let end = match behind.strip_prefix('"') {
            Some(quoted) => quoted_length(quoted)? + 2,
            None => behind.find(|c: char| !is_token_char(c)).unwrap_or(behind.len()),
        };
        if end == 0 {
            return None;
        }
        let rest = behind[end..].trim_start();
        parameters = match rest.strip_prefix(';') {
            Some(rest) => rest,
            None if rest.is_empty() => rest,
            None => return None,
        };
    }
}

/// Returns the length of a quoted string's content, without its quotes.
fn quoted_length(text: &str) -> Option<usize> {
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return Some(at),
            b'\\' => drop(bytes.next()?),
            _ => {}
        }
    }
    None
}

fn is_token_char(c: char) -> bool {
    c.is_ascii_graphic() && !"()<>@,;:\\\"/[]?=".contains(c)
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_token_char)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_decide_the_format() {
        let (text, openmetrics) = (Encoding::Text(Format::Text), Encoding::Text(Format::OpenMetrics));
        let encoding = |header| encoding_of(Some(header), None);
        for header in
            ["text/plain", "Text/Plain; version=0.0.4; charset=\"utf-8\"", "text/plain;version=1.0.0;escaping=allow-utf-8;"]
        {
            assert_eq!(encoding(header), Ok(text), "{header}");
        }
        assert_eq!(encoding("application/openmetrics-text; version=1.0.0; charset=utf-8"), Ok(openmetrics));
        let protobuf = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
        assert_eq!(encoding(protobuf), Ok(Encoding::Protobuf));
        for header in ["", "application/json", "text/plain;", "text/plain; version", "text plain", "text/plain; a=\"b"] {
            let expected = if header == "text/plain;" { Ok(text) } else { Ok(openmetrics) };
            assert_eq!(encoding_of(Some(header), Some(Protocol::OpenMetrics1)), expected, "{header}");
            assert_eq!(encoding(header).is_err(), header != "text/plain;", "{header}");
        }
        assert!(encoding_of(None, None).unwrap_err().contains("blank Content-Type"));
        assert_eq!(encoding_of(None, Some(Protocol::Protobuf)), Ok(Encoding::Protobuf));
    }
}
