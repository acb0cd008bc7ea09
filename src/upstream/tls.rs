//! TLS with the upstream, by rustls.

use std::io;
use std::path::PathBuf;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::failure::Failure;
use crate::net::tls::{Contents, Pair, Reloading, expiry, provider};

/// What is expected of an upstream that speaks TLS, and what it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The authorities one of which must have issued its certificate; without it, those that this system trusts.
    pub ca: Option<PathBuf>,
    /// The certificate that it is shown, and its key.
    pub pair: Option<Pair>,
    /// The name that its certificate must be for.
    pub name: ServerName<'static>,
}

/// Speaks TLS with the upstream as its files say.
#[derive(Debug)]
pub struct Connector {
    setup: Reloading<ClientConfig>,
    name: ServerName<'static>,
}

impl Connector {
    /// Reads the files.
    ///
    /// # Errors
    /// A sentence that says which file cannot be used and why, or that this system trusts nobody.
    pub fn load(files: &Files) -> Result<Self, String> {
        let (has_ca, pair) = (files.ca.is_some(), files.pair.as_ref());
        let paths = files.ca.iter().chain(pair.into_iter().flat_map(|pair| [&pair.certificate, &pair.key]));
        let setup =
            Reloading::load(paths.cloned().collect(), move |contents| client_config(has_ca, contents))?;
        Ok(Self { setup, name: files.name.clone() })
    }

    /// Reads the files again, and takes what they hold for new connections if it is something else; whether it was.
    ///
    /// # Errors
    /// A sentence that says what cannot be used. What was there before stays.
    pub fn reload(&self) -> Result<bool, String> {
        self.setup.reload()
    }

    /// When our certificate expires, in seconds since 1970; none where the upstream is shown none.
    pub fn expiry(&self) -> Option<u64> {
        self.setup.expiry()
    }

    /// The files that are read.
    pub fn files(&self) -> &[PathBuf] {
        self.setup.files()
    }

    /// Makes the handshake with the upstream. Nothing of a request has been sent before it is over.
    pub(super) async fn connect<S>(&self, stream: S) -> Result<TlsStream<S>, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let connected = TlsConnector::from(self.setup.setup()).connect(self.name.clone(), stream).await;
        connected.map_err(|error| {
            tracing::warn!(%error, "the handshake with the upstream failed");
            failure(&error)
        })
    }

    /// Why the upstream's certificate is not accepted, if that is what a handshake fails with.
    pub async fn certificate_error<S>(&self, stream: S) -> Option<rustls::CertificateError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let error = TlsConnector::from(self.setup.setup()).connect(self.name.clone(), stream).await.err()?;
        match error.get_ref()?.downcast_ref()? {
            rustls::Error::InvalidCertificate(why) => Some(why.clone()),
            _ => None,
        }
    }
}

fn failure(error: &io::Error) -> Failure {
    match error.get_ref().and_then(|error| error.downcast_ref()) {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
            Failure::TlsCertificateError
        }
        Some(rustls::Error::AlertReceived(_)) => Failure::TlsAlertReceived,
        _ => Failure::TlsProtocolError,
    }
}

fn client_config(has_ca: bool, contents: &[Contents]) -> Result<(ClientConfig, Option<u64>), String> {
    let (ca, pair) = contents.split_at(usize::from(has_ca));
    let roots = match ca {
        [file] => file.authorities()?,
        _ => system_authorities()?,
    };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    let (mut config, expiry) = match pair {
        [certificate, key] => {
            let chain = certificate.certificates()?;
            let expiry = expiry(&chain);
            let config = builder
                .with_client_auth_cert(chain, key.key()?)
                .map_err(|error| certificate.says(format_args!("cannot be used with its key: {error}")))?;
            (config, expiry)
        }
        _ => (builder.with_no_client_auth(), None),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((config, expiry))
}

fn system_authorities() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    // Some of the many that a system has may be of a kind that nobody uses any more.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    match roots.is_empty() {
        true => {
            Err("this system trusts no authority: install its certificates, or name one in upstream.tls.ca"
                .into())
        }
        false => Ok(roots),
    }
}
