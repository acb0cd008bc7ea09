//! `staleguard what-if`: what another configuration would have decided of writes that are on record. Nobody is asked.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use http::{Method, StatusCode};

use super::FAILED;
use super::check::EXIT_CONFIG;
use super::source::rules;
use crate::decision::client::Client;
use crate::decision::pseudonym::Pseudonym;
use crate::decision::record::Decision;
use crate::fingerprint::Algorithm;
use crate::guard::evaluate::evaluate;
use crate::guard::plan::{Plan, plan};
use crate::guard::policy::{Mode, Policy, Unconditional};
use crate::guard::verdict::{Reason, Verdict};
use crate::rule::Rule;
use crate::rule::select::Rules;
use crate::semantics::entity_tag::EntityTag;
use crate::semantics::fields::XAPI_VERSION;
use crate::semantics::preconditions::{Condition, Matching, Preconditions};
use crate::semantics::representation::{Current, Representation};

/// The longest line that is read; the longest record is far shorter.
const LINE: usize = 64 * 1024;
/// How many rows are told apart; a person reads no longer a table.
const ROWS: usize = 1000;
/// Of how many documents it is remembered whether they are there.
const DOCUMENTS: usize = 100_000;

/// Why nothing is decided of a line.
const NO_RECORD: &str = "a line that is no record";

/// What `what-if` is told on the command line.
#[derive(Debug, Args)]
pub struct WhatIfArguments {
    /// The configuration file that would be used, in TOML.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Decisions as log.decisions-file has them; `-` is standard input.
    #[arg(value_name = "DECISIONS")]
    decisions: PathBuf,
}

/// Decides anew, prints the table, and gives the exit code.
pub(super) fn what_if(arguments: &WhatIfArguments, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let rules = match rules(&arguments.config) {
        Ok(rules) => rules,
        Err(problems) => {
            let _ = writeln!(err, "{}", problems.trim_end());
            return EXIT_CONFIG;
        }
    };
    let table = read(&arguments.decisions, |lines| {
        let mut table = Table::default();
        table.take_all(&rules, lines)?;
        Ok(table)
    });
    match table {
        Ok(table) if table.has_no_record() => {
            let _ = writeln!(
                err,
                "error: no line of {} is the record of a decision: name the file of log.decisions-file, or pipe \
                 curl -s '127.0.0.1:9901/decisions.json?limit=10000' | jq -c '.decisions | reverse | .[]' into `what-if … -`",
                arguments.decisions.display()
            );
            FAILED
        }
        Ok(table) => {
            // Where nobody can read what is printed, the exit code still says it.
            let _ = write!(out, "{}", table.shown());
            0
        }
        Err(error) => {
            let _ = writeln!(err, "error: {} cannot be read: {error}", arguments.decisions.display());
            FAILED
        }
    }
}

fn read<T>(path: &Path, with: impl FnOnce(&mut dyn BufRead) -> io::Result<T>) -> io::Result<T> {
    match path.as_os_str() == "-" {
        true => with(&mut io::stdin().lock()),
        false => with(&mut BufReader::new(File::open(path)?)),
    }
}

/// What came of each client's writes to each resource.
#[derive(Debug, Default)]
struct Table {
    rows: BTreeMap<(Arc<str>, Client), Row>,
    others: Row,
    undecided: BTreeMap<&'static str, u64>,
    records: u64,
    known: Known,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Row {
    writes: u64,
    refused_then: u64,
    refused_now: BTreeMap<u16, u64>,
    newly_refused: u64,
    newly_allowed: u64,
}

/// Which documents are there, as far as writes that succeeded tell.
#[derive(Debug, Default)]
struct Known {
    scopes: HashMap<Pseudonym, HashMap<Pseudonym, bool>>,
    documents: usize,
}

impl Table {
    fn take_all(&mut self, rules: &Rules, mut lines: &mut dyn BufRead) -> io::Result<()> {
        let mut line = Vec::new();
        loop {
            line.clear();
            if Read::take(&mut lines, LINE as u64).read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            let is_cut = line.len() == LINE && !line.ends_with(b"\n");
            if is_cut {
                skip_line(lines)?;
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            match serde_json::from_slice::<Decision>(&line) {
                Ok(decision) if !is_cut => self.take(rules, &decision),
                _ => self.leave(NO_RECORD),
            }
        }
    }

    /// Whether there is something, and none of it is a record. There may have been no writes yet.
    fn has_no_record(&self) -> bool {
        self.records == 0 && self.undecided.contains_key(NO_RECORD)
    }

    fn take(&mut self, rules: &Rules, decision: &Decision) {
        self.records += 1;
        match decide(rules, decision, &self.known) {
            Ok(now) => self.row(decision).count(refused_then(decision), now.map(|status| status.as_u16())),
            Err(why) => self.leave(why),
        }
        self.known.learn(decision);
    }

    fn leave(&mut self, why: &'static str) {
        *self.undecided.entry(why).or_default() += 1;
    }

    fn row(&mut self, decision: &Decision) -> &mut Row {
        let key = (Arc::clone(&decision.resource), decision.client.clone());
        let has_room = self.rows.len() < ROWS || self.rows.contains_key(&key);
        if has_room { self.rows.entry(key).or_default() } else { &mut self.others }
    }

    fn shown(&self) -> String {
        let mut lines = vec![
            ["RESOURCE", "CLIENT", "WRITES", "REFUSED THEN", "REFUSED NOW", "NEWLY REFUSED", "NEWLY ALLOWED"]
                .map(str::to_owned),
        ];
        lines.extend(self.rows.iter().map(|((resource, client), row)| row.cells(resource, &called(client))));
        if self.others.writes > 0 {
            lines.push(self.others.cells("-", "all others"));
        }
        let mut all = Row::default();
        self.rows.values().chain([&self.others]).for_each(|row| all.add(row));
        lines.push(all.cells("all", ""));
        let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; 7] = std::array::from_fn(width);
        let mut text = String::new();
        for line in &lines {
            let cells: Vec<String> =
                line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            text.push_str(cells.join("  ").trim_end());
            text.push('\n');
        }
        let undecided: u64 = self.undecided.values().sum();
        text.push_str(&format!("\ncannot be decided: {undecided}\n"));
        for (why, count) in &self.undecided {
            text.push_str(&format!("  {count}  {why}\n"));
        }
        text
    }
}

fn skip_line(lines: &mut dyn BufRead) -> io::Result<()> {
    loop {
        let piece = lines.fill_buf()?;
        let end = piece.iter().position(|byte| *byte == b'\n');
        let length = end.map_or(piece.len(), |end| end + 1);
        lines.consume(length);
        if end.is_some() || length == 0 {
            return Ok(());
        }
    }
}

impl Row {
    fn count(&mut self, was_refused: bool, now: Option<u16>) {
        self.writes += 1;
        self.refused_then += u64::from(was_refused);
        self.newly_refused += u64::from(now.is_some() && !was_refused);
        self.newly_allowed += u64::from(now.is_none() && was_refused);
        if let Some(status) = now {
            *self.refused_now.entry(status).or_default() += 1;
        }
    }

    fn add(&mut self, other: &Self) {
        self.writes += other.writes;
        self.refused_then += other.refused_then;
        self.newly_refused += other.newly_refused;
        self.newly_allowed += other.newly_allowed;
        for (status, count) in &other.refused_now {
            *self.refused_now.entry(*status).or_default() += count;
        }
    }

    fn cells(&self, resource: &str, client: &str) -> [String; 7] {
        let by_status: Vec<_> =
            self.refused_now.iter().map(|(status, count)| format!("{status}: {count}")).collect();
        let now = if by_status.is_empty() { "0".to_owned() } else { by_status.join(", ") };
        [
            resource.to_owned(),
            client.to_owned(),
            self.writes.to_string(),
            self.refused_then.to_string(),
            now,
            self.newly_refused.to_string(),
            self.newly_allowed.to_string(),
        ]
    }
}

/// A client in a word or two. What is read from a file may be anything, and must not move a cursor.
fn called(client: &Client) -> String {
    let key = client.key.map(|key| format!("key {key}"));
    let origin = client.origin.as_ref().map(|origin| format!("@ {origin}"));
    let parts: Vec<String> =
        client.agent.as_ref().map(ToString::to_string).into_iter().chain(key).chain(origin).collect();
    let text = if parts.is_empty() { "-".to_owned() } else { parts.join(" ") };
    text.chars().take(120).flat_map(char::escape_debug).collect()
}

fn refused_then(decision: &Decision) -> bool {
    decision.would_be.status.is_some_and(|status| status >= 400)
}

/// What the rules decide of a write on record: the status of a refusal, or nothing where it goes on.
///
/// # Errors
/// Why that cannot be told.
fn decide(rules: &Rules, decision: &Decision, known: &Known) -> Result<Option<StatusCode>, &'static str> {
    let Some(rule) = rules.0.iter().find(|rule| rule.name == decision.resource) else { return Ok(None) };
    let method = Method::from_bytes(decision.method.as_bytes()).map_err(|_| NO_RECORD)?;
    if let Some(why) = beyond_policy(&decision.would_be.verdict) {
        return Err(why);
    }
    if depends_on_more(rule, &method) {
        return Err("the rule looks at a field that is not recorded");
    }
    if decision.stated.cut {
        return Err("the precondition is too long to be recorded");
    }
    if decision.stated.kind == "malformed" {
        return Ok(Some(StatusCode::PRECONDITION_FAILED));
    }
    let fields = decision.fields();
    let policy = rule.policy(&method, &fields);
    let stated = as_shown(decision, Preconditions::from_fields(&fields, Matching::Lenient));
    let stated = stated.under(rule.matching);
    if stated.is_malformed() && decision.mode == Mode::Observe && decision.found.is_none() {
        // An upstream may give its clients what is no entity-tag, and they would state ours as they should.
        return Err("nobody asked what the resource held");
    }
    let verdict = match plan(&policy, &stated) {
        Plan::Decided(verdict) => verdict,
        Plan::Learn => {
            let found = found(decision, &stated, known).ok_or("nobody asked what the resource held")?;
            judged(rule, &policy, decision, &stated, found)
        }
    };
    Ok(match verdict {
        Verdict::Refuse(refusal) => Some(refusal.status),
        Verdict::Forward(_) | Verdict::Applied(_) => None,
    })
}

/// What was not a matter of preconditions.
fn beyond_policy(verdict: &str) -> Option<&'static str> {
    match verdict {
        "forward"
        | "replay"
        | "if-match-failed"
        | "if-none-match-failed"
        | "malformed-precondition"
        | "precondition-missing"
        | "not-sampled"
        | "unknown"
        | "probe-signed"
        | "probe-forbidden"
        | "probe-refused" => None,
        "ambiguous" | "unidentified" => Some("the request named no document"),
        "handed-back" => Some("the upstream would not tell what the resource held"),
        _ => Some("it failed for another reason"),
    }
}

/// Whether what a rule asks of this method depends on fields that no record has.
fn depends_on_more(rule: &Rule, method: &Method) -> bool {
    let is_about = |when: &&crate::rule::When| when.unconditional.contains_key(method);
    rule.when.iter().filter(is_about).any(|when| when.header.iter().any(|(name, _)| *name != XAPI_VERSION))
}

/// What the resource held. Where no entity-tag matters it is enough to know that there was something.
fn found(decision: &Decision, stated: &Preconditions, known: &Known) -> Option<Representation> {
    let recorded = decision.found.as_ref().map(|found| found.representation());
    let inferred = || match known.is_there(decision)? {
        true => Some(holding(EntityTag::new(false, b"")?)),
        false => Some(Representation::Missing),
    };
    recorded.or_else(|| inferred().filter(|_| stated.is_empty()))
}

fn holding(tag: EntityTag) -> Representation {
    Representation::Current(Current { tag, upstream_tag: None, alias: None })
}

/// What was stated; in observe mode, what would have been if the client had been shown our entity-tag.
fn as_shown(decision: &Decision, stated: Preconditions) -> Preconditions {
    let found = decision.found.as_ref().filter(|_| decision.mode == Mode::Observe);
    let shown = found.and_then(|found| Some((found.representation(), found.theirs()?)));
    match shown {
        Some((Representation::Current(current), theirs)) => stated.given(&current.tag, &theirs),
        Some((Representation::Missing, _)) | None => stated,
    }
}

/// Judges as the proxy does, with what was learned then of aliases and replays.
fn judged(
    rule: &Rule,
    policy: &Policy,
    decision: &Decision,
    stated: &Preconditions,
    mut found: Representation,
) -> Verdict {
    let has_alias = rule.etag == Algorithm::Sha1 && decision.repairs.iter().any(|repair| repair == "alias");
    if let (Representation::Current(current), true) = (&mut found, has_alias) {
        let stated_tag = stated.if_match.iter().flat_map(Condition::tags).next();
        current.alias = stated_tag.and_then(|tag| EntityTag::new(false, &tag.opaque()));
    }
    let verdict = evaluate(policy, stated, &found);
    let may_be_replay = policy.unconditional != Unconditional::REQUIRE && !policy.replay_window.is_zero();
    match (&verdict, &found) {
        (Verdict::Refuse(refusal), Representation::Current(current))
            if refusal.reason == Reason::IfMatchFailed
                && decision.would_be.verdict == "replay"
                && may_be_replay =>
        {
            Verdict::Applied(current.tag.clone())
        }
        _ => verdict,
    }
}

impl Known {
    fn is_there(&self, decision: &Decision) -> Option<bool> {
        self.scopes.get(&decision.scope?)?.get(&decision.document?).copied()
    }

    /// Learns from a write that has succeeded whether its document is there.
    fn learn(&mut self, decision: &Decision) {
        let (Some(scope), Some(document)) = (decision.scope, decision.document) else { return };
        let is_delete = &*decision.method == "DELETE";
        if !(200..300).contains(&decision.status) || decision.status == 202 {
            return;
        }
        if is_delete && decision.collection {
            let forgotten = self.scopes.remove(&scope).map_or(0, |documents| documents.len());
            self.documents -= forgotten;
            return;
        }
        let is_known = self.scopes.get(&scope).is_some_and(|documents| documents.contains_key(&document));
        if is_known || self.documents < DOCUMENTS {
            self.documents += usize::from(!is_known);
            self.scopes.entry(scope).or_default().insert(document, !is_delete);
        }
    }
}
