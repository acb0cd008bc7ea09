//! Where a running proxy's configuration comes from: a file, if there is one, and the environment and the flags over it.

use std::path::{Path, PathBuf};

use super::check::read_text;
use super::in_use::Origin;
use super::{RunArguments, colours};
use crate::config::environment::Environment;
use crate::config::{Config, Overrides};
use crate::rule::select::Rules;

/// The file, the environment and the flags. Each reading of them is of what they say at that moment.
#[derive(Debug, Clone)]
pub(super) struct Source {
    file: Option<PathBuf>,
    overrides: Overrides,
}

impl Source {
    pub(super) fn of(arguments: &RunArguments) -> Self {
        let overrides = Overrides {
            upstream: arguments.upstream.clone(),
            listen: arguments.listen.clone(),
            admin: arguments.admin.clone(),
            observe: arguments.observe,
            environment: Environment::of_process(),
        };
        Self { file: arguments.config.clone(), overrides }
    }

    /// What somebody says who does not run it.
    pub(super) fn of_doctor(file: Option<PathBuf>, upstream: Option<String>, observe: bool) -> Self {
        let environment = Environment::of_process();
        Self { file, overrides: Overrides { upstream, observe, environment, ..Overrides::default() } }
    }

    /// The file that is read, if there is one.
    pub(super) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Reads the settings, and says where.
    ///
    /// # Errors
    /// Every problem, with its place and remedy.
    pub(super) fn read(&self) -> Result<(Config, Origin), String> {
        let file = match &self.file {
            None => None,
            Some(path) => Some((path.display().to_string(), read_text(path)?)),
        };
        let file = file.as_ref().map(|(name, text)| (name.as_str(), text.as_str()));
        let origin = Origin::of(self.file.clone().zip(file.map(|(_, text)| text)));
        let config = Config::read(file, &self.overrides).map_err(|problems| problems.render(colours()))?;
        Ok((config, origin))
    }
}

/// The rules of a configuration's file, which may leave the upstream to the command line.
///
/// # Errors
/// Every problem, with its place and remedy.
pub(super) fn rules(file: &Path) -> Result<Rules, String> {
    let text = read_text(file)?;
    Config::rules(&file.to_string_lossy(), &text, &Environment::of_process())
        .map_err(|problems| problems.render(colours()))
}
