//! The markup of providers. Templates may use it, as their authors mean it; our own words must not be taken for it.

/// Returns a text as it is, for a provider that reads none.
pub fn none(text: &str) -> String {
    text.to_owned()
}

/// Escapes a text for Slack's mrkdwn.
///
/// Source: Slack's page on formatting text: these three characters and no others.
pub fn slack(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Escapes a text for HTML.
pub fn html(text: &str) -> String {
    slack(text).replace('"', "&quot;")
}

/// Escapes a text for the Markdown of Discord and Teams.
pub fn markdown(text: &str) -> String {
    escaped(text, &['\\', '*', '_', '~', '`', '|', '>', '#', '[', ']'])
}

/// Escapes a text for Telegram's MarkdownV2.
///
/// Source: Telegram's Bot API, "MarkdownV2 style".
pub fn markdown_v2(text: &str) -> String {
    let special = ['\\', '_', '*', '[', ']', '(', ')', '~', '`', '>', '#', '+', '-', '=', '|', '{', '}', '.', '!'];
    escaped(text, &special)
}

/// Escapes a text for Telegram's older Markdown.
///
/// Source: Telegram's Bot API, "Markdown style".
pub fn old_markdown(text: &str) -> String {
    escaped(text, &['_', '*', '`', '['])
}

fn escaped(text: &str, special: &[char]) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if special.contains(&c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Returns what a reader sees of HTML: without tags, entities as the characters that they stand for.
pub fn without_tags(html: &str) -> String {
    let mut out = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(at) = rest.find(['<', '&']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = if rest.starts_with('<') { rest.find('>') } else { rest.find(';').filter(|end| *end <= ENTITY_BYTES_MAX) };
        let seen = match end {
            Some(_) if rest.starts_with('<') => Some(None),
            Some(end) => entity(&rest[1..end]).map(Some),
            None => None,
        };
        match (seen, end) {
            (Some(seen), Some(end)) => {
                out.extend(seen);
                rest = &rest[end + 1..];
            }
            _ => {
                out.push_str(&rest[..1]);
                rest = &rest[1..];
            }
        }
    }
    out + rest
}

/// The longest name of an entity that is looked for, such as `&#x10ffff;`.
const ENTITY_BYTES_MAX: usize = 10;

fn entity(name: &str) -> Option<char> {
    match name {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix('x') {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_words_are_no_markup() {
        assert_eq!(slack("<!channel> & co"), "&lt;!channel&gt; &amp; co");
        assert_eq!(markdown("a_b *c*"), "a\\_b \\*c\\*");
        assert_eq!(markdown_v2("1.5 (x)"), "1\\.5 \\(x\\)");
        assert_eq!(without_tags("<b>a &lt; b</b> &amp; &#34;c&#x22; &nope; 1 < 2"), "a < b & \"c\" &nope; 1 < 2");
        assert_eq!(without_tags("x <a href=\"y\">z</a>&"), "x z&");
    }
}
