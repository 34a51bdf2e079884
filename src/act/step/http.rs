//! Requests over HTTP: only to hosts that the configuration lists, and never to addresses where a machine tells of itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde_json::{Value as Json, json};
use tocsin_core::run::action::{self, Header};
use tocsin_core::run::machine::Outcome;
use tocsin_core::run::request::Request;
use tocsin_core::run::settings::Settings;

use super::{Begin, Issue, Means};
use crate::client::answer::{BodyError, body, with_causes};
use crate::client::{build_pinned, reveal};

const BODY_BYTES_MAX: usize = 1 << 20;
/// A body that nests deeper is kept as text: what is stored of it must be readable again inside of other documents.
const DEPTH_MAX: usize = 64;
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Returns whether requests may never go to an address: link-local ones, those at which clouds tell machines of themselves, and those
/// that are no single machine's.
fn is_forbidden(address: IpAddr) -> bool {
    /// Alibaba, Oracle and Azure tell machines of themselves under these.
    const METADATA: [Ipv4Addr; 3] =
        [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192), Ipv4Addr::new(168, 63, 129, 16)];
    /// Amazon's under IPv6.
    const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
    match address {
        IpAddr::V4(v4) => {
            v4.is_link_local() || v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast() || METADATA.contains(&v4)
        }
        IpAddr::V6(v6) => {
            let segments = v6.segments();
            // Addresses of version 4 in the clothes of version 6: mapped, compatible, and those of translators.
            let inner = match segments {
                [0, 0, 0, 0, 0, 0xffff, high, low] => Some((high, low)),
                // The nothing and the loopback of version 6 look like addresses of version 4.
                [0, 0, 0, 0, 0, 0, high, low] if (high, low) > (0, 1) => Some((high, low)),
                [0x64, 0xff9b, .., high, low] => Some((high, low)),
                [0x2002, high, low, ..] => Some((high, low)),
                _ => None,
            };
            let inner = inner.map(|(high, low)| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
            inner.is_some_and(|v4| is_forbidden(IpAddr::V4(v4)))
                || v6.is_unicast_link_local()
                || v6.is_unspecified()
                || v6.is_multicast()
                || v6 == METADATA_V6
        }
    }
}

/// Returns where a request goes, and the addresses that it may connect to.
async fn place(url: &str, query: &[(String, String)], settings: &Settings) -> Result<(Url, String, Vec<SocketAddr>), String> {
    let mut url = Url::parse(url).map_err(|error| format!("the address cannot be read: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() || url.password().is_some() {
        return Err("an address begins with http:// or https:// and holds no user".to_owned());
    }
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
    let port = url.port_or_known_default().unwrap_or_default();
    let with_port = format!("{host}:{port}");
    let is_listed = |one: &String| one.eq_ignore_ascii_case(&host) || one.eq_ignore_ascii_case(&with_port);
    if !settings.hosts.iter().any(is_listed) {
        return Err(format!("the configuration allows no requests to {with_port}"));
    }
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let addresses: Vec<SocketAddr> = match bare.parse::<IpAddr>() {
        Ok(address) => vec![SocketAddr::new(address, port)],
        Err(_) => tokio::net::lookup_host((bare, port)).await.map_err(|error| format!("cannot find {host}: {error}"))?.collect(),
    };
    if addresses.is_empty() {
        return Err(format!("{host} has no address"));
    }
    // One bad address is enough: who answers for the name means no good.
    if let Some(bad) = addresses.iter().find(|address| is_forbidden(address.ip())) {
        return Err(format!("{host} leads to {}, a link-local or metadata address, which requests never go to", bad.ip()));
    }
    Ok((url, host, addresses))
}

/// Sends a request and returns the answer.
pub(super) async fn send(means: &Means, issue: &Issue, begin: Begin<'_, impl AsyncFnOnce(Option<String>)>) -> Outcome {
    let Request::Http { method, url, query, headers, body: sent, .. } = &issue.request else {
        return Outcome::NotDone("this is no request over HTTP".to_owned());
    };
    let settings = means.settings.borrow().clone();
    let (url, host, addresses) = match place(url, query, &settings).await {
        Ok(place) => place,
        Err(why) => return Outcome::NotDone(why),
    };
    let reads = matches!(method, action::Method::Get | action::Method::Head);
    // Silence while connecting must be told from silence afterwards, so it ends earlier than the attempt.
    let connect_timeout = CONNECT_MAX.min(issue.timeout.to_std().mul_f64(0.8));
    let client = match build_pinned(&host, &addresses, reads, connect_timeout).await {
        Ok(client) => client,
        Err(error) => return Outcome::NotDone(with_causes(&error)),
    };
    let mut request = client.request(method_of(*method), url);
    if let Some(sent) = sent {
        request = request.header(CONTENT_TYPE, "application/json").body(sent.to_string());
    }
    for (name, header) in headers {
        match value_of(name, header, &settings).await {
            Ok((name, value)) => request = request.header(name, value),
            Err(why) => return Outcome::NotDone(why),
        }
    }
    let request = match request.build() {
        Ok(request) => request,
        Err(error) => return Outcome::NotDone(format!("cannot make the request: {}", with_causes(&error.without_url()))),
    };
    if let Err(late) = begin.now(None).await {
        return late;
    }
    let response = match client.execute(request).await {
        Ok(response) => response,
        Err(error) if error.is_connect() => {
            return Outcome::NotDone(format!("cannot connect to {host}: {}", with_causes(&error.without_url())));
        }
        Err(error) => return Outcome::Unknown(format!("{host} did not answer: {}", with_causes(&error.without_url()))),
    };
    let mut answer = json!({ "status": response.status().as_u16(), "body": null });
    match body(response, BODY_BYTES_MAX).await {
        Ok(bytes) if bytes.is_empty() => {}
        Ok(bytes) => answer["body"] = shown(&bytes, issue, means).await,
        // The status says what became of the request; the rest is for those who ask for more of the answer, and they will miss it.
        Err(BodyError::TooLarge(_)) => answer["left_out"] = "the body is longer than 1 MiB".into(),
        Err(BodyError::Transport(_)) => answer["left_out"] = "the body broke off".into(),
    }
    Outcome::Answer(answer)
}

/// Returns a body as the machine judges it: JSON as a whole, since expectations point into it, and text cut.
async fn shown(bytes: &[u8], issue: &Issue, means: &Means) -> Json {
    let redactor = means.redactor().await;
    match serde_json::from_slice::<Json>(bytes) {
        Ok(json) if depth(&json) <= DEPTH_MAX => redactor.json(json, &issue.capture),
        _ => {
            let most = issue.capture.max_bytes.saturating_sub(100);
            redactor.text(&String::from_utf8_lossy(bytes), &issue.capture, most, false).into()
        }
    }
}

/// Returns how deep lists and maps lie in each other.
fn depth(json: &Json) -> usize {
    match json {
        Json::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Json::Object(entries) => 1 + entries.values().map(depth).max().unwrap_or(0),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => 0,
    }
}

fn method_of(method: action::Method) -> Method {
    match method {
        action::Method::Get => Method::GET,
        action::Method::Head => Method::HEAD,
        action::Method::Post => Method::POST,
        action::Method::Put => Method::PUT,
        action::Method::Patch => Method::PATCH,
        action::Method::Delete => Method::DELETE,
    }
}

async fn value_of(name: &str, header: &Header, settings: &Settings) -> Result<(HeaderName, HeaderValue), String> {
    let text = match header {
        Header::Literal(text) => text.clone(),
        Header::Secret(secret) => {
            let known = settings.secrets.get(secret).ok_or_else(|| format!("the configuration lists no secret {secret:?}"))?;
            reveal(known).await.map_err(|error| format!("cannot read the secret {secret:?}: {}", with_causes(&error)))?
        }
    };
    let read = HeaderName::from_bytes(name.as_bytes()).ok().zip(HeaderValue::from_str(&text).ok());
    let (name, mut value) = read.ok_or_else(|| format!("cannot send the header {name}"))?;
    value.set_sensitive(matches!(header, Header::Secret(_)));
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_at_which_machines_tell_of_themselves_are_refused_in_every_form() {
        for text in [
            "169.254.169.254",
            "169.254.1.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "100.100.100.200",
            "168.63.129.16",
            "::",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "fe80::1",
            "ff02::1",
            "fd00:ec2::254",
            "::ffff:0.0.0.0",
        ] {
            assert!(is_forbidden(text.parse().unwrap()), "{text}");
        }
        for text in ["127.0.0.1", "10.0.0.1", "192.168.1.1", "8.8.8.8", "::1", "fd00::1", "2001:db8::1", "::ffff:10.0.0.1"] {
            assert!(!is_forbidden(text.parse().unwrap()), "{text}");
        }
    }
}
