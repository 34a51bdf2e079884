//! Protocol buffers as they lie in bytes: fields, one behind the other.
//!
//! Source: the encoding guide of Protocol Buffers. What is damaged is judged as gogo's generated readers do, which Prometheus uses.

use std::borrow::Cow;
use std::fmt;

use super::histogram::BucketSpan;

/// Why a body is refused, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadMessage {
    /// Byte of the body, counted from 0.
    pub at: usize,
    pub message: Cow<'static, str>,
}

impl BadMessage {
    pub(crate) fn new(at: usize, message: impl Into<Cow<'static, str>>) -> BadMessage {
        BadMessage { at, message: message.into() }
    }
}

impl fmt::Display for BadMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (byte {})", self.message, self.at)
    }
}

impl std::error::Error for BadMessage {}

/// How a field's value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Varint,
    Fixed64,
    Bytes,
    GroupStart,
    GroupEnd,
    Fixed32,
}

/// The head of a field; its value follows under the cursor.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    pub number: i32,
    form: Form,
    /// Where the head stands.
    pub at: usize,
}

/// One message, or what is left of it, within a body.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    body: &'a [u8],
    pub at: usize,
    end: usize,
}

impl<'a> Message<'a> {
    /// Returns the whole of a body as one message.
    pub fn new(body: &'a [u8]) -> Message<'a> {
        Message { body, at: 0, end: body.len() }
    }

    pub fn is_at_end(&self) -> bool {
        self.at >= self.end
    }

    /// Returns what is left.
    pub fn bytes(&self) -> &'a [u8] {
        &self.body[self.at..self.end]
    }

    /// Returns the part of a message's body between two places that it has passed.
    pub fn part(message: &Message<'a>, from: usize, to: usize) -> Message<'a> {
        Message { body: message.body, at: from, end: to }
    }

    #[inline]
    pub fn varint(&mut self) -> Result<u64, BadMessage> {
        if let Some(byte) = self.body[..self.end].get(self.at)
            && *byte < 0x80
        {
            self.at += 1;
            return Ok(u64::from(*byte));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, BadMessage> {
        let mut number = 0;
        for (index, byte) in self.bytes().iter().take(10).enumerate() {
            number |= u64::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                self.at += index + 1;
                return Ok(number);
            }
        }
        let message = if self.end - self.at < 10 { "the body ends within a number" } else { "a number is longer than ten bytes" };
        Err(BadMessage::new(self.at, message))
    }

    /// Reads a length and takes so many bytes.
    #[inline]
    fn run(&mut self) -> Result<Message<'a>, BadMessage> {
        let start = self.at;
        let len = self.varint()?;
        match usize::try_from(len).ok().and_then(|len| self.at.checked_add(len)).filter(|end| *end <= self.end) {
            Some(end) => {
                let inner = Message { body: self.body, at: self.at, end };
                self.at = end;
                Ok(inner)
            }
            None => {
                let left = self.end - self.at;
                Err(BadMessage::new(start, format!("a length of {len} bytes, of which there are {left}")))
            }
        }
    }

    /// Takes a message that stands behind its length, as families do in a body.
    ///
    /// Source: the delimited form; Prometheus takes lengths of at most five bytes.
    pub fn delimited(&mut self) -> Result<Message<'a>, BadMessage> {
        let start = self.at;
        let inner = self.run()?;
        if inner.at - start > 5 {
            return Err(BadMessage::new(start, "the length of a metric family is longer than five bytes"));
        }
        Ok(inner)
    }

    /// Reads the head of the next field; None at the end.
    #[inline]
    pub fn field(&mut self) -> Result<Option<Field>, BadMessage> {
        if self.is_at_end() {
            return Ok(None);
        }
        let at = self.at;
        let tag = self.varint()?;
        let form = match tag & 7 {
            0 => Form::Varint,
            1 => Form::Fixed64,
            2 => Form::Bytes,
            3 => Form::GroupStart,
            4 => Form::GroupEnd,
            5 => Form::Fixed32,
            other => return Err(BadMessage::new(at, format!("a field of form {other}, which does not exist"))),
        };
        // Upper bits are cut off, as a reader with numbers of 32 bits does.
        let number = (tag >> 3) as i32;
        if number <= 0 {
            return Err(BadMessage::new(at, format!("a field with the number {number}")));
        }
        Ok(Some(Field { number, form, at }))
    }

    fn check(field: Field, form: Form) -> Result<(), BadMessage> {
        if field.form == form {
            return Ok(());
        }
        Err(BadMessage::new(field.at, format!("field {} is written as {:?} in place of {form:?}", field.number, field.form)))
    }

    #[inline]
    pub fn integer(&mut self, field: Field) -> Result<u64, BadMessage> {
        Message::check(field, Form::Varint)?;
        self.varint()
    }

    #[inline]
    fn fixed(&mut self) -> Result<f64, BadMessage> {
        let bytes = self.bytes().first_chunk::<8>().ok_or_else(|| BadMessage::new(self.at, "the body ends within a float"))?;
        self.at += 8;
        Ok(f64::from_le_bytes(*bytes))
    }

    #[inline]
    pub fn double(&mut self, field: Field) -> Result<f64, BadMessage> {
        Message::check(field, Form::Fixed64)?;
        self.fixed()
    }

    /// Takes a message within this one, or a text.
    #[inline]
    pub fn inner(&mut self, field: Field) -> Result<Message<'a>, BadMessage> {
        Message::check(field, Form::Bytes)?;
        self.run()
    }

    /// Reads the message of a label, which several formats have in common: its name and value.
    pub fn pair(mut self) -> Result<(&'a [u8], &'a [u8]), BadMessage> {
        let (mut name, mut value): (&[u8], &[u8]) = (b"", b"");
        while let Some(field) = self.field()? {
            match field.number {
                1 => name = self.inner(field)?.bytes(),
                2 => value = self.inner(field)?.bytes(),
                _ => self.skip(field)?,
            }
        }
        Ok((name, value))
    }

    /// Reads the message of a span of buckets, which several formats have in common.
    pub fn span(mut self) -> Result<BucketSpan, BadMessage> {
        let mut span = BucketSpan { offset: 0, length: 0 };
        while let Some(field) = self.field()? {
            match field.number {
                1 => span.offset = self.small_signed(field)?,
                2 => span.length = self.integer(field)? as u32,
                _ => self.skip(field)?,
            }
        }
        Ok(span)
    }

    /// Appends a repeated float, which may be packed.
    pub fn doubles(&mut self, field: Field, out: &mut Vec<f64>) -> Result<(), BadMessage> {
        if field.form != Form::Bytes {
            out.push(self.double(field)?);
            return Ok(());
        }
        let mut packed = self.run()?;
        out.reserve((packed.end - packed.at) / 8);
        while !packed.is_at_end() {
            out.push(packed.fixed()?);
        }
        Ok(())
    }

    /// Appends a repeated signed integer, which may be packed.
    pub fn signed(&mut self, field: Field, out: &mut Vec<i64>) -> Result<(), BadMessage> {
        let unzigzag = |number: u64| (number >> 1) as i64 ^ -((number & 1) as i64);
        if field.form != Form::Bytes {
            out.push(unzigzag(self.integer(field)?));
            return Ok(());
        }
        let mut packed = self.run()?;
        while !packed.is_at_end() {
            out.push(unzigzag(packed.varint()?));
        }
        Ok(())
    }

    /// Appends a repeated unsigned integer of 32 bits, which may be packed; what is above them is cut off.
    pub fn small_unsigned(&mut self, field: Field, out: &mut Vec<u32>) -> Result<(), BadMessage> {
        if field.form != Form::Bytes {
            out.push(self.integer(field)? as u32);
            return Ok(());
        }
        let mut packed = self.run()?;
        while !packed.is_at_end() {
            out.push(packed.varint()? as u32);
        }
        Ok(())
    }

    /// Reads a signed integer of 32 bits; what is above them is cut off.
    pub fn small_signed(&mut self, field: Field) -> Result<i32, BadMessage> {
        let number = self.integer(field)? as u32;
        Ok((number >> 1) as i32 ^ -((number & 1) as i32))
    }

    /// Reads a signed integer of 64 bits.
    pub fn zigzag(&mut self, field: Field) -> Result<i64, BadMessage> {
        let number = self.integer(field)?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// Steps over a field that the reader does not know.
    pub fn skip(&mut self, field: Field) -> Result<(), BadMessage> {
        let mut depth = 0u32;
        let mut next = Some(field);
        while let Some(field) = next {
            match field.form {
                Form::Varint => drop(self.varint()?),
                Form::Fixed64 => self.step(8)?,
                Form::Fixed32 => self.step(4)?,
                Form::Bytes => drop(self.run()?),
                Form::GroupStart => depth += 1,
                Form::GroupEnd => {
                    depth = depth.checked_sub(1).ok_or_else(|| BadMessage::new(field.at, "a group ends that did not begin"))?;
                }
            }
            if depth == 0 {
                return Ok(());
            }
            next = self.field()?;
        }
        Err(BadMessage::new(self.at, "a group does not end"))
    }

    fn step(&mut self, len: usize) -> Result<(), BadMessage> {
        if self.end - self.at < len {
            return Err(BadMessage::new(self.at, "the body ends within a number"));
        }
        self.at += len;
        Ok(())
    }
}
