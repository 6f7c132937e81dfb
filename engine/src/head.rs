//! The head of an HTTP/1 request, for src/httpd. The contract is include/cis_head.h.

use crate::slice;
use std::ffi::c_char;

const FIELDS_MAX: usize = 64;

#[derive(Clone, Copy)]
#[repr(C)]
pub struct Text {
    ptr: *const u8,
    len: usize,
}

impl Text {
    fn of(bytes: &[u8]) -> Text {
        Text {
            ptr: bytes.as_ptr(),
            len: bytes.len(),
        }
    }
}

#[derive(Clone, Copy)]
#[repr(C)]
pub struct Field {
    name: Text,
    value: Text,
}

#[repr(C)]
pub struct Head {
    method: Text,
    target: Text,
    len: usize,
    nfields: usize,
    minor: u8,
    fields: [Field; FIELDS_MAX],
}

const PART: i32 = 1;
const INVALID: i32 = 2;
const MANY: i32 = 3;

fn why(error: httparse::Error) -> &'static std::ffi::CStr {
    match error {
        httparse::Error::HeaderName => c"the name of a field",
        httparse::Error::HeaderValue => c"the value of a field",
        httparse::Error::NewLine => c"the end of a line",
        httparse::Error::Version => c"the version",
        _ => c"the request line",
    }
}

/// # Safety
/// `bytes` are `len` readable bytes, `out` and `out_why` are writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cis_head_read(
    bytes: *const u8,
    len: usize,
    out: *mut Head,
    out_why: *mut *const c_char,
) -> i32 {
    // SAFETY: by the contract above.
    let bytes = unsafe { slice(bytes, len) };
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    let size = match request.parse(bytes) {
        Ok(httparse::Status::Complete(size)) => size,
        Ok(httparse::Status::Partial) => return PART,
        Err(httparse::Error::TooManyHeaders) => return MANY,
        Err(error) => {
            // SAFETY: by the contract above.
            unsafe { out_why.write(why(error).as_ptr()) };
            return INVALID;
        }
    };
    // SAFETY: by the contract above; every part is initialised by C.
    let head = unsafe { &mut *out };
    head.method = Text::of(request.method.unwrap_or("").as_bytes());
    head.target = Text::of(request.path.unwrap_or("").as_bytes());
    head.len = size;
    head.nfields = request.headers.len();
    head.minor = request.version.unwrap_or(0);
    for (to, from) in head.fields.iter_mut().zip(request.headers.iter()) {
        *to = Field {
            name: Text::of(from.name.as_bytes()),
            value: Text::of(from.value),
        };
    }
    0
}
