//! What CIFF needs of protobuf: varints, strings and messages with their lengths before them.
//!
//! Own code and not a library: a schema compiler and its derive would be many times this, and the
//! checks of announced lengths against the file, which matter most, would stand beside it all the
//! same.

use std::io::{self, Read, Write};

/// Bytes of the longest varint.
const VARINT_LEN_MAX: usize = 10;

/// Where a message breaks the rules, in words.
pub(super) type Broken = String;

/// A field of a message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Field<'a> {
    Number(u64),
    Double(f64),
    Bytes(&'a [u8]),
}

/// The fields of a message, with their numbers.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn next(&mut self) -> Result<Option<(u64, Field<'a>)>, Broken> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let field = match tag & 7 {
            0 => Field::Number(self.varint()?),
            1 => {
                let bytes = self.take(8)?.try_into().unwrap_or_default();
                Field::Double(f64::from_le_bytes(bytes))
            }
            2 => {
                let len = self.varint()?;
                Field::Bytes(self.take(usize::try_from(len).unwrap_or(usize::MAX))?)
            }
            5 => {
                let bytes = self.take(4)?.try_into().unwrap_or_default();
                Field::Double(f64::from(f32::from_le_bytes(bytes)))
            }
            other => return Err(format!("a field of wire type {other}")),
        };
        Ok(Some((tag >> 3, field)))
    }

    fn varint(&mut self) -> Result<u64, Broken> {
        let mut value = 0;
        for (at, byte) in self.0.iter().take(VARINT_LEN_MAX).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                self.0 = &self.0[at + 1..];
                return Ok(value);
            }
        }
        Err("a number that does not end".to_owned())
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Broken> {
        match self.0.split_at_checked(len) {
            Some((taken, rest)) => {
                self.0 = rest;
                Ok(taken)
            }
            None => Err(format!("{len} bytes announced, {} there", self.0.len())),
        }
    }
}

impl<'a> Field<'a> {
    /// A number that is not negative and fits.
    pub(super) fn number<N: TryFrom<u64>>(self) -> Result<N, Broken> {
        match self {
            Field::Number(number) => {
                N::try_from(number).map_err(|_| format!("the number {}", number.cast_signed()))
            }
            _ => Err("a field of another type".to_owned()),
        }
    }

    pub(super) fn bytes(self) -> Result<&'a [u8], Broken> {
        match self {
            Field::Bytes(bytes) => Ok(bytes),
            _ => Err("a field of another type".to_owned()),
        }
    }

    pub(super) fn text(self) -> Result<&'a str, Broken> {
        std::str::from_utf8(self.bytes()?).map_err(|_| "text that is not UTF-8".to_owned())
    }
}

/// Reads a message with its length before it, at most `left` bytes of both, and takes them off.
pub(super) fn read_message(
    from: &mut impl Read,
    left: &mut u64,
    message: &mut Vec<u8>,
) -> Result<Result<(), Broken>, io::Error> {
    let (mut len, mut shift) = (0_u64, 0);
    loop {
        let mut byte = [0];
        if *left == 0 || shift == 7 * VARINT_LEN_MAX {
            return Ok(Err("no length of a message".to_owned()));
        }
        from.read_exact(&mut byte)?;
        *left -= 1;
        // The tenth byte has one bit left to give.
        len |= u64::from(byte[0] & 0x7f).unbounded_shl(u32::try_from(shift).unwrap_or(64));
        shift += 7;
        if byte[0] & 0x80 == 0 {
            break;
        }
    }
    if len > *left {
        return Ok(Err(format!("{len} bytes announced, {left} left")));
    }
    *left -= len;
    message.clear();
    from.take(len).read_to_end(message)?;
    Ok(Ok(()))
}

/// Builds messages.
#[derive(Default)]
pub(super) struct Message(pub(super) Vec<u8>);

impl Message {
    /// A number; 0, the default, is left out as protobuf does.
    pub(super) fn number(&mut self, field: u8, value: u64) {
        if value != 0 {
            self.0.push(field << 3);
            self.varint(value);
        }
    }

    pub(super) fn double(&mut self, field: u8, value: f64) {
        self.0.push(field << 3 | 1);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn bytes(&mut self, field: u8, bytes: &[u8]) {
        self.0.push(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// Writes the message after its length, and empties it.
    pub(super) fn write(&mut self, to: &mut impl Write) -> io::Result<()> {
        let mut len = Message::default();
        len.varint(self.0.len() as u64);
        to.write_all(&len.0)?;
        to.write_all(&self.0)?;
        self.0.clear();
        Ok(())
    }

    fn varint(&mut self, mut value: u64) {
        while value > 0x7f {
            self.0.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.0.push(value.to_le_bytes()[0]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back() {
        let mut message = Message::default();
        message.number(1, 300);
        message.number(2, 0);
        message.number(3, u64::MAX);
        message.double(7, 0.5);
        message.bytes(8, "é".as_bytes());
        assert_eq!(message.0[..3], [0x08, 0xac, 0x02]);
        let mut fields = Fields(&message.0);
        let mut next = || fields.next().unwrap();
        assert_eq!(next(), Some((1, Field::Number(300))));
        assert_eq!(next(), Some((3, Field::Number(u64::MAX))));
        assert_eq!(next(), Some((7, Field::Double(0.5))));
        assert_eq!(next().unwrap().1.text().unwrap(), "é");
        assert_eq!(next(), None);
    }

    #[test]
    fn what_does_not_end_or_fit_is_broken() {
        let broken = |bytes: &[u8]| Fields(bytes).next().is_err();
        assert!(broken(&[0x08]) && broken(&[0x08, 0x80]) && broken(&[0x80; 11]));
        assert!(broken(&[0x0a, 5, 1]) && broken(&[0x09, 0]) && broken(&[0x0b, 0]));
        let mut left = 11;
        let mut message = Vec::new();
        let read = read_message(&mut &[0xff; 11][..], &mut left, &mut message);
        assert!(read.unwrap().is_err());
        for absurd in [&[0xff, 0xff, 0xff, 0xff, 0x0f, 1][..], &[2, 1], &[]] {
            let mut left = absurd.len() as u64;
            let read = read_message(&mut &*absurd, &mut left, &mut message);
            assert!(read.unwrap().is_err(), "{absurd:?}");
        }
        assert!(message.capacity() < 100);
        assert!(Field::Number(u64::MAX).number::<u32>().is_err());
        assert!(Field::Bytes(&[0xff]).text().is_err());
    }
}
