//! Statements, as far as client libraries need them: they are kept and given back.

use std::collections::BTreeMap;

use http::{HeaderName, Method};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::address::Parameters;
use crate::dates;
use crate::manners::sha1_hex;
use crate::reply::Reply;

/// The statements by their ids.
#[derive(Debug, Default)]
pub(crate) struct Statements(BTreeMap<String, Value>);

impl Statements {
    pub(crate) fn answer(&mut self, method: &Method, parameters: &Parameters, body: &[u8]) -> Reply {
        let now = dates::iso_8601(OffsetDateTime::now_utc());
        let reply = match *method {
            Method::GET | Method::HEAD => self.read(parameters.get("statementId")),
            Method::PUT | Method::POST => self.keep(parameters.get("statementId"), body, &now),
            _ => Reply::text(405, "statements are PUT, POSTed and read"),
        };
        reply.with(HeaderName::from_static("x-experience-api-consistent-through"), now)
    }

    fn read(&self, id: Option<&String>) -> Reply {
        match id.map(|id| self.0.get(id)) {
            None => {
                let all: Vec<&Value> = self.0.values().collect();
                Reply::json(json!({ "statements": all, "more": "" }).to_string())
            }
            Some(Some(statement)) => Reply::json(statement.to_string()),
            Some(None) => Reply::text(404, "no such statement"),
        }
    }

    /// A PUT names the statement; a POST holds one or many.
    fn keep(&mut self, id: Option<&String>, body: &[u8], now: &str) -> Reply {
        let statements = match serde_json::from_slice(body) {
            Ok(Value::Array(statements)) => statements,
            Ok(statement @ Value::Object(_)) => vec![statement],
            _ => return Reply::text(400, "no statement"),
        };
        let mut ids = Vec::new();
        for mut statement in statements {
            let own = statement.get("id").and_then(Value::as_str).map(str::to_owned);
            let id = id.cloned().or(own).unwrap_or_else(|| self.fresh_id(now));
            if let Some(members) = statement.as_object_mut() {
                members.insert("id".into(), id.clone().into());
                members.insert("stored".into(), now.into());
            }
            self.0.insert(id.clone(), statement);
            ids.push(id);
        }
        if id.is_some() { Reply::bare(204) } else { Reply::json(json!(ids).to_string()) }
    }

    /// An id with the form of a random UUID.
    fn fresh_id(&self, now: &str) -> String {
        let hex = sha1_hex(format!("{now} {}", self.0.len()).as_bytes());
        format!("{}-{}-4{}-8{}-{}", &hex[..8], &hex[8..12], &hex[12..15], &hex[15..18], &hex[18..30])
    }
}
