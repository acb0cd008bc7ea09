//! The names of the LRSs.

use crate::adl_lrs::AdlLrs;
use crate::lars::Lars;
use crate::learning_locker::LearningLocker;
use crate::lrsql::Lrsql;
use crate::manners::Manners;
use crate::pelotech::Pelotech;
use crate::trax::Trax;

/// Which LRS is stood for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Name {
    /// Learning Locker's xapi-service 3.6 (Node): ignores every precondition on State.
    LearningLocker,
    /// pelotech xapi-lrs 0.9 (Node): tags what it was sent and serves something else.
    Pelotech,
    /// TRAX LRS 3 (PHP): looks at preconditions only when a profile is PUT.
    Trax,
    /// LaRS of xapi-rs 0.1 (Rust): overwrites in spite of `If-None-Match: *`.
    Lars,
    /// ADL_LRS of 2025 (Django): correct one at a time, and a raced creation breaks the document.
    AdlLrs,
    /// lrsql, the SQL LRS of Yet Analytics (Clojure): tags even what is not there.
    Lrsql,
}

impl Name {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::LearningLocker, Self::Pelotech, Self::Trax, Self::Lars, Self::AdlLrs, Self::Lrsql];

    pub(crate) fn manners(self) -> &'static dyn Manners {
        match self {
            Self::LearningLocker => &LearningLocker,
            Self::Pelotech => &Pelotech,
            Self::Trax => &Trax,
            Self::Lars => &Lars,
            Self::AdlLrs => &AdlLrs,
            Self::Lrsql => &Lrsql,
        }
    }
}
