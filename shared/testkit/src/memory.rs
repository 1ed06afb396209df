//! How much memory a process took, and how much the chart lets it take.

/// The memory limit of a service in the chart's values, in bytes.
///
/// # Panics
/// When the chart does not say.
pub fn memory_limit(service: &str) -> u64 {
    let path = super::crate_folder().join("../../helm/tidemill/values.yaml");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let values: yaml_serde::Value = yaml_serde::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let limit = values["services"][service]["resources"]["limits"]["memory"].as_str();
    limit.and_then(bytes).unwrap_or_else(|| panic!("{}: no memory limit of {service}", path.display()))
}

fn bytes(quantity: &str) -> Option<u64> {
    let unit = quantity.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = quantity.split_at(unit);
    let shift = match unit {
        "Ki" => 10,
        "Mi" => 20,
        "Gi" => 30,
        _ => return None,
    };
    number.parse::<u64>().ok().map(|number| number << shift)
}

/// The most memory that a process has had so far, in bytes; `None` where the
/// system does not tell (it is no Linux) or the process is gone.
pub fn peak_memory(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_as_kubernetes_writes_them() {
        assert_eq!(
            (bytes("768Mi"), bytes("2Gi"), bytes("1e3"), bytes("7")),
            (Some(768 << 20), Some(2 << 30), None, None)
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_takes_some() {
        assert!(peak_memory(std::process::id()).is_some_and(|bytes| bytes > 1 << 20));
        assert_eq!(peak_memory(u32::MAX), None);
    }
}
