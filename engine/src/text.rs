//! Text with a bound. Names and types come from guests: a few kilobytes of types can be written as
//! gigabytes of text, so nothing here is made without a maximum.

use std::fmt;

/// Why a text is not whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cut {
    Full,
    NoMemory,
}

/// A text that grows up to `max` bytes and then refuses more.
pub struct Sheet {
    text: String,
    max: usize,
    cut: Option<Cut>,
}

impl Sheet {
    pub fn new(max: usize) -> Sheet {
        Sheet { text: String::new(), max, cut: None }
    }

    /// Appends all of it, or nothing and remembers why.
    pub fn push(&mut self, s: &str) {
        if self.cut.is_some() {
            return;
        }
        if s.len() > self.max - self.text.len() {
            self.cut = Some(Cut::Full);
        } else if self.text.try_reserve(s.len()).is_err() {
            self.cut = Some(Cut::NoMemory);
        } else {
            self.text.push_str(s);
        }
    }

    /// Appends it as a string of JSON.
    pub fn push_json(&mut self, s: &str) {
        self.push("\"");
        let mut from = 0;
        for (at, byte) in s.bytes().enumerate() {
            if byte >= b' ' && byte != b'"' && byte != b'\\' {
                continue;
            }
            self.push(&s[from..at]);
            // What fails is the sheet, and it knows why.
            let _ = fmt::Write::write_fmt(self, format_args!("\\u{byte:04x}"));
            from = at + 1;
        }
        self.push(&s[from..]);
        self.push("\"");
    }

    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// Takes back what was written beyond len, and that it was too much.
    pub fn back_to(&mut self, len: usize) {
        self.text.truncate(len);
        self.cut = None;
    }

    pub fn cut(&self) -> Option<Cut> {
        self.cut
    }

    pub fn whole(self) -> Result<String, Cut> {
        match self.cut {
            Some(cut) => Err(cut),
            None => Ok(self.text),
        }
    }
}

impl fmt::Write for Sheet {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.push(s);
        if self.cut.is_none() { Ok(()) } else { Err(fmt::Error) }
    }
}

/// The caller's bytes: what does not fit is left out, at a character's end.
pub struct Slip<'a> {
    bytes: &'a mut [u8],
    len: usize,
}

impl<'a> Slip<'a> {
    pub fn new(bytes: &'a mut [u8]) -> Slip<'a> {
        Slip { bytes, len: 0 }
    }

    pub fn len(&self) -> usize {
        self.len
    }
}

impl fmt::Write for Slip<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let room = self.bytes.len() - self.len;
        let mut n = s.len().min(room);
        while !s.is_char_boundary(n) {
            n -= 1;
        }
        self.bytes[self.len..self.len + n].copy_from_slice(&s.as_bytes()[..n]);
        self.len += n;
        if n == s.len() { Ok(()) } else { Err(fmt::Error) }
    }
}
