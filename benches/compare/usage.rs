//! What processes use, from `/proc` (proc(5)).

use std::{collections::BTreeMap, fs, io, path::Path, time::Duration};

/// `sysconf(_SC_CLK_TCK)` of every Linux: what `/proc/PID/stat` counts in.
const TICK: Duration = Duration::from_millis(10);
/// Fields of `/proc/PID/stat`, counted after the name in parentheses.
const PARENT: usize = 1;
const USER_TICKS: usize = 11;
const SYSTEM_TICKS: usize = 12;
const REAPED_USER_TICKS: usize = 13;
const REAPED_SYSTEM_TICKS: usize = 14;

/// Memory of a process family.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// Pages that no other process has.
    pub private_kib: u64,
    /// All pages that are in memory.
    pub resident_kib: u64,
}

/// `root` and all that descend from it.
pub fn family(root: u32) -> Vec<u32> {
    let all: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid: u32| {
            Some((pid, u32::try_from(stat(Path::new(&format!("/proc/{pid}")))?[PARENT]).ok()?))
        })
        .collect();
    let mut family = vec![root];
    let mut next = 0;
    while next < family.len() {
        let parent = family[next];
        family.extend(all.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    family
}

/// The processor time of a process family until now.
#[derive(Default)]
pub struct Used {
    /// Of each living thread, by its number.
    threads: BTreeMap<u32, Duration>,
    /// Of children that the root has waited for.
    reaped: Duration,
}

impl Used {
    /// That of `root` and its descendants.
    pub fn by(root: u32) -> Self {
        let tasks = family(root).into_iter().flat_map(|pid| fs::read_dir(format!("/proc/{pid}/task")));
        let threads = tasks
            .flatten()
            .flatten()
            .filter_map(|task| Some((task.file_name().to_str()?.parse().ok()?, time_of(&task.path()))));
        let reaped = stat(Path::new(&format!("/proc/{root}")));
        Used {
            threads: threads.collect(),
            reaped: reaped
                .map_or(Duration::ZERO, |stat| ticks(stat[REAPED_USER_TICKS] + stat[REAPED_SYSTEM_TICKS])),
        }
    }

    /// What was used since `earlier`.
    pub fn since(&self, earlier: &Used) -> Duration {
        let sum = |used: &Used| used.threads.values().sum::<Duration>() + used.reaped;
        sum(self).saturating_sub(sum(earlier))
    }

    /// What the thread used since `earlier` that used most.
    pub fn busiest_since(&self, earlier: &Used) -> Duration {
        let of = |(thread, time): (&u32, &Duration)| {
            time.saturating_sub(earlier.threads.get(thread).copied().unwrap_or_default())
        };
        self.threads.iter().map(of).max().unwrap_or_default()
    }
}

/// To the nanosecond where the kernel counts so (schedstat); in ticks elsewhere.
fn time_of(task: &Path) -> Duration {
    match nanoseconds(task) {
        Some(time) if time > 0 => Duration::from_nanos(time),
        _ => stat(task).map_or(Duration::ZERO, |stat| ticks(stat[USER_TICKS] + stat[SYSTEM_TICKS])),
    }
}

fn ticks(count: u64) -> Duration {
    TICK * u32::try_from(count).unwrap_or(u32::MAX)
}

fn nanoseconds(task: &Path) -> Option<u64> {
    fs::read_to_string(task.join("schedstat")).ok()?.split_whitespace().next()?.parse().ok()
}

/// The numbers of a process, or of a thread.
fn stat(place: &Path) -> Option<Vec<u64>> {
    let text = fs::read_to_string(place.join("stat")).ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    // Fields that are no natural numbers (the state) are of no interest here.
    let numbers: Vec<u64> = fields.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
    (numbers.len() > REAPED_SYSTEM_TICKS).then_some(numbers)
}

/// Forgets the most memory that the process had (proc(5), `clear_refs`).
pub fn forget_peak(pid: u32) -> io::Result<()> {
    fs::write(format!("/proc/{pid}/clear_refs"), "5")
}

/// The most memory that the process had resident since then.
pub fn peak_kib(pid: u32) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let peak =
        text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
    peak.ok_or_else(|| io::Error::other("no VmHWM"))
}

/// The memory of `root` and its descendants.
pub fn memory(root: u32) -> Memory {
    let mut sum = Memory::default();
    for pid in family(root) {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let name = words.next().unwrap_or_default();
            let kib: u64 = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
            match name {
                "Private_Clean:" | "Private_Dirty:" => sum.private_kib += kib,
                "Rss:" => sum.resident_kib += kib,
                _ => {}
            }
        }
    }
    sum
}
