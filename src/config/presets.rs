//! Presets: sets of resources that come with the program, each a file of its own.

use std::sync::Arc;

use toml::de::DeTable;

use super::problem::Problems;
use super::section::Table;
use super::source::Source;
use super::value::{Value, choice, list};

/// A preset that a file may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Preset {
    /// The document resources of an LRS, as the standard has them.
    Xapi,
    /// The same, and what ADL's conformance suite asks beyond the standard.
    XapiStrict,
}

/// The presets' files, once they are read.
pub(super) struct Files<'a> {
    xapi: Option<Table<'a>>,
    xapi_strict: Option<Table<'a>>,
}

/// The names of presets.
pub(super) fn presets(value: &Value<'_>) -> Result<Vec<Preset>, Problems> {
    list(value, "[\"xapi\"]", |name| {
        choice(name, &[("xapi", Preset::Xapi), ("xapi-strict", Preset::XapiStrict)])
    })
}

/// The texts of the presets' files.
pub(super) fn sources() -> [Arc<Source>; 2] {
    [
        Source::embedded("presets/xapi.toml", include_str!("../../config/presets/xapi.toml")),
        Source::embedded("presets/xapi-strict.toml", include_str!("../../config/presets/xapi-strict.toml")),
    ]
}

impl<'a> Files<'a> {
    /// The files with the texts that [`sources`] gave.
    pub(super) fn new(sources: &[Arc<Source>; 2], [xapi, xapi_strict]: &'a [Option<DeTable<'a>>; 2]) -> Self {
        let table = |source: &Arc<Source>, entries: &'a Option<DeTable<'a>>| {
            entries.as_ref().map(|entries| Table { source: Arc::clone(source), span: 0..0, entries })
        };
        Self { xapi: table(&sources[0], xapi), xapi_strict: table(&sources[1], xapi_strict) }
    }

    /// The layers that presets make, the lowest first, in an order of their own: the stricter one lies on
    /// top.
    pub(super) fn layers(&self, wanted: &[Preset]) -> Vec<Table<'a>> {
        let strict = wanted.contains(&Preset::XapiStrict);
        let xapi = self.xapi.iter().filter(|_| strict || wanted.contains(&Preset::Xapi));
        xapi.chain(self.xapi_strict.iter().filter(|_| strict)).cloned().collect()
    }

    /// The names of every preset's resources, whether it is wanted or not.
    pub(super) fn resource_names(&self) -> Vec<String> {
        let files = self.xapi.iter().chain(&self.xapi_strict);
        let tables = files.filter_map(|file| file.entries.get("resource")?.get_ref().as_table());
        tables.flat_map(|table| table.keys()).map(|name| name.get_ref().to_string()).collect()
    }
}
