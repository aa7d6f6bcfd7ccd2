//! The two programs themselves, and a real broker, over loopback.

mod agreement;
mod broker;
mod check;
mod home;
mod import;
mod openssl;
mod program;
mod provider;
mod provider_config;
mod provider_control;
mod provider_enrolment;
mod provider_hostile;
mod provider_listening;
mod provider_metrics;
mod provider_observing;
mod provider_requests;
mod provider_scope;
mod provider_session;
mod provider_udp;
mod provider_wishes;
mod ubus_broker;
