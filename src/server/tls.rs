//! TLS with clients, by rustls.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::net::tls::{Contents, Pair, Reloading, expiry, provider};

/// How a handshake begins: the type of its first record (RFC 8446 §5.1), which no request begins with.
pub(super) const HANDSHAKE: u8 = 22;

/// What is spoken inside, the best first (RFC 7301).
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Where what is needed to accept TLS stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The certificate that clients are shown, and its key.
    pub pair: Pair,
    /// The authorities whose certificates clients must have; without it they need none.
    pub client_ca: Option<PathBuf>,
}

/// Accepts TLS with what its files hold.
#[derive(Debug)]
pub struct Acceptor(Reloading<ServerConfig>);

impl Acceptor {
    /// Reads the files.
    ///
    /// # Errors
    /// A sentence that says which file cannot be used and why.
    pub fn load(files: &Files) -> Result<Self, String> {
        let paths = [&files.pair.certificate, &files.pair.key].into_iter().chain(&files.client_ca);
        Reloading::load(paths.cloned().collect(), server_config).map(Self)
    }

    /// Reads the files again, and shows what they hold to new connections if it is something else; whether it was.
    /// Connections that there are go on as they began.
    ///
    /// # Errors
    /// A sentence that says what cannot be used. What was there before stays.
    pub fn reload(&self) -> Result<bool, String> {
        self.0.reload()
    }

    /// When the certificate expires, in seconds since 1970.
    pub fn expiry(&self) -> Option<u64> {
        self.0.expiry()
    }

    /// The files that are read.
    pub fn files(&self) -> &[PathBuf] {
        self.0.files()
    }

    /// Makes the handshake with a client.
    pub(super) async fn accept<S>(&self, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        TlsAcceptor::from(self.0.setup()).accept(stream).await
    }
}

fn server_config(contents: &[Contents]) -> Result<(ServerConfig, Option<u64>), String> {
    let [certificate, key, authorities @ ..] = contents else { return Err("a file is missing".into()) };
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match authorities.first() {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let roots = Arc::new(file.authorities()?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
            let verifier = verifier.map_err(|error| file.says(format_args!("cannot be used: {error}")))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let chain = certificate.certificates()?;
    let expiry = expiry(&chain);
    let mut config = builder
        .with_single_cert(chain, key.key()?)
        .map_err(|error| certificate.says(format_args!("cannot be used with its key: {error}")))?;
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    Ok((config, expiry))
}
