//! The signals that ask the process to end, or to read its configuration again.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM, which service managers send, SIGINT, which Ctrl-C sends, and SIGQUIT, nginx's graceful stop, ask for the
/// end. SIGHUP asks to read the configuration again, as it does elsewhere; where no file can be read again, it is what
/// a closed terminal sends, and asks for the end too. What is under way is worth finishing, whoever asks.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hang_up: Signal,
    can_reload: bool,
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// The end.
    End,
    /// Another look at the configuration.
    Reload,
}

impl Signals {
    /// From here on the signals no longer end the process by themselves.
    pub(super) fn new(can_reload: bool) -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hang_up: signal(SignalKind::hangup())?,
            can_reload,
        })
    }

    /// Waits for any of them.
    pub(super) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::End,
            _ = self.interrupt.recv() => Asked::End,
            _ = self.quit.recv() => Asked::End,
            _ = self.hang_up.recv() => if self.can_reload { Asked::Reload } else { Asked::End },
        }
    }

    /// Waits for one that asks for the end.
    pub(super) async fn end(&mut self) {
        while self.next().await != Asked::End {}
    }
}
