//! Bits, most significant first.

use super::codec::Damaged;

/// Bits under construction: whole words of eight bytes, then up to 63 bits that wait for their word to fill.
///
/// There is one for each series, so it is small: a vector would take four bytes more.
#[derive(Debug, Default)]
pub(super) struct BitWriter {
    /// The first `used` bytes are written.
    words: Box<[u8]>,
    used: u32,
    /// The waiting bits, at the top.
    tail: u64,
    tail_len: u8,
}

impl BitWriter {
    /// Appends the lowest `len` bits of `bits`; those above must be zero.
    #[inline]
    pub fn put(&mut self, bits: u64, len: u32) {
        debug_assert!(len <= 64 && (len == 64 || bits >> len == 0));
        if len == 0 {
            return;
        }
        let free = 64 - u32::from(self.tail_len);
        if len < free {
            self.tail |= bits << (free - len);
            self.tail_len += len as u8;
            return;
        }
        let over = len - free;
        self.put_words(&(self.tail | bits >> over).to_be_bytes());
        self.tail = if over == 0 { 0 } else { bits << (64 - over) };
        self.tail_len = over as u8;
    }

    #[inline]
    fn put_words(&mut self, bytes: &[u8]) {
        let end = self.used as usize + bytes.len();
        if end > self.words.len() {
            self.grow(end);
        }
        self.words[self.used as usize..end].copy_from_slice(bytes);
        self.used = end as u32;
    }

    #[cold]
    fn grow(&mut self, least: usize) {
        let mut words = std::mem::take(&mut self.words).into_vec();
        // Doubling would leave a quarter of the memory for samples empty. An allocator that keeps its notes in eight bytes, and hands out
        // multiples of sixteen, leaves nothing over with these.
        let len = (words.len() + words.len() / 4).max(least).saturating_sub(8).next_multiple_of(16) + 8;
        words.reserve_exact(len - words.len());
        words.resize(len, 0);
        self.words = words.into_boxed_slice();
    }

    fn words(&self) -> &[u8] {
        &self.words[..self.used as usize]
    }

    /// Returns the length of the bits in whole bytes.
    pub fn len_bytes(&self) -> usize {
        self.used as usize + usize::from(self.tail_len).div_ceil(8)
    }

    /// Appends the bits to `out`, with zeros up to a whole byte.
    pub fn copy_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.words());
        out.extend_from_slice(&self.tail.to_be_bytes()[..usize::from(self.tail_len).div_ceil(8)]);
    }

    /// Appends whole bytes; only for writers that take nothing but whole bytes.
    pub fn put_bytes(&mut self, bytes: &[u8]) {
        debug_assert_eq!(self.tail_len, 0);
        self.put_words(bytes);
    }
}

/// So many bits are there after each look ahead.
pub(super) const AHEAD: u32 = 57;

/// Reads bits from bytes that it does not own. Behind the end it reads zeros; whoever reads asks `check` before trusting them.
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    /// The number of the next bit.
    next: usize,
}

impl<'a> BitReader<'a> {
    pub fn new(bytes: &'a [u8]) -> BitReader<'a> {
        BitReader { bytes, next: 0 }
    }

    /// Returns the next 57 bits at the top of a word; what stands below them means nothing.
    #[inline]
    pub fn ahead(&self) -> u64 {
        let rest = self.bytes.get(self.next / 8..).unwrap_or(&[]);
        let word = match rest.first_chunk::<8>() {
            Some(word) => u64::from_be_bytes(*word),
            None => rest.iter().rev().fold(0, |word, byte| word >> 8 | u64::from(*byte) << 56),
        };
        word << (self.next % 8)
    }

    #[inline]
    pub fn skip(&mut self, len: u32) {
        self.next += len as usize;
    }

    /// Reads up to 64 bits.
    #[inline]
    pub fn take(&mut self, len: u32) -> u64 {
        if len > AHEAD {
            return self.take(len - 32) << 32 | self.take(32);
        }
        let bits = self.ahead().checked_shr(64 - len).unwrap_or(0);
        self.skip(len);
        bits
    }

    /// Reads a number in a Rice code: zeros, a one, and the lowest `width` bits; as many zeros as `escape`, and all 64 bits.
    ///
    /// Errors: `Damaged` when there are more zeros than that, as there are behind the end.
    #[inline]
    pub fn rice(&mut self, width: u32, escape: u32) -> Result<u64, Damaged> {
        let ahead = self.ahead();
        let zeros = ahead.leading_zeros();
        if zeros >= escape {
            if zeros > escape {
                return Err(Damaged("a run of zero bits does not end"));
            }
            self.skip(zeros + 1);
            return Ok(self.take(64));
        }
        let top = u64::from(zeros) << width;
        if zeros + 1 + width <= AHEAD {
            self.skip(zeros + 1 + width);
            return Ok(top | (ahead << (zeros + 1)).checked_shr(64 - width).unwrap_or(0));
        }
        self.skip(zeros + 1);
        Ok(top | self.take(width))
    }

    /// Errors: `Damaged` when more was read than there is.
    #[inline]
    pub fn check(&self) -> Result<(), Damaged> {
        if self.next > self.bytes.len() * 8 { Err(Damaged("a chunk ends in the middle of a sample")) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_every_length_come_back() {
        for shift in 0..64 {
            let mut writer = BitWriter::default();
            let runs: Vec<(u64, u32)> = (0..200u32)
                .map(|index| {
                    let len = (index * 7 + shift) % 65;
                    let bits = 0x9e37_79b9_7f4a_7c15u64.wrapping_mul(u64::from(index + 1));
                    (if len == 0 { 0 } else { bits >> (64 - len) }, len)
                })
                .collect();
            for (bits, len) in &runs {
                writer.put(*bits, *len);
            }
            let mut bytes = Vec::new();
            writer.copy_to(&mut bytes);
            assert_eq!(bytes.len(), writer.len_bytes());
            let mut reader = BitReader::new(&bytes);
            for (bits, len) in &runs {
                assert_eq!(reader.take(*len), *bits);
            }
            assert!(reader.check().is_ok());
            reader.take(8);
            assert!(reader.check().is_err());
        }
    }

    #[test]
    fn rice_codes_end_or_are_damage() {
        let mut writer = BitWriter::default();
        (0..24).for_each(|zeros| writer.put(1 << 3 | 5, zeros + 4));
        writer.put(1, 25);
        writer.put(u64::MAX, 64);
        writer.put(1, 24);
        writer.put((1 << 50) - 1, 50);
        let mut bytes = Vec::new();
        writer.copy_to(&mut bytes);
        let mut reader = BitReader::new(&bytes);
        (0..24).for_each(|zeros| assert_eq!(reader.rice(3, 24), Ok(zeros << 3 | 5)));
        assert_eq!(reader.rice(3, 24), Ok(u64::MAX));
        assert_eq!(reader.rice(50, 24), Ok((23 << 50) + (1 << 50) - 1));
        assert!(reader.check().is_ok() && reader.rice(3, 24).is_err());
        assert!(BitReader::new(&[0; 9]).rice(0, 24).is_err());
    }
}
