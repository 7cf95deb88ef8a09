//! What the process costs: processor time and peak memory.
//!
//! Memory is asked of Linux (`/proc`); elsewhere there is no answer, and none
//! is made up.

use std::{fs, time::Duration};

use cpu_time::ProcessTime;

/// Kernel file that resets the high-water mark when `5` is written to it.
const CLEAR_REFS: &str = "/proc/self/clear_refs";

/// Kernel file that holds the high-water mark.
const STATUS: &str = "/proc/self/status";

/// What `work` gives, and the user and system time that all threads spent on it.
pub(super) fn with_cpu_time<T>(work: impl FnOnce() -> T) -> (T, Option<Duration>) {
    let start = ProcessTime::try_now().ok();
    let value = work();
    (value, start.and_then(|start| start.try_elapsed().ok()))
}

/// What `work` gives, and the most memory in bytes that the process held
/// meanwhile.
pub(super) fn with_peak_memory<T>(work: impl FnOnce() -> T) -> (T, Option<u64>) {
    let is_reset = fs::write(CLEAR_REFS, "5").is_ok();
    let value = work();
    let peak = || peak_in(&fs::read_to_string(STATUS).ok()?);
    (value, is_reset.then(peak).flatten())
}

/// The high-water mark of resident memory in the kernel's account of a process.
fn peak_in(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_high_water_mark_is_found_among_the_kernels_figures() {
        let status = "Name:\tforewave\nVmPeak:\t  9 kB\nVmHWM:\t    2048 kB\nVmRSS:\t  1 kB\n";
        assert_eq!(peak_in(status), Some(2 << 20));
        for other in ["", "VmHWM:\n", "VmHWM: many kB\n", "VmHWM: 3 MB\n"] {
            assert_eq!(peak_in(other), None, "{other}");
        }
    }
}
