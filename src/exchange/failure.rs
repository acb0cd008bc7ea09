//! The world went wrong, or the request did: why an exchange ends without the upstream's answer.

use std::time::Duration;

use http::StatusCode;

use crate::memory::holds::Denied;
use crate::upstream;
use crate::upstream::probe::Untold;

/// Why an exchange ends with an answer made here, other than by a verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The target, a field or the framing can be read in more than one way.
    Ambiguous(String),
    /// The request's body did not arrive whole.
    BodyBroken,
    /// The request's body was not there in time.
    BodyLate,
    /// The request's body stalled.
    BodyStalled,
    /// The document is larger than is written through here, in bytes.
    BodyTooLarge(u64),
    /// As many writes of this connection go on by themselves as may.
    DetachedMax,
    /// The hold was not given.
    Denied(Denied),
    /// All documents that are being written together leave no room for this one.
    OverBudget,
    /// A defect of ours: the exchange panicked.
    Internal,
    /// The message itself is malformed: its connection ends with the answer.
    Malformed(&'static str),
    /// The write was sent, and what became of it is not known.
    OutcomeUnknown(upstream::failure::Failure),
    /// The request asks for another protocol or a tunnel.
    Unsupported(&'static str),
    /// The verdict depends on what the upstream holds, and nobody could ask.
    Untold(Untold),
    /// The upstream has gone while this process drains, as happens when both are ended together; nothing was written.
    Gone(upstream::failure::Failure),
    /// The upstream gave no usable answer before anything of a write was sent.
    Unsent(upstream::failure::Failure),
    /// The upstream gave no usable answer to a request that changes nothing.
    Upstream(upstream::failure::Failure),
}

impl Failure {
    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Ambiguous(_) | Self::BodyBroken | Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::BodyLate | Self::BodyStalled => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Denied(_) | Self::DetachedMax | Self::Gone(_) | Self::OverBudget => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::OutcomeUnknown(failure) | Self::Unsent(failure) | Self::Upstream(failure) => {
                failure.status()
            }
            Self::Unsupported(_) | Self::Untold(Untold::Signed) => StatusCode::NOT_IMPLEMENTED,
            Self::Untold(Untold::Forbidden) => StatusCode::FORBIDDEN,
            Self::Untold(Untold::ServiceRefused(_)) => StatusCode::BAD_GATEWAY,
        }
    }

    /// The proxy error type of the answer (RFC 9209 §2.3).
    pub fn proxy_error(&self) -> &'static str {
        match self {
            Self::Ambiguous(_)
            | Self::BodyBroken
            | Self::BodyLate
            | Self::BodyStalled
            | Self::BodyTooLarge(_)
            | Self::Malformed(_) => "http_request_error",
            Self::Denied(Denied::Unsettled(_) | Denied::StartUnsettled(_)) => "destination_unavailable",
            Self::Denied(Denied::QueueFull | Denied::TimedOut | Denied::Retired)
            | Self::DetachedMax
            | Self::OverBudget => "http_request_denied",
            Self::Internal => "proxy_internal_error",
            Self::Gone(failure)
            | Self::OutcomeUnknown(failure)
            | Self::Unsent(failure)
            | Self::Upstream(failure) => failure.proxy_error(),
            Self::Unsupported(_) | Self::Untold(Untold::Forbidden) => "http_request_denied",
            Self::Untold(Untold::Signed | Untold::ServiceRefused(_)) => "proxy_configuration_error",
        }
    }

    /// The failure in a few words, for logs.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Ambiguous(_) => "ambiguous",
            Self::BodyBroken => "body-broken",
            Self::BodyLate => "body-late",
            Self::BodyStalled => "body-stalled",
            Self::BodyTooLarge(_) => "body-too-large",
            Self::Denied(Denied::QueueFull) => "queue-full",
            Self::Denied(Denied::TimedOut) => "hold-wait",
            Self::Denied(Denied::Unsettled(_) | Denied::StartUnsettled(_)) => "unsettled",
            Self::DetachedMax => "detached-max",
            Self::Denied(Denied::Retired) => "reconfigured",
            Self::Gone(_) => "upstream-gone",
            Self::OverBudget => "over-budget",
            Self::Internal => "internal",
            Self::Malformed(_) => "malformed",
            Self::OutcomeUnknown(_) => "outcome-unknown",
            Self::Unsupported(_) => "unsupported",
            Self::Untold(untold) => untold.as_str(),
            Self::Unsent(failure) | Self::Upstream(failure) => failure.proxy_error(),
        }
    }

    /// What happened and what to do next, for the client.
    pub fn sentence(&self) -> String {
        match self {
            Self::Ambiguous(what) => what.clone(),
            Self::BodyBroken => "The request's body did not arrive whole. Nothing was written.".into(),
            Self::BodyLate => {
                "The request's body took too long to arrive. Nothing was written; send it again.".into()
            }
            Self::BodyStalled => "The request's body stalled. Nothing was written; send it again.".into(),
            Self::BodyTooLarge(max) => {
                format!("The document is larger than the {max} bytes that may be written here. Nothing was written.")
            }
            Self::Denied(Denied::QueueFull) => {
                "Too many writes are waiting for this resource. Nothing was written; try again later.".into()
            }
            Self::Denied(Denied::TimedOut) => {
                "Other writes to this resource did not finish in time. Nothing was written; try again later.".into()
            }
            Self::Denied(Denied::Unsettled(_)) => {
                "An earlier write to this resource was sent and its outcome is not known yet. Nothing was written; \
                 try again later."
                    .into()
            }
            Self::Denied(Denied::StartUnsettled(_)) => {
                "This proxy has only just started, and a write that was sent before may still be applied. Nothing was \
                 written; try again later."
                    .into()
            }
            Self::DetachedMax => {
                "Too many earlier writes of this connection are still under way, for which nobody waits any more. \
                 Nothing was written; try again later."
                    .into()
            }
            Self::Denied(Denied::Retired) => {
                "What is guarded here has changed while this request was read. Nothing was written; send it again."
                    .into()
            }
            Self::OverBudget => {
                "Too many documents are being written at once. Nothing was written; try again later.".into()
            }
            Self::Gone(_) => {
                "The upstream has gone, and this proxy is about to end. Nothing was written; try again later.".into()
            }
            Self::Internal => "The proxy failed. If this was a write, read the resource before trying again.".into(),
            Self::Malformed(what) => (*what).into(),
            Self::OutcomeUnknown(failure) => format!(
                "{} The write was sent, and whether it was applied is not known: read the resource before trying \
                 again.",
                failure.sentence()
            ),
            Self::Unsupported(what) => (*what).into(),
            Self::Untold(Untold::Signed) => "This request is signed as a whole, so that its credentials cannot be used \
                 for the read that must come before this write. Nothing was written. An operator can name a \
                 credential for such reads in probe.authorization-file."
                .into(),
            Self::Untold(Untold::Forbidden) => "The upstream does not let these credentials read the resource, which \
                 must come before this write. Nothing was written. An operator can name a credential for such reads \
                 in probe.authorization-file."
                .into(),
            Self::Untold(Untold::ServiceRefused(status)) => format!(
                "The upstream answered {} to the credential of probe.authorization-file, with which the resource must \
                 be read before this write. Nothing was written.",
                status.as_u16()
            ),
            Self::Unsent(failure) => format!("{} Nothing was written.", failure.sentence()),
            Self::Upstream(failure) => failure.sentence(),
        }
    }

    /// The same while this process drains: an upstream that is gone was most likely ended with it.
    ///
    /// What became of a write that was sent is another matter, which its client must be told.
    pub fn while_draining(self) -> Self {
        match self {
            Self::Unsent(failure) | Self::Upstream(failure) if failure.is_absence() => Self::Gone(failure),
            failure => failure,
        }
    }

    /// After how long trying again makes sense.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Denied(Denied::Unsettled(left) | Denied::StartUnsettled(left)) => Some(*left),
            Self::Denied(_)
            | Self::DetachedMax
            | Self::Gone(_)
            | Self::OverBudget
            | Self::Unsent(upstream::failure::Failure::ConnectionLimit)
            | Self::Upstream(upstream::failure::Failure::ConnectionLimit) => Some(Duration::from_secs(1)),
            _ => None,
        }
    }

    /// Whether the connection ends with the answer, because what follows on it cannot be trusted.
    pub fn ends_connection(&self) -> bool {
        match self {
            Self::BodyBroken
            | Self::BodyLate
            | Self::BodyStalled
            | Self::BodyTooLarge(_)
            | Self::OverBudget
            | Self::Internal
            | Self::Malformed(_)
            | Self::Ambiguous(_)
            | Self::Unsupported(_) => true,
            Self::Denied(_)
            | Self::DetachedMax
            | Self::Gone(_)
            | Self::OutcomeUnknown(_)
            | Self::Unsent(_)
            | Self::Untold(_)
            | Self::Upstream(_) => false,
        }
    }
}
