//! The documents, in rows as a database has them.

use std::collections::BTreeMap;

use bytes::Bytes;
use time::OffsetDateTime;

use crate::address::{Address, Collection};

/// What was stored.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    pub(crate) contents: Bytes,
    pub(crate) content_type: String,
    pub(crate) tag: String,
    pub(crate) modified: OffsetDateTime,
}

/// A document under its registration, which State alone has.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    registration: Option<String>,
    pub(crate) document: Document,
}

/// All documents.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    rows: BTreeMap<Collection, BTreeMap<String, Vec<Row>>>,
    /// Whether an address without registration means whatever registration.
    any_registration: bool,
}

impl Documents {
    pub(crate) fn new(any_registration: bool) -> Self {
        Self { rows: BTreeMap::new(), any_registration }
    }

    /// The rows that an address names; more than one where a store knows no better.
    pub(crate) fn named(&self, address: &Address) -> Vec<Row> {
        let rows = |id| self.rows.get(&address.collection)?.get(id);
        let rows = address.id.as_ref().and_then(rows).into_iter().flatten();
        rows.filter(|row| self.fits(address, row)).cloned().collect()
    }

    /// The ids in a collection.
    pub(crate) fn ids(&self, address: &Address) -> Vec<&str> {
        let ids = self.rows.get(&address.collection).into_iter().flatten();
        ids.filter(|(_, rows)| rows.iter().any(|row| self.fits(address, row)))
            .map(|(id, _)| id.as_str())
            .collect()
    }

    /// Stores a document in the rows that an address names, or in a row of its own.
    pub(crate) fn store(&mut self, address: &Address, document: Document, doubles: bool) {
        let any = self.any_registration;
        let id = address.id.clone().unwrap_or_default();
        let rows = self.rows.entry(address.collection.clone()).or_default().entry(id).or_default();
        match rows.iter_mut().find(|row| fits(any, address, row)).filter(|_| !doubles) {
            Some(row) => row.document = document,
            None => rows.push(Row { registration: address.registration.clone(), document }),
        }
    }

    /// Removes the rows that an address names, and all of a collection if it has no id.
    pub(crate) fn remove(&mut self, address: &Address) {
        let any = self.any_registration;
        for (id, rows) in self.rows.get_mut(&address.collection).into_iter().flatten() {
            if address.id.as_ref().is_none_or(|named| named == id) {
                rows.retain(|row| !fits(any, address, row));
            }
        }
    }

    fn fits(&self, address: &Address, row: &Row) -> bool {
        fits(self.any_registration, address, row)
    }
}

fn fits(any_registration: bool, address: &Address, row: &Row) -> bool {
    address.registration == row.registration || (any_registration && address.registration.is_none())
}
