//! Reading the configuration again while the proxy runs: all of it counts, or nothing of it.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher, event};
use tokio::sync::{Notify, mpsc};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::assembly::Assembly;
use super::source::Source;
use crate::admin::Reload;
use crate::config::Config;
use crate::server::metrics::Metrics;

/// How often files are looked at although nothing was heard: some file systems tell nothing, and files that the
/// configuration names stand in other folders.
const LOOK: Duration = Duration::from_secs(30);
/// How long after a change nothing is read yet: editors and Kubernetes change a folder in several steps.
const CALM: Duration = Duration::from_millis(200);

/// What sets the level of the diagnostics.
pub(super) type SetLevel = Box<dyn Fn(&Config) + Send>;

/// Reads the configuration again, and has what is served put together anew.
pub(super) struct Reloader {
    source: Source,
    /// What was last put to use, as it was read.
    used: Config,
    assembly: Arc<Mutex<Assembly>>,
    metrics: Arc<Metrics>,
    set_level: SetLevel,
    /// What was wrong when it was looked at last, so that it is told once.
    wrong: Option<String>,
}

/// What a reload came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reloaded {
    /// Nothing has changed.
    Unchanged,
    /// What has changed is in use.
    Used,
}

impl Reloader {
    pub(super) fn new(
        source: Source,
        used: Config,
        assembly: Arc<Mutex<Assembly>>,
        metrics: Arc<Metrics>,
        set_level: SetLevel,
    ) -> Self {
        Self { source, used, assembly, metrics, set_level, wrong: None }
    }

    /// Reloads whenever it is told to, or finds that something has changed; for as long as it is polled.
    pub(super) async fn run(mut self, mut wishes: mpsc::Receiver<Reload>, told: Arc<Notify>) {
        let changed = Arc::new(Notify::new());
        let _watcher = self.source.file().and_then(|file| watcher(file, &changed));
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = told.notified() => drop(self.reload()),
                Some(Reload(tell)) = wishes.recv() => {
                    // Whoever asked may have left; what was done is done.
                    let _ = tell.send(self.reload());
                }
                () = changed.notified() => {
                    sleep(CALM).await;
                    self.look();
                }
                _ = look.tick() => self.look(),
            }
        }
    }

    /// Reloads because somebody wants it, and says what came of it.
    fn reload(&mut self) -> Result<String, String> {
        let reloaded = self.try_reload();
        self.metrics.reloaded(reloaded.is_ok());
        match reloaded {
            Ok(Reloaded::Unchanged) => {
                tracing::info!("reload: nothing has changed");
                Ok("nothing has changed".into())
            }
            Ok(Reloaded::Used) => Ok(match overruled(&self.used) {
                Some(sentence) => format!("reloaded; but {sentence}"),
                None => "reloaded".into(),
            }),
            Err(problem) => {
                self.complain(&problem);
                Err(problem)
            }
        }
    }

    /// Reloads if something has changed. What is wrong is told once.
    fn look(&mut self) {
        match self.try_reload() {
            Ok(Reloaded::Unchanged) => {}
            Ok(Reloaded::Used) => self.metrics.reloaded(true),
            Err(problem) if self.wrong.as_ref() == Some(&problem) => {}
            Err(problem) => {
                self.metrics.reloaded(false);
                self.complain(&problem);
            }
        }
    }

    fn complain(&mut self, problem: &str) {
        tracing::error!("reload: the configuration stays as it was:\n{}", problem.trim_end());
        self.assembly.lock().unwrap_or_else(PoisonError::into_inner).in_use().complain(problem);
        self.wrong = Some(problem.to_owned());
    }

    fn try_reload(&mut self) -> Result<Reloaded, String> {
        let (config, origin) = self.source.read()?;
        let mut assembly = self.assembly.lock().unwrap_or_else(PoisonError::into_inner);
        if config == self.used {
            assembly.in_use().confirm(origin);
            self.wrong = None;
            return Ok(Reloaded::Unchanged);
        }
        assembly.replace(config.clone())?;
        assembly.in_use().replace(origin);
        drop(assembly);
        (self.set_level)(&config);
        self.used = config;
        self.wrong = None;
        tracing::info!("reloaded: requests from here on are served with the new configuration");
        warn_of_overruled(&self.used);
        Ok(Reloaded::Used)
    }
}

/// Says it where the flag keeps the file from meaning what it says.
pub(super) fn warn_of_overruled(config: &Config) {
    if let Some(sentence) = overruled(config) {
        tracing::warn!("{sentence}");
    }
}

fn overruled(config: &Config) -> Option<String> {
    if config.overruled.is_empty() {
        return None;
    }
    let names = config.overruled.join(", ");
    Some(format!(
        "--observe goes before the file: nothing is refused of {names}, although mode = \"enforce\" stands there; to \
         enforce it, start without --observe, with mode = \"observe\" under [guard] for all others"
    ))
}

/// Watches the folder of a file: editors and Kubernetes put another file in its place, and who watches the file itself
/// hears of the first such change and of no other.
fn watcher(file: &Path, changed: &Arc<Notify>) -> Option<RecommendedWatcher> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let heard = Arc::clone(changed);
    let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        if event.is_ok_and(|event| is_change(&event.kind)) {
            heard.notify_one();
        }
    });
    let watching = watcher.and_then(|mut watcher| {
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    watching
        .inspect_err(|error| {
            let seconds = LOOK.as_secs();
            tracing::warn!(%error, "the configuration's folder cannot be watched: it is looked at every {seconds} s");
        })
        .ok()
}

/// Reading is heard of too, and it is what follows each change here.
fn is_change(kind: &EventKind) -> bool {
    use event::{AccessKind, AccessMode};
    !kind.is_access() || matches!(kind, EventKind::Access(AccessKind::Close(AccessMode::Write)))
}
