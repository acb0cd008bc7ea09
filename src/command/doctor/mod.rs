//! `staleguard doctor`: asks the LRS, and whoever stands in front of Staleguard, what they make of documents and
//! entity-tags, before it counts.
//!
//! It writes only documents of its own, whose names say so, and removes them. Asking (`ask_upstream`, `ask_public`) and
//! judging (`judge_upstream`, `judge_public`) are apart: findings are made of answers alone.

pub mod arguments;
mod ask_public;
mod ask_upstream;
mod documents;
mod finding;
mod judge_public;
mod judge_upstream;
mod place;
mod report;
mod seen;
mod visit;

use std::io::{IsTerminal, Write};
use std::sync::Arc;

use http::header::HOST;

use self::arguments::{DoctorArguments, PublicUrl, for_public};
use self::documents::{Ledger, Left};
use self::finding::{Finding, Severity, Side};
use self::place::{Count, Place};
use self::report::Report;
use self::visit::{Progress, Visit};
use super::ask::runtime;
use super::assembly;
use super::check::EXIT_CONFIG;
use super::signals::Signals;
use super::source::Source;
use super::{FAILED, USAGE};
use crate::config::Config;
use crate::semantics::fields::XAPI_VERSION;
use crate::upstream::Settings;
use crate::upstream::tls::Connector;

/// Why nobody was asked.
enum Unfit {
    Usage(String),
    Config(String),
    Failed(String),
}

/// Asks, prints what was found, and gives the exit code.
pub(super) fn doctor(arguments: &DoctorArguments, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let examined = prepared(arguments).and_then(|visit| {
        let progress = Progress::to(if std::io::stderr().is_terminal() { Some(&mut *err) } else { None });
        runtime().and_then(|runtime| runtime.block_on(examined(visit, progress))).map_err(Unfit::Failed)
    });
    // Where nobody can read what is printed, the exit code still says it.
    match examined {
        Ok(report) => {
            let text = if arguments.json { report.json() } else { report.text() };
            let _ = writeln!(out, "{}", text.trim_end());
            if report.has_problems() { FAILED } else { 0 }
        }
        Err(Unfit::Usage(sentence)) => said(err, &format!("error: {sentence}"), USAGE),
        Err(Unfit::Config(problems)) => said(err, &problems, EXIT_CONFIG),
        Err(Unfit::Failed(sentence)) => said(err, &format!("staleguard: {sentence}"), FAILED),
    }
}

fn said(to: &mut dyn Write, text: &str, code: u8) -> u8 {
    let _ = writeln!(to, "{}", text.trim_end());
    code
}

/// Everything that is needed to ask.
fn prepared(arguments: &DoctorArguments) -> Result<Visit, Unfit> {
    let fields = arguments.request_fields().map_err(Unfit::Usage)?;
    let public = arguments.public_url().map_err(Unfit::Usage)?;
    let path = arguments.base_path().map_err(Unfit::Usage)?;
    let origin = arguments.origin().map_err(Unfit::Usage)?;
    let (config, _) =
        Source::of_doctor(arguments.config.clone(), arguments.upstream.clone(), arguments.observe)
            .read()
            .map_err(Unfit::Config)?;
    let asked = Arc::new(Count::default());
    let tls = config.upstream.tls.as_ref().map(Connector::load).transpose().map_err(Unfit::Config)?;
    let (settings, time) = (config.upstream.clone(), arguments.timeout);
    let upstream = Place::new(Side::Upstream, settings, tls.map(Arc::new), fields.clone(), time, &asked);
    let at_public = |url: &PublicUrl| {
        let tls = url.tls.as_ref().map(Connector::load).transpose().map_err(Unfit::Usage)?;
        let settings = settings_for(&config, url);
        let place =
            Place::new(Side::Public, settings, tls.map(Arc::new), for_public(&fields, url), time, &asked);
        Ok(place.at(&url.path))
    };
    Ok(Visit {
        upstream_url: assembly::url(&config.upstream),
        public: public.as_ref().map(at_public).transpose()?,
        public_url: public,
        config,
        upstream,
        path,
        origin,
        asked,
        has_credentials: fields.keys().any(|name| *name != HOST && *name != XAPI_VERSION),
        without_about: arguments.without_about,
    })
}

/// How the public URL is connected to: everything that is only about the upstream is of no account there.
fn settings_for(config: &Config, url: &PublicUrl) -> Settings {
    Settings {
        authority: url.authority.clone(),
        socket: None,
        tls: url.tls.clone(),
        service: None,
        ..config.upstream.clone()
    }
}

/// Asks until everything is asked or somebody ends it, and removes what was written in either case.
async fn examined(visit: Visit, mut progress: Progress<'_>) -> Result<Report, String> {
    let mut signals = Signals::new(false).map_err(|error| error.to_string())?;
    let ledger = Arc::new(Ledger::default());
    let mut report = visit.report();
    let interrupted = tokio::select! {
        () = visit.ask(&ledger, &mut report, &mut progress) => false,
        () = signals.end() => true,
    };
    if interrupted {
        let text = "interrupted before everything was asked";
        report.findings.add(Finding::new(Side::Doctor, Severity::Problem, "interrupted", text));
    }
    progress.says("removing what was written");
    let left = tokio::select! {
        left = ledger.clean() => left,
        () = signals.end() => ledger.not_removed(),
    };
    progress.ends();
    report.findings.extend(left.into_iter().map(left_behind));
    report.requests = visit.asked.get();
    Ok(report)
}

fn left_behind(left: Left) -> Finding {
    let Left { name, why } = left;
    Finding::new(Side::Doctor, Severity::Problem, "left-behind", format!("{name} may still be there: {why}"))
        .advising(format!(
            "look for documents, activities and agents of that name at the LRS, and remove {name}"
        ))
}
