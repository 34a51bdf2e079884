//! Whether a webhook is genuine, fresh and new.

use sha2::{Digest, Sha256};

use crate::time::{Span, Timestamp};

use super::runbook::hex;
use super::value::is_name;

/// A delivery whose time lies further from ours is refused; delivery ids must be remembered for twice as long.
pub const REPLAY_WINDOW: Span = Span::from_mins(5);
/// A larger body is refused.
pub const BODY_BYTES_MAX: usize = 64 << 10;
const DELIVERY_BYTES_MAX: usize = 128;
const BLOCK_BYTES: usize = 64;

/// What arrived.
#[derive(Clone, Copy, Debug)]
pub struct Post<'a> {
    /// Seconds since the epoch, as the sender wrote them.
    pub timestamp: &'a str,
    pub delivery: &'a str,
    /// `sha256=` and 64 hexadecimal digits: HMAC over `timestamp.delivery.body`.
    pub signature: &'a str,
    pub body: &'a [u8],
}

/// Why a delivery is refused. None of them tells a stranger how near the guess was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPost {
    #[error("the body is larger than {BODY_BYTES_MAX} bytes")]
    TooLarge,
    #[error("the delivery id must be a name of at most {DELIVERY_BYTES_MAX} bytes")]
    Delivery,
    #[error("the timestamp must be seconds since the epoch")]
    Timestamp,
    #[error("the signature does not belong to this delivery")]
    Signature,
    #[error("the timestamp lies more than {REPLAY_WINDOW} from now")]
    Stale,
    #[error("the delivery has been accepted before")]
    Replayed,
}

/// Returns the delivery id of a genuine, fresh and new delivery; `seen` answers whether an id was accepted before.
pub fn check<'a>(post: &Post<'a>, secret: &[u8], now: Timestamp, seen: impl Fn(&str) -> bool) -> Result<&'a str, BadPost> {
    if post.body.len() > BODY_BYTES_MAX {
        return Err(BadPost::TooLarge);
    }
    if post.delivery.len() > DELIVERY_BYTES_MAX || !is_name(post.delivery) {
        return Err(BadPost::Delivery);
    }
    if post.timestamp.is_empty() || post.timestamp.len() > 12 || !post.timestamp.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(BadPost::Timestamp);
    }
    let seconds: i64 = post.timestamp.parse().map_err(|_| BadPost::Timestamp)?;
    // The signature is held against the texts before anything in them is believed. Without a secret nothing is genuine.
    if secret.is_empty() || !equal(&sign(post, secret), post.signature.as_bytes()) {
        return Err(BadPost::Signature);
    }
    if (now - Timestamp(seconds * 1000)).0.abs() > REPLAY_WINDOW.0 {
        return Err(BadPost::Stale);
    }
    if seen(post.delivery) {
        return Err(BadPost::Replayed);
    }
    Ok(post.delivery)
}

fn sign(post: &Post<'_>, secret: &[u8]) -> Vec<u8> {
    let parts = [post.timestamp.as_bytes(), b".", post.delivery.as_bytes(), b".", post.body];
    format!("sha256={}", hex(&hmac(secret, &parts))).into_bytes()
}

/// Returns HMAC-SHA256 of the parts in a row.
///
/// Source: RFC 2104.
pub fn hmac(secret: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut key = [0u8; BLOCK_BYTES];
    if secret.len() > BLOCK_BYTES {
        key[..32].copy_from_slice(&Sha256::digest(secret));
    } else {
        key[..secret.len()].copy_from_slice(secret);
    }
    let mut inner = Sha256::new();
    inner.update(key.map(|byte| byte ^ 0x36));
    parts.iter().for_each(|part| inner.update(part));
    let mut outer = Sha256::new();
    outer.update(key.map(|byte| byte ^ 0x5c));
    outer.update(inner.finalize());
    outer.finalize().into()
}

/// Compares without telling by time where two texts differ.
fn equal(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_rfc_4231() {
        for (key, text, code) in [
            (vec![0x0b; 20], &b"Hi There"[..], "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (
                b"Jefe".to_vec(),
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                vec![0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ] {
            assert_eq!(hex(&hmac(&key, &[text])), code);
        }
    }
}
