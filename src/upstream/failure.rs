//! What can go wrong with the upstream, in RFC 9209's words.

use http::StatusCode;

/// Why the upstream gave no usable answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// It refuses connections: it is not running, or not at this address.
    ConnectionRefused,
    /// It did not accept a connection in time.
    ConnectionTimeout,
    /// Its name cannot be resolved.
    DnsError,
    /// As many exchanges are under way with it as are allowed.
    ConnectionLimit,
    /// Its certificate is missing, expired, for another name, or of an authority that is not trusted.
    TlsCertificateError,
    /// It refused the handshake of TLS, as one does that wants a certificate of ours.
    TlsAlertReceived,
    /// It does not speak TLS, or none that is spoken here.
    TlsProtocolError,
    /// It closed or reset the connection before its answer was complete.
    ConnectionTerminated,
    /// It was silent for too long.
    ResponseTimeout,
    /// What it sent is not HTTP.
    ProtocolError,
    /// Its answer broke off.
    ResponseIncomplete,
    /// Its contents are compressed in a way that cannot be undone here.
    ContentCoding,
    /// The request's own body did not arrive whole, so it could not be sent whole.
    RequestInterrupted,
    /// It answered the question what it holds with something that says neither.
    UnusableProbe(StatusCode),
}

impl Failure {
    /// The proxy error type (RFC 9209 §2.3).
    pub fn proxy_error(self) -> &'static str {
        match self {
            Self::ConnectionRefused => "connection_refused",
            Self::ConnectionTimeout => "connection_timeout",
            Self::DnsError => "dns_error",
            Self::ConnectionLimit => "connection_limit_reached",
            Self::TlsCertificateError => "tls_certificate_error",
            Self::TlsAlertReceived => "tls_alert_received",
            Self::TlsProtocolError => "tls_protocol_error",
            Self::ConnectionTerminated => "connection_terminated",
            Self::ResponseTimeout => "http_response_timeout",
            Self::ProtocolError | Self::UnusableProbe(_) => "http_protocol_error",
            Self::RequestInterrupted => "http_request_error",
            Self::ResponseIncomplete => "http_response_incomplete",
            Self::ContentCoding => "http_response_content_coding",
        }
    }

    /// The status that tells a client of it.
    pub fn status(self) -> StatusCode {
        match self {
            Self::ConnectionTimeout | Self::ResponseTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::ConnectionLimit => StatusCode::SERVICE_UNAVAILABLE,
            Self::RequestInterrupted => StatusCode::BAD_REQUEST,
            Self::ConnectionRefused
            | Self::DnsError
            | Self::TlsCertificateError
            | Self::TlsAlertReceived
            | Self::TlsProtocolError
            | Self::ConnectionTerminated
            | Self::ProtocolError
            | Self::ResponseIncomplete
            | Self::ContentCoding
            | Self::UnusableProbe(_) => StatusCode::BAD_GATEWAY,
        }
    }

    /// True when it happened before anything of a request can have been sent.
    pub fn is_before_sending(self) -> bool {
        matches!(
            self,
            Self::ConnectionRefused
                | Self::ConnectionTimeout
                | Self::DnsError
                | Self::ConnectionLimit
                | Self::TlsCertificateError
                | Self::TlsAlertReceived
                | Self::TlsProtocolError
        )
    }

    /// True when the upstream does not seem to be there.
    pub fn is_absence(self) -> bool {
        matches!(
            self,
            Self::ConnectionRefused | Self::ConnectionTimeout | Self::DnsError | Self::ConnectionTerminated
        )
    }

    /// What happened, in a sentence for the client.
    pub fn sentence(self) -> String {
        match self {
            Self::ConnectionRefused => "The upstream refused the connection.".into(),
            Self::ConnectionTimeout => "The upstream did not accept a connection in time.".into(),
            Self::DnsError => "The upstream's name could not be resolved.".into(),
            Self::ConnectionLimit => "Too many exchanges are under way with the upstream.".into(),
            Self::TlsCertificateError => {
                "The upstream's certificate is missing, expired, for another name or of an unknown authority.".into()
            }
            Self::TlsAlertReceived => "The upstream refused to speak TLS with this proxy.".into(),
            Self::TlsProtocolError => "TLS could not be agreed on with the upstream.".into(),
            Self::ConnectionTerminated => "The upstream ended the connection before it had answered.".into(),
            Self::ResponseTimeout => "The upstream did not answer in time.".into(),
            Self::ProtocolError => "The upstream's answer is not well-formed HTTP.".into(),
            Self::ResponseIncomplete => "The upstream's answer broke off.".into(),
            Self::ContentCoding => {
                "The upstream compressed its answer, although asked not to, in a way that cannot be undone here."
                    .into()
            }
            Self::RequestInterrupted => "The request's body did not arrive whole.".into(),
            Self::UnusableProbe(status) => format!(
                "Asked for the current state of the resource, the upstream answered {}, which tells neither \
                 what it holds nor that it holds nothing.",
                status.as_u16()
            ),
        }
    }
}
