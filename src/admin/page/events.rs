//! Decisions as they happen, as server-sent events (WHATWG HTML §9.2).

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{Stream, unfold};
use hyper::body::{Bytes, Frame};
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::told::Row;
use crate::decision::Decisions;
use crate::decision::record::Decision;

/// How many are followed at a time. Each takes one of the listener's connections.
pub(super) const STREAMS: usize = 8;
/// How often something is sent, at most: a person does not read faster.
const PAUSE: Duration = Duration::from_millis(200);
/// How many decisions are sent at a time; of more than that, the newest.
const AT_ONCE: usize = 50;
/// How often something is sent at least, so that a client that is gone is noticed.
const SILENCE: Duration = Duration::from_secs(15);
/// How long one is followed. Browsers begin anew by themselves, and whoever takes nothing gives its place back.
pub(super) const LONGEST: Duration = Duration::from_secs(15 * 60);

/// What comes first: browsers begin anew two seconds after an end.
const GREETING: &str = "retry: 2000\n\n";
/// A comment.
const STILL_HERE: &str = ": still here\n\n";

/// Somebody who follows.
struct Follower {
    news: Receiver<Arc<Decision>>,
    until: Instant,
    greeted: bool,
    _place: OwnedSemaphorePermit,
}

/// Those decisions that a follower is sent at once, and how many it is not.
#[derive(Default)]
struct Batch {
    decisions: Vec<Arc<Decision>>,
    missed: u64,
}

/// The events for somebody who follows from here on, for as long as they take them. Whoever is too slow loses decisions
/// and is told how many.
pub(super) fn events(
    decisions: &Decisions,
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> + Send + use<> {
    let follower =
        Follower { news: decisions.follow(), until: Instant::now() + LONGEST, greeted: false, _place: place };
    unfold(follower, |mut follower| async move {
        let text = follower.next().await?;
        Some((Ok(Frame::data(text.into())), follower))
    })
}

impl Follower {
    async fn next(&mut self) -> Option<String> {
        if !self.greeted {
            self.greeted = true;
            return Some(GREETING.to_owned());
        }
        sleep(PAUSE).await;
        let mut batch = Batch::default();
        let first = tokio::select! {
            first = timeout(SILENCE, self.news.recv()) => first,
            () = sleep_until(self.until) => return None,
        };
        match first {
            Err(_) => return Some(STILL_HERE.to_owned()),
            Ok(Err(RecvError::Closed)) => return None,
            Ok(Err(RecvError::Lagged(missed))) => batch.missed += missed,
            Ok(Ok(decision)) => batch.decisions.push(decision),
        }
        loop {
            match self.news.try_recv() {
                Ok(decision) => batch.decisions.push(decision),
                Err(TryRecvError::Lagged(missed)) => batch.missed += missed,
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        Some(batch.told())
    }
}

impl Batch {
    fn told(mut self) -> String {
        let beyond = self.decisions.len().saturating_sub(AT_ONCE);
        self.missed += u64::try_from(beyond).unwrap_or(u64::MAX);
        let mut text = String::new();
        if self.missed > 0 {
            text.push_str(&event("missed", &json!({ "missed": self.missed })));
        }
        for decision in self.decisions.drain(..).skip(beyond) {
            text.push_str(&event("decision", &json!({ "row": Row::of(&decision), "decision": decision })));
        }
        text
    }
}

/// JSON on one line has no line breaks, which would end the event.
fn event(name: &str, data: &serde_json::Value) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::StreamExt;
    use tokio::sync::Semaphore;

    use super::super::sample::{Sample, decision};
    use super::*;

    async fn text(
        stream: &mut (impl Stream<Item = Result<Frame<Bytes>, Infallible>> + Unpin),
    ) -> Option<String> {
        let frame = stream.next().await?.expect("it never fails");
        Some(String::from_utf8(frame.into_data().expect("data").to_vec()).expect("UTF-8"))
    }

    async fn place() -> OwnedSemaphorePermit {
        Arc::new(Semaphore::new(1)).acquire_owned().await.expect("it is free")
    }

    #[tokio::test(start_paused = true)]
    async fn who_follows_is_told_what_happens_and_that_nothing_does() {
        let decisions = Decisions::default();
        let mut stream = pin!(events(&decisions, place().await));
        assert_eq!(text(&mut stream).await.as_deref(), Some(GREETING));
        assert_eq!(text(&mut stream).await.as_deref(), Some(STILL_HERE));
        decisions.record(decision(&Sample { status: 412, ..Sample::default() }));
        decisions.record(decision(&Sample::default()));
        let told = text(&mut stream).await.expect("two events");
        assert_eq!(told.matches("event: decision\ndata: {").count(), 2, "{told}");
        assert!(told.find("\"status\":412") < told.find("\"status\":204"), "the oldest first: {told}");
        assert!(!told.contains("missed"));
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_too_slow_is_told_how_many_were_lost() {
        let decisions = Decisions::default();
        let mut stream = pin!(events(&decisions, place().await));
        text(&mut stream).await;
        for status in 1..=1000 {
            decisions.record(decision(&Sample { status, ..Sample::default() }));
        }
        let told = text(&mut stream).await.expect("the newest");
        assert!(told.starts_with("event: missed\ndata: {\"missed\":950}\n\n"), "{told}");
        assert_eq!(told.matches("event: decision").count(), AT_ONCE);
        assert!(told.contains("\"status\":1000") && told.contains("\"status\":951"));
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_by_itself_and_gives_its_place_back() {
        let places = Arc::new(Semaphore::new(1));
        let place = Arc::clone(&places).acquire_owned().await.expect("it is free");
        let decisions = Decisions::default();
        let mut stream = Box::pin(events(&decisions, place));
        let began = Instant::now();
        while text(&mut stream).await.is_some() {
            assert_eq!(places.available_permits(), 0);
        }
        assert!(began.elapsed() >= LONGEST);
        drop(stream);
        assert_eq!(places.available_permits(), 1);
    }
}
