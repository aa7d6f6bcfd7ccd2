//! What the tests share. Nothing here starts a program.

pub mod calling;
pub mod certificates;
pub mod dtls;
pub mod enforce;
pub mod home;
pub mod kernel;
pub mod ledger;
pub mod random;
pub mod router;
pub mod signal;
pub mod source;
pub mod tls;
pub mod ubus;
