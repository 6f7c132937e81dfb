//! Host functions of components whose types are known here: everything with a list, every stream
//! operation and the small hot ones. Values of the C API are boxed one by one (a list<u8> is 32 bytes
//! an element); here C gets slices of the guest's memory and hands slices back, which are lowered
//! into the guest without a copy in between.
//!
//! One C function serves all shapes: arguments and result are flat structs. What C hands back is
//! borrowed until the callback's result has been lowered, which is before C runs again.

use crate::{lists, slice};
use std::borrow::Cow;
use std::ffi::c_void;
use wasmtime::component::__internal::wasmtime_environ::component::StringEncoding;
use wasmtime::component::__internal::{
    CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext,
};
use wasmtime::component::{
    ComponentType, Lift, LinkerInstance, Lower, ResourceDynamic, WasmList, WasmStr, flags,
};
use wasmtime::{AsContext, Result, StoreContextMut, format_err};
use wasmtime_c_api::{
    WasmtimeStoreData, wasmtime_component_linker_instance_t, wasmtime_context_get_data,
    wasmtime_error_t,
};

/// Elements of a list of texts, bytes or resources that one call may bring.
const ITEMS_MAX: usize = 65536;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Span {
    ptr: *const u8,
    len: usize,
}

impl Span {
    fn of(bytes: &[u8]) -> Span {
        Span {
            ptr: bytes.as_ptr(),
            len: bytes.len(),
        }
    }

    /// # Safety
    /// C keeps the bytes until the result of this call was lowered.
    unsafe fn bytes(self) -> &'static [u8] {
        // SAFETY: by the contract.
        unsafe { slice(self.ptr, self.len) }
    }

    /// # Safety
    /// As above. Text that is not UTF-8 is the host's mistake: the call fails.
    unsafe fn text(self) -> Result<&'static str> {
        // SAFETY: by the contract.
        std::str::from_utf8(unsafe { self.bytes() })
            .map_err(|_| format_err!("text of the host is not UTF-8"))
    }
}

/// A pair of texts or of a text and bytes; single items use the first.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Pair {
    first: Span,
    second: Span,
}

#[repr(C)]
pub struct Arg {
    n: u64, // a number, flags, or the number of a resource
    span: Span,
    items: *const Pair,
    reps: *const u32,
    nitems: usize,
    kind: u32, // of a resource, or of those of a list: what it was defined as; 0: none
}

const NOTHING: Span = Span {
    ptr: std::ptr::null(),
    len: 0,
};

impl Arg {
    fn number(n: u64) -> Arg {
        Arg {
            n,
            span: NOTHING,
            items: std::ptr::null(),
            reps: std::ptr::null(),
            nitems: 0,
            kind: 0,
        }
    }

    /// No function with a shape takes a resource over: all of them are lent.
    fn lent(r: &ResourceDynamic) -> Result<Arg> {
        if r.owned() {
            return Err(format_err!("a resource was handed over where one is lent"));
        }
        Ok(Arg {
            kind: r.ty(),
            ..Arg::number(u64::from(r.rep()))
        })
    }

    fn span(bytes: &[u8]) -> Arg {
        Arg {
            span: Span::of(bytes),
            ..Arg::number(0)
        }
    }

    fn items(items: &[Pair]) -> Arg {
        Arg {
            items: items.as_ptr(),
            nitems: items.len(),
            ..Arg::number(0)
        }
    }
}

#[repr(C)]
pub struct Out {
    failed: bool, // an error of the function's own: `error` says which
    has: bool,    // an option is there
    error: u32,
    rep: u32, // of a resource that is handed out, or of a failed stream's error
    kind: u32, // the resource's type
    n: [u64; 12],
    span: Span,
    items: *const Pair,
    numbers: *const u32,
    nitems: usize,
}

type Callback =
    unsafe extern "C" fn(env: *mut c_void, data: *mut c_void, args: *const Arg, out: *mut Out) -> bool;

#[derive(Clone, Copy)]
struct Host {
    call: Callback,
    env: *mut c_void,
}
// SAFETY: the pointer is only handed back to C, which allows it from any thread.
unsafe impl Send for Host {}
// SAFETY: as above.
unsafe impl Sync for Host {}

impl Host {
    fn call(&self, store: &StoreContextMut<'_, WasmtimeStoreData>, args: &[Arg]) -> Result<Out> {
        let mut out = Out {
            failed: false,
            has: false,
            error: 0,
            rep: 0,
            kind: 0,
            n: [0; 12],
            span: NOTHING,
            items: std::ptr::null(),
            numbers: std::ptr::null(),
            nitems: 0,
        };
        let data = wasmtime_context_get_data(store.as_context());
        // SAFETY: the contract of cis_glue_add_typed; both pointers live during the call.
        if unsafe { (self.call)(self.env, data, args.as_ptr(), &mut out) } {
            Ok(out)
        } else {
            // How and why was recorded by C before it said no.
            Err(format_err!("the host ended the guest"))
        }
    }
}

impl Out {
    /// # Safety
    /// C keeps the items until the result of this call was lowered.
    unsafe fn pairs(&self) -> &'static [Pair] {
        if self.nitems == 0 {
            &[]
        } else {
            // SAFETY: by the contract.
            unsafe { std::slice::from_raw_parts(self.items, self.nitems) }
        }
    }

    fn own(&self) -> ResourceDynamic {
        ResourceDynamic::new_own(self.rep, self.kind)
    }
}

// ---- what an error is, by the kind of function ----

trait Failure: Sized {
    fn of(out: &Out) -> Result<Self>;
}

/// Enums whose cases C names by their number in the interface.
macro_rules! numbered {
    ($name:ident { $($case:ident = $text:literal),* $(,)? }) => {
        #[derive(ComponentType, Lift, Lower, Clone, Copy)]
        #[component(enum)]
        #[repr(u8)]
        enum $name { $(#[component(name = $text)] $case),* }
        impl $name {
            fn number(n: u64) -> Result<$name> {
                const ALL: &[$name] = &[$($name::$case),*];
                usize::try_from(n).ok().and_then(|n| ALL.get(n)).copied()
                    .ok_or_else(|| format_err!("the host answered with a case that does not exist"))
            }
        }
        impl Failure for $name {
            fn of(out: &Out) -> Result<$name> { $name::number(u64::from(out.error)) }
        }
    };
}

numbered!(FileError {
    Access = "access", WouldBlock = "would-block", Already = "already",
    BadDescriptor = "bad-descriptor", Busy = "busy", Deadlock = "deadlock", Quota = "quota",
    Exist = "exist", FileTooLarge = "file-too-large", IllegalByteSequence = "illegal-byte-sequence",
    InProgress = "in-progress", Interrupted = "interrupted", Invalid = "invalid", Io = "io",
    IsDirectory = "is-directory", Loop = "loop", TooManyLinks = "too-many-links",
    MessageSize = "message-size", NameTooLong = "name-too-long", NoDevice = "no-device",
    NoEntry = "no-entry", NoLock = "no-lock", InsufficientMemory = "insufficient-memory",
    InsufficientSpace = "insufficient-space", NotDirectory = "not-directory",
    NotEmpty = "not-empty", NotRecoverable = "not-recoverable", Unsupported = "unsupported",
    NoTty = "no-tty", NoSuchDevice = "no-such-device", Overflow = "overflow",
    NotPermitted = "not-permitted", Pipe = "pipe", ReadOnly = "read-only",
    InvalidSeek = "invalid-seek", TextFileBusy = "text-file-busy", CrossDevice = "cross-device",
});

numbered!(FileType {
    Unknown = "unknown", BlockDevice = "block-device", CharacterDevice = "character-device",
    Directory = "directory", Fifo = "fifo", SymbolicLink = "symbolic-link",
    RegularFile = "regular-file", Socket = "socket",
});

numbered!(NetError {
    Unknown = "unknown", AccessDenied = "access-denied", NotSupported = "not-supported",
    InvalidArgument = "invalid-argument", OutOfMemory = "out-of-memory", Timeout = "timeout",
    ConcurrencyConflict = "concurrency-conflict", NotInProgress = "not-in-progress",
    WouldBlock = "would-block", InvalidState = "invalid-state",
    NewSocketLimit = "new-socket-limit", AddressNotBindable = "address-not-bindable",
    AddressInUse = "address-in-use", RemoteUnreachable = "remote-unreachable",
    ConnectionRefused = "connection-refused", ConnectionReset = "connection-reset",
    ConnectionAborted = "connection-aborted", DatagramTooLarge = "datagram-too-large",
    NameUnresolvable = "name-unresolvable",
    TemporaryResolverFailure = "temporary-resolver-failure",
    PermanentResolverFailure = "permanent-resolver-failure",
});

/// A variant in the interface, although no case has a payload.
#[derive(ComponentType, Lower, Clone, Copy)]
#[component(variant)]
enum HeaderError {
    #[component(name = "invalid-syntax")]
    InvalidSyntax,
    #[component(name = "forbidden")]
    Forbidden,
    #[component(name = "immutable")]
    Immutable,
}

impl Failure for HeaderError {
    fn of(out: &Out) -> Result<HeaderError> {
        match out.error {
            0 => Ok(HeaderError::InvalidSyntax),
            1 => Ok(HeaderError::Forbidden),
            2 => Ok(HeaderError::Immutable),
            _ => Err(format_err!("the host answered with a case that does not exist")),
        }
    }
}

numbered!(CoreError {
    AccessDenied = "access-denied", AddressInUse = "address-in-use",
    AddressNotAvailable = "address-not-available", AlreadyConnected = "already-connected",
    ConnectionRefused = "connection-refused", ConnectionReset = "connection-reset",
    ConnectionAborted = "connection-aborted", HostUnreachable = "host-unreachable",
    NetworkUnreachable = "network-unreachable", Timeout = "timeout", WouldBlock = "would-block",
    InvalidArgument = "invalid-argument", NotSupported = "not-supported",
    OutOfMemory = "out-of-memory", Unknown = "unknown",
});

numbered!(Advice {
    Normal = "normal", Sequential = "sequential", Random = "random", WillNeed = "will-need",
    DontNeed = "dont-need", NoReuse = "no-reuse",
});

#[derive(ComponentType, Lift, Lower, Clone, Copy)]
#[component(variant)]
enum NewTime {
    #[component(name = "no-change")]
    Keep,
    #[component(name = "now")]
    Now,
    #[component(name = "timestamp")]
    At(Datetime),
}

impl NewTime {
    /// Which case, seconds, nanoseconds.
    fn args(self) -> [Arg; 3] {
        let (case, seconds, nanoseconds) = match self {
            NewTime::Keep => (0, 0, 0),
            NewTime::Now => (1, 0, 0),
            NewTime::At(t) => (2, t.seconds, t.nanoseconds),
        };
        [Arg::number(case), Arg::number(seconds), Arg::number(u64::from(nanoseconds))]
    }
}

#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum StreamError {
    #[component(name = "last-operation-failed")]
    Failed(ResourceDynamic),
    #[component(name = "closed")]
    Closed,
}

impl Failure for StreamError {
    fn of(out: &Out) -> Result<StreamError> {
        Ok(match out.error {
            0 => StreamError::Failed(out.own()),
            _ => StreamError::Closed,
        })
    }
}

flags! {
    PathFlags {
        #[component(name = "symlink-follow")] const SYMLINK_FOLLOW;
    }
}
flags! {
    OpenFlags {
        #[component(name = "create")] const CREATE;
        #[component(name = "directory")] const DIRECTORY;
        #[component(name = "exclusive")] const EXCLUSIVE;
        #[component(name = "truncate")] const TRUNCATE;
    }
}
flags! {
    FileFlags {
        #[component(name = "read")] const READ;
        #[component(name = "write")] const WRITE;
        #[component(name = "file-integrity-sync")] const FILE_SYNC;
        #[component(name = "data-integrity-sync")] const DATA_SYNC;
        #[component(name = "requested-write-sync")] const WRITE_SYNC;
        #[component(name = "mutate-directory")] const MUTATE_DIRECTORY;
    }
}

// ---- what an answer is ----

trait Answer: Sized {
    fn of(out: &Out) -> Result<Self>;
}

impl Answer for () {
    fn of(_: &Out) -> Result<()> {
        Ok(())
    }
}

impl Answer for bool {
    fn of(out: &Out) -> Result<bool> {
        Ok(out.has)
    }
}

impl Answer for u64 {
    fn of(out: &Out) -> Result<u64> {
        Ok(out.n[0])
    }
}

impl Answer for (u64, u64) {
    fn of(out: &Out) -> Result<(u64, u64)> {
        Ok((out.n[0], out.n[1]))
    }
}

impl Answer for ResourceDynamic {
    fn of(out: &Out) -> Result<ResourceDynamic> {
        Ok(out.own())
    }
}

impl Answer for &'static [u8] {
    fn of(out: &Out) -> Result<&'static [u8]> {
        // SAFETY: the contract of cis_glue_add_typed.
        Ok(unsafe { out.span.bytes() })
    }
}

impl Answer for &'static str {
    fn of(out: &Out) -> Result<&'static str> {
        // SAFETY: the contract of cis_glue_add_typed.
        unsafe { out.span.text() }
    }
}

impl Answer for (&'static [u8], bool) {
    fn of(out: &Out) -> Result<(&'static [u8], bool)> {
        // SAFETY: the contract of cis_glue_add_typed.
        Ok((unsafe { out.span.bytes() }, out.has))
    }
}

impl Answer for &'static [u32] {
    fn of(out: &Out) -> Result<&'static [u32]> {
        if out.nitems == 0 {
            return Ok(&[]);
        }
        // SAFETY: the contract of cis_glue_add_typed.
        Ok(unsafe { std::slice::from_raw_parts(out.numbers, out.nitems) })
    }
}

impl Answer for Vec<&'static str> {
    fn of(out: &Out) -> Result<Vec<&'static str>> {
        // SAFETY: the contract of cis_glue_add_typed.
        lists::all(unsafe { out.pairs() }.iter().map(|p| unsafe { p.first.text() }))
    }
}

impl Answer for Vec<&'static [u8]> {
    fn of(out: &Out) -> Result<Vec<&'static [u8]>> {
        // SAFETY: the contract of cis_glue_add_typed.
        Ok(lists::made(unsafe { out.pairs() }.iter().map(|p| unsafe { p.first.bytes() }))?)
    }
}

impl Answer for Vec<(&'static str, &'static str)> {
    fn of(out: &Out) -> Result<Self> {
        // SAFETY: the contract of cis_glue_add_typed.
        let pairs = unsafe { out.pairs() }.iter();
        // SAFETY: as above.
        lists::all(pairs.map(|p| unsafe { Ok((p.first.text()?, p.second.text()?)) }))
    }
}

impl Answer for Vec<(&'static str, &'static [u8])> {
    fn of(out: &Out) -> Result<Self> {
        // SAFETY: the contract of cis_glue_add_typed.
        let pairs = unsafe { out.pairs() }.iter();
        // SAFETY: as above.
        lists::all(pairs.map(|p| unsafe { Ok((p.first.text()?, p.second.bytes())) }))
    }
}

#[derive(ComponentType, Lift, Lower, Clone, Copy)]
#[component(record)]
struct Datetime {
    seconds: u64,
    nanoseconds: u32,
}

impl Answer for Datetime {
    fn of(out: &Out) -> Result<Datetime> {
        Ok(Datetime {
            seconds: out.n[0],
            nanoseconds: u32::try_from(out.n[1])?,
        })
    }
}

#[derive(ComponentType, Lift, Lower)]
#[component(record)]
struct MetadataHash {
    lower: u64,
    upper: u64,
}

impl Answer for MetadataHash {
    fn of(out: &Out) -> Result<MetadataHash> {
        Ok(MetadataHash {
            lower: out.n[0],
            upper: out.n[1],
        })
    }
}

impl Answer for FileType {
    fn of(out: &Out) -> Result<FileType> {
        FileType::number(out.n[0])
    }
}

#[derive(ComponentType, Lift, Lower)]
#[component(record)]
struct Stat {
    #[component(name = "type")]
    kind: FileType,
    #[component(name = "link-count")]
    links: u64,
    size: u64,
    #[component(name = "data-access-timestamp")]
    accessed: Option<Datetime>,
    #[component(name = "data-modification-timestamp")]
    modified: Option<Datetime>,
    #[component(name = "status-change-timestamp")]
    changed: Option<Datetime>,
}

impl Answer for Stat {
    /// n: type, links, size, then seconds and nanoseconds of each time; nanoseconds of 2^32 and more:
    /// none.
    fn of(out: &Out) -> Result<Stat> {
        let time = |at: usize| {
            u32::try_from(out.n[at + 1])
                .ok()
                .map(|nanoseconds| Datetime {
                    seconds: out.n[at],
                    nanoseconds,
                })
        };
        Ok(Stat {
            kind: FileType::number(out.n[0])?,
            links: out.n[1],
            size: out.n[2],
            accessed: time(3),
            modified: time(5),
            changed: time(7),
        })
    }
}

#[derive(ComponentType, Lower)]
#[component(record)]
struct DirEntry {
    #[component(name = "type")]
    kind: FileType,
    name: &'static str,
}

impl Answer for Option<DirEntry> {
    fn of(out: &Out) -> Result<Option<DirEntry>> {
        if !out.has {
            return Ok(None);
        }
        Ok(Some(DirEntry {
            kind: FileType::number(out.n[0])?,
            // SAFETY: the contract of cis_glue_add_typed.
            name: unsafe { out.span.text()? },
        }))
    }
}

impl Answer for Option<FileError> {
    fn of(out: &Out) -> Result<Option<FileError>> {
        if out.has { FileError::of(out).map(Some) } else { Ok(None) }
    }
}

impl Answer for Option<ResourceDynamic> {
    fn of(out: &Out) -> Result<Option<ResourceDynamic>> {
        Ok(out.has.then(|| out.own()))
    }
}

impl Answer for Option<&'static str> {
    fn of(out: &Out) -> Result<Option<&'static str>> {
        // SAFETY: the contract of cis_glue_add_typed.
        if out.has { unsafe { out.span.text() }.map(Some) } else { Ok(None) }
    }
}

impl Answer for FileFlags {
    fn of(out: &Out) -> Result<FileFlags> {
        let all = [
            FileFlags::READ, FileFlags::WRITE, FileFlags::FILE_SYNC, FileFlags::DATA_SYNC,
            FileFlags::WRITE_SYNC, FileFlags::MUTATE_DIRECTORY,
        ];
        let mut flags = FileFlags::default();
        for (i, flag) in all.into_iter().enumerate() {
            if out.n[0] >> i & 1 != 0 {
                flags |= flag;
            }
        }
        Ok(flags)
    }
}

/// Resources with a name: numbers are their representations.
impl Answer for Vec<(ResourceDynamic, &'static str)> {
    fn of(out: &Out) -> Result<Self> {
        let reps = <&'static [u32] as Answer>::of(out)?;
        // SAFETY: the contract of cis_glue_add_typed.
        let named = unsafe { out.pairs() }.iter().zip(reps);
        lists::all(named.map(|(p, rep)| {
            // SAFETY: as above.
            Ok((ResourceDynamic::new_own(*rep, out.kind), unsafe { p.first.text()? }))
        }))
    }
}

impl<T: Answer, E: Failure> Answer for Result<T, E> {
    fn of(out: &Out) -> wasmtime::Result<Result<T, E>> {
        Ok(if out.failed {
            Err(E::of(out)?)
        } else {
            Ok(T::of(out)?)
        })
    }
}

// ---- datagrams ----

#[derive(ComponentType, Lift, Lower, Clone, Copy)]
#[component(record)]
struct Address4 {
    port: u16,
    address: (u8, u8, u8, u8),
}

#[derive(ComponentType, Lift, Lower, Clone, Copy)]
#[component(record)]
struct Address6 {
    port: u16,
    #[component(name = "flow-info")]
    flow: u32,
    address: (u16, u16, u16, u16, u16, u16, u16, u16),
    #[component(name = "scope-id")]
    scope: u32,
}

#[derive(ComponentType, Lift, Lower, Clone, Copy)]
#[component(variant)]
enum Address {
    #[component(name = "ipv4")]
    V4(Address4),
    #[component(name = "ipv6")]
    V6(Address6),
}

/// struct cis_glue_address
#[repr(C)]
#[derive(Clone, Copy)]
struct FlatAddress {
    family: u32,
    port: u32,
    flow: u32,
    scope: u32,
    ip: [u8; 16],
}

impl FlatAddress {
    fn of(address: &Address) -> FlatAddress {
        let mut flat = FlatAddress { family: 4, port: 0, flow: 0, scope: 0, ip: [0; 16] };
        match address {
            Address::V4(a) => {
                flat.port = u32::from(a.port);
                let ip = a.address;
                flat.ip[..4].copy_from_slice(&[ip.0, ip.1, ip.2, ip.3]);
            }
            Address::V6(a) => {
                (flat.family, flat.port) = (6, u32::from(a.port));
                (flat.flow, flat.scope) = (a.flow, a.scope);
                let ip = a.address;
                let words = [ip.0, ip.1, ip.2, ip.3, ip.4, ip.5, ip.6, ip.7];
                for (to, word) in flat.ip.chunks_exact_mut(2).zip(words) {
                    to.copy_from_slice(&word.to_be_bytes());
                }
            }
        }
        flat
    }

    fn span(&self) -> Span {
        Span {
            ptr: std::ptr::from_ref(self).cast(),
            len: std::mem::size_of::<FlatAddress>(),
        }
    }

    /// # Safety
    /// The span is one of struct cis_glue_address.
    unsafe fn read(span: Span) -> Result<Address> {
        if span.len != std::mem::size_of::<FlatAddress>() {
            return Err(format_err!("the host answered with an address that is none"));
        }
        // SAFETY: by the contract, and the length.
        let flat = unsafe { span.ptr.cast::<FlatAddress>().read_unaligned() };
        let ip = flat.ip;
        let port = u16::try_from(flat.port)?;
        let word = |i: usize| u16::from_be_bytes([ip[2 * i], ip[2 * i + 1]]);
        Ok(if flat.family == 4 {
            Address::V4(Address4 { port, address: (ip[0], ip[1], ip[2], ip[3]) })
        } else {
            Address::V6(Address6 {
                port,
                flow: flat.flow,
                address: (word(0), word(1), word(2), word(3), word(4), word(5), word(6), word(7)),
                scope: flat.scope,
            })
        })
    }
}

#[derive(ComponentType, Lower)]
#[component(record)]
struct Incoming {
    data: &'static [u8],
    #[component(name = "remote-address")]
    remote: Address,
}

#[derive(ComponentType, Lift)]
#[component(record)]
struct Outgoing {
    data: WasmList<u8>,
    #[component(name = "remote-address")]
    remote: Option<Address>,
}

impl Answer for Vec<Incoming> {
    fn of(out: &Out) -> Result<Vec<Incoming>> {
        // SAFETY: the contract of cis_glue_add_typed.
        let pairs = unsafe { out.pairs() }.iter();
        lists::all(pairs.map(|p| {
            // SAFETY: as above.
            unsafe { Ok(Incoming { data: p.first.bytes(), remote: FlatAddress::read(p.second)? }) }
        }))
    }
}

// ---- text ----

/// Units of a text that is not UTF-8. Such text is made anew here, three bytes a unit at most, and
/// no name, path or method has as many.
const UNITS_MAX: usize = 1 << 20;
/// Bytes of all names of one list that are made anew.
const NAMES_MAX: usize = 4 << 20;
/// The bit of a length that says how the text is written, where the text itself chooses.
const UTF16_TAG: usize = 1 << 31;

const TOO_MUCH: &str = "too much data is being copied between the host and the guest: \
                        fuel allocated for hostcalls has been exhausted";

/// A text of the guest's memory, of a length that may be made anew.
struct Text(WasmStr);

impl Text {
    fn new(cx: &LiftContext<'_>, text: WasmStr, units: usize) -> Result<Text> {
        let as_it_is = matches!(cx.options().string_encoding, StringEncoding::Utf8);
        if !as_it_is && units & !UTF16_TAG > UNITS_MAX {
            return Err(format_err!("{TOO_MUCH}"));
        }
        Ok(Text(text))
    }

    fn read<'a>(&self, store: &'a StoreContextMut<'_, WasmtimeStoreData>) -> Result<Cow<'a, str>> {
        self.0.to_str(store)
    }
}

// SAFETY: everything is WasmStr's; the length is only looked at.
unsafe impl ComponentType for Text {
    type Lower = <WasmStr as ComponentType>::Lower;
    const ABI: CanonicalAbiInfo = <WasmStr as ComponentType>::ABI;

    fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        WasmStr::typecheck(ty, types)
    }
}

// SAFETY: as above. The second half of a text is its length.
unsafe impl Lift for Text {
    fn linear_lift_from_flat(
        cx: &mut LiftContext<'_>,
        ty: InterfaceType,
        src: &Self::Lower,
    ) -> Result<Text> {
        let units = usize::try_from(src[1].get_u32())?;
        let text = WasmStr::linear_lift_from_flat(cx, ty, src)?;
        Text::new(cx, text, units)
    }

    fn linear_lift_from_memory(
        cx: &mut LiftContext<'_>,
        ty: InterfaceType,
        bytes: &[u8],
    ) -> Result<Text> {
        let units = bytes.get(4..8).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes);
        let text = WasmStr::linear_lift_from_memory(cx, ty, bytes)?;
        Text::new(cx, text, usize::try_from(units)?)
    }
}

// ---- what an argument is ----

/// Resources, numbers and flags are numbers; text and bytes are spans of the guest's memory.
trait Give {
    fn give<R>(&self, store: &StoreContextMut<'_, WasmtimeStoreData>, then: impl FnOnce(Arg) -> Result<R>)
    -> Result<R>;
}

macro_rules! give_number {
    ($($type:ty: $v:ident => $e:expr),* $(,)?) => { $(
        impl Give for $type {
            fn give<R>(&self, _: &StoreContextMut<'_, WasmtimeStoreData>,
                       then: impl FnOnce(Arg) -> Result<R>) -> Result<R> {
                let $v = self;
                then(Arg::number($e))
            }
        }
    )* };
}

impl Give for ResourceDynamic {
    fn give<R>(
        &self,
        _: &StoreContextMut<'_, WasmtimeStoreData>,
        then: impl FnOnce(Arg) -> Result<R>,
    ) -> Result<R> {
        then(Arg::lent(self)?)
    }
}

give_number! {
    u64: n => *n,
    u8: n => u64::from(*n),
    Advice: a => u64::from(*a as u8),
    std::result::Result<(), ()>: r => u64::from(r.is_err()),
    PathFlags: f => u64::from(f.as_array()[0]),
    OpenFlags: f => u64::from(f.as_array()[0]),
    FileFlags: f => u64::from(f.as_array()[0]),
}

impl Give for WasmList<u8> {
    fn give<R>(
        &self,
        store: &StoreContextMut<'_, WasmtimeStoreData>,
        then: impl FnOnce(Arg) -> Result<R>,
    ) -> Result<R> {
        then(Arg::span(self.as_le_slice(store)))
    }
}

impl Give for Text {
    fn give<R>(
        &self,
        store: &StoreContextMut<'_, WasmtimeStoreData>,
        then: impl FnOnce(Arg) -> Result<R>,
    ) -> Result<R> {
        then(Arg::span(self.read(store)?.as_bytes()))
    }
}

fn few(n: usize) -> Result<usize> {
    if n > ITEMS_MAX {
        return Err(format_err!("a list of {n} items, more than {ITEMS_MAX}"));
    }
    Ok(n)
}

macro_rules! typed {
    ($into:expr, $name:expr, $host:expr, ($($arg:ident: $type:ty),*) -> $answer:ty) => {{
        let host = $host;
        $into.func_wrap($name, move |store: StoreContextMut<'_, WasmtimeStoreData>, ($($arg,)*): ($($type,)*)| {
            let _ = &store;
            let out = typed!(@args host, store, [] $($arg)*)?;
            Ok((<$answer as Answer>::of(&out)?,))
        })
    }};
    (@args $host:ident, $store:ident, [$($done:ident)*] $next:ident $($rest:ident)*) => {
        $next.give(&$store, |$next| typed!(@args $host, $store, [$($done)* $next] $($rest)*))
    };
    (@args $host:ident, $store:ident, [$($done:ident)*]) => {
        $host.call(&$store, &[$($done),*])
    };
}

type Res = ResourceDynamic;
type FileResult<T> = Result<T, FileError>;
type StreamResult<T> = Result<T, StreamError>;

/// No return value: a function that only ends, or blocks.
fn quiet(
    into: &mut LinkerInstance<'_, WasmtimeStoreData>,
    name: &str,
    host: Host,
) -> Result<()> {
    into.func_wrap(
        name,
        move |store: StoreContextMut<'_, WasmtimeStoreData>, (r,): (Res,)| {
            host.call(&store, &[Arg::lent(&r)?])?;
            Ok(())
        },
    )
}

fn poll(into: &mut LinkerInstance<'_, WasmtimeStoreData>, name: &str, host: Host) -> Result<()> {
    into.func_wrap(
        name,
        move |mut store: StoreContextMut<'_, WasmtimeStoreData>, (list,): (WasmList<Res>,)| {
            let mut reps = lists::room(few(list.len())?)?;
            let mut kind = 0;
            for r in list.iter(&mut store)? {
                let one = Arg::lent(&r?)?;
                if !reps.is_empty() && one.kind != kind {
                    return Err(format_err!("a list of resources of more than one kind"));
                }
                kind = one.kind;
                reps.push(u32::try_from(one.n)?);
            }
            let arg = Arg {
                reps: reps.as_ptr(),
                nitems: reps.len(),
                kind,
                ..Arg::number(0)
            };
            let out = host.call(&store, &[arg])?;
            Ok((<&'static [u32] as Answer>::of(&out)?,))
        },
    )
}

/// A list of fields longer than any that is handed over: only its length is, and the host refuses.
fn too_many(n: usize) -> Arg {
    Arg::number(n as u64)
}

fn refused<T>(
    host: &Host,
    store: &StoreContextMut<'_, WasmtimeStoreData>,
    args: &[Arg],
) -> Result<(Result<T, HeaderError>,)>
where
    Result<T, HeaderError>: Answer,
{
    Ok((<Result<T, HeaderError> as Answer>::of(&host.call(store, args)?)?,))
}

/// None: more than is made anew for one list.
fn names<'a>(
    store: &'a StoreContextMut<'_, WasmtimeStoreData>,
    got: &[(Text, WasmList<u8>)],
) -> Result<Option<Vec<Cow<'a, str>>>> {
    let mut room = NAMES_MAX;
    let mut texts = lists::room(got.len())?;
    for (key, _) in got {
        let text = key.read(store)?;
        if let Cow::Owned(made) = &text {
            match room.checked_sub(made.len()) {
                Some(left) => room = left,
                None => return Ok(None),
            }
        }
        texts.push(text);
    }
    Ok(Some(texts))
}

fn fields_from(into: &mut LinkerInstance<'_, WasmtimeStoreData>, name: &str, host: Host) -> Result<()> {
    into.func_wrap(
        name,
        move |mut store: StoreContextMut<'_, WasmtimeStoreData>,
              (list,): (WasmList<(Text, WasmList<u8>)>,)| {
            if list.len() > ITEMS_MAX {
                return refused(&host, &store, &[too_many(list.len())]);
            }
            let mut got = lists::room(list.len())?;
            for pair in list.iter(&mut store)? {
                got.push(pair?);
            }
            let Some(texts) = names(&store, &got)? else {
                return refused(&host, &store, &[too_many(list.len())]);
            };
            let items = lists::made(got.iter().zip(&texts).map(|((_, value), key)| Pair {
                first: Span::of(key.as_bytes()),
                second: Span::of(value.as_le_slice(&store)),
            }))?;
            let out = host.call(&store, &[Arg::items(&items)])?;
            Ok((<Result<Res, HeaderError> as Answer>::of(&out)?,))
        },
    )
}

fn fields_set(into: &mut LinkerInstance<'_, WasmtimeStoreData>, name: &str, host: Host) -> Result<()> {
    into.func_wrap(
        name,
        move |mut store: StoreContextMut<'_, WasmtimeStoreData>,
              (r, key, list): (Res, Text, WasmList<WasmList<u8>>)| {
            if list.len() > ITEMS_MAX {
                let text = key.read(&store)?;
                let args = [
                    Arg::lent(&r)?,
                    Arg::span(text.as_bytes()),
                    too_many(list.len()),
                ];
                return refused(&host, &store, &args);
            }
            let mut got = lists::room(list.len())?;
            for value in list.iter(&mut store)? {
                got.push(value?);
            }
            let items = lists::made(got.iter().map(|value| Pair {
                first: Span::of(value.as_le_slice(&store)),
                second: NOTHING,
            }))?;
            let text = key.read(&store)?;
            let args = [
                Arg::lent(&r)?,
                Arg::span(text.as_bytes()),
                Arg::items(&items),
            ];
            let out = host.call(&store, &args)?;
            Ok((<Result<(), HeaderError> as Answer>::of(&out)?,))
        },
    )
}

fn net_send(into: &mut LinkerInstance<'_, WasmtimeStoreData>, name: &str, host: Host) -> Result<()> {
    into.func_wrap(
        name,
        move |mut store: StoreContextMut<'_, WasmtimeStoreData>, (r, list): (Res, WasmList<Outgoing>)| {
            let mut got = lists::room(few(list.len())?)?;
            for datagram in list.iter(&mut store)? {
                got.push(datagram?);
            }
            let to = lists::made(got.iter().map(|d| d.remote.as_ref().map(FlatAddress::of)))?;
            let items = lists::made(got.iter().zip(&to).map(|(d, to)| Pair {
                first: Span::of(d.data.as_le_slice(&store)),
                second: to.as_ref().map_or(NOTHING, FlatAddress::span),
            }))?;
            let args = [Arg::lent(&r)?, Arg::items(&items)];
            let out = host.call(&store, &args)?;
            Ok((<Result<u64, NetError> as Answer>::of(&out)?,))
        },
    )
}

/// Access and modification time; path: of what it names, below the resource.
fn set_times(into: &mut LinkerInstance<'_, WasmtimeStoreData>, name: &str, host: Host) -> Result<()> {
    into.func_wrap(
        name,
        move |store: StoreContextMut<'_, WasmtimeStoreData>, (r, a, m): (Res, NewTime, NewTime)| {
            let ([a0, a1, a2], [m0, m1, m2]) = (a.args(), m.args());
            let args = [Arg::lent(&r)?, a0, a1, a2, m0, m1, m2];
            let out = host.call(&store, &args)?;
            Ok((<FileResult<()> as Answer>::of(&out)?,))
        },
    )
}

fn set_times_at(into: &mut LinkerInstance<'_, WasmtimeStoreData>, name: &str, host: Host) -> Result<()> {
    into.func_wrap(
        name,
        move |store: StoreContextMut<'_, WasmtimeStoreData>,
              (r, f, path, a, m): (Res, PathFlags, Text, NewTime, NewTime)| {
            let ([a0, a1, a2], [m0, m1, m2]) = (a.args(), m.args());
            let text = path.read(&store)?;
            let args = [
                Arg::lent(&r)?, a0, a1, a2, m0, m1, m2,
                Arg::number(u64::from(f.as_array()[0])),
                Arg::span(text.as_bytes()),
            ];
            let out = host.call(&store, &args)?;
            Ok((<FileResult<()> as Answer>::of(&out)?,))
        },
    )
}

macro_rules! ends {
    ($into:expr, $name:expr, $host:expr, $type:ty) => {{
        let host = $host;
        $into.func_wrap($name, move |store: StoreContextMut<'_, WasmtimeStoreData>, (n,): ($type,)| {
            n.give(&store, |n| host.call(&store, &[n]))?;
            Ok(())
        })
    }};
}

/// The numbers are those of enum cis_glue_shape.
fn add(
    into: &mut LinkerInstance<'_, WasmtimeStoreData>,
    name: &str,
    shape: u32,
    host: Host,
) -> Result<()> {
    match shape {
        0 => quiet(into, name, host),
        1 => poll(into, name, host),
        2 => typed!(into, name, host, (r: Res) -> bool),
        3 => typed!(into, name, host, (r: Res) -> Res),
        4 => typed!(into, name, host, (r: Res, n: u64) -> StreamResult<&'static [u8]>),
        5 => typed!(into, name, host, (r: Res, data: WasmList<u8>) -> StreamResult<()>),
        6 => typed!(into, name, host, (r: Res) -> StreamResult<u64>),
        7 => typed!(into, name, host, (r: Res, n: u64) -> StreamResult<u64>),
        8 => typed!(into, name, host, (r: Res) -> StreamResult<()>),
        9 => typed!(into, name, host, (r: Res, n: u64) -> StreamResult<()>),
        10 => typed!(into, name, host, (r: Res, from: Res, n: u64) -> StreamResult<u64>),
        11 => typed!(into, name, host, (n: u64) -> &'static [u8]),
        12 => typed!(into, name, host, () -> u64),
        13 => typed!(into, name, host, () -> (u64, u64)),
        14 => typed!(into, name, host, () -> Datetime),
        15 => typed!(into, name, host, () -> Vec<&'static str>),
        16 => typed!(into, name, host, () -> Vec<(&'static str, &'static str)>),
        17 => typed!(into, name, host, (n: u64) -> Res),
        20 => typed!(into, name, host, (r: Res, n: u64, at: u64) -> FileResult<(&'static [u8], bool)>),
        21 => typed!(into, name, host, (r: Res, data: WasmList<u8>, at: u64) -> FileResult<u64>),
        22 => typed!(into, name, host, (r: Res) -> FileResult<FileType>),
        23 => typed!(into, name, host, (r: Res) -> FileResult<Stat>),
        24 => typed!(into, name, host, (r: Res, f: PathFlags, path: Text) -> FileResult<Stat>),
        25 => typed!(into, name, host,
            (r: Res, f: PathFlags, path: Text, o: OpenFlags, d: FileFlags) -> FileResult<Res>),
        26 => typed!(into, name, host, (r: Res) -> FileResult<MetadataHash>),
        27 => typed!(into, name, host, (r: Res, f: PathFlags, path: Text) -> FileResult<MetadataHash>),
        28 => typed!(into, name, host, (r: Res, at: u64) -> FileResult<Res>),
        29 => typed!(into, name, host, (r: Res) -> FileResult<Res>),
        30 => typed!(into, name, host, (r: Res) -> FileResult<()>),
        31 => typed!(into, name, host, (r: Res, n: u64) -> FileResult<()>),
        32 => typed!(into, name, host, (r: Res, path: Text) -> FileResult<()>),
        33 => typed!(into, name, host, (r: Res, path: Text) -> FileResult<&'static str>),
        34 => typed!(into, name, host, (r: Res) -> FileResult<Option<DirEntry>>),
        35 => typed!(into, name, host, (r: Res, path: Text, to: Res, name: Text) -> FileResult<()>),
        36 => typed!(into, name, host,
            (r: Res, f: PathFlags, path: Text, to: Res, name: Text) -> FileResult<()>),
        37 => typed!(into, name, host, (r: Res, text: Text, path: Text) -> FileResult<()>),
        38 => typed!(into, name, host, (r: Res, data: WasmList<u8>) -> Result<u64, CoreError>),
        39 => typed!(into, name, host, (r: Res, n: u64) -> Result<&'static [u8], CoreError>),
        40 => typed!(into, name, host, (r: Res, key: Text) -> Vec<&'static [u8]>),
        41 => typed!(into, name, host, (r: Res) -> Vec<(&'static str, &'static [u8])>),
        42 => typed!(into, name, host, (r: Res, key: Text, v: WasmList<u8>) -> Result<(), HeaderError>),
        43 => fields_set(into, name, host),
        44 => fields_from(into, name, host),
        45 => typed!(into, name, host, (r: Res, n: u64) -> Result<(), NetError>),
        46 => typed!(into, name, host, (r: Res, at: u64, n: u64, a: Advice) -> FileResult<()>),
        47 => typed!(into, name, host, (r: Res) -> FileResult<FileFlags>),
        48 => set_times(into, name, host),
        49 => set_times_at(into, name, host),
        50 => typed!(into, name, host, (r: Res, other: Res) -> bool),
        51 => typed!(into, name, host, (r: Res) -> Option<FileError>),
        52 => typed!(into, name, host, (r: Res) -> &'static str),
        53 => ends!(into, name, host, std::result::Result<(), ()>),
        54 => ends!(into, name, host, u8),
        55 => typed!(into, name, host, () -> Res),
        56 => typed!(into, name, host, () -> Option<Res>),
        57 => typed!(into, name, host, () -> Vec<(Res, &'static str)>),
        58 => typed!(into, name, host, () -> Option<&'static str>),
        59 => typed!(into, name, host, (r: Res, n: u64) -> Result<Vec<Incoming>, NetError>),
        60 => net_send(into, name, host),
        61 => typed!(into, name, host, (r: Res) -> Result<u64, NetError>),
        _ => Err(format_err!("shape {shape} does not exist")),
    }
}

fn fail(e: wasmtime::Error) -> Option<Box<wasmtime_error_t>> {
    Some(Box::new(e.into()))
}

/// # Safety
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cis_glue_add_typed(
    into: *mut wasmtime_component_linker_instance_t<'static>,
    name: *const u8,
    name_len: usize,
    shape: u32,
    call: Callback,
    env: *mut c_void,
) -> Option<Box<wasmtime_error_t>> {
    // SAFETY: repr(transparent) over the linker's instance.
    let into = unsafe { &mut *into.cast::<LinkerInstance<'static, WasmtimeStoreData>>() };
    // SAFETY: by the contract.
    let Ok(name) = std::str::from_utf8(unsafe { slice(name, name_len) }) else {
        return fail(format_err!("a name that is not UTF-8"));
    };
    match add(into, name, shape, Host { call, env }) {
        Ok(()) => None,
        Err(e) => fail(e),
    }
}
