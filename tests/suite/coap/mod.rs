//! CoAP over streams (RFC 8323) and datagrams (RFC 7252).

mod tcp;
mod udp;
