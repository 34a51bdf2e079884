//! Any bytes as a body of Protocol Buffers: the reader answers within the body, and what it accepts can be taken apart.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tocsin_core::model::exposition::MetricType;
use tocsin_core::model::exposition::protobuf::{BadMessage, Families, Metric, Part};
use tocsin_core::scrape::job::Histograms;

fn read(body: &[u8]) -> Result<(), BadMessage> {
    let mut metric = Metric::default();
    let limits = Histograms { buckets_max: 20, ..Histograms::default() };
    for family in Families::new(body) {
        let family = family?;
        let mut metrics = family.metrics();
        while metrics.read(&mut metric)? {
            let mut labels = Vec::new();
            metric.series(family.name, Part::Bucket(metric.value), &mut labels)?;
            metric.exemplar.iter().for_each(|exemplar| drop(exemplar.labels(&mut labels)));
            metric.distribution.exemplars().for_each(|exemplar| drop(exemplar.labels(&mut labels)));
            let native = metric.distribution.native(family.kind == MetricType::GaugeHistogram).ok();
            for histogram in native.into_iter().chain(metric.distribution.converted()) {
                assert_eq!(histogram.check(), Ok(()), "{histogram:?}");
                if let Some(fitting) = limits.fit(histogram) {
                    assert!(fitting.positive_buckets.len() + fitting.negative_buckets.len() <= 20);
                    drop(fitting.to_string());
                }
            }
        }
    }
    Ok(())
}

fuzz_target!(|body: &[u8]| {
    if let Err(error) = read(body) {
        assert!(error.at <= body.len());
    }
});
