//! Bodies that travel through the proxy.
