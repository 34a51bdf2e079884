//! Amazon CloudWatch: one collection of one region's metrics. What to ask for, and what the answers mean, core decides.

mod api;

use std::collections::BTreeMap;
use std::sync::Arc;

use tocsin_core::aws::endpoint;
use tocsin_core::cloudwatch::answer::{self, Points};
use tocsin_core::cloudwatch::plan::{self, Batch, Queries, Query};
use tocsin_core::cloudwatch::{Metric, Source};
use tocsin_core::collect::{Gathered, must_list, named};
use tocsin_core::model::LabelSet;
use tocsin_core::time::Timestamp;

use crate::client::answer::with_causes;
use crate::clock;
use api::{Api, ApiError};

/// Pages of one list, of 500 metrics each.
const LIST_PAGES_MAX: usize = 200;
/// Pages of the answer to one batch.
const DATA_PAGES_MAX: usize = 50;

/// Collects the metrics of one region.
pub struct Collector {
    source: Arc<Source>,
    region: String,
    /// What the series of the report have.
    own: LabelSet,
    api: Api,
    /// What each discovery of the source has found.
    found: Vec<Vec<Metric>>,
    listed_at: Option<Timestamp>,
    succeeded_at: Option<Timestamp>,
    asked: u64,
    left_out: usize,
}

impl Collector {
    /// `own` are the labels under which the source itself is known: job, instance, and those of the configuration.
    pub fn new(source: Arc<Source>, region: &str, own: LabelSet) -> Collector {
        let found = vec![Vec::new(); source.discovery.len()];
        let api = Api::new(source.clone(), region);
        let region = region.to_owned();
        Collector { source, region, own, api, found, listed_at: None, succeeded_at: None, asked: 0, left_out: 0 }
    }

    /// Returns where a region is asked.
    pub fn url(source: &Source, region: &str) -> String {
        endpoint(source.endpoint.as_deref(), "monitoring", region)
    }

    /// Asks for everything once, within the source's timeout.
    pub async fn collect(&mut self) -> Gathered {
        let now = clock::now();
        let mut gathered = Gathered::default();
        let timeout = self.source.timeout;
        match tokio::time::timeout(timeout.to_std(), self.gather(now, &mut gathered)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => gathered.fail(with_causes(&error)),
            Err(_) => gathered.run_out(timeout, self.api.speaker.trouble.take()),
        }
        if gathered.error.is_none() {
            self.succeeded_at = Some(now);
        }
        gathered.facts = self.facts();
        gathered
    }

    fn facts(&self) -> Vec<(LabelSet, f64)> {
        let mut facts = vec![
            (named(&self.own, "cloudwatch_metrics_requested_total"), self.asked as f64),
            (named(&self.own, "cloudwatch_metrics_left_out"), self.left_out as f64),
        ];
        for (action, count) in &self.api.speaker.requests {
            let mut labels = named(&self.own, "cloudwatch_requests_total").builder();
            labels.set("action", action);
            facts.push((labels.build(), *count as f64));
        }
        facts
    }

    async fn gather(&mut self, now: Timestamp, gathered: &mut Gathered) -> Result<(), ApiError> {
        let account = self.api.account().await?;
        if must_list(self.listed_at, self.source.discovery_interval, now) {
            match self.list().await {
                Ok(found) => (self.found, self.listed_at) = (found, Some(now)),
                // What was found before is still worth asking for.
                Err(error) if self.listed_at.is_some() && !error.is_about_credentials() => gathered.fail(with_causes(&error)),
                Err(error) => return Err(error),
            }
        }
        let mut common = self.own.builder();
        common.remove("instance").set("region", &self.region).set("account_id", &account);
        let Queries { list, left_out } = plan::queries(&self.source, &common.build(), &self.found);
        if left_out > 0 && left_out != self.left_out {
            let (job, region, most) = (&self.source.job, &self.region, self.source.queries_max);
            tracing::warn!(job, region, left_out, "more metrics than queries_max ({most}) allows; the rest is not asked for");
        }
        self.left_out = left_out;
        let from = self.source.reach.start(now, self.succeeded_at);
        for batch in plan::batches(&list, from, now) {
            self.asked += batch.members.len() as u64;
            let mut points = Points::new(list.len());
            let read = self.read(&batch, &list, &mut points).await;
            if let Some(trouble) = points.trouble.take() {
                gathered.fail(trouble);
            }
            gathered.series.extend(points.into_series(&list));
            match read {
                Ok(()) => {}
                // A batch that is refused for what it asks says nothing about the others.
                Err(error @ (ApiError::Answer(_) | ApiError::Pages { .. })) => gathered.fail(with_causes(&error)),
                Err(error) if error.is_about_this_request() => gathered.fail(with_causes(&error)),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn list(&mut self) -> Result<Vec<Vec<Metric>>, ApiError> {
        let source = self.source.clone();
        let mut found = Vec::with_capacity(source.discovery.len());
        // Several discoveries may begin with the same list.
        let mut lists: BTreeMap<String, Vec<Metric>> = BTreeMap::new();
        for discovery in &source.discovery {
            let request = plan::list_request(discovery, source.recently_active, None).to_string();
            if let Some(known) = lists.get(&request) {
                found.push(known.iter().filter(|metric| discovery.wants(metric)).cloned().collect());
                continue;
            }
            let (mut all, mut token, mut pages) = (Vec::new(), None::<String>, 0);
            loop {
                let request = plan::list_request(discovery, source.recently_active, token.as_deref());
                let (metrics, next) = answer::listed(&self.api.call("ListMetrics", &request).await?)?;
                all.extend(metrics);
                pages += 1;
                match next {
                    None => break,
                    Some(_) if pages == LIST_PAGES_MAX => {
                        return Err(ApiError::Pages { action: "ListMetrics", most: LIST_PAGES_MAX });
                    }
                    next => token = next,
                }
            }
            found.push(all.iter().filter(|metric| discovery.wants(metric)).cloned().collect());
            lists.insert(request, all);
        }
        Ok(found)
    }

    async fn read(&mut self, batch: &Batch, list: &[Query], points: &mut Points) -> Result<(), ApiError> {
        let mut token: Option<String> = None;
        for _ in 0..DATA_PAGES_MAX {
            let request = plan::data_request(batch, list, token.as_deref());
            let page = self.api.call("GetMetricData", &request).await?;
            match points.accept(batch, &page)? {
                None => return Ok(()),
                next => token = next,
            }
        }
        Err(ApiError::Pages { action: "GetMetricData", most: DATA_PAGES_MAX })
    }
}
