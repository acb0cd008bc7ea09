//! The configuration: the file as written becomes the settings as meant.
//!
//! It is read like a program by a compiler, in passes. The texts are parsed with their spans ([`source`]);
//! layers are laid over each other, `config/default.toml` lowest, then presets, the user's file, the environment and the
//! flags (`section`); each setting has a small parser of its own (`value` and its neighbours); and what is wrong
//! only beside something else is looked at last (`clash`). No pass stops at the first problem: a user sees
//! all of them at once, each with its place and a remedy ([`problem`]).
//!
//! No default is scattered through code: what an empty file means is written in `config/default.toml`, and
//! what a resource means that leaves out a key, in one table in `resource`.

mod address;
mod clash;
mod duration;
pub mod environment;
mod guard;
mod listen;
mod naming;
mod observe;
mod presets;
mod probe;
pub mod problem;
mod resource;
pub mod schema;
mod section;
mod shape;
mod size;
pub mod source;
mod status;
mod substitution;
#[cfg(test)]
mod tests;
mod tls;
mod unconditional;
mod upstream;
mod value;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tracing::level_filters::LevelFilter;

use crate::decision::file;
use crate::memory::{answers, holds};
use crate::rule::select::Rules;
use crate::{exchange, server};
use environment::{Environment, Variables};
use guard::Guard;
use http::HeaderName;
use listen::{Admin, Listen, Log};
use presets::{Files, Preset};
use problem::Problems;
use resource::{Resources, Surroundings};
use section::{Above, Flag, Section, Table};
use source::Source;
use substitution::Strings;
use upstream::Upstream;

/// The file that holds every setting with its default, and equals an empty one.
pub const DEFAULT: &str = include_str!("../../config/default.toml");

/// The settings as they are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// How clients are served.
    pub server: server::Settings,
    /// Where the admin listener is.
    pub admin: SocketAddr,
    /// By which names it is asked for, beside IP addresses and localhost.
    pub admin_hosts: Vec<String>,
    /// Where the token is of those who may change something at the admin listener.
    pub admin_token_file: Option<PathBuf>,
    /// How the upstream is reached.
    pub upstream: crate::upstream::Settings,
    /// The bounds of holds.
    pub holds: holds::Settings,
    /// How much is remembered of documents that pass, in bytes.
    pub remembered_max: u64,
    /// How many bytes of all documents that are being written may be held.
    pub buffered_writes_max: u64,
    /// How many bytes of all documents that are being read may be held.
    pub buffered_reads_max: u64,
    /// Where the mark of a running process is kept, if anywhere.
    pub state_dir: Option<PathBuf>,
    /// How long guarded writes wait after the start, if somebody has said so.
    pub start_settle: Option<Duration>,
    /// The fields that say who asks.
    pub credential_fields: Vec<HeaderName>,
    /// For how long it is remembered what documents hold; nothing where others write to the upstream too.
    pub recalled: Option<answers::Settings>,
    /// What an exchange may take.
    pub exchange: exchange::Settings,
    /// The guarded resources: the user's own first, in their order, then the presets'.
    pub rules: Rules,
    /// Whether `--observe` is given.
    pub observe_flag: bool,
    /// The names of the resources that say `mode = "enforce"` and that this flag overrules.
    pub overruled: Vec<Arc<str>>,
    /// Where decisions are written down, if anywhere.
    pub decisions: Option<file::Settings>,
    /// What is said on standard error.
    pub log_level: LevelFilter,
    /// The URL of the collector that spans are sent to, if somebody has named one.
    pub otlp_endpoint: Option<String>,
}

/// Where a running process is asked, and told, about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminPlace {
    /// Its admin listener.
    pub address: SocketAddr,
    /// Where the token is of those who may change something, if they may at all.
    pub token_file: Option<PathBuf>,
}

/// What is said outside of the file: the command line wins over the environment, and that over the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--upstream`, for `upstream.url`.
    pub upstream: Option<String>,
    /// `--listen`, for `listen.address`.
    pub listen: Option<String>,
    /// `--admin`, for `admin.address`.
    pub admin: Option<String>,
    /// `--observe`, for `guard.mode = "observe"`, and it wins over the resources' own modes too.
    pub observe: bool,
    /// The variables of the process: `STALEGUARD__SECTION__KEY` gives a setting, and `${NAME}` in the file is filled in.
    pub environment: Environment,
}

/// What each section says.
struct Sections {
    listen: Listen,
    admin: Admin,
    upstream: Upstream,
    log: Log,
    guard: Guard,
    observe: Option<exchange::observe::Settings>,
    resources: Resources,
    observe_flag: bool,
}

/// Whether spans can be sent to this URL, which a variable may name too that is not of this program alone.
pub fn is_collector(url: &str) -> bool {
    listen::is_collector(url)
}

impl Config {
    /// Reads what is needed to run, from a file's name and text, if there is one, and from what is said outside of it.
    pub fn read(file: Option<(&str, &str)>, overrides: &Overrides) -> Result<Self, Problems> {
        let (sections, problems) = gather(file, overrides, Needs { upstream: true, files: true });
        // There are settings whenever there are no problems, since the upstream is required.
        sections.into_config().filter(|_| problems.is_empty()).ok_or(problems)
    }

    /// Where the admin listener is of a process that has this file, these flags and this environment, and its token.
    ///
    /// Whatever else may be wrong in the file is left alone: it may have been spoiled since that process read it.
    pub fn admin(file: Option<(&str, &str)>, overrides: &Overrides) -> Result<AdminPlace, Problems> {
        let mut problems = Problems::default();
        let is_toml =
            file.is_none_or(|(name, text)| Source::of_user(name, text).parse(&mut problems).is_some());
        if !is_toml {
            return Err(problems);
        }
        let (sections, problems) = gather(file, overrides, Needs::default());
        let Admin { address, token_file, .. } = sections.admin;
        address.map(|address| AdminPlace { address: address.value, token_file }).ok_or(problems)
    }

    /// The guarded resources that a file names, by its name and text, and the environment over it. The upstream may be left
    /// to the command line.
    pub fn rules(name: &str, text: &str, environment: &Environment) -> Result<Rules, Problems> {
        let overrides = Overrides { environment: environment.clone(), ..Overrides::default() };
        let (sections, problems) = gather(Some((name, text)), &overrides, Needs::default());
        if problems.is_empty() { Ok(sections.resources.rules) } else { Err(problems) }
    }

    /// Looks for problems in a file, by its name and text, and in the environment. The upstream may be left to the
    /// command line.
    pub fn check(name: &str, text: &str, environment: &Environment) -> Result<(), Problems> {
        let overrides = Overrides { environment: environment.clone(), ..Overrides::default() };
        let (_, problems) = gather(Some((name, text)), &overrides, Needs::default());
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// The same, and looks into the files that it names too, as a process does that is to run.
    pub fn check_with_files(name: &str, text: &str, environment: &Environment) -> Result<(), Problems> {
        let overrides = Overrides { environment: environment.clone(), ..Overrides::default() };
        let needs = Needs { upstream: false, files: true };
        let (_, problems) = gather(Some((name, text)), &overrides, needs);
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

/// What must be there beside the text itself.
#[derive(Debug, Clone, Copy, Default)]
struct Needs {
    /// `upstream.url`.
    upstream: bool,
    /// What stands in the files that are named: certificates, keys, credentials.
    files: bool,
}

/// Parses every text and lays the layers over each other. What could be read is there beside the problems of the rest.
fn gather(file: Option<(&str, &str)>, overrides: &Overrides, needs: Needs) -> (Sections, Problems) {
    let mut problems = Problems::default();
    let default = Source::embedded("default.toml", DEFAULT);
    let resource_defaults = resource::defaults();
    let preset_sources = presets::sources();
    let user = file.map(|(name, text)| Source::of_user(name, text));

    let default_table = default.parse(&mut problems);
    let resource_table = resource_defaults.parse(&mut problems);
    let preset_tables = preset_sources.each_ref().map(|source| source.parse(&mut problems));
    let mut user_table = user.as_ref().and_then(|user| user.parse(&mut problems));
    let strings = user
        .as_ref()
        .zip(user_table.as_mut())
        .map(|(user, table)| Strings::fill(table, user, &overrides.environment));
    let variables = environment::sources(&overrides.environment, &mut problems);

    let presets = Files::new(&preset_sources, &preset_tables);
    let layer = |source: &Arc<Source>, entries| Table { source: Arc::clone(source), span: 0..0, entries };
    let below = default_table.as_ref().map(|entries| layer(&default, entries));
    let of_user = user.as_ref().zip(user_table.as_ref()).map(|(user, entries)| layer(user, entries));
    let lowest_of_resources = resource_table.as_ref().map(|entries| layer(&resource_defaults, entries));
    let above = Above { variables: Variables::read(&variables), flags: flags(overrides) };
    // In a file that is no TOML nothing was found, which does not mean that nothing was written.
    let is_read = user.is_some() == user_table.is_some();

    let layers: Vec<Table<'_>> = below.into_iter().chain(of_user).collect();
    let mut root = Section::root(layers, &above, &mut problems);
    let sections = read_sections(
        &mut root,
        &presets,
        lowest_of_resources,
        overrides.observe,
        Needs { upstream: needs.upstream && is_read, ..needs },
    );
    root.report_unknown();
    above.variables.report_unknown(is_read, &mut problems);
    let (listen, upstream) = (sections.listen.address.as_ref(), sections.upstream.address.as_ref());
    if let Some(strings) = strings {
        strings.report(&mut problems);
    }
    clash::clashes(listen, sections.admin.address.as_ref(), upstream, &mut problems);
    problems.sort();
    (sections, problems)
}

fn read_sections<'a>(
    root: &mut Section<'a, '_>,
    presets: &Files<'a>,
    lowest_of_resources: Option<Table<'a>>,
    observe: bool,
    needs: Needs,
) -> Sections {
    let listen = root.section("listen", |section| listen::listen(section, needs.files));
    let service = root.section("probe", |section| probe::probe(section, needs.files));
    let upstream = root.section("upstream", |section| upstream::upstream(section, service, needs));
    let admin = root.section("admin", listen::admin);
    let log = root.section("log", listen::log);
    let guard = root.section("guard", |section| guard::guard(section, upstream.settle_time));
    let observe_settings = root.section("observe", observe::observe);
    let surroundings = Surroundings {
        defaults: lowest_of_resources,
        shared: guard.shared,
        satisfies: upstream.satisfies,
        observe,
        known: presets.resource_names(),
    };
    // Where the list of presets is itself wrong, their resources are no further problem.
    root.lay_over_lowest(presets.layers(guard.presets.as_deref().unwrap_or(&[Preset::XapiStrict])));
    let resources = root.section("resource", |section| resource::resources(section, &surroundings));
    Sections {
        listen,
        admin,
        upstream,
        log,
        guard,
        observe: observe_settings,
        resources,
        observe_flag: observe,
    }
}

impl Sections {
    /// The settings, if none is missing.
    fn into_config(self) -> Option<Config> {
        let Self { listen, admin, upstream, log, guard, observe, resources, observe_flag } = self;
        let upstream = upstream.settings?;
        let recalled = guard.recalled?;
        Some(Config {
            server: server::Settings {
                address: listen.address?.value,
                socket_mode: listen.socket_mode?,
                trusted_proxies: listen.trusted_proxies,
                tls: listen.tls.files,
                handshake_timeout: listen.tls.handshake_timeout?,
                connections: listen.connections?,
                header_timeout: listen.header_timeout?,
                header_max: listen.header_max?,
                send_timeout: listen.send_timeout?,
                drain_timeout: guard.drain_timeout?,
                access_log: log.access?,
            },
            admin: admin.address?.value,
            admin_hosts: admin.hosts?,
            admin_token_file: admin.token_file,
            credential_fields: guard.credential_fields?,
            recalled: upstream.exclusive.then_some(recalled),
            upstream,
            holds: guard.holds?,
            remembered_max: guard.remembered_max?,
            buffered_writes_max: guard.buffered_writes_max?,
            buffered_reads_max: guard.buffered_reads_max?,
            state_dir: guard.state_dir,
            start_settle: guard.start_settle,
            exchange: exchange::Settings {
                body_timeout: listen.body_timeout?,
                linger: listen.linger?,
                exchange_timeout: guard.exchange_timeout?,
                detached_max: listen.detached_max?,
                tunnel_idle_timeout: listen.tunnel_idle_timeout?,
                observe: observe?,
            },
            rules: resources.rules,
            observe_flag,
            overruled: resources.overruled,
            decisions: decisions(&log)?,
            log_level: log.level?,
            otlp_endpoint: log.otlp_endpoint,
        })
    }
}

/// Where decisions are written down. Nothing at all where what says so is wrong.
fn decisions(log: &Log) -> Option<Option<file::Settings>> {
    let (max, kept) = (log.decisions_file_max?, log.decisions_files?);
    Some(log.decisions_file.clone().map(|path| file::Settings { path, max, kept }))
}

/// The command line as a layer over the file.
fn flags(overrides: &Overrides) -> Vec<Flag<'_>> {
    let given = [
        (("upstream", "url"), "--upstream", overrides.upstream.as_deref()),
        (("listen", "address"), "--listen", overrides.listen.as_deref()),
        (("admin", "address"), "--admin", overrides.admin.as_deref()),
        (("guard", "mode"), "--observe", overrides.observe.then_some("observe")),
    ];
    let flag = |(key, name, text): (_, _, Option<_>)| Some(Flag { key, name, value: value::flag(text?) });
    given.into_iter().filter_map(flag).collect()
}
