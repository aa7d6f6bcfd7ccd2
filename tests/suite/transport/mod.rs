//! TLS and DTLS: who is let in, and what a line does.

mod credentials;
mod drop_list;
mod dtls;
mod dtls_hostile;
mod dtls_link;
mod dtls_offers;
mod names;
mod possession;
mod raw_public_key;
mod refused;
mod tls;
mod tls_session;
