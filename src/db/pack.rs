//! Long documents in columns of text: packed, for what a storm writes again and again says nearly the same in every line.

use std::borrow::Cow;
use std::cell::RefCell;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use zstd::bulk::Compressor;

/// Shorter ones stay readable.
const PLAIN_BYTES_MAX: usize = 4 << 10;
/// No document in JSON begins so.
const MARK: &str = "zstd:";
/// The lightest: it takes these texts to a tenth.
const LEVEL: i32 = 1;
/// What a packed text may be at most, against bytes that are no text of ours.
const BYTES_MAX: usize = 256 << 20;

thread_local! {
    /// To make one takes as long as to pack a document.
    static PACKER: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
}

/// Returns a document as its column holds it.
pub fn pack(json: String) -> String {
    if json.len() <= PLAIN_BYTES_MAX {
        return json;
    }
    let packed = PACKER.with_borrow_mut(|packer| match packer {
        Some(packer) => packer.compress(json.as_bytes()),
        None => packer.insert(Compressor::new(LEVEL)?).compress(json.as_bytes()),
    });
    match packed {
        Ok(packed) => format!("{MARK}{}:{}", json.len(), STANDARD_NO_PAD.encode(packed)),
        // It is as good as it is.
        Err(_) => json,
    }
}

/// Returns the document that a column holds; None when that is damaged.
pub fn unpack(column: &str) -> Option<Cow<'_, str>> {
    let Some(packed) = column.strip_prefix(MARK) else { return Some(Cow::Borrowed(column)) };
    let (len, packed) = packed.split_once(':')?;
    let len = len.parse().ok().filter(|len| *len <= BYTES_MAX)?;
    let json = zstd::bulk::decompress(&STANDARD_NO_PAD.decode(packed).ok()?, len).ok()?;
    String::from_utf8(json).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_come_back_as_they_went_and_damage_is_seen() {
        let long = format!("{{\"größe\":\"{}\"}}", "thing is bad ".repeat(5000));
        for json in ["{}", "\"zstd\"", &long] {
            let packed = pack(json.to_owned());
            assert_eq!(unpack(&packed).as_deref(), Some(json));
            assert!(packed.len() <= PLAIN_BYTES_MAX);
        }
        let packed = pack(long);
        for damaged in [&packed[..packed.len() - 3], "zstd:", "zstd:7", "zstd:x:AAAA", "zstd:99999999999999:AAAA", "zstd:5:ä"] {
            assert_eq!(unpack(damaged), None, "{damaged}");
        }
    }
}
