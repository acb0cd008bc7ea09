//! Authorities and certificates of our own, and both ends of TLS.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::server::Server;
use super::wire::Ending;
use super::within;

/// An authority that issues certificates, and the folder in which they lie.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

/// A certificate and its key in PEM.
pub(crate) struct Issued {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// What a client of the test has and knows.
#[derive(Default)]
pub(crate) struct Shown<'a> {
    pub(crate) protocols: &'a [&'static str],
    pub(crate) certificate: Option<&'a Issued>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let authority = Self { issuer, folder: tempfile::tempdir().unwrap() };
        authority.write("ca.pem", &authority.issuer.pem());
        authority
    }

    /// A certificate for this name.
    pub(crate) fn issue(&self, name: &str) -> Issued {
        self.issue_until(name, 2050)
    }

    /// One that expires at the beginning of a year.
    pub(crate) fn issue_until(&self, name: &str, year: i32) -> Issued {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Issued { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// The path of the authority's own certificate.
    pub(crate) fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    pub(crate) fn write(&self, name: &str, contents: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        // As an administrator should: nobody ever sees a half.
        let new = self.folder.path().join(format!("{name}.new"));
        std::fs::write(&new, contents).unwrap();
        std::fs::rename(new, &path).unwrap();
        path
    }

    /// A certificate and its key as two lines of a configuration.
    pub(crate) fn lines(&self, issued: &Issued, name: &str) -> String {
        let certificate = self.write(&format!("{name}.pem"), &issued.certificate);
        let key = self.write(&format!("{name}.key"), &issued.key);
        format!("certificate = {certificate:?}\nkey = {key:?}\n")
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        Arc::new(roots)
    }

    /// Connects to a server that shows a certificate of this authority for `localhost`.
    pub(crate) async fn connect(
        &self,
        address: std::net::SocketAddr,
        shown: &Shown<'_>,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots());
        let mut config = match shown.certificate {
            None => builder.with_no_client_auth(),
            Some(issued) => {
                let (chain, key) = issued.parsed();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = shown.protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        within("the handshake", TlsConnector::from(Arc::new(config)).connect(name, stream)).await
    }

    /// A server that speaks TLS with this certificate and passes everything on to an upstream in clear text. It says how
    /// its clients ended. With `wants`, they need a certificate of that authority.
    pub(crate) fn before(
        &self,
        upstream: std::net::SocketAddr,
        issued: &Issued,
        wants: Option<&Self>,
    ) -> (Server, tokio::sync::mpsc::UnboundedReceiver<Ending>) {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match wants {
            None => builder.with_no_client_auth(),
            Some(authority) => builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(authority.roots(), provider).build().unwrap(),
            ),
        };
        let (chain, key) = issued.parsed();
        let config = Arc::new(builder.with_single_cert(chain, key).unwrap());
        let (tell, endings) = tokio::sync::mpsc::unbounded_channel();
        let server = Server::start(move |stream, _| {
            let (acceptor, tell) = (TlsAcceptor::from(Arc::clone(&config)), tell.clone());
            async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let (mut from, mut to) = tokio::io::split(stream);
                let (mut answers, mut requests) = TcpStream::connect(upstream).await.unwrap().into_split();
                let back = tokio::spawn(async move { tokio::io::copy(&mut answers, &mut to).await });
                let ended = tokio::io::copy(&mut from, &mut requests).await;
                back.abort();
                let ending = if ended.is_ok() { Ending::Fin } else { Ending::Reset };
                tell.send(ending).ok();
            }
        });
        (server, endings)
    }
}

impl Issued {
    fn parsed(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let chain = CertificateDer::pem_slice_iter(self.certificate.as_bytes()).map(Result::unwrap).collect();
        (chain, PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap())
    }
}
