//! The URL of a target, escaped as Go's `net/url` does.

use std::collections::BTreeMap;

/// Returns `scheme://address/path?parameters`.
pub fn url(scheme: &str, address: &str, path: &str, parameters: &BTreeMap<String, Vec<String>>) -> String {
    let mut url = format!("{scheme}://{address}");
    if !path.is_empty() && !path.starts_with('/') {
        url.push('/');
    }
    escape(path, &mut url, |byte| b"-_.~$&+,/:;=@".contains(&byte));
    let mut separator = '?';
    for (name, values) in parameters {
        for value in values {
            url.push(separator);
            separator = '&';
            query(name, &mut url);
            url.push('=');
            query(value, &mut url);
        }
    }
    url
}

fn query(text: &str, out: &mut String) {
    for (index, part) in text.split(' ').enumerate() {
        if index > 0 {
            out.push('+');
        }
        escape(part, out, |byte| b"-_.~".contains(&byte));
    }
}

fn escape(text: &str, out: &mut String, is_plain: impl Fn(u8) -> bool) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || is_plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_escaped_as_go_does() {
        let none = BTreeMap::new();
        assert_eq!(url("http", "a:9100", "/metrics", &none), "http://a:9100/metrics");
        assert_eq!(url("https", "[::1]:1", "x y?z%", &none), "https://[::1]:1/x%20y%3Fz%25");
        let parameters = BTreeMap::from([
            ("module".to_owned(), vec!["http 2xx".to_owned(), "a&b".to_owned()]),
            ("target".to_owned(), vec!["https://x/ü".to_owned()]),
        ]);
        assert_eq!(
            url("http", "a", "/probe", &parameters),
            "http://a/probe?module=http+2xx&module=a%26b&target=https%3A%2F%2Fx%2F%C3%BC"
        );
    }
}
