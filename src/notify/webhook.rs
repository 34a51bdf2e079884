//! Generic webhooks: Alertmanager's payload, version 4.

use tocsin_core::plane::Delivery;
use tocsin_core::route::receiver::Webhook;

use super::{Outcome, Sender};
use crate::client;
use crate::client::answer::with_causes;

pub async fn send(sender: &Sender, delivery: &Delivery, settings: &Webhook) -> Outcome {
    let url = match client::reveal(&settings.url).await {
        Ok(url) => url,
        Err(error) => return Outcome::Retry { reason: with_causes(&error), after: None },
    };
    let mut data = delivery.data.clone();
    let most = settings.max_alerts as usize;
    if most > 0 && data.alerts.len() > most {
        data.truncated_alerts = (data.alerts.len() - most) as u64;
        data.alerts.truncate(most);
    }
    match serde_json::to_string(&data) {
        Ok(body) => sender.post(&url, &settings.client, body, settings.timeout, Some(&delivery.key)).await,
        Err(error) => Outcome::Rejected(with_causes(&error)),
    }
}
