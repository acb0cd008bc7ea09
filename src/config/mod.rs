//! The configuration: the file as written becomes the settings as meant.

use std::fmt;
use std::net::SocketAddr;

use tracing_subscriber::filter::LevelFilter;

use crate::memory::holds;
use crate::rule::select::Rules;
use crate::{exchange, server, upstream};

/// The settings of every room.
#[derive(Debug, Clone)]
pub struct Config {
    /// How clients are served.
    pub server: server::Settings,
    /// Where health is asked for.
    pub admin: SocketAddr,
    /// How the upstream is reached.
    pub upstream: upstream::Settings,
    /// The bounds of holds.
    pub holds: holds::Settings,
    /// What an exchange may take.
    pub exchange: exchange::Settings,
    /// Which resources are guarded.
    pub rules: Rules,
    /// What is logged.
    pub log_level: LevelFilter,
}

/// What the command line says in place of the file.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--upstream`
    pub upstream: Option<String>,
    /// `--listen`
    pub listen: Option<String>,
    /// `--admin`
    pub admin: Option<String>,
    /// `--observe`
    pub observe: bool,
}

/// Every problem of a configuration.
#[derive(Debug)]
pub struct Problems;

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no configuration can be read yet")
    }
}

impl Config {
    /// Reads a configuration.
    ///
    /// # Errors
    /// Every problem at once.
    pub fn read(_file: Option<(&str, &str)>, _overrides: &Overrides) -> Result<Self, Problems> {
        Err(Problems)
    }
}
