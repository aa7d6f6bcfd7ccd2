//! The router's object on the bus.

mod bus;
mod bytes;
mod methods;
mod waiting;
