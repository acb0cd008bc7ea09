//! Everything that may happen, and plans made of it: what each client does follows from the seed.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use crate::dice::Dice;

/// One thing that a client does, or that is done to the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    Read {
        document: usize,
        fault: ReadFault,
        wrapped: bool,
    },
    Put {
        document: usize,
        condition: Condition,
        conduct: Conduct,
    },
    Merge {
        document: usize,
        condition: Condition,
        conduct: Conduct,
    },
    Delete {
        document: usize,
        condition: Condition,
        conduct: Conduct,
    },
    /// All State of the first scope.
    DeleteAll {
        conduct: Conduct,
    },
    /// Read, change what was read, write it under the condition that it still is what was read.
    Update {
        document: usize,
        read: ReadFault,
        conduct: Conduct,
    },
    /// The same, and what is changed is a counter.
    Increment {
        read: ReadFault,
        conduct: Conduct,
    },
    /// The last conditional PUT once more, as some clients send each of theirs twice.
    Again {
        conduct: Conduct,
    },
    /// A writer that goes around the proxy writes, while nobody writes through it.
    Foreign {
        document: usize,
    },
    TimePasses {
        ms: u64,
    },
    /// Another configuration, read while the proxy runs.
    Reload,
    /// SIGSTOP, and SIGCONT some time later.
    Stop {
        ms: u64,
    },
    /// SIGKILL, and a new start: after the settle time, or at once where the next process knows by itself.
    Kill,
}

/// Which precondition a write states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    Unstated,
    /// What the client has last seen of the document: its entity-tag, or that it is not there.
    AsSeen,
    /// `If-Match: *`
    Exists,
    /// `If-None-Match: *`
    Missing,
}

/// How a write fares apart from its verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Conduct {
    pub(crate) fault: Fault,
    pub(crate) hang_up: Option<HangUp>,
    /// In xAPI's alternate request syntax.
    pub(crate) wrapped: bool,
}

/// A client that leaves this long after it has sent its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HangUp {
    pub(crate) after_ms: u64,
    /// With a reset in place of a close.
    pub(crate) reset: bool,
}

/// What the upstream does with a write. It travels in a field of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Works for this long, applies it and answers; whoever waits may have given up.
    Late { ms: u64 },
    /// Never answers; applies it after a while, or never.
    Silent { applies: Option<u64> },
    /// Applies it and sends so many bytes of its answer.
    Half { bytes: usize, reset: bool },
    /// Applies it and answers it twice, in one piece.
    Twice,
    /// Applies it and resets.
    ResetAfter,
    /// Resets; applies it after a while, or never.
    ResetBefore { applies: Option<u64> },
    /// Answers 202, and applies it after a while, or never.
    Accepted { applies: Option<u64> },
    /// Answers 504 like a hop in between, and applies it after a while, or never.
    TimedOut { applies: Option<u64> },
    /// Applies it, and a foreign writer writes the same document before anybody else gets in.
    Overtaken,
    /// A foreign writer writes the document just before the proxy asks what it holds.
    Preceded,
}

/// What the upstream does with a read that a client has sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadFault {
    Late {
        ms: u64,
    },
    /// Looks at once and answers this much later, so that its answer may be overtaken by a write.
    Old {
        ms: u64,
    },
    Silent,
    Half {
        bytes: usize,
    },
    Reset,
}

/// What one seed is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// An upstream that does everything wrong; writers wait for scopes to settle.
    Faults,
    /// The same; writers rather leave with a 503.
    Impatient,
    /// Clients that leave before their answer, and an upstream that answers everything.
    HangUps,
    /// The proxy's process is stopped, and killed.
    Signals,
    /// The same upstream as in `Faults`, to which nobody writes except through the proxy: what it holds is recalled.
    Exclusive,
}

/// How many documents there are: two of State in one scope, a profile, and a counter in a scope of its own.
pub(crate) const DOCUMENTS: usize = 4;
pub(crate) const PROFILE: usize = 2;
pub(crate) const COUNTER: usize = 3;

impl Profile {
    pub(crate) fn of(seed: u64) -> Self {
        [Self::Faults, Self::HangUps, Self::Impatient, Self::Exclusive, Self::Signals]
            [usize::try_from(seed % 5).expect("it is small")]
    }

    pub(crate) fn response_timeout_ms(self) -> u64 {
        if self == Self::HangUps { 20_000 } else { 200 }
    }

    pub(crate) fn settle_ms(self) -> u64 {
        if self == Self::HangUps { 20_000 } else { 500 }
    }

    fn hold_wait_ms(self) -> u64 {
        match self {
            Self::Faults | Self::Signals | Self::Exclusive => 2_000,
            Self::Impatient => 150,
            Self::HangUps => 1_000,
        }
    }

    /// The proxy's configuration after so many reloads. None of them changes what a client is to be told.
    pub(crate) fn configuration(self, state_dir: Option<&Path>, reloads: u64) -> String {
        // Other scopes are held, or what is known may say something else, or neither.
        let change = match reloads % 4 {
            0 => "",
            1 => "[resource.other]\npath = \"/other/{id}\"\nidentity = [\"path\"]\n",
            2 => "[resource.state]\nabsent = [404]\n",
            _ => "[resource.state]\nabsent = [404]\nunconditional.PUT = \"forward\"\n",
        };
        let state_dir = state_dir.map(|path| format!("state-dir = {path:?}\n")).unwrap_or_default();
        format!(
            "[upstream]\nexclusive = {}\nresponse-timeout = \"{}ms\"\nsettle-time = \"{}ms\"\nread-back-timeout = \"200ms\"\n\
             [guard]\n{state_dir}hold-wait = \"{}ms\"\n[log]\naccess = false\n{change}",
            self == Self::Exclusive,
            self.response_timeout_ms(),
            self.settle_ms(),
            self.hold_wait_ms()
        )
    }

    /// What a client does in a history, from first to last.
    pub(crate) fn plan(self, seed: u64, client: u64, events: usize) -> Vec<Event> {
        let mut dice = Dice::new(seed, client + 1);
        (0..events).map(|_| self.event(&mut dice, client)).collect()
    }

    fn event(self, dice: &mut Dice, client: u64) -> Event {
        if self == Self::Signals && client == 0 && dice.percent(25) {
            return if dice.percent(30) { Event::Kill } else { Event::Stop { ms: 20 + dice.below(400) } };
        }
        // The counter takes nothing but increments.
        let document = usize::try_from(dice.below(COUNTER as u64)).expect("it is small");
        let condition = dice.of(&[
            Condition::Unstated,
            Condition::AsSeen,
            Condition::AsSeen,
            Condition::Exists,
            Condition::Missing,
        ]);
        match dice.below(100) {
            0..16 => Event::Read { document, fault: self.read_fault(dice), wrapped: is_wrapped(dice) },
            16..28 => Event::Put { document, condition, conduct: self.conduct(dice) },
            28..38 => Event::Merge { document, condition, conduct: self.conduct(dice) },
            38..43 => Event::Delete { document, condition, conduct: self.conduct(dice) },
            43..46 => Event::DeleteAll { conduct: self.conduct(dice) },
            46..68 => Event::Update { document, read: self.overtaken(dice), conduct: self.conduct(dice) },
            68..84 => Event::Increment { read: self.overtaken(dice), conduct: self.conduct(dice) },
            84..90 => Event::Again { conduct: self.conduct(dice) },
            90..94 if self != Self::Exclusive => Event::Foreign { document },
            94..97 => Event::Reload,
            _ => Event::TimePasses { ms: dice.below(self.settle_ms().min(300)) },
        }
    }

    fn conduct(self, dice: &mut Dice) -> Conduct {
        let (faults, hang_ups) = match self {
            Self::Faults | Self::Impatient => (30, 8),
            Self::HangUps => (0, 40),
            Self::Exclusive => (15, 8),
            Self::Signals => (10, 5),
        };
        let fault = if dice.percent(faults) { self.fault(dice) } else { prompt(dice) };
        let hang_up =
            dice.percent(hang_ups).then(|| HangUp { after_ms: dice.below(60), reset: dice.percent(50) });
        Conduct { fault, hang_up, wrapped: is_wrapped(dice) }
    }

    fn fault(self, dice: &mut Dice) -> Fault {
        let later = 1 + dice.below(self.settle_ms() * 6 / 10);
        let applies = dice.percent(75).then_some(later);
        match dice.below(11) {
            0 => Fault::Late { ms: dice.below(self.response_timeout_ms() * 5 / 4) },
            1 => Fault::Silent { applies },
            2 => Fault::Half {
                bytes: 1 + usize::try_from(dice.below(60)).expect("small"),
                reset: dice.percent(50),
            },
            3 => Fault::Twice,
            4 => Fault::ResetAfter,
            5 | 6 => Fault::ResetBefore { applies },
            7 => Fault::Accepted { applies },
            8 => Fault::TimedOut { applies },
            9 if self != Self::Exclusive => Fault::Overtaken,
            10 if self != Self::Exclusive => Fault::Preceded,
            _ => Fault::ResetAfter,
        }
    }

    /// A read whose answer may be old by the time it comes. Where it is remembered, that matters most.
    fn overtaken(self, dice: &mut Dice) -> ReadFault {
        let is_old = dice.percent(if self == Self::Exclusive { 40 } else { 10 });
        if is_old { ReadFault::Old { ms: dice.below(80) } } else { ReadFault::Late { ms: 0 } }
    }

    fn read_fault(self, dice: &mut Dice) -> ReadFault {
        if self == Self::HangUps || dice.percent(75) {
            return ReadFault::Late { ms: dice.below(10) };
        }
        match dice.below(5) {
            4 => ReadFault::Old { ms: dice.below(self.response_timeout_ms()) },
            0 => ReadFault::Late { ms: dice.below(self.response_timeout_ms()) },
            1 => ReadFault::Silent,
            2 => ReadFault::Half { bytes: 1 + usize::try_from(dice.below(80)).expect("small") },
            _ => ReadFault::Reset,
        }
    }
}

fn is_wrapped(dice: &mut Dice) -> bool {
    dice.percent(15)
}

fn prompt(dice: &mut Dice) -> Fault {
    Fault::Late { ms: dice.below(12) }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let applies = |applies: &Option<u64>| applies.map_or("-".to_owned(), |ms| ms.to_string());
        match self {
            Self::Late { ms } => write!(f, "late {ms}"),
            Self::Silent { applies: after } => write!(f, "silent {}", applies(after)),
            Self::Half { bytes, reset } => write!(f, "half {bytes} {reset}"),
            Self::Twice => f.write_str("twice"),
            Self::ResetAfter => f.write_str("reset-after"),
            Self::ResetBefore { applies: after } => write!(f, "reset-before {}", applies(after)),
            Self::Accepted { applies: after } => write!(f, "accepted {}", applies(after)),
            Self::TimedOut { applies: after } => write!(f, "timed-out {}", applies(after)),
            Self::Overtaken => f.write_str("overtaken"),
            Self::Preceded => f.write_str("preceded"),
        }
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split(' ').collect();
        let number = |at: usize| words.get(at).and_then(|word| word.parse().ok());
        let applies = number(1);
        Ok(match words[0] {
            "late" => Self::Late { ms: applies.ok_or("no time")? },
            "silent" => Self::Silent { applies },
            "half" => Self::Half {
                bytes: words.get(1).and_then(|word| word.parse().ok()).ok_or("no length")?,
                reset: words.get(2) == Some(&"true"),
            },
            "twice" => Self::Twice,
            "reset-after" => Self::ResetAfter,
            "reset-before" => Self::ResetBefore { applies },
            "accepted" => Self::Accepted { applies },
            "timed-out" => Self::TimedOut { applies },
            "overtaken" => Self::Overtaken,
            "preceded" => Self::Preceded,
            other => return Err(format!("no fault: {other}")),
        })
    }
}

impl fmt::Display for ReadFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late { ms } => write!(f, "late {ms}"),
            Self::Old { ms } => write!(f, "old {ms}"),
            Self::Silent => f.write_str("silent"),
            Self::Half { bytes } => write!(f, "half {bytes}"),
            Self::Reset => f.write_str("reset"),
        }
    }
}

impl FromStr for ReadFault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (word, number) = text.split_once(' ').unwrap_or((text, ""));
        Ok(match word {
            "late" => Self::Late { ms: number.parse().map_err(|_| "no time")? },
            "old" => Self::Old { ms: number.parse().map_err(|_| "no time")? },
            "silent" => Self::Silent,
            "half" => Self::Half { bytes: number.parse().map_err(|_| "no length")? },
            "reset" => Self::Reset,
            other => return Err(format!("no fault: {other}")),
        })
    }
}
