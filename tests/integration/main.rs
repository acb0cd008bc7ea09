//! The proxy from outside, over real sockets.
