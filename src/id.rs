//! The only source of randomness: identities and secrets.
#![allow(clippy::disallowed_methods, reason = "this is the one place that the fence points to")]

/// Returns `N` unpredictable bytes.
///
/// Panics when the operating system has no randomness to give; nothing safe can be done then.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// Returns lower-case hexadecimal text, two digits a byte.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns a random UUID (version 4) in its usual text form.
pub fn uuid() -> String {
    let mut bytes: [u8; 16] = random();
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let text = hex(&bytes);
    [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-")
}

/// Returns a secret of 256 bits as text that may stand in a URL, a cookie or a header.
pub fn secret() -> String {
    hex(&random::<32>())
}

/// Returns a password that people can read from a terminal and type: 20 letters and digits without look-alikes, in groups.
pub fn password() -> String {
    const LETTERS: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789A";
    let text: Vec<char> = random::<20>().iter().map(|byte| LETTERS[usize::from(byte & 31)] as char).collect();
    text.chunks(5).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join("-")
}

/// Returns a number in `0 .. below`, for spreading work; zero when `below` is zero.
pub fn jitter(below: u64) -> u64 {
    u64::from_le_bytes(random()) % below.max(1)
}

/// Returns a number that nobody can guess.
pub fn seed() -> u64 {
    u64::from_le_bytes(random())
}

/// Returns the SHA-256 of a text as hexadecimal, under which secrets are stored.
pub fn digest(text: &str) -> String {
    use sha2::Digest;
    hex(&sha2::Sha256::digest(text.as_bytes()))
}
