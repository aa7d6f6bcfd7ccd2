//! The resources of a session: each request and its answer (RFC 9132 section 4, RFC 9066 section 5).

use std::time::{Duration, Instant};

use super::mitigate::{self, Put};
use super::observers::Subject;
use super::path::{BadPath, Content, Resource};
use super::rate_limiter::Limited;
use super::redirect::Redirect;
use super::session::{Event, Session};
use super::session_config::SessionConfig;
use super::transfer::{SeparateResponse, Transfer};
use super::{DOTS_CBOR, Invalid, heartbeat};
use crate::coap::Block;
use crate::coap::block;
use crate::coap::{Code, Endpoint, Exchange, Method, Request, Response};
use crate::mitigation::{Client, Ledger, Mitigation};
use crate::model::Now;

/// How long a new request's answer waits for the search of the home.
const ASSESSMENT: Duration = Duration::from_millis(250);
/// How long a configuration stays fresh at the client (RFC 9132 section 4.5.3).
const CONFIG_MAX_AGE: u32 = 86_400;
/// How long a content is kept for a client that fetches it block by block.
const TRANSFER: Duration = Duration::from_secs(60);

/// A request to be served, whole.
struct Incoming<'a> {
    exchange: &'a Exchange,
    request: &'a Request,
    now: Now,
}

impl Session {
    pub(super) fn handle_request(&mut self, exchange: &Exchange, mut request: Request, ledger: &mut Ledger, now: Now) {
        let resource = Resource::parse(&request.path);
        if resource != Ok(Resource::Heartbeat) {
            match self.rate_limiter.handle_request(now.instant) {
                Limited::Serve => {}
                Limited::Refuse(wait) => {
                    return self.endpoint.respond(exchange, &mitigate::unavailable("too many requests", wait));
                }
                Limited::Ignore => return,
            }
        }
        if !self.endpoint.is_stream() && request.has_block_size_seven() {
            return self.endpoint.respond(exchange, &bad("block size 7 is reserved"));
        }
        let block1 = request.block1;
        let answer = match self.assembly.handle_request(&mut request, Endpoint::max_body()) {
            Ok(true) => self.serve(&Incoming { exchange, request: &request, now }, resource, ledger),
            Ok(false) => Some(Response::empty(Code::CONTINUE)),
            Err(refused) => Some(refused),
        };
        if let Some(response) = answer {
            self.endpoint.respond(exchange, &Response { block1, ..response });
        }
    }

    /// Serves one request; no response when it comes later, or never.
    fn serve(
        &mut self,
        incoming: &Incoming<'_>,
        resource: Result<Resource, BadPath>,
        ledger: &mut Ledger,
    ) -> Option<Response> {
        let Incoming { request, now, .. } = *incoming;
        let resource = match resource {
            Ok(resource) => resource,
            Err(BadPath::Unknown) => return Some(Response::text(Code::NOT_FOUND, "no such resource")),
            Err(BadPath::Invalid(why)) => return Some(bad(why)),
        };
        if request.method == Method::Put && request.content_format.is_some_and(|format| format != DOTS_CBOR) {
            return Some(Response::text(Code::UNSUPPORTED_FORMAT, "only application/dots+cbor is understood"));
        }
        if request.accept.is_some_and(|format| format != DOTS_CBOR) && has_content(request.method, &resource) {
            return Some(Response::empty(Code::NOT_ACCEPTABLE));
        }
        match (request.method, resource) {
            (Method::Put, Resource::Mitigate { cuid: Some(cuid), mid: Some(mid) }) => {
                self.put_mitigate(incoming, &self.client(cuid), mid, ledger)
            }
            (Method::Delete, Resource::Mitigate { cuid: Some(cuid), mid: Some(mid) }) => {
                ledger.delete(&self.client(cuid), mid, now);
                Some(Response::empty(Code::DELETED))
            }
            (Method::Get, Resource::Mitigate { cuid: Some(cuid), mid }) => {
                Some(self.get_mitigate(incoming, cuid, mid, ledger))
            }
            (Method::Put | Method::Get | Method::Delete, Resource::Mitigate { cuid: None, .. }) => {
                Some(bad("cuid missing"))
            }
            (Method::Put | Method::Delete, Resource::Mitigate { .. }) => Some(bad("mid missing")),
            (Method::Get, Resource::Config { sid }) => Some(self.get_config(incoming, sid)),
            (Method::Put, Resource::Config { sid: Some(sid) }) => Some(self.put_config(sid, &request.payload)),
            (Method::Put, Resource::Config { sid: None }) => Some(bad("sid missing")),
            (Method::Delete, Resource::Config { sid }) => Some(self.delete_config(sid)),
            (Method::Put, Resource::Heartbeat) => Some(self.put_heartbeat(&request.payload, now.instant)),
            (Method::Put, Resource::Redirect) => Some(self.put_redirect(&request.payload)),
            _ => Some(Response::text(Code::METHOD_NOT_ALLOWED, "method not supported here")),
        }
    }

    pub(super) fn client(&self, cuid: String) -> Client {
        Client { peer: self.peer.clone(), cuid }
    }

    fn put_mitigate(
        &mut self,
        incoming: &Incoming<'_>,
        client: &Client,
        mid: u32,
        ledger: &mut Ledger,
    ) -> Option<Response> {
        let Incoming { exchange, request, now } = *incoming;
        let (id, due) = match mitigate::put(ledger, &self.reach, client, mid, request, now) {
            Put::Answer(response) => return Some(response),
            Put::Silence => {
                self.endpoint.ignore(exchange);
                return None;
            }
            Put::Assess(id) => (id, now.instant + ASSESSMENT),
            Put::Refreshed(id, response) => match self.waiting.iter().find(|waiting| waiting.id == id) {
                Some(first) => (id, first.due),
                None => return Some(response),
            },
        };
        self.waiting.push(SeparateResponse { id, exchange: exchange.clone(), block1: request.block1, due });
        None
    }

    /// Answers new requests that have been searched for, or have waited long enough; or `all` of them.
    pub(super) fn answer_waiting(&mut self, ledger: &mut Ledger, all: bool, now: Now) {
        let ripe = |ledger: &Ledger, waiting: &SeparateResponse| {
            all || waiting.due <= now.instant || ledger.get(waiting.id).is_none_or(Mitigation::assessed)
        };
        while let Some(id) = self.waiting.iter().find(|waiting| ripe(ledger, waiting)).map(|waiting| waiting.id) {
            let mut response = mitigate::created(ledger, id, now);
            for waiting in self.waiting.extract_if(.., |waiting| waiting.id == id) {
                response.block1 = waiting.block1;
                self.endpoint.respond(&waiting.exchange, &response);
            }
        }
    }

    fn get_mitigate(&mut self, incoming: &Incoming<'_>, cuid: String, mid: Option<u32>, ledger: &Ledger) -> Response {
        let Incoming { request, now, .. } = *incoming;
        let content = Content::of(&request.query);
        let limit = self.endpoint.max_payload();
        let client = self.client(cuid.clone());
        let subject = Subject::Mitigations { cuid, mid, content };
        if let Some(next) = request.block2.filter(|block| block.number > 0)
            && let Some(kept) = self.kept(&subject, request.etag.as_ref(), now.instant)
        {
            return block::cut(kept, Some(next), limit);
        }
        let (response, active) = mitigate::get(ledger, &client, mid, content, Vec::new(), now);
        self.rate_limiter.handle_answer(response.payload.len(), now.instant);
        let mut response = self.in_blocks(&subject, response, request.block2, now.instant);
        self.observe(incoming, subject, active, &mut response);
        response
    }

    /// The content under way to a client that asks for more of it.
    fn kept(&mut self, subject: &Subject, etag: Option<&Vec<u8>>, now: Instant) -> Option<&Response> {
        let transfer =
            self.transfer.as_mut().filter(|transfer| transfer.until > now && transfer.subject == *subject)?;
        transfer.until = now + TRANSFER;
        Some(&transfer.content).filter(|content| etag.is_none_or(|etag| content.etag.as_ref() == Some(etag)))
    }

    /// The first block of what is too large for one message, or the block wanted; the whole is kept for the others.
    pub(super) fn in_blocks(
        &mut self,
        subject: &Subject,
        mut content: Response,
        wanted: Option<Block>,
        now: Instant,
    ) -> Response {
        let limit = self.endpoint.max_payload();
        if content.code != Code::CONTENT || !block::is_cut(&content, wanted, limit) {
            return content;
        }
        content.etag = Some(block::etag(&content.payload));
        let piece = block::cut(&content, wanted, limit);
        self.transfer = Some(Transfer { subject: subject.clone(), content, until: now + TRANSFER });
        piece
    }

    /// Registers or cancels an observation as the request wishes.
    fn observe(&mut self, incoming: &Incoming<'_>, subject: Subject, active: bool, response: &mut Response) {
        let Incoming { exchange, request, now } = *incoming;
        match request.observe {
            Some(0) if response.code.is_success() => {
                let room = self.observers.register(exchange.token().clone(), subject, active, now.instant);
                response.observe = room.then(|| self.observers.next_sequence());
            }
            Some(1) => self.observers.cancel(exchange.token()),
            _ => {}
        }
    }

    fn get_config(&mut self, incoming: &Incoming<'_>, sid: Option<u32>) -> Response {
        if sid.is_some() && sid != self.sid {
            return Response::text(Code::NOT_FOUND, "no such sid");
        }
        let content = self.config_content();
        let mut response =
            self.in_blocks(&Subject::Configuration, content, incoming.request.block2, incoming.now.instant);
        self.observe(incoming, Subject::Configuration, false, &mut response);
        response
    }

    pub(super) fn config_content(&self) -> Response {
        let body = self.config.encode(self.endpoint.is_stream());
        Response { max_age: Some(CONFIG_MAX_AGE), ..Response::content(Code::CONTENT, DOTS_CBOR, body) }
    }

    fn put_config(&mut self, sid: u32, payload: &[u8]) -> Response {
        if self.sid.is_some_and(|known| sid < known) {
            return bad("sid is lower than the one in force");
        }
        match self.config.changed_by(payload, self.endpoint.is_stream()) {
            Ok(config) => {
                let known = self.sid == Some(sid);
                self.configure(config, Some(sid));
                Response::empty(if known { Code::CHANGED } else { Code::CREATED })
            }
            Err(invalid @ Invalid::Unacceptable(..)) => Response::text(Code::UNPROCESSABLE, &invalid.to_string()),
            Err(invalid) => bad(&invalid.to_string()),
        }
    }

    /// Without a sid whatever is in force ends (RFC 9132 section 4.5.4).
    fn delete_config(&mut self, sid: Option<u32>) -> Response {
        if sid.is_some() && sid != self.sid {
            return Response::text(Code::NOT_FOUND, "no such sid");
        }
        self.configure(self.defaults, None);
        Response::empty(Code::DELETED)
    }

    fn configure(&mut self, config: SessionConfig, sid: Option<u32>) {
        self.config = config;
        self.sid = sid;
        self.observers.change(|subject| *subject == Subject::Configuration);
    }

    fn put_heartbeat(&mut self, payload: &[u8], now: Instant) -> Response {
        match heartbeat::parse(payload) {
            Ok(answered) => {
                self.liveness.handle_heartbeat(answered, now);
                Response::empty(Code::CHANGED)
            }
            Err(invalid) => bad(&invalid.to_string()),
        }
    }

    fn put_redirect(&mut self, payload: &[u8]) -> Response {
        match Redirect::parse(payload) {
            Ok(redirect) => {
                self.events.push_back(Event::Redirected(redirect));
                Response::empty(Code::CREATED)
            }
            Err(invalid) => bad(&invalid.to_string()),
        }
    }
}

/// Whether a success has a body whose format may matter to the client.
fn has_content(method: Method, resource: &Resource) -> bool {
    match method {
        Method::Get => true,
        Method::Put => matches!(resource, Resource::Mitigate { .. }),
        _ => false,
    }
}

fn bad(why: &str) -> Response {
    Response::text(Code::BAD_REQUEST, why)
}
