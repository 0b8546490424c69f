//! The process itself, as `/proc` tells of it at each scrape. The names are those that every exporter uses.

use std::fs;

use super::text::Text;

/// Ticks of a second in `/proc`, which are the same on every machine that the gateway is built for.
const TICKS: f64 = 100.0;

/// Tells what can be read; what cannot is left out.
pub(super) fn tell(text: &mut Text) {
    let stat = fs::read_to_string("/proc/self/stat").ok();
    let status = fs::read_to_string("/proc/self/status").ok();
    let mut cpu =
        text.counter("process_cpu_seconds_total", "Processor time used, by the process and by the kernel for it.");
    if let Some([user, system]) = stat.as_deref().and_then(|stat| fields(stat, [14, 15])) {
        cpu.fraction(&[], (user + system) / TICKS);
    }
    let mut memory = text.gauge("process_resident_memory_bytes", "Memory in use.");
    if let Some(kibibytes) = status.as_deref().and_then(|status| line(status, "VmRSS:")) {
        memory.value(&[], kibibytes * 1024);
    }
    let mut threads = text.gauge("process_threads", "Threads.");
    if let Some(count) = status.as_deref().and_then(|status| line(status, "Threads:")) {
        threads.value(&[], count);
    }
    let mut open = text.gauge("process_open_fds", "File descriptors in use.");
    if let Ok(entries) = fs::read_dir("/proc/self/fd") {
        // One is that of the directory that is being read.
        open.value(&[], (entries.count() as u64).saturating_sub(1));
    }
    let mut most = text.gauge("process_max_fds", "File descriptors that may be in use.");
    let limits = fs::read_to_string("/proc/self/limits").ok();
    if let Some(limit) = limits.as_deref().and_then(|limits| line(limits, "Max open files")) {
        most.value(&[], limit);
    }
    let mut began = text.gauge("process_start_time_seconds", "When the process was started, in seconds since 1970.");
    let machine = fs::read_to_string("/proc/stat").ok();
    if let (Some([since_boot]), Some(boot)) = (
        stat.as_deref().and_then(|stat| fields(stat, [22])),
        machine.as_deref().and_then(|machine| line(machine, "btime")),
    ) {
        // Exact until the year 2106.
        began.fraction(&[], f64::from(u32::try_from(boot).unwrap_or(u32::MAX)) + since_boot / TICKS);
    }
}

/// Fields of `/proc/self/stat`, counted from 1. The second is the name in parentheses, which may hold anything.
fn fields<const N: usize>(stat: &str, wanted: [usize; N]) -> Option<[f64; N]> {
    let (_, rest) = stat.rsplit_once(')')?;
    let all: Vec<&str> = rest.split_whitespace().collect();
    let mut found = [0.0; N];
    for (number, place) in found.iter_mut().zip(wanted) {
        *number = all.get(place.checked_sub(3)?)?.parse().ok()?;
    }
    Some(found)
}

/// The first number of the line that begins with a name.
fn line(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{fields, line, tell};
    use crate::metrics::text::{Form, Text};

    #[test]
    fn a_name_with_parentheses_moves_no_field() {
        assert_eq!(fields("7 (a) 1 (b) S 4 5 6", [3, 4]), None);
        assert_eq!(fields("7 (a) 1 (b) 3 4 5 6", [4, 6]), Some([4.0, 6.0]));
        assert_eq!(fields("7 (a) 3 4", [5]), None);
        assert_eq!(fields("", [4]), None);
    }

    #[test]
    fn lines_are_found_by_their_names() {
        let text = "VmPeak:\t 10 kB\nVmRSS:\t  4096 kB\nMax open files    1024   524288  files\nbtime 7\n";
        assert_eq!(
            [line(text, "VmRSS:"), line(text, "Max open files"), line(text, "btime")],
            [Some(4096), Some(1024), Some(7)]
        );
        assert_eq!([line(text, "VmHWM:"), line("VmRSS: unlimited", "VmRSS:")], [None, None]);
    }

    #[test]
    fn this_process_is_told_whole() {
        let mut text = Text::new(Form::Plain);
        tell(&mut text);
        let text = text.end();
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse::<f64>().unwrap()
        };
        assert!(value("process_resident_memory_bytes") > 1e6);
        assert!((3.0..value("process_max_fds")).contains(&value("process_open_fds")));
        assert!(value("process_threads") >= 1.0 && value("process_cpu_seconds_total") >= 0.0);
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
        // The kernel rounds the time of the boot to a second.
        assert!((now - 86_400.0..now + 2.0).contains(&value("process_start_time_seconds")), "{text}");
    }
}
