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
use crate::guard::settle::is_own;
use crate::semantics::entity_tag::EntityTag;
use crate::semantics::representation::Representation;

/// What a probe found.
pub enum Probed {
    /// What the resource holds; the connection that just told so, which is the best one to write on; and the fields
    /// with which it was told.
    Found(Representation, Option<Lease>, HeaderMap),
    /// The upstream refuses to tell this writer: a 4xx or 5xx to hand back.
    HandBack(Response<Streamed>),
}

impl Pool {
    /// Asks what the target of a write holds, with the writer's own credentials.
    ///
    /// The contents are fingerprinted as they come, and kept only for a canonical form. They must be whole within `response-timeout` after
    /// their head, since a scope is held meanwhile. Whatever says neither that there is a
    /// representation nor that there is none is a [`Failure`].
    pub async fn probe(self: &Arc<Self>, write: &Parts, reading: &Reading<'_>) -> Result<Probed, Failure> {
        let (head, body, lease) = self.ask(write).await?;
        let status = head.status;
        let is_missing = reading.absent.statuses.contains(&status);
        if !is_missing && (status.is_client_error() || status.is_server_error()) {
            return Ok(Probed::HandBack(Response::from_parts(head, Streamed::new(body, lease))));
        }
        if !is_missing && status != StatusCode::OK {
            return Err(Failure::UnusableProbe(status));
        }
        let learned = async {
            if is_missing {
                // The text of a 404 is nobody's document; reading it to its end frees the connection.
                let read = matches!(body.collect(reading.decoded_max).await, Ok(Collected::Whole(_)));
                let lease = Some(lease).filter(|_| read);
                return Ok(Probed::Found(Representation::Missing, lease, head.headers));
            }
            let found = fingerprint(&head.headers, body, reading).await?;
            Ok(Probed::Found(found, Some(lease), head.headers))
        };
        timeout(self.settings().response_timeout, learned).await.unwrap_or(Err(Failure::ResponseTimeout))
    }

    /// Asks for the target of a write, whatever the answer is.
    pub async fn ask(
        self: &Arc<Self>,
        write: &Parts,
    ) -> Result<(http::response::Parts, Paced, Lease), Failure> {
        let request = Request::from_parts(onward::probe(write), Outgoing::Contents(Contents::default()));
        let (response, lease) = self.fetch(request, Purpose::Repeatable).await?;
        let (head, body) = response.into_parts();
        Ok((head, Paced::new(body, self.settings().response_timeout), lease))
    }

    /// Reads back what a write left behind, and gives its entity-tag if it is what was sent.
    ///
    /// It takes `read-back-timeout` at most, and no failure of it is told to anybody.
    pub async fn read_back(
        self: &Arc<Self>,
        write: &Parts,
        sent: &Contents,
        reading: &Reading<'_>,
    ) -> Option<EntityTag> {
        let shown = timeout(self.settings().read_back_timeout, async {
            let (head, body, lease) = self.ask(write).await.ok()?;
            if head.status != StatusCode::OK {
                return None;
            }
            let Ok(Collected::Whole(contents)) = body.collect(reading.decoded_max).await else { return None };
            lease.give_back();
            take_in(&head.headers, &contents, reading)
        });
        match shown.await.ok()?? {
            (contents, Representation::Current(current))
                if is_own(&sent.to_bytes(), &contents.to_bytes()) =>
            {
                Some(current.tag)
            }
            _ => None,
        }
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
