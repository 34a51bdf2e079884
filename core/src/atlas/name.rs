//! Names, labels and units of series, as the exporter of the field makes them.
//!
//! Source: commercetools/mongodbatlas_exporter, `collector/transformer`. Databases, which it does not read, are named alike.

use crate::model::{LabelSet, METRIC_NAME};

use super::{Level, Process, Subject};

const KIB: f64 = 1024.0;

/// Units of Atlas: what its values are multiplied by, and how the series' names end.
const UNITS: [(&str, f64, &str); 15] = [
    ("PERCENT", 1.0, "_percent"),
    ("NANOSECONDS", 1e-9, "_seconds"),
    ("MICROSECONDS", 1e-6, "_seconds"),
    ("MILLISECONDS", 1e-3, "_seconds"),
    ("SECONDS", 1.0, "_seconds"),
    ("BYTES", 1.0, "_bytes"),
    ("KILOBYTES", KIB, "_bytes"),
    ("MEGABYTES", KIB * KIB, "_bytes"),
    ("GIGABYTES", KIB * KIB * KIB, "_bytes"),
    ("BYTES_PER_SECOND", 1.0, "_bytes_ratio"),
    ("MEGABYTES_PER_SECOND", KIB * KIB, "_bytes_ratio"),
    ("GIGABYTES_PER_HOUR", KIB * KIB * KIB, "_bytes_ratio_rate1h"),
    ("SCALAR_PER_SECOND", 1.0, "_ratio"),
    ("SCALAR", 1.0, ""),
    ("", 1.0, ""),
];

fn prefix(level: Level) -> &'static str {
    match level {
        Level::Process => "mongodbatlas_processes_stats_",
        Level::Disk => "mongodbatlas_disks_stats_",
        Level::Database => "mongodbatlas_databases_stats_",
    }
}

fn classic(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect()
}

/// Returns the name of a measurement's series, and what its values are multiplied by. A unit that is not known ends the name.
pub fn metric(level: Level, measurement: &str, unit: &str) -> (String, f64) {
    let (factor, ending) = match UNITS.iter().find(|(name, _, _)| *name == unit) {
        Some((_, factor, ending)) => (*factor, (*ending).to_owned()),
        None => (1.0, format!("_{}", classic(unit))),
    };
    (format!("{}{}{ending}", prefix(level), classic(measurement)), factor)
}

fn of_process(process: &Process, common: &LabelSet) -> crate::model::LabelBuilder {
    let mut labels = common.builder();
    labels.set("rs_name", &process.replica_set).set("user_alias", &process.alias).set("id", &process.id);
    labels
}

/// Returns the labels of a series. `common` holds the job, the project and the labels of the configuration.
pub fn series(subject: &Subject, metric: &str, common: &LabelSet) -> LabelSet {
    let mut labels = of_process(&subject.process, common);
    match subject.level {
        Level::Process => {}
        Level::Disk => drop(labels.set("partition_name", &subject.part)),
        Level::Database => drop(labels.set("database_name", &subject.part)),
    }
    labels.set(METRIC_NAME, metric);
    labels.build()
}

/// Returns the series that says what a process is at present; its value is 1.
pub fn info(process: &Process, common: &LabelSet) -> LabelSet {
    let mut labels = of_process(process, common);
    labels.set("type", &process.kind).set("version", &process.version).set(METRIC_NAME, "mongodbatlas_processes_stats_info");
    labels.build()
}
