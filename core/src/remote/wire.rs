//! Writing of Protocol Buffers; `model::wire` reads them.

/// A message under construction. Fields that hold nothing are left out, as the third version of the format has it.
#[derive(Debug, Default)]
pub(super) struct Out(pub Vec<u8>);

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

impl Out {
    pub fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    fn tag(&mut self, field: u64, form: u64) {
        self.varint(field * 8 + form);
    }

    /// Writes an integer that stands among alternatives, where zero is not nothing.
    pub fn integer_always(&mut self, field: u64, number: u64) {
        self.tag(field, 0);
        self.varint(number);
    }

    pub fn integer(&mut self, field: u64, number: u64) {
        if number != 0 {
            self.integer_always(field, number);
        }
    }

    pub fn signed(&mut self, field: u64, number: i64) {
        self.integer(field, zigzag(number));
    }

    /// Writes a float that stands among alternatives, where zero is not nothing.
    pub fn double_always(&mut self, field: u64, number: f64) {
        self.tag(field, 1);
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    pub fn double(&mut self, field: u64, number: f64) {
        if number.to_bits() != 0 {
            self.double_always(field, number);
        }
    }

    /// Writes bytes, a text or a message, the empty one too.
    pub fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.tag(field, 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    pub fn text(&mut self, field: u64, text: &str) {
        if !text.is_empty() {
            self.bytes(field, text.as_bytes());
        }
    }

    /// Writes a message by what fills it.
    pub fn message(&mut self, field: u64, fill: impl FnOnce(&mut Out)) {
        let mut inner = Out::default();
        fill(&mut inner);
        self.bytes(field, &inner.0);
    }

    pub fn packed_unsigned(&mut self, field: u64, numbers: impl Iterator<Item = u64>) {
        let mut packed = Out::default();
        numbers.for_each(|number| packed.varint(number));
        self.packed(field, &packed);
    }

    pub fn packed_signed(&mut self, field: u64, numbers: impl Iterator<Item = i64>) {
        self.packed_unsigned(field, numbers.map(zigzag));
    }

    pub fn packed_doubles(&mut self, field: u64, numbers: &[f64]) {
        let mut packed = Out::default();
        numbers.iter().for_each(|number| packed.0.extend_from_slice(&number.to_le_bytes()));
        self.packed(field, &packed);
    }

    fn packed(&mut self, field: u64, packed: &Out) {
        if !packed.0.is_empty() {
            self.bytes(field, &packed.0);
        }
    }
}
