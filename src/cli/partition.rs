use super::{Verdict, args::PartitionArgs};
use std::io;
pub(super) fn partition(_: &PartitionArgs) -> io::Result<Verdict> {
    Ok(Verdict::Failed)
}
