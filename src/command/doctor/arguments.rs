//! What `doctor` is told on the command line, and what is meant by it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue,
    ORIGIN, TRANSFER_ENCODING,
};
use http::uri::Scheme;
use http::{HeaderName as Name, Uri};
use rustls::pki_types::ServerName;

use crate::command::check::read_text;
use crate::semantics::fields::PRECONDITIONS;
use crate::upstream::tls::Files;

/// What `doctor` is told on the command line.
#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// The configuration file, in TOML.
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// The server behind the proxy; goes before the file.
    #[arg(long, value_name = "URL")]
    pub(super) upstream: Option<String>,
    /// The URL that clients use, http or https, with the base path of the LRS.
    #[arg(long, value_name = "URL")]
    pub(super) public: Option<String>,
    /// The LRS's base path at the upstream [default: that of --public, or one that answers].
    #[arg(long, value_name = "PATH")]
    pub(super) path: Option<String>,
    /// A field of every request, such as the credentials; may be given several times. Host goes to the upstream alone.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub(super) fields: Vec<String>,
    /// A file with such fields, one a line, so that no list of processes shows them.
    #[arg(long, value_name = "FILE")]
    pub(super) header_file: Option<PathBuf>,
    /// The authorities, in PEM, one of which issued the certificate of --public [default: those of the system].
    #[arg(long, value_name = "FILE")]
    pub(super) public_ca: Option<PathBuf>,
    /// The origin of a page that plays content, for the questions about CORS.
    #[arg(long, value_name = "ORIGIN", default_value = "https://staleguard.invalid")]
    pub(super) origin: String,
    /// Judge as if every rule observed, as `run --observe` does.
    #[arg(long)]
    pub(super) observe: bool,
    /// Write the doctor's documents also where no `about` resource says that this is an LRS.
    #[arg(long)]
    pub(super) without_about: bool,
    /// How long each request may take.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    pub(super) timeout: Duration,
    /// Print one JSON object.
    #[arg(long)]
    pub(super) json: bool,
}

/// The URL that clients use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PublicUrl {
    /// Host and port.
    pub(super) authority: String,
    /// What Host says: the port only where it is not the scheme's own.
    pub(super) host: HeaderValue,
    /// The base path, without a slash at its end.
    pub(super) path: String,
    pub(super) tls: Option<Files>,
    /// As it is shown.
    pub(super) text: String,
}

impl DoctorArguments {
    /// The fields of every request.
    ///
    /// # Errors
    /// A sentence that says which one cannot be sent; what it holds is not repeated.
    pub(super) fn request_fields(&self) -> Result<HeaderMap, String> {
        let mut fields = HeaderMap::new();
        let from_file = match &self.header_file {
            Some(file) => read_text(file).map_err(|said| said.trim_start_matches("error: ").to_owned())?,
            None => String::new(),
        };
        let lines =
            from_file.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        for (number, line) in self.fields.iter().map(String::as_str).chain(lines).enumerate() {
            let (name, value) = field(line).ok_or_else(|| {
                format!("field {} is none: write it like 'Authorization: Basic …'", number + 1)
            })?;
            if is_made_here(&name) {
                return Err(format!("{name} is made here, question by question: leave it out"));
            }
            fields.append(name, value);
        }
        Ok(fields)
    }

    /// The origin of a page that plays content.
    ///
    /// # Errors
    /// A sentence that says that no field can hold it.
    pub(super) fn origin(&self) -> Result<HeaderValue, String> {
        HeaderValue::from_str(&self.origin)
            .map_err(|_| "--origin is none: write it like https://content.example.org".into())
    }

    /// The URL that clients use, if one is given.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub(super) fn public_url(&self) -> Result<Option<PublicUrl>, String> {
        self.public.as_deref().map(|url| public_url(url, self.public_ca.clone())).transpose()
    }

    /// The base path at the upstream, if one is given.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub(super) fn base_path(&self) -> Result<Option<String>, String> {
        self.path.as_deref().map(base_path).transpose()
    }
}

fn field(line: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = line.split_once(':')?;
    let mut value = HeaderValue::try_from(value.trim()).ok()?;
    value.set_sensitive(true);
    Some((HeaderName::try_from(name.trim()).ok()?, value))
}

/// Whether a field's value is a part of the questions themselves.
fn is_made_here(name: &Name) -> bool {
    let own = [ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, ORIGIN, TRANSFER_ENCODING];
    own.contains(name) || PRECONDITIONS.contains(name)
}

fn base_path(path: &str) -> Result<String, String> {
    let path = path.trim_end_matches('/');
    let is_path = path.is_empty()
        || (path.starts_with('/') && !path.contains(['?', '#']) && path.parse::<Uri>().is_ok());
    is_path.then(|| path.to_owned()).ok_or_else(|| format!("{path:?} is no base path: write one like /xapi"))
}

fn public_url(url: &str, ca: Option<PathBuf>) -> Result<PublicUrl, String> {
    let wrong = |what: &str| format!("--public {what}: write it like https://lrs.example.org/xapi");
    let uri: Uri = url.parse().map_err(|_| wrong("is no URL"))?;
    let is_secure = match uri.scheme() {
        Some(scheme) if *scheme == Scheme::HTTPS => true,
        Some(scheme) if *scheme == Scheme::HTTP => false,
        _ => return Err(wrong("needs http or https")),
    };
    let authority = uri.authority().ok_or_else(|| wrong("names no host"))?;
    if authority.as_str().contains('@') {
        return Err("--public holds credentials: give them with -H or --header-file".into());
    }
    if uri.query().is_some() || url.contains('#') {
        return Err(wrong("has more than a path"));
    }
    let (host, port) = (authority.host(), authority.port_u16());
    let default = if is_secure { 443 } else { 80 };
    let tls = is_secure.then(|| {
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned());
        name.map(|name| Files { ca, pair: None, name })
    });
    let shown_host = match port {
        Some(port) if port != default => format!("{host}:{port}"),
        _ => host.to_owned(),
    };
    let path = base_path(uri.path())?;
    Ok(PublicUrl {
        authority: format!("{host}:{}", port.unwrap_or(default)),
        host: HeaderValue::from_str(&shown_host).map_err(|_| wrong("has an odd host"))?,
        tls: tls.transpose().map_err(|_| wrong("has a host that no certificate can be for"))?,
        text: format!("{}://{shown_host}{path}", if is_secure { "https" } else { "http" }),
        path,
    })
}

/// What goes to the public URL: a Host is the upstream's.
pub(super) fn for_public(fields: &HeaderMap, url: &PublicUrl) -> HeaderMap {
    let mut fields = fields.clone();
    fields.insert(HOST, url.host.clone());
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_url_is_read_as_clients_read_it() {
        let read = |url: &str| {
            let url = public_url(url, None)?;
            Ok::<_, String>((url.authority, url.host, url.path, url.tls.is_some(), url.text))
        };
        let text = |text: &'static str| HeaderValue::from_static(text);
        for (url, authority, host, path, shown) in [
            (
                "https://lrs.example/xapi/",
                "lrs.example:443",
                "lrs.example",
                "/xapi",
                "https://lrs.example/xapi",
            ),
            ("http://lrs.example:80", "lrs.example:80", "lrs.example", "", "http://lrs.example"),
            ("http://[::1]:8080/a/b", "[::1]:8080", "[::1]:8080", "/a/b", "http://[::1]:8080/a/b"),
        ] {
            let is_secure = url.starts_with("https");
            let expected = (authority.to_owned(), text(host), path.to_owned(), is_secure, shown.to_owned());
            assert_eq!(read(url), Ok(expected), "{url}");
        }
        for url in [
            "lrs.example",
            "ftp://a/b",
            "https://u:secret@lrs.example",
            "https://a/b?c",
            "https://a/b#c",
            "/xapi",
        ] {
            let said = read(url).expect_err(url);
            assert!(!said.contains("secret"), "{said}");
        }
    }

    #[test]
    fn fields_that_the_questions_make_are_refused_and_values_are_not_repeated() {
        let arguments = |field: &str| DoctorArguments {
            config: None,
            upstream: None,
            public: None,
            path: None,
            fields: vec![field.to_owned()],
            header_file: None,
            public_ca: None,
            origin: String::new(),
            observe: false,
            without_about: false,
            timeout: Duration::ZERO,
            json: false,
        };
        let fields = arguments("Authorization:  Basic eA==").request_fields().expect("a field");
        assert_eq!(fields["authorization"], "Basic eA==");
        assert!(fields["authorization"].is_sensitive());
        for field in ["If-Match: \"secret\"", "secret", "a b: secret", "Origin: secret"] {
            let said = arguments(field).request_fields().expect_err(field);
            assert!(!said.contains("secret"), "{said}");
        }
    }
}
