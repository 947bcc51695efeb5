//! A bounds-checked little-endian cursor: the only place that turns file bytes into integers.
#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use crate::error::{Error, Result};

/// Whose bytes these are, for errors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin<'a> {
    /// Name of the file.
    pub(crate) file: &'a str,
    /// Name of the section, as `docs/format.md` has it.
    pub(crate) section: &'static str,
    /// Where the section begins in the file.
    pub(crate) start: u64,
}

impl Origin<'_> {
    /// Damage `offset` bytes into the section.
    #[cold]
    pub(crate) fn corrupt(
        &self,
        offset: usize,
        expected: impl std::fmt::Display,
        found: impl std::fmt::Display,
    ) -> Error {
        let offset = u64::try_from(offset).unwrap_or(u64::MAX);
        Error::corrupt(
            self.file,
            self.section,
            self.start.saturating_add(offset),
            expected,
            found,
        )
    }
}

/// Reads fields off the front of a section; every read names its field for the error.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    len: usize,
    origin: Origin<'a>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8], origin: Origin<'a>) -> Reader<'a> {
        Reader {
            rest: bytes,
            len: bytes.len(),
            origin,
        }
    }

    /// Bytes consumed so far.
    pub(crate) fn offset(&self) -> usize {
        self.len.saturating_sub(self.rest.len())
    }

    /// Bytes not yet read.
    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Borrows the next `len` bytes.
    pub(crate) fn bytes(&mut self, len: usize, field: &'static str) -> Result<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or_else(|| {
            self.origin.corrupt(
                self.offset(),
                format_args!("{len} bytes of {field}"),
                format_args!("{} bytes to the end", self.rest.len()),
            )
        })?;
        self.rest = rest;
        Ok(head)
    }

    /// Borrows the next `N` bytes.
    pub(crate) fn array<const N: usize>(&mut self, field: &'static str) -> Result<&'a [u8; N]> {
        let offset = self.offset();
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or_else(|| {
            self.origin.corrupt(
                offset,
                format_args!("{N} bytes of {field}"),
                format_args!("{} bytes to the end", self.rest.len()),
            )
        })?;
        self.rest = rest;
        Ok(head)
    }

    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8> {
        self.array::<1>(field).map(|[byte]| *byte)
    }

    pub(crate) fn u16(&mut self, field: &'static str) -> Result<u16> {
        self.array(field).map(|bytes| u16::from_le_bytes(*bytes))
    }

    pub(crate) fn u32(&mut self, field: &'static str) -> Result<u32> {
        self.array(field).map(|bytes| u32::from_le_bytes(*bytes))
    }

    pub(crate) fn u64(&mut self, field: &'static str) -> Result<u64> {
        self.array(field).map(|bytes| u64::from_le_bytes(*bytes))
    }

    pub(crate) fn f32(&mut self, field: &'static str) -> Result<f32> {
        self.u32(field).map(f32::from_bits)
    }

    /// A count of things of at least `min_len` bytes each that follow in this section. Checked
    /// against what is left, so that nothing allocates more than the file could hold.
    pub(crate) fn count(&mut self, min_len: usize, field: &'static str) -> Result<usize> {
        let at = self.offset();
        let count = self.u32(field)?;
        let fits = usize::try_from(count)
            .ok()
            .filter(|count| count.saturating_mul(min_len.max(1)) <= self.rest.len());
        fits.ok_or_else(|| {
            self.origin.corrupt(
                at,
                format_args!("{field} that fits {} bytes", self.rest.len()),
                count,
            )
        })
    }

    /// UTF-8 text behind its length as u32.
    pub(crate) fn text(&mut self, field: &'static str) -> Result<&'a str> {
        let len = self.count(1, field)?;
        let at = self.offset();
        let bytes = self.bytes(len, field)?;
        std::str::from_utf8(bytes).map_err(|error| {
            self.origin
                .corrupt(at, format_args!("UTF-8 in {field}"), error)
        })
    }

    /// A number in LEB128 of at most `most`.
    #[inline]
    pub(crate) fn number(&mut self, most: u64, field: &'static str) -> Result<u64> {
        // Nearly all take one byte or two. Without a branch between the two, which would be
        // mispredicted wherever lengths alternate.
        if let Some(&[low, high]) = self.rest.first_chunk()
            && low & high < 0x80
        {
            let has_high = low >> 7;
            let number =
                u64::from(low & 0x7F) | u64::from(high & 0x7F & has_high.wrapping_neg()) << 7;
            if number <= most {
                let len = usize::from(has_high).saturating_add(1);
                self.rest = self.rest.get(len..).unwrap_or_default();
                return Ok(number);
            }
        }
        self.long_number(most, field)
    }

    fn long_number(&mut self, most: u64, field: &'static str) -> Result<u64> {
        let mut number = 0;
        for shift in (0..63).step_by(7) {
            let byte = self.u8(field)?;
            number |= u64::from(byte & 0x7F) << shift;
            if byte >= 0x80 {
                continue;
            }
            if number > most {
                return Err(self.corrupt(format_args!("{field} up to {most}"), number));
            }
            return Ok(number);
        }
        Err(self.corrupt(format_args!("{field} in nine bytes"), "more"))
    }

    /// A length in LEB128 of bytes that follow.
    pub(crate) fn length(&mut self, field: &'static str) -> Result<usize> {
        let most = u64::try_from(self.remaining()).unwrap_or(u64::MAX);
        let length = self.number(most, field)?;
        Ok(usize::try_from(length).unwrap_or(usize::MAX))
    }

    /// Damage at the place that was read last.
    #[cold]
    pub(crate) fn corrupt(
        &self,
        expected: impl std::fmt::Display,
        found: impl std::fmt::Display,
    ) -> Error {
        self.origin.corrupt(self.offset(), expected, found)
    }

    /// Ends the section: bytes nobody asked for mean a reader and a writer that disagree.
    pub(crate) fn finish(self) -> Result<()> {
        match self.rest.len() {
            0 => Ok(()),
            left => Err(self.corrupt("the end of the section", format_args!("{left} more bytes"))),
        }
    }
}

/// Appends `number` as LEB128.
pub(crate) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

/// Appends `value` behind its length as u32. `value` is at most 4 GiB by the limits on input.
pub(crate) fn put_text(out: &mut Vec<u8>, value: &str) {
    put_bytes(out, value.as_bytes());
}

/// Appends `value` behind its length as u32. `value` is at most 4 GiB by the limits on input.
pub(crate) fn put_bytes(out: &mut Vec<u8>, value: &[u8]) {
    let len = u32::try_from(value.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: Origin<'static> = Origin {
        file: "f",
        section: "s",
        start: 64,
    };

    #[test]
    fn numbers_round_trip_and_cuts_are_errors() {
        for number in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), 1 << 62] {
            let mut bytes = Vec::new();
            put_number(&mut bytes, number);
            let read = |bytes, most| Reader::new(bytes, ORIGIN).number(most, "n");
            assert_eq!(read(&bytes, u64::MAX).unwrap(), number);
            assert!(read(&bytes[..bytes.len() - 1], u64::MAX).is_err());
            assert!(number == 0 || read(&bytes, number - 1).is_err());
            // What follows is not touched, whatever it is.
            for next in [0, 1, 0x7F, 0x80, 0xFF] {
                let bytes = [&bytes[..], &[next]].concat();
                let mut reader = Reader::new(&bytes, ORIGIN);
                assert_eq!(reader.number(u64::MAX, "n").unwrap(), number);
                assert_eq!(reader.u8("next").unwrap(), next);
            }
        }
        assert!(
            Reader::new(&[0xFF; 20], ORIGIN)
                .number(u64::MAX, "n")
                .is_err()
        );
    }

    #[test]
    fn every_truncation_is_an_error_that_names_its_place() {
        let full = [7, 1, 0, 0, 0, 2, 0, 0, 0, b'h', b'i'];
        for end in 0..full.len() {
            let mut reader = Reader::new(&full[..end], ORIGIN);
            let got = reader
                .u8("a")
                .and_then(|_| reader.u32("b"))
                .and_then(|_| reader.text("c").map(str::to_owned));
            let error = got.unwrap_err();
            let (file, section, offset) = error.corrupt_place().unwrap();
            assert_eq!((file, section), ("f", "s"));
            assert!((64..=64 + 11).contains(&offset), "{error}");
        }
        let mut reader = Reader::new(&full, ORIGIN);
        assert_eq!(7, reader.u8("a").unwrap());
        assert_eq!(1, reader.u32("b").unwrap());
        assert_eq!("hi", reader.text("c").unwrap());
        reader.finish().unwrap();
    }

    #[test]
    fn a_count_that_cannot_fit_is_refused() {
        let bytes = [0xFF, 0xFF, 0xFF, 0xFF, 0];
        assert!(Reader::new(&bytes, ORIGIN).count(1, "n").is_err());
    }

    #[test]
    fn bytes_left_over_are_refused() {
        assert!(Reader::new(&[0], ORIGIN).finish().is_err());
    }
}
