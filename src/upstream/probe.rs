//! *Learn*: asking the upstream what it holds, and reading back what a write left behind.

use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::failure::Failure;
use super::intake::{Intake, Reading, take_in};
use super::onward;
use super::pool::{Lease, Pool, Purpose};
use super::send::Outgoing;
use super::streamed::Streamed;
use crate::body::contents::Contents;
use crate::body::paced::{Collected, Interrupted, Paced};
use crate::fault::{self, Mutant};
use crate::guard::settle::is_own;
use crate::semantics::credentials::is_signed;
use crate::semantics::entity_tag::EntityTag;
use crate::semantics::representation::{Absent, Representation};

/// What a probe found.
pub enum Probed {
    /// What the resource holds.
    Found(Found),
    /// The upstream refuses to tell this writer: a 4xx or 5xx to hand back.
    HandBack(Response<Streamed>),
    /// The writer's credentials cannot ask, and nobody else's may or can.
    Untold(Untold),
}

/// What the resource holds, and how that was told.
pub struct Found {
    /// What it holds.
    pub representation: Representation,
    /// The connection that just told so, which is the best one to write on.
    pub lease: Option<Lease>,
    /// The fields with which it was told.
    pub fields: HeaderMap,
    /// Whether a service asked in the writer's place: what was learned may decide, and must not be told.
    pub by_service: bool,
}

/// What a read-back has shown.
pub struct Shown {
    /// What the resource holds.
    pub found: Found,
    /// Whether it is what was sent.
    pub is_own: bool,
}

/// Why a probe could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Untold {
    /// The write is signed as a whole, so that no other request can carry its credentials.
    Signed,
    /// The upstream answers 403 to the writer's credentials: they may do no more than write.
    Forbidden,
    /// The upstream refuses the service's credential with this status.
    ServiceRefused(StatusCode),
}

impl Untold {
    /// All that [`Untold::as_str`] says.
    pub const REASONS: [&'static str; 3] = ["probe-signed", "probe-forbidden", "probe-refused"];

    /// The reason in a few words, for logs and metrics.
    pub fn as_str(self) -> &'static str {
        let [signed, forbidden, refused] = Self::REASONS;
        match self {
            Self::Signed => signed,
            Self::Forbidden => forbidden,
            Self::ServiceRefused(_) => refused,
        }
    }
}

/// The answer to a probe, as far as it has come.
pub struct Told {
    /// Its head.
    pub head: http::response::Parts,
    /// Its body.
    pub body: Paced,
    /// Its connection.
    pub lease: Lease,
    /// Whether a service asked in the writer's place.
    pub by_service: bool,
}

impl Shown {
    /// The entity-tag of what was sent, if that is what is there.
    pub fn own_tag(self) -> Option<EntityTag> {
        match self.found.representation {
            Representation::Current(current) if self.is_own => Some(current.tag),
            Representation::Current(_) | Representation::Missing => None,
        }
    }
}

impl Found {
    /// What is known without asking.
    pub fn recalled(representation: Representation) -> Self {
        Self { representation, lease: None, fields: HeaderMap::new(), by_service: false }
    }

    /// Gives the connection back, where nothing is to be written on it.
    pub fn give_back(self) {
        self.lease.into_iter().for_each(Lease::give_back);
    }
}

impl Pool {
    /// Asks what the target of a write holds: with the writer's own credentials, or else with the service's.
    ///
    /// The contents are fingerprinted as they come, and kept only for a canonical form. They must be whole within `response-timeout` after
    /// their head, since a scope is held meanwhile. Whatever says neither that there is a
    /// representation nor that there is none is a [`Failure`].
    pub async fn probe(self: &Arc<Self>, write: &Parts, reading: &Reading<'_>) -> Result<Probed, Failure> {
        let Told { head, body, lease, by_service } = match self.ask(write, reading.absent).await? {
            Ok(told) => told,
            Err(untold) => return Ok(Probed::Untold(untold)),
        };
        let status = head.status;
        let is_missing = reading.absent.statuses.contains(&status);
        if !is_missing && (status.is_client_error() || status.is_server_error()) {
            return Ok(Probed::HandBack(Response::from_parts(head, Streamed::new(body, lease))));
        }
        if !is_missing && status != StatusCode::OK {
            return Err(Failure::UnusableProbe(status));
        }
        let found = |representation, lease, fields| {
            Ok(Probed::Found(Found { representation, lease, fields, by_service }))
        };
        let learned = async {
            if is_missing {
                // The text of a 404 is nobody's document; reading it to its end frees the connection.
                let read =
                    matches!(body.collect(reading.decoded_max, self.reads()).await, Ok(Collected::Whole(_)));
                return found(Representation::Missing, Some(lease).filter(|_| read), head.headers);
            }
            let representation = fingerprint(&head.headers, body, reading).await?;
            found(representation, Some(lease), head.headers)
        };
        timeout(self.settings().response_timeout, learned).await.unwrap_or(Err(Failure::ResponseTimeout))
    }

    /// Asks for the target of a write, whatever the answer is. `absent` says whether a 403 is one.
    pub async fn ask(
        self: &Arc<Self>,
        write: &Parts,
        absent: &Absent,
    ) -> Result<Result<Told, Untold>, Failure> {
        let service = self.settings().service.as_ref();
        let why = if is_signed(write) {
            Untold::Signed
        } else {
            let told = self.told(onward::probe(write), false).await?;
            let status = told.head.status;
            if status != StatusCode::FORBIDDEN || absent.statuses.contains(&status) {
                return Ok(Ok(told));
            }
            Untold::Forbidden
        };
        let Some(service) = service else { return Ok(Err(why)) };
        let told = self.told(onward::probe_by_service(write, service), true).await?;
        let status = told.head.status;
        // What the upstream says to the service is not for the writer.
        let is_error = status.is_client_error() || status.is_server_error();
        let is_refused = is_error && !absent.statuses.contains(&status);
        Ok(if is_refused { Err(Untold::ServiceRefused(status)) } else { Ok(told) })
    }

    async fn told(self: &Arc<Self>, head: Parts, by_service: bool) -> Result<Told, Failure> {
        let request = Request::from_parts(head, Outgoing::Contents(Contents::default()));
        let (response, lease) = self.fetch(request, Purpose::Repeatable).await?;
        let (head, body) = response.into_parts();
        Ok(Told { head, body: Paced::new(body, self.settings().response_timeout), lease, by_service })
    }

    /// Reads back what a write left behind, and compares it with what was sent.
    ///
    /// It takes `read-back-timeout` at most, and no failure of it is told to anybody.
    pub async fn read_back(
        self: &Arc<Self>,
        write: &Parts,
        sent: &Contents,
        reading: &Reading<'_>,
    ) -> Option<Shown> {
        let shown = timeout(self.settings().read_back_timeout, async {
            let Told { head, body, lease, by_service } = self.ask(write, reading.absent).await.ok()?.ok()?;
            if head.status != StatusCode::OK {
                return None;
            }
            let Ok(Collected::Whole(contents)) = body.collect(reading.decoded_max, self.reads()).await else {
                return None;
            };
            lease.give_back();
            let (decoded, representation) = take_in(&head.headers, &contents, reading)?;
            let contents = decoded.unwrap_or(contents);
            let is_own =
                is_own(&sent.to_bytes(), &contents.to_bytes()) || fault::is_mutant(Mutant::ReadBackUnseen);
            let found = Found { representation, lease: None, fields: head.headers, by_service };
            Some(Shown { found, is_own })
        });
        shown.await.ok()?
    }
}

/// Takes contents in as they come.
async fn fingerprint(
    fields: &HeaderMap,
    mut body: Paced,
    reading: &Reading<'_>,
) -> Result<Representation, Failure> {
    let mut intake = Intake::new(fields, reading).map_err(|_| Failure::ContentCoding)?;
    while let Some(frame) = body.frame().await {
        if let Ok(piece) = frame.map_err(interrupted)?.into_data() {
            intake.push(piece).map_err(|_| Failure::ContentCoding)?;
        }
    }
    let (_, found) = intake.finish(fields, reading.absent).map_err(|_| Failure::ContentCoding)?;
    Ok(found)
}

/// What a body that did not arrive whole says of the upstream.
pub(super) fn interrupted(interrupted: Interrupted) -> Failure {
    match interrupted {
        Interrupted::Stalled => Failure::ResponseTimeout,
        Interrupted::Broken(_) => Failure::ResponseIncomplete,
    }
}
