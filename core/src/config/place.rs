//! Where things are: paths beside the configuration, and URLs.

/// The folder of a file; paths inside the file are relative to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Folder(String);

impl Folder {
    pub(super) fn of(file: &str) -> Folder {
        Folder(file.rfind('/').map(|end| file[..end.max(1)].to_owned()).unwrap_or_default())
    }

    /// Returns a path as seen from where the file itself was named; absolute and empty paths stay.
    pub(super) fn join(&self, path: &str) -> String {
        if self.0.is_empty() || path.is_empty() || path.starts_with('/') {
            return path.to_owned();
        }
        let slash = if self.0.ends_with('/') { "" } else { "/" };
        format!("{}{slash}{path}", self.0)
    }
}

/// Checks that a text is an absolute URL of HTTP. The message never repeats it, since URLs hold secrets.
pub fn check_url(url: &str) -> Result<(), &'static str> {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme).or_else(|| url.split_once(':').map(|(scheme, _)| scheme));
    if !scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")) {
        return Err("URL scheme must be 'http' or 'https'");
    }
    let authority = url.split_once("://").map_or("", |(_, rest)| rest).split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if host.is_empty() || host.starts_with(':') {
        return Err("host is missing in URL; write it as http://host:port/path");
    }
    if url.chars().any(|c| c.is_control() || c == ' ') {
        return Err("a URL holds no spaces and no control characters; write them as %20 and the like");
    }
    Ok(())
}

/// Returns the path below which all is served: empty for the root, else as `/tocsin`, however many slashes stand around it.
///
/// Errors: what no path of a URL holds, or what would be another path to those who read it.
/// Source: Prometheus and Alertmanager, `--web.route-prefix`.
pub fn route_prefix(text: &str) -> Result<String, &'static str> {
    let path = text.trim_matches('/');
    if path.is_empty() {
        return Ok(String::new());
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@/".contains(c);
    if !path.chars().all(is_plain) {
        return Err("a prefix holds letters, digits, slashes and - . _ ~ only; write it as /tocsin");
    }
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err("a prefix has no empty parts, and none that is . or ..");
    }
    Ok(format!("/{path}"))
}

/// Returns the path of a URL, which is where people find what is served below it.
pub fn path_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.find('/').map_or("", |start| &rest[start..]);
    path.split(['?', '#']).next().unwrap_or_default()
}

/// Returns whether a path has at most one pattern, in its last part; so reading a folder once finds all files.
pub(super) fn is_pattern_at_end(path: &str) -> bool {
    path.find('*').is_none_or(|star| !path[star..].contains('/'))
}

/// Returns whether a file's name fits a pattern: `*` stands for any text, `?` for one character, `[ab]` and `[a-z]` for one of a
/// set, `[^…]` for one outside it, and a backslash takes the next character as it is.
///
/// Source: Go `filepath.Match`.
pub fn pattern_matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    // Where to go on after the last star when what follows it does not fit: one character further.
    let (mut at, mut in_name, mut retry) = (0, 0, None);
    loop {
        match pattern.get(at) {
            Some('*') => {
                retry = Some((at + 1, in_name));
                at += 1;
                continue;
            }
            None if in_name == name.len() => return true,
            Some(_) => {
                if let Some((next, fits)) = name.get(in_name).and_then(|c| one(&pattern, at, *c))
                    && fits
                {
                    (at, in_name) = (next, in_name + 1);
                    continue;
                }
            }
            None => {}
        }
        match retry {
            Some((after_star, from)) if from < name.len() => {
                retry = Some((after_star, from + 1));
                (at, in_name) = (after_star, from + 1);
            }
            _ => return false,
        }
    }
}

/// Holds one character against the piece of a pattern at `at`; returns where the next piece begins. None: the pattern is broken.
fn one(pattern: &[char], at: usize, c: char) -> Option<(usize, bool)> {
    match pattern[at] {
        '?' => Some((at + 1, true)),
        '\\' => pattern.get(at + 1).map(|own| (at + 2, *own == c)),
        '[' => {
            let negated = pattern.get(at + 1) == Some(&'^');
            let (mut from, mut found) = (at + 1 + usize::from(negated), false);
            loop {
                let low = *pattern.get(from)?;
                if low == ']' {
                    return Some((from + 1, found != negated));
                }
                let high = match (pattern.get(from + 1), pattern.get(from + 2)) {
                    (Some('-'), Some(high)) if *high != ']' => {
                        from += 2;
                        *high
                    }
                    _ => low,
                };
                found |= (low..=high).contains(&c);
                from += 1;
            }
        }
        own => Some((at + 1, own == c)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_a_plain_path_without_its_slashes() {
        for (text, prefix) in [("", ""), ("/", ""), ("tocsin", "/tocsin"), ("/a/b-1/", "/a/b-1"), ("//x", "/x")] {
            assert_eq!(route_prefix(text).as_deref(), Ok(prefix), "{text}");
        }
        for bad in ["/a//b", "/a/../b", "/a b", "/%2e", "/a?b", "/\"x", "/ä"] {
            assert!(route_prefix(bad).is_err(), "{bad}");
        }
        let paths = ["http://x:1/a/b", "https://x", "http://x/", "http://x/a?b=/c"].map(path_of);
        assert_eq!(paths, ["/a/b", "", "/", "/a"]);
    }

    #[test]
    fn names_fit_patterns_as_in_go() {
        for (pattern, name, fits) in [
            ("*.yml", "a.yml", true),
            ("*.yml", "a.yaml", false),
            ("a*b*c", "axxbyyc", true),
            ("a*a", "a", false),
            ("a*ab", "aaab", true),
            ("rule?.yml", "rule1.yml", true),
            ("rule?.yml", "rule.yml", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("\\*", "*", true),
            ("\\*", "x", false),
            ("[a", "a", false),
            ("*", "", true),
            ("", "", true),
        ] {
            assert_eq!(pattern_matches(pattern, name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn paths_are_beside_the_file() {
        assert_eq!(Folder::of("etc/tocsin.yml").join("rules/*.yml"), "etc/rules/*.yml");
        assert_eq!(Folder::of("/tocsin.yml").join("a"), "/a");
        assert_eq!(Folder::of("tocsin.yml").join("a"), "a");
        assert_eq!(Folder::of("etc/tocsin.yml").join("/a"), "/a");
    }

    #[test]
    fn urls_need_a_scheme_and_a_host() {
        for good in ["http://a", "https://user:pass@a:1/b?c", "HTTP://[::1]:80/"] {
            assert_eq!(check_url(good), Ok(()), "{good}");
        }
        for bad in ["a", "a:80", "ftp://a", "http://", "http:///x", "http://:80", "http://a b", "http:a"] {
            assert!(check_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn patterns_stand_in_the_last_part_only() {
        assert!(is_pattern_at_end("a/b") && is_pattern_at_end("a/*.yml") && is_pattern_at_end("a/*b*"));
        assert!(!is_pattern_at_end("a/*/b"));
    }
}
