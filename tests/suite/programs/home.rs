//! A provider with certificates, and routers that call it over TLS and answer as the test wants.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Child;
use std::sync::Arc;

use dots_callhome::io::clock;
use dots_callhome::transport::Channel;
use dots_callhome::transport::tls::TlsChannel;
use rustls::ClientConfig;

use crate::programs::program::{PATIENCE, Program};
use crate::support::signal::diag;
pub use crate::support::signal::wire::*;
use crate::support::tls::{Authority, Kind, PROVIDER, params, router};
pub use diag::canonical;

/// Signalling over streams (RFC 8323 section 5).
const CSM: u8 = 0xe1;
const PING: u8 = 0xe2;
const PONG: u8 = 0xe3;
const RELEASE: u8 = 0xe4;

/// The program with certificates of one authority.
pub struct Isp {
    pub program: Program,
    pub root: Authority,
    /// With which it is started.
    pub arguments: Vec<String>,
}

impl Isp {
    /// Nothing runs yet.
    pub fn new(test: &str) -> Self {
        let (program, root) = (Program::new(test), Authority::new("Root"));
        let arguments = program.certified(&root.pem(), &root.issue_pem(Kind::P256, params(PROVIDER)));
        Self { program, root, arguments }
    }

    /// It serves.
    pub fn serving(test: &str) -> Self {
        let mut isp = Self::new(test);
        isp.start();
        isp
    }

    pub fn start(&mut self) {
        self.program.start(&self.arguments);
    }

    /// A router of that name calls, and its first questions are answered: nothing is known of them.
    pub fn home(&self, name: &str) -> Home {
        let mut home = self.stranger(name);
        home.answer_first();
        home
    }

    /// The same at that address.
    pub fn home_at(&self, name: &str, to: SocketAddr) -> Home {
        let mut home = self.stranger_at(name, to);
        home.answer_first();
        home
    }

    /// A router of that name calls.
    pub fn stranger(&self, name: &str) -> Home {
        self.stranger_at(name, self.program.v4)
    }

    fn stranger_at(&self, name: &str, to: SocketAddr) -> Home {
        let config = router(self.root.issue(name), &self.root);
        let mut home = Home::call(&config, PROVIDER, to).expect("a session");
        home.say(&Message { code: CSM, ..Message::default() });
        home
    }
}

/// A router's side of its session.
pub struct Home {
    pub stream: TcpStream,
    channel: TlsChannel,
    plaintext: Vec<u8>,
    received: usize,
}

impl Home {
    /// Calls until the provider's first words are there.
    ///
    /// # Errors
    /// There are none; with how many bytes it has said before.
    pub fn call(config: &Arc<ClientConfig>, name: &str, to: SocketAddr) -> Result<Self, usize> {
        let stream = TcpStream::connect(to).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let channel = TlsChannel::client(Arc::clone(config), name).unwrap();
        let mut home = Self { stream, channel, plaintext: Vec::new(), received: 0 };
        while home.plaintext.is_empty() {
            if !home.read() {
                return Err(home.received);
            }
        }
        Ok(home)
    }

    fn flush(&mut self) {
        while let Some(bytes) = self.channel.poll_transmit() {
            let _ = self.stream.write_all(&bytes);
        }
    }

    /// Reads a piece; false where the session is over.
    fn read(&mut self) -> bool {
        self.flush();
        let mut buffer = [0; 4096];
        let length = match self.stream.read(&mut buffer) {
            Ok(length) => length,
            Err(error) => {
                assert!(error.kind() != ErrorKind::WouldBlock, "the provider does not answer");
                0
            }
        };
        self.received += length;
        let is_up = length > 0 && self.channel.handle_input(&buffer[..length], clock::now()).is_ok();
        self.plaintext.extend(self.channel.poll_plaintext().into_iter().flatten());
        is_up
    }

    /// The next message but settings.
    pub fn hear(&mut self) -> Message {
        loop {
            while let Some((message, used)) = Message::of_stream(&self.plaintext) {
                self.plaintext.drain(..used);
                if message.code != CSM {
                    return message;
                }
            }
            assert!(self.read(), "the session is over");
        }
    }

    pub fn say(&mut self, message: &Message) {
        self.channel.write(&message.frame());
        self.flush();
    }

    /// Says more without reading; false where the session is over.
    pub fn pour(&mut self, bytes: &[u8]) -> bool {
        self.channel.write(bytes);
        std::iter::from_fn(|| self.channel.poll_transmit()).all(|bytes| self.stream.write_all(&bytes).is_ok())
    }

    /// All that the provider has said so far has been heard, but heartbeats, and the session stands.
    pub fn has_heard_all(&mut self) {
        self.say(&Message { code: PING, ..Message::default() });
        let mut next = self.hear();
        while next.code == PUT && path(&next).ends_with("/hb") {
            self.answer(&next, CHANGED, "");
            next = self.hear();
        }
        assert_eq!(next.code, PONG, "there is more: {next:?}");
    }

    /// The questions that every session begins with have been heard, and are answered.
    pub fn has_heard_first(&mut self) {
        self.say(&Message { code: CSM, ..Message::default() });
        self.answer_first();
    }

    /// The provider hangs up.
    pub fn waits_for_the_end(&mut self) {
        while self.read() {}
    }

    /// Says goodbye and waits until the provider has hung up.
    pub fn release(mut self) {
        self.say(&Message { code: RELEASE, ..Message::default() });
        while self.read() {}
        // The goodbye above comes before the end of the stream.
        let _ = self.stream.read_to_end(&mut Vec::new());
    }

    /// Answers with a body, unless that is empty.
    pub fn answer(&mut self, to: &Message, code: u8, body: &str) {
        self.answer_with(to, code, body, |answer| answer);
    }

    pub fn answer_with(&mut self, to: &Message, code: u8, body: &str, with: impl Fn(Message) -> Message) {
        let mut answer = Message { code, token: to.token.clone(), ..Message::default() };
        if !body.is_empty() {
            answer = answer.number(12, DOTS.into()).raw(diag::encode(body));
        }
        self.say(&with(answer));
    }

    /// Answers the questions every session begins with; the identifier in them.
    pub fn answer_first(&mut self) -> String {
        let config = self.hear();
        assert_eq!((config.code, path(&config)), (GET, ".well-known/dots/config".to_owned()));
        self.answer(&config, CONTENT, "{30:{}}");
        let all = self.hear();
        assert_eq!(all.code, GET);
        self.answer(&all, NOT_FOUND, "");
        path(&all).strip_prefix(".well-known/dots/mitigate/cuid=").expect("an identifier, no mid").to_owned()
    }

    /// Takes a request on; the question for what becomes of it, answered with status 2.
    pub fn take_on(&mut self, put: &Message) -> Message {
        self.answer(put, CREATED, &format!("{{1:{{2:[{{5:{},14:3600}}]}}}}", mid(put)));
        self.observed(mid(put))
    }

    /// The question for what becomes of a request, answered with status 2.
    pub fn observed(&mut self, number: u32) -> Message {
        let question = self.hear();
        assert_eq!((question.code, question.uint(OBSERVE), mid(&question)), (GET, Some(0), number));
        self.notify(&question, &format!("{{1:{{2:[{{5:{number},14:3600,16:2}}]}}}}"));
        question
    }

    pub fn notify(&mut self, observation: &Message, body: &str) {
        self.answer_with(observation, CONTENT, body, |answer| answer.number(OBSERVE, 1));
    }
}

pub fn path(message: &Message) -> String {
    let segments = message.options.iter().filter(|(number, _)| *number == 11);
    segments.map(|(_, value)| std::str::from_utf8(value).unwrap()).collect::<Vec<_>>().join("/")
}

pub fn mid(message: &Message) -> u32 {
    path(message).rsplit_once("/mid=").expect("a mid").1.parse().unwrap()
}

/// A command that asks a router for this.
pub fn wanting(router: &str, source: &str, target: &str) -> [String; 7] {
    ["request", "--router", router, "--source", source, "--target", target].map(str::to_owned)
}

impl Isp {
    /// Begins a command; `told` waits for its end.
    pub fn command(&self, arguments: &[impl AsRef<str>]) -> Child {
        self.program.command(&arguments.iter().map(AsRef::as_ref).collect::<Vec<_>>())
    }
}
