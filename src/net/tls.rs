//! What TLS is set up from: certificates and keys in files, read anew when they change.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use xxhash_rust::xxh3::xxh3_128;

/// The largest file that is read, in bytes: more than a bundle of all public authorities, and too little to hang on.
const LONGEST: u64 = 4 * 1024 * 1024;

/// A certificate and its key, in two files or in one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The certificate and those between it and its authority, in PEM.
    pub certificate: PathBuf,
    /// The private key, in PEM.
    pub key: PathBuf,
}

/// A set-up of TLS that is made of files, and made anew when what they hold has changed.
pub struct Reloading<C> {
    files: Vec<PathBuf>,
    make: Box<Make<C>>,
    current: Mutex<Current<C>>,
}

/// Makes a set-up of the contents of its files, in their order; or says what is wrong with which of them.
type Make<C> = dyn Fn(&[Contents]) -> Result<(C, Option<u64>), String> + Send + Sync;

struct Current<C> {
    setup: Arc<C>,
    expiry: Option<u64>,
    digests: Vec<u128>,
}

/// What a file holds. It may be a secret, so it is not shown.
pub struct Contents {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl<C> Reloading<C> {
    /// Reads the files for the first time. `make` also says when its certificate expires, in seconds since 1970.
    ///
    /// # Errors
    /// A sentence that names the file and what is wrong with it.
    pub fn load(
        files: Vec<PathBuf>,
        make: impl Fn(&[Contents]) -> Result<(C, Option<u64>), String> + Send + Sync + 'static,
    ) -> Result<Self, String> {
        let contents = read_all(&files)?;
        let (setup, expiry) = make(&contents)?;
        let current = Current { setup: Arc::new(setup), expiry, digests: digests(&contents) };
        Ok(Self { files, make: Box::new(make), current: Mutex::new(current) })
    }

    /// Reads the files again, and takes what they say for new connections if it is something else; whether it was.
    ///
    /// # Errors
    /// A sentence that says what cannot be used. What was there before stays.
    pub fn reload(&self) -> Result<bool, String> {
        let contents = read_all(&self.files)?;
        let digests = digests(&contents);
        if self.current.lock().unwrap_or_else(PoisonError::into_inner).digests == digests {
            return Ok(false);
        }
        let (setup, expiry) = (self.make)(&contents)?;
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) =
            Current { setup: Arc::new(setup), expiry, digests };
        Ok(true)
    }

    /// What new connections are made with.
    pub fn setup(&self) -> Arc<C> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner).setup)
    }

    /// When the certificate expires, in seconds since 1970; none where there is no certificate.
    pub fn expiry(&self) -> Option<u64> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).expiry
    }

    /// The files that it is made of.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }
}

impl<C> fmt::Debug for Reloading<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloading").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Contents {
    /// The certificates in it, in their order.
    ///
    /// # Errors
    /// A sentence that names the file, when there is none or one is broken.
    pub fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.bytes).collect();
        match found {
            Ok(found) if !found.is_empty() => Ok(found),
            Ok(_) => Err(self.says("holds no certificate in PEM")),
            Err(error) => Err(self.says(format_args!("is no certificate in PEM: {error}"))),
        }
    }

    /// The first private key in it.
    ///
    /// # Errors
    /// A sentence that names the file, when there is none.
    pub fn key(&self) -> Result<PrivateKeyDer<'static>, String> {
        PrivateKeyDer::from_pem_slice(&self.bytes).map_err(|_| self.says("holds no private key in PEM"))
    }

    /// The authorities in it, which are trusted.
    ///
    /// # Errors
    /// A sentence that names the file, when there is none or one cannot be used.
    pub fn authorities(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates()? {
            roots.add(certificate).map_err(|error| {
                self.says(format_args!("holds an authority that cannot be used: {error}"))
            })?;
        }
        Ok(roots)
    }

    /// A sentence about this file.
    pub fn says(&self, what: impl fmt::Display) -> String {
        format!("{} {what}", self.path.display())
    }
}

/// When a chain's own certificate expires, in seconds since 1970 (RFC 5280 §4.1.2.5).
pub fn expiry(chain: &[CertificateDer<'_>]) -> Option<u64> {
    let certificate = Certificate::from_der(chain.first()?).ok()?;
    Some(certificate.tbs_certificate().validity().not_after.to_unix_duration().as_secs())
}

/// The one library that computes what TLS needs.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn read_all(files: &[PathBuf]) -> Result<Vec<Contents>, String> {
    files.iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> Result<Contents, String> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes));
    match read {
        Ok(length) if length as u64 <= LONGEST => Ok(Contents { path: path.to_owned(), bytes }),
        Ok(_) => Err(format!("{} is larger than any certificate", path.display())),
        Err(error) => Err(format!("{} cannot be read: {error}", path.display())),
    }
}

fn digests(contents: &[Contents]) -> Vec<u128> {
    contents.iter().map(|contents| xxh3_128(&contents.bytes)).collect()
}
