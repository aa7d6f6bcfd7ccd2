//! CoAP: messages, their framing over streams (RFC 8323) and datagrams (RFC 7252), blocks (RFC 7959).
//!
//! An [`Endpoint`] serves one session in both directions. It answers by itself what needs no resource: malformed
//! messages, unknown critical options, pings, duplicates.

pub mod block;
mod message;
mod random;
mod tcp;
mod udp;
mod wire;

use std::collections::VecDeque;
use std::time::Instant;

use coap_lite::Packet;

pub use message::{Block, Code, Method, Request, Response, Token};
pub use random::Random;
pub use tcp::Broken;
pub use udp::TransmissionParameters;

use tcp::Stream;
use udp::Datagram;

/// Requests of ours that may wait for an answer; older ones are forgotten first.
const MOST_OUTSTANDING: usize = 4096;
/// A datagram's CoAP message (RFC 7252 section 4.6 within an MTU of 1280).
const DATAGRAM_PAYLOAD: usize = 1024;
/// What options and token take at most beside a payload.
const OVERHEAD: usize = 64;

/// A request that waits for its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    token: Token,
    acknowledges: Option<u16>,
}

impl Exchange {
    /// The request's token; notifications bear it too.
    pub fn token(&self) -> &Token {
        &self.token
    }
}

/// What happened.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// Requests may be sent.
    Ready,
    /// The peer asks; answer with [`Endpoint::respond`].
    Request {
        /// Takes the answer.
        exchange: Exchange,
        /// What it asks.
        request: Request,
    },
    /// The peer answered or notified.
    Response {
        /// Of our request.
        token: Token,
        /// What it says.
        response: Response,
    },
    /// The peer rejected or never acknowledged what bore this token; a rejected notification cancels its observation.
    Failed {
        /// Of our request, or of the peer's observation.
        token: Token,
    },
    /// The peer is about to close.
    Released,
}

enum Layer {
    Stream(Stream),
    Datagram(Datagram),
}

/// One session's CoAP endpoint.
pub struct Endpoint {
    layer: Layer,
    random: Box<dyn Random>,
    /// Tokens of our requests, and whether they observe.
    outstanding: VecDeque<(Token, bool)>,
    events: VecDeque<Event>,
    out: VecDeque<Vec<u8>>,
    /// The last word on a stream that can't go on, behind the answers to what came before.
    abort: Option<Vec<u8>>,
}

impl Endpoint {
    /// Over a reliable stream; its settings go out first.
    pub fn stream(random: Box<dyn Random>) -> Self {
        let mut endpoint = Self::new(Layer::Stream(Stream::new()), random);
        endpoint.out.push_back(Stream::csm());
        endpoint
    }

    /// Over datagrams; ready at once.
    pub fn datagram(mut random: Box<dyn Random>) -> Self {
        let mut endpoint = Self::new(Layer::Datagram(Datagram::new(random.as_mut())), random);
        endpoint.events.push_back(Event::Ready);
        endpoint
    }

    fn new(layer: Layer, random: Box<dyn Random>) -> Self {
        Self { layer, random, outstanding: VecDeque::new(), events: VecDeque::new(), out: VecDeque::new(), abort: None }
    }

    /// Whether the transport is reliable.
    pub fn is_stream(&self) -> bool {
        matches!(self.layer, Layer::Stream(_))
    }

    /// Takes a piece of the stream, cut anywhere, or one datagram.
    ///
    /// # Errors
    /// The stream can't go on: send what [`Endpoint::poll_transmit`] still has, then close.
    pub fn handle_input(&mut self, bytes: &[u8], now: Instant) -> Result<(), Broken> {
        match &mut self.layer {
            Layer::Stream(stream) => {
                stream.push(bytes);
                let outcome = self.read_stream();
                if let Err(why) = outcome
                    && why != Broken::Aborted
                {
                    self.abort = Some(Stream::abort(why));
                }
                outcome
            }
            Layer::Datagram(datagram) => {
                let outstanding = &self.outstanding;
                let is_awaited = |packet: &Packet| {
                    outstanding.iter().any(|(token, _)| token.0 == packet.get_token()) && message::is_understood(packet)
                };
                match datagram.receive(bytes, now, self.random.as_mut(), &is_awaited, &mut self.out) {
                    udp::DatagramInput::Request(packet, acknowledges) => self.requested(packet, acknowledges, false),
                    udp::DatagramInput::Response(packet) => self.answered(packet),
                    udp::DatagramInput::Reset(token) => {
                        self.outstanding.retain(|(other, _)| *other != token);
                        self.events.push_back(Event::Failed { token });
                    }
                    udp::DatagramInput::Nothing => {}
                }
                Ok(())
            }
        }
    }

    fn read_stream(&mut self) -> Result<(), Broken> {
        while let Layer::Stream(stream) = &mut self.layer {
            let out = &mut self.out;
            match stream.next(&mut |bytes| out.push_back(bytes))? {
                Some(tcp::StreamInput::Ready) => self.events.push_back(Event::Ready),
                Some(tcp::StreamInput::Release) => self.events.push_back(Event::Released),
                Some(tcp::StreamInput::Message(packet)) => match u8::from(packet.header.code) >> 5 {
                    0 => self.requested(packet, None, true),
                    2 | 4 | 5 => self.answered(packet),
                    // Reserved classes are neither (RFC 7252 section 3).
                    _ => {}
                },
                None => break,
            }
        }
        Ok(())
    }

    fn requested(&mut self, packet: Packet, acknowledges: Option<u16>, reliable: bool) {
        let exchange = Exchange { token: Token(packet.get_token().to_vec()), acknowledges };
        match message::request(packet, reliable || acknowledges.is_some()) {
            Ok(request) => self.events.push_back(Event::Request { exchange, request }),
            // A non-confirmable message with a critical option we don't know is rejected silently.
            Err(message::Refused::Option(_)) if !reliable && acknowledges.is_none() => {}
            Err(refused) => self.respond(&exchange, &refused.response()),
        }
    }

    fn answered(&mut self, packet: Packet) {
        let token = Token(packet.get_token().to_vec());
        let Some(position) = self.outstanding.iter().position(|(other, _)| *other == token) else { return };
        let Ok(response) = message::response(packet) else { return };
        let goes_on =
            response.observe.is_some() && self.outstanding.get(position).is_some_and(|(_, observes)| *observes);
        if !goes_on {
            self.outstanding.remove(position);
        }
        self.events.push_back(Event::Response { token, response });
    }

    /// What happened next.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Sends a request; its answer comes with the token.
    pub fn request(&mut self, request: &Request, now: Instant) -> Token {
        let mut token = vec![0; 8];
        self.random.fill(&mut token);
        let token = Token(token);
        self.await_answer(&token, request);
        let packet = request.to_packet(&token);
        match &mut self.layer {
            Layer::Stream(_) => self.out.push_back(tcp::encode(&packet)),
            Layer::Datagram(datagram) if request.reliable => {
                let sent = datagram.send_reliably(packet, &token, now, self.random.as_mut(), &mut self.out);
                if sent.is_err() {
                    self.outstanding.pop_back();
                    self.events.push_back(Event::Failed { token: token.clone() });
                }
            }
            Layer::Datagram(datagram) => self.out.push_back(datagram.send(packet, &token)),
        }
        token
    }

    /// Sends a non-confirmable request once more, under the token it has (RFC 9132 section 4.4); without meaning over streams.
    pub fn repeat(&mut self, token: &Token, request: &Request) {
        if let Layer::Datagram(datagram) = &mut self.layer {
            self.out.push_back(datagram.send(request.to_packet(token), token));
            self.outstanding.retain(|(other, _)| other != token);
            self.await_answer(token, request);
        }
    }

    fn await_answer(&mut self, token: &Token, request: &Request) {
        if self.outstanding.len() == MOST_OUTSTANDING {
            self.outstanding.pop_front();
        }
        self.outstanding.push_back((token.clone(), request.observe == Some(0)));
    }

    /// Answers a request.
    pub fn respond(&mut self, exchange: &Exchange, response: &Response) {
        let mut packet = response.to_packet(&exchange.token);
        if response.content_format.is_none() {
            packet.payload.truncate(self.max_payload());
        }
        let bytes = match &mut self.layer {
            Layer::Stream(_) => tcp::encode(&packet),
            Layer::Datagram(datagram) => datagram.respond(packet, exchange.acknowledges),
        };
        self.out.push_back(bytes);
    }

    /// Leaves a request without a response; where it is confirmable it still has to be acknowledged.
    pub fn ignore(&mut self, exchange: &Exchange) {
        if let (Layer::Datagram(datagram), Some(id)) = (&mut self.layer, exchange.acknowledges) {
            self.out.push_back(datagram.acknowledge(id));
        }
    }

    /// Notifies an observer, non-confirmable over datagrams (RFC 9132 section 4.4.2.1).
    pub fn notify(&mut self, token: &Token, response: &Response) {
        let packet = response.to_packet(token);
        let bytes = match &mut self.layer {
            Layer::Stream(_) => tcp::encode(&packet),
            Layer::Datagram(datagram) => datagram.send(packet, token),
        };
        self.out.push_back(bytes);
    }

    /// Says that we are about to close; without meaning over datagrams.
    pub fn release(&mut self) {
        if self.is_stream() {
            self.out.push_back(Stream::release());
        }
    }

    /// The next bytes for the secure channel: of a stream, or one datagram.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.out.pop_front().or_else(|| self.abort.take())
    }

    /// When [`Endpoint::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.layer {
            Layer::Stream(_) => None,
            Layer::Datagram(datagram) => datagram.poll_timeout(),
        }
    }

    /// Repeats or gives up what was not acknowledged.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Layer::Datagram(datagram) = &mut self.layer
            && let Some(token) = datagram.handle_timeout(now, self.random.as_mut(), &mut self.out)
        {
            self.outstanding.retain(|(other, _)| *other != token);
            self.events.push_back(Event::Failed { token });
        }
    }

    /// Sets how confirmable datagrams are repeated from now on.
    pub fn set_parameters(&mut self, parameters: TransmissionParameters) {
        if let Layer::Datagram(datagram) = &mut self.layer {
            datagram.set_parameters(parameters);
        }
    }

    /// The largest payload that fits one message to this peer.
    pub fn max_payload(&self) -> usize {
        match &self.layer {
            Layer::Stream(stream) => stream.peer_max_message().saturating_sub(OVERHEAD),
            Layer::Datagram(_) => DATAGRAM_PAYLOAD,
        }
    }

    /// The largest body this side takes, in one message or in blocks.
    pub fn max_body() -> usize {
        tcp::OUR_MAX_MESSAGE
    }
}
