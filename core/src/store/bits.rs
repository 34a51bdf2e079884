//! Bits, most significant first.

use super::codec::Damaged;

/// Bits under construction: whole words of eight bytes, then up to 63 bits that wait for their word to fill.
#[derive(Debug, Default)]
pub(super) struct BitWriter {
    words: Vec<u8>,
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
        if self.words.len() == self.words.capacity() {
            // Doubling would leave a quarter of the memory for samples empty.
            self.words.reserve_exact((self.words.len() / 4).max(16).next_multiple_of(16));
        }
        self.words.extend_from_slice(&(self.tail | bits >> over).to_be_bytes());
        self.tail = if over == 0 { 0 } else { bits << (64 - over) };
        self.tail_len = over as u8;
    }

    /// Returns the length of the bits in whole bytes.
    pub fn len_bytes(&self) -> usize {
        self.words.len() + usize::from(self.tail_len).div_ceil(8)
    }

    /// Appends the bits to `out`, with zeros up to a whole byte.
    pub fn copy_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.words);
        out.extend_from_slice(&self.tail.to_be_bytes()[..usize::from(self.tail_len).div_ceil(8)]);
    }

    /// Appends whole bytes; only for writers that take nothing but whole bytes.
    pub fn put_bytes(&mut self, bytes: &[u8]) {
        debug_assert_eq!(self.tail_len, 0);
        self.words.extend_from_slice(bytes);
    }
}

pub(super) struct BitReader<'a> {
    rest: &'a [u8],
    /// Bits read from `rest`, at the top.
    cache: u64,
    have: u32,
}

impl<'a> BitReader<'a> {
    pub fn new(bytes: &'a [u8]) -> BitReader<'a> {
        BitReader { rest: bytes, cache: 0, have: 0 }
    }

    fn refill(&mut self) {
        if let Some(word) = self.rest.first_chunk::<8>() {
            let bytes = (64 - self.have) / 8;
            if bytes > 0 {
                let kept = u64::from_be_bytes(*word) & (u64::MAX << (64 - 8 * bytes));
                self.cache |= kept.checked_shr(self.have).unwrap_or(0);
                self.have += 8 * bytes;
                self.rest = &self.rest[bytes as usize..];
            }
            return;
        }
        while self.have <= 56 {
            let Some((byte, rest)) = self.rest.split_first() else { return };
            self.cache |= u64::from(*byte) << (56 - self.have);
            self.have += 8;
            self.rest = rest;
        }
    }

    /// Reads up to 56 bits.
    #[inline]
    fn short(&mut self, len: u32) -> Result<u64, Damaged> {
        debug_assert!(len <= 56);
        if self.have < len {
            self.refill();
            if self.have < len {
                return Err(Damaged("a chunk ends in the middle of a sample"));
            }
        }
        if len == 0 {
            return Ok(0);
        }
        let bits = self.cache >> (64 - len);
        self.cache <<= len;
        self.have -= len;
        Ok(bits)
    }

    /// Reads up to 64 bits.
    #[inline]
    pub fn take(&mut self, len: u32) -> Result<u64, Damaged> {
        if len <= 56 {
            return self.short(len);
        }
        let high = self.short(len - 32)?;
        Ok(high << 32 | self.short(32)?)
    }

    /// Reads zeros up to the one behind them; returns how many zeros. More than `max`, which is below 56, are damage.
    fn zeros(&mut self, max: u32) -> Result<u32, Damaged> {
        debug_assert!(max < 56);
        if self.have <= max {
            self.refill();
        }
        let zeros = self.cache.leading_zeros();
        if zeros > max || zeros >= self.have {
            return Err(Damaged("a run of zero bits does not end"));
        }
        self.cache <<= zeros + 1;
        self.have -= zeros + 1;
        Ok(zeros)
    }

    /// Reads a number in a Rice code: zeros, a one, and the lowest `width` bits; as many zeros as `escape`, and all 64 bits.
    #[inline]
    pub fn rice(&mut self, width: u32, escape: u32) -> Result<u64, Damaged> {
        if self.have <= 56 {
            self.refill();
        }
        let zeros = self.cache.leading_zeros();
        let len = zeros + 1 + width;
        if zeros < escape && len <= self.have && width < 56 {
            let rest = self.cache << (zeros + 1);
            self.have -= len;
            self.cache = rest << width;
            let low = if width == 0 { 0 } else { rest >> (64 - width) };
            return Ok(u64::from(zeros) << width | low);
        }
        let zeros = self.zeros(escape)?;
        if zeros == escape { self.take(64) } else { Ok(u64::from(zeros) << width | self.take(width)?) }
    }

    #[inline]
    pub fn bit(&mut self) -> Result<bool, Damaged> {
        Ok(self.short(1)? == 1)
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
                assert_eq!(reader.take(*len), Ok(*bits));
            }
            assert!(reader.take(8).is_err());
        }
    }

    #[test]
    fn zeros_are_counted_and_bounded() {
        let mut writer = BitWriter::default();
        (0..=24).for_each(|zeros| writer.put(1, zeros + 1));
        let mut bytes = Vec::new();
        writer.copy_to(&mut bytes);
        let mut reader = BitReader::new(&bytes);
        (0..=24).for_each(|zeros| assert_eq!(reader.zeros(24), Ok(zeros)));
        assert!(reader.zeros(24).is_err());
        assert!(BitReader::new(&[0; 9]).zeros(24).is_err());
        assert!(BitReader::new(&[0, 0, 1]).zeros(20).is_err());
    }
}
