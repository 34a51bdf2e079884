//! Remote write, the thinking half: what a request of another server brings, and what is told to other servers and how.
//!
//! Source: the specifications of remote write, 1.0 and 2.0.

pub mod dump;
pub mod import;
pub mod read;
pub mod record;
pub mod send;
pub mod write;

mod histogram;
mod wire;

/// Which message a request carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// `prometheus.WriteRequest`, of 1.0.
    V1,
    /// `io.prometheus.write.v2.Request`, of 2.0.
    V2,
}

const MEDIA_TYPE: &str = "application/x-protobuf";

impl Protocol {
    /// Returns the name of the message.
    pub fn message(self) -> &'static str {
        match self {
            Protocol::V1 => "prometheus.WriteRequest",
            Protocol::V2 => "io.prometheus.write.v2.Request",
        }
    }

    /// Returns the protocol of a message's name.
    pub fn of_message(name: &str) -> Option<Protocol> {
        [Protocol::V1, Protocol::V2].into_iter().find(|protocol| protocol.message() == name)
    }

    /// Returns the short name of the version, for figures.
    pub fn word(self) -> &'static str {
        match self {
            Protocol::V1 => "1.0",
            Protocol::V2 => "2.0",
        }
    }

    /// Returns what the header `X-Prometheus-Remote-Write-Version` says.
    pub fn version(self) -> &'static str {
        match self {
            Protocol::V1 => "0.1.0",
            Protocol::V2 => "2.0.0",
        }
    }

    /// Returns the header `Content-Type` of a request.
    pub fn content_type(self) -> &'static str {
        match self {
            Protocol::V1 => MEDIA_TYPE,
            Protocol::V2 => "application/x-protobuf;proto=io.prometheus.write.v2.Request",
        }
    }

    /// Reads the header `Content-Type`; without one, or without a name of a message in it, it is that of 1.0.
    ///
    /// Errors: says what is not served.
    pub fn of_content_type(text: Option<&str>) -> Result<Protocol, String> {
        let Some(text) = text.filter(|text| !text.trim().is_empty()) else { return Ok(Protocol::V1) };
        let mut parts = text.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        if !media.eq_ignore_ascii_case(MEDIA_TYPE) {
            return Err(format!("expected {MEDIA_TYPE} as the media type, got {text:?}"));
        }
        for part in parts.filter(|part| !part.is_empty()) {
            let Some((name, value)) = part.split_once('=') else {
                return Err(format!("expected parameters to be key-values, got {part:?} in content type {text:?}"));
            };
            if name.trim().eq_ignore_ascii_case("proto") {
                let value = value.trim().trim_matches('"');
                let known = [Protocol::V1, Protocol::V2].map(Protocol::message).join(", ");
                let unknown = || format!("unknown remote write protobuf message {value:?} in content type; known: {known}");
                return Protocol::of_message(value).ok_or_else(unknown);
            }
        }
        Ok(Protocol::V1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_type_chooses_the_message() {
        for (text, protocol) in [
            (None, Some(Protocol::V1)),
            (Some(""), Some(Protocol::V1)),
            (Some("application/x-protobuf"), Some(Protocol::V1)),
            (Some("application/x-protobuf;proto=prometheus.WriteRequest"), Some(Protocol::V1)),
            (Some("Application/X-Protobuf ; proto=\"io.prometheus.write.v2.Request\""), Some(Protocol::V2)),
            (Some("application/x-protobuf; charset=x; Proto=io.prometheus.write.v2.Request"), Some(Protocol::V2)),
            (Some("application/x-protobuf;proto=io.prometheus.write.v3.Request"), None),
            (Some("application/x-protobuf;proto"), None),
            (Some("application/json"), None),
            (Some("text/plain;proto=prometheus.WriteRequest"), None),
        ] {
            assert_eq!(Protocol::of_content_type(text).ok(), protocol, "{text:?}");
        }
        for protocol in [Protocol::V1, Protocol::V2] {
            assert_eq!(Protocol::of_content_type(Some(protocol.content_type())), Ok(protocol));
            assert_eq!(Protocol::of_message(protocol.message()), Some(protocol));
        }
    }
}
