//! The binding to Mbed TLS, the only file with `unsafe` in it. It speaks to a shim (`mbedtls/shim.h`) that hides the
//! library's struct layouts. No I/O: datagrams, messages, randomness and dates go through [`Hooks`].
#![allow(unsafe_code)]

use std::ffi::{CString, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::net::IpAddr;
use std::ptr::{self, NonNull};
use std::rc::Rc;

/// The library has no memory.
const ALLOCATION_FAILED: c_int = -0x7f00;
/// It got nothing it can use.
const BAD_INPUT: c_int = -0x7100;
/// Nothing is due.
const NEVER: u64 = u64::MAX;

/// An error of the library, by its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Error(pub(super) c_int);

impl Error {
    /// Whether the library could not read a certificate or the key in it.
    pub(super) fn is_of_certificates(self) -> bool {
        // X509 and PK in the library's table; the lower bits tell more.
        matches!(self.0.unsigned_abs() & 0xff80, 0x2080..=0x3000 | 0x3880..=0x3f80)
    }
}

/// What a channel asks its owner. The last ones only servers are asked.
pub(super) trait Hooks {
    /// A datagram for the network.
    fn send(&mut self, datagram: &[u8]);
    /// A message of the peer.
    fn deliver(&mut self, message: &[u8]);
    /// Fills with randomness; false if there is none.
    fn random(&mut self, bytes: &mut [u8]) -> bool;
    /// A certificate that the peer has shown, the leaf first.
    fn certificate(&mut self, der: &[u8]);
    /// What is wrong with all of them, in flags of the library; 0 for nothing.
    fn verdict(&mut self) -> u32;
    /// The key of a pre-shared identity.
    fn psk(&mut self, _identity: &[u8]) -> Option<Vec<u8>> {
        None
    }
    /// What proves that the peer is where it seems to be.
    fn cookie(&mut self) -> Vec<u8> {
        Vec::new()
    }
    /// Whether it does.
    fn is_cookie(&mut self, _cookie: &[u8]) -> bool {
        false
    }
    /// Makes a ticket of a session, if at all.
    fn seal(&mut self, _session: &[u8]) -> Option<Vec<u8>> {
        None
    }
    /// And back.
    fn open(&mut self, _ticket: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

/// Source of randomness while a key is read.
pub(super) type Random<'a> = &'a mut dyn FnMut(&mut [u8]) -> bool;

#[repr(C)]
struct RawCredentials {
    _opaque: [u8; 0],
    _not_send: PhantomData<*mut u8>,
}

#[repr(C)]
struct RawChannel {
    _opaque: [u8; 0],
    _not_send: PhantomData<*mut u8>,
}

type RandomHook = unsafe extern "C" fn(*mut c_void, *mut u8, usize) -> c_int;
type TurnHook = unsafe extern "C" fn(*mut c_void, *const u8, usize, *mut u8, usize) -> c_int;

#[repr(C)]
struct RawHooks {
    send: unsafe extern "C" fn(*mut c_void, *const u8, usize),
    deliver: unsafe extern "C" fn(*mut c_void, *const u8, usize),
    random: RandomHook,
    certificate: unsafe extern "C" fn(*mut c_void, *const u8, usize),
    verdict: unsafe extern "C" fn(*mut c_void) -> u32,
    psk: TurnHook,
    cookie: unsafe extern "C" fn(*mut c_void, *mut u8, usize) -> c_int,
    check_cookie: unsafe extern "C" fn(*mut c_void, *const u8, usize) -> c_int,
    seal: TurnHook,
    open: TurnHook,
}

#[repr(C)]
struct RawClient {
    name: *const c_char,
    psk: *const u8,
    psk_length: usize,
    identity: *const u8,
    identity_length: usize,
    session: *const u8,
    session_length: usize,
}

unsafe extern "C" {
    fn dots_credentials_new() -> *mut RawCredentials;
    fn dots_credentials_free(credentials: *mut RawCredentials);
    fn dots_credentials_own(credentials: *mut RawCredentials, der: *const u8, length: usize) -> c_int;
    fn dots_credentials_key(
        credentials: *mut RawCredentials,
        der: *const u8,
        length: usize,
        random: RandomHook,
        owner: *mut c_void,
    ) -> c_int;
    fn dots_verify_ecdsa(
        curve: c_int,
        hash: c_int,
        key: *const u8,
        key_length: usize,
        message: *const u8,
        message_length: usize,
        signature: *const u8,
        signature_length: usize,
    ) -> c_int;
    fn dots_channel_client(
        credentials: *const RawCredentials,
        hooks: *const RawHooks,
        owner: *mut c_void,
        client: *const RawClient,
        mtu: usize,
        error: *mut c_int,
    ) -> *mut RawChannel;
    #[cfg(feature = "client")]
    fn dots_channel_server(
        credentials: *const RawCredentials,
        hooks: *const RawHooks,
        owner: *mut c_void,
        has_psk: c_int,
        mtu: usize,
        error: *mut c_int,
    ) -> *mut RawChannel;
    fn dots_channel_free(channel: *mut RawChannel);
    fn dots_channel_handle(channel: *mut RawChannel, now: u64, datagram: *const u8, length: usize) -> c_int;
    fn dots_channel_write(channel: *mut RawChannel, message: *const u8, length: usize) -> c_int;
    fn dots_channel_close(channel: *mut RawChannel);
    fn dots_channel_is_established(channel: *const RawChannel) -> c_int;
    fn dots_channel_due(channel: *const RawChannel) -> u64;
    fn dots_channel_room(channel: *const RawChannel) -> usize;
    fn dots_channel_alert(channel: *const RawChannel) -> u8;
    fn dots_channel_session(channel: *mut RawChannel, session: *mut u8, room: usize) -> usize;
}

fn check(code: c_int) -> Result<(), Error> {
    if code < 0 { Err(Error(code)) } else { Ok(()) }
}

/// Curves of ECDSA, by their bits.
#[derive(Clone, Copy, Debug)]
pub(super) enum Curve {
    P256 = 256,
    P384 = 384,
    P521 = 521,
}

/// Hashes, by their bits.
#[derive(Clone, Copy, Debug)]
pub(super) enum Hash {
    Sha256 = 256,
    Sha384 = 384,
    Sha512 = 512,
}

/// Whether it is a signature of this key, a point of the curve, over the message.
pub(super) fn verify_ecdsa(curve: Curve, hash: Hash, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    // SAFETY: the slices are valid and only read; nothing of them is kept.
    let outcome = unsafe {
        dots_verify_ecdsa(
            curve as c_int,
            hash as c_int,
            key.as_ptr(),
            key.len(),
            message.as_ptr(),
            message.len(),
            signature.as_ptr(),
            signature.len(),
        )
    };
    outcome == 0
}

/// Our certificates and their key. Read-only once channels use it.
pub(super) struct Credentials(NonNull<RawCredentials>);

impl Credentials {
    /// Without anything in it.
    pub(super) fn new() -> Result<Self, Error> {
        // SAFETY: no preconditions; the result is ours to free.
        NonNull::new(unsafe { dots_credentials_new() }).map(Self).ok_or(Error(ALLOCATION_FAILED))
    }

    /// Adds to our own chain, the leaf first.
    pub(super) fn add_own(&mut self, der: &[u8]) -> Result<(), Error> {
        // SAFETY: the pointer is valid and not shared yet, for `self` is borrowed mutably; the slice is copied.
        check(unsafe { dots_credentials_own(self.0.as_ptr(), der.as_ptr(), der.len()) })
    }

    /// Sets the key of our leaf, which has to be there.
    pub(super) fn set_key(&mut self, der: &[u8], mut random: Random<'_>) -> Result<(), Error> {
        unsafe extern "C" fn fill(owner: *mut c_void, bytes: *mut u8, length: usize) -> c_int {
            // SAFETY: `owner` is the `random` below, which nobody else uses during the call; the bytes are the shim's
            // and live as long.
            let (random, bytes) = unsafe { (&mut *owner.cast::<Random<'_>>(), slice_mut(bytes, length)) };
            if random(bytes) { 0 } else { -1 }
        }
        let owner = ptr::from_mut(&mut random).cast();
        // SAFETY: as in `add_own`; `owner` outlives the call and is what `fill` takes it for.
        check(unsafe { dots_credentials_key(self.0.as_ptr(), der.as_ptr(), der.len(), fill, owner) })
    }
}

impl Drop for Credentials {
    fn drop(&mut self) {
        // SAFETY: channels hold an `Rc` of this, so none uses it any more; it is not freed twice.
        unsafe { dots_credentials_free(self.0.as_ptr()) }
    }
}

/// What a client wants.
pub(super) struct ClientSettings<'a> {
    /// The peer's name.
    pub(super) name: &'a str,
    /// Identity and key instead of certificates.
    pub(super) psk: Option<(&'a [u8], &'a [u8])>,
    /// What [`Association::session`] gave for this peer.
    pub(super) session: &'a [u8],
}

/// One DTLS association and its owner.
pub(super) struct Association<H: Hooks> {
    raw: NonNull<RawChannel>,
    /// From a `Box`; the shim has this pointer too and uses it only while one of its functions runs.
    owner: NonNull<H>,
    _credentials: Rc<Credentials>,
}

impl<H: Hooks> Association<H> {
    const HOOKS: RawHooks = RawHooks {
        send: on_send::<H>,
        deliver: on_deliver::<H>,
        random: on_random::<H>,
        certificate: on_certificate::<H>,
        verdict: on_verdict::<H>,
        psk: on_psk::<H>,
        cookie: on_cookie::<H>,
        check_cookie: on_check_cookie::<H>,
        seal: on_seal::<H>,
        open: on_open::<H>,
    };

    /// The router's end. Datagrams are of `mtu` bytes at most.
    pub(super) fn client(
        credentials: Rc<Credentials>,
        owner: H,
        client: &ClientSettings<'_>,
        mtu: usize,
    ) -> Result<Self, Error> {
        let name = CString::new(client.name).map_err(|_| Error(BAD_INPUT))?;
        // No address is a server name (RFC 6066 section 3).
        let is_address = client.name.parse::<IpAddr>().is_ok();
        let (identity, psk) = client.psk.unwrap_or_default();
        let raw = RawClient {
            name: if is_address { ptr::null() } else { name.as_ptr() },
            psk: if client.psk.is_some() { psk.as_ptr() } else { ptr::null() },
            psk_length: psk.len(),
            identity: identity.as_ptr(),
            identity_length: identity.len(),
            session: client.session.as_ptr(),
            session_length: client.session.len(),
        };
        Self::make(credentials, owner, |credentials, owner, error| {
            // SAFETY: the hooks are static and take `owner` for what it is; credentials and owner live as long as the
            // channel does; the rest is copied.
            unsafe { dots_channel_client(credentials, &Self::HOOKS, owner, &raw, mtu, error) }
        })
    }

    /// The provider's end.
    #[cfg(feature = "client")]
    pub(super) fn server(credentials: Rc<Credentials>, owner: H, has_psk: bool, mtu: usize) -> Result<Self, Error> {
        Self::make(credentials, owner, |credentials, owner, error| {
            // SAFETY: as in `client`.
            unsafe { dots_channel_server(credentials, &Self::HOOKS, owner, has_psk.into(), mtu, error) }
        })
    }

    fn make(
        credentials: Rc<Credentials>,
        owner: H,
        make: impl FnOnce(*const RawCredentials, *mut c_void, *mut c_int) -> *mut RawChannel,
    ) -> Result<Self, Error> {
        let owner = NonNull::from(Box::leak(Box::new(owner)));
        let mut error = 0;
        match NonNull::new(make(credentials.0.as_ptr(), owner.as_ptr().cast(), &mut error)) {
            Some(raw) => Ok(Self { raw, owner, _credentials: credentials }),
            None => {
                // SAFETY: it comes from the `Box` above, and there is no channel that has it.
                drop(unsafe { Box::from_raw(owner.as_ptr()) });
                Err(Error(error))
            }
        }
    }

    /// What the hooks have gathered.
    pub(super) fn owner(&self) -> &H {
        // SAFETY: the pointer is valid until drop; the shim uses it only within functions that borrow `self` mutably.
        unsafe { self.owner.as_ref() }
    }

    /// The same, to take from it.
    pub(super) fn owner_mut(&mut self) -> &mut H {
        // SAFETY: as in `owner`, and `self` is borrowed mutably.
        unsafe { self.owner.as_mut() }
    }

    /// Takes one datagram, or an empty one when something is due, at `now` in milliseconds.
    pub(super) fn handle(&mut self, now: u64, datagram: &[u8]) -> Result<(), Error> {
        // SAFETY: the channel is valid; the datagram outlives the call; no reference to the owner is alive.
        check(unsafe { dots_channel_handle(self.raw.as_ptr(), now, datagram.as_ptr(), datagram.len()) })
    }

    /// Encrypts one message.
    pub(super) fn write(&mut self, message: &[u8]) -> Result<(), Error> {
        // SAFETY: as in `handle`.
        check(unsafe { dots_channel_write(self.raw.as_ptr(), message.as_ptr(), message.len()) })
    }

    /// Tells the peer that this is the end.
    pub(super) fn close(&mut self) {
        // SAFETY: the channel is valid; no reference to the owner is alive.
        unsafe { dots_channel_close(self.raw.as_ptr()) }
    }

    /// Whether the handshake is over.
    pub(super) fn is_established(&self) -> bool {
        // SAFETY: the channel is valid, and only read.
        unsafe { dots_channel_is_established(self.raw.as_ptr()) != 0 }
    }

    /// When [`Association::handle`] is due, in milliseconds.
    pub(super) fn due(&self) -> Option<u64> {
        // SAFETY: as in `is_established`.
        Some(unsafe { dots_channel_due(self.raw.as_ptr()) }).filter(|due| *due != NEVER)
    }

    /// The longest message that fits a datagram.
    pub(super) fn room(&self) -> usize {
        // SAFETY: as in `is_established`.
        unsafe { dots_channel_room(self.raw.as_ptr()) }
    }

    /// The fatal alert the peer sent, where that ended the channel.
    pub(super) fn alert(&self) -> u8 {
        // SAFETY: as in `is_established`.
        unsafe { dots_channel_alert(self.raw.as_ptr()) }
    }

    /// What a later client resumes from; once, and empty where the peer offers nothing.
    pub(super) fn session(&mut self) -> Vec<u8> {
        let mut session = vec![0; 8192];
        // SAFETY: the channel is valid; at most the length given is written.
        let length = unsafe { dots_channel_session(self.raw.as_ptr(), session.as_mut_ptr(), session.len()) };
        session.truncate(length);
        session
    }
}

impl<H: Hooks> Drop for Association<H> {
    fn drop(&mut self) {
        // SAFETY: neither is freed twice; the owner comes from a `Box`, and the channel that has it is gone before.
        unsafe {
            dots_channel_free(self.raw.as_ptr());
            drop(Box::from_raw(self.owner.as_ptr()));
        }
    }
}

/// # Safety
/// As of [`std::slice::from_raw_parts`], but that an empty one may be null.
unsafe fn slice<'a>(bytes: *const u8, length: usize) -> &'a [u8] {
    // SAFETY: the caller's.
    if length == 0 { &[] } else { unsafe { std::slice::from_raw_parts(bytes, length) } }
}

/// # Safety
/// As of [`std::slice::from_raw_parts_mut`], but that an empty one may be null.
unsafe fn slice_mut<'a>(bytes: *mut u8, length: usize) -> &'a mut [u8] {
    // SAFETY: the caller's.
    if length == 0 { &mut [] } else { unsafe { std::slice::from_raw_parts_mut(bytes, length) } }
}

/// Copies to the shim's buffer; the length, or -1 for nothing or too much.
fn fill(from: Option<Vec<u8>>, to: &mut [u8]) -> c_int {
    let Some(from) = from else { return -1 };
    let Some(room) = to.get_mut(..from.len()) else { return -1 };
    room.copy_from_slice(&from);
    c_int::try_from(from.len()).unwrap_or(-1)
}

// The shim's side of `Hooks`. SAFETY of all: the shim passes the owner it was given, an `H` that nobody else refers to
// while a function of the shim runs, and buffers that are valid, initialized and unaliased for the call.

unsafe extern "C" fn on_send<H: Hooks>(owner: *mut c_void, datagram: *const u8, length: usize) {
    // SAFETY: see above.
    let (owner, datagram) = unsafe { (&mut *owner.cast::<H>(), slice(datagram, length)) };
    owner.send(datagram);
}

unsafe extern "C" fn on_deliver<H: Hooks>(owner: *mut c_void, message: *const u8, length: usize) {
    // SAFETY: see above.
    let (owner, message) = unsafe { (&mut *owner.cast::<H>(), slice(message, length)) };
    owner.deliver(message);
}

unsafe extern "C" fn on_random<H: Hooks>(owner: *mut c_void, bytes: *mut u8, length: usize) -> c_int {
    // SAFETY: see above; to be filled, the bytes need no value before.
    let (owner, bytes) = unsafe {
        ptr::write_bytes(bytes, 0, length);
        (&mut *owner.cast::<H>(), slice_mut(bytes, length))
    };
    if owner.random(bytes) { 0 } else { -1 }
}

unsafe extern "C" fn on_certificate<H: Hooks>(owner: *mut c_void, der: *const u8, length: usize) {
    // SAFETY: see above.
    let (owner, der) = unsafe { (&mut *owner.cast::<H>(), slice(der, length)) };
    owner.certificate(der);
}

unsafe extern "C" fn on_verdict<H: Hooks>(owner: *mut c_void) -> u32 {
    // SAFETY: see above.
    unsafe { &mut *owner.cast::<H>() }.verdict()
}

unsafe extern "C" fn on_check_cookie<H: Hooks>(owner: *mut c_void, cookie: *const u8, length: usize) -> c_int {
    // SAFETY: see above.
    let (owner, cookie) = unsafe { (&mut *owner.cast::<H>(), slice(cookie, length)) };
    if owner.is_cookie(cookie) { 0 } else { -1 }
}

unsafe extern "C" fn on_cookie<H: Hooks>(owner: *mut c_void, cookie: *mut u8, room: usize) -> c_int {
    // SAFETY: see above; to be filled, the bytes need no value before.
    let (owner, cookie) = unsafe {
        ptr::write_bytes(cookie, 0, room);
        (&mut *owner.cast::<H>(), slice_mut(cookie, room))
    };
    fill(Some(owner.cookie()), cookie)
}

/// Turns bytes of the shim into others of ours.
///
/// # Safety
/// See above.
unsafe fn turn<H: Hooks>(
    owner: *mut c_void,
    from: (*const u8, usize),
    to: (*mut u8, usize),
    what: impl FnOnce(&mut H, &[u8]) -> Option<Vec<u8>>,
) -> c_int {
    // SAFETY: see above; to be filled, the bytes need no value before. What is read is copied, for it may be the library's
    // buffer that is written as well.
    let (owner, from, to) = unsafe {
        let from = slice(from.0, from.1).to_vec();
        ptr::write_bytes(to.0, 0, to.1);
        (&mut *owner.cast::<H>(), from, slice_mut(to.0, to.1))
    };
    fill(what(owner, &from), to)
}

unsafe extern "C" fn on_psk<H: Hooks>(
    owner: *mut c_void,
    id: *const u8,
    length: usize,
    key: *mut u8,
    room: usize,
) -> c_int {
    // SAFETY: see above.
    unsafe { turn::<H>(owner, (id, length), (key, room), |owner, id| owner.psk(id)) }
}

unsafe extern "C" fn on_seal<H: Hooks>(
    owner: *mut c_void,
    session: *const u8,
    length: usize,
    ticket: *mut u8,
    room: usize,
) -> c_int {
    // SAFETY: see above.
    unsafe { turn::<H>(owner, (session, length), (ticket, room), |owner, session| owner.seal(session)) }
}

unsafe extern "C" fn on_open<H: Hooks>(
    owner: *mut c_void,
    ticket: *const u8,
    length: usize,
    session: *mut u8,
    room: usize,
) -> c_int {
    // SAFETY: see above.
    unsafe { turn::<H>(owner, (ticket, length), (session, room), |owner, ticket| owner.open(ticket)) }
}
