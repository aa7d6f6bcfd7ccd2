//! What the kernel says, read.

mod conntrack;
mod neighbour;
mod nftables;
