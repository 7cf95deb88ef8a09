use super::{Verdict, args::StatsArgs};
use std::io;
pub(super) fn stats(_: &StatsArgs) -> io::Result<Verdict> {
    Ok(Verdict::Failed)
}
