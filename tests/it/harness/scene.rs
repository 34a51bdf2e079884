//! The usual scene: one target under our control, a service that watches it, and the providers that it pages.

use super::exporter::Exporter;
use super::service::{Service, Setup};
use super::stand_in::StandIn;

pub const ROUTING_KEY: &str = "0123456789abcdef0123456789abcdef";

pub struct Scene {
    pub exporter: Exporter,
    pub pagerduty: StandIn,
    pub webhooks: StandIn,
    pub service: Service,
}

/// What a scene is made of beside the usual.
#[derive(Clone, Debug)]
pub struct Script {
    /// How long the condition must hold.
    pub hold: &'static str,
    pub repeat_interval: &'static str,
    /// Further YAML below `receivers[0]`.
    pub receiver: String,
    /// Further YAML of the top level.
    pub more: String,
    /// One incident for all shops in place of one for each.
    pub groups: bool,
}

impl Default for Script {
    fn default() -> Script {
        Script { hold: "0s", repeat_interval: "1h", receiver: String::new(), more: String::new(), groups: false }
    }
}

/// Rules over the exporter: `ShopDown` for each series `shop_up` at zero.
pub fn rules(hold: &str) -> String {
    format!(
        r#"
groups:
  - name: shop
    rules:
      - record: shop:up:count
        expr: count(shop_up)
      - alert: ShopDown
        expr: shop_up == 0
        for: {hold}
        labels: {{severity: critical, team: checkout}}
        annotations:
          summary: 'shop {{{{ $labels.shop }}}} on {{{{ $labels.job }}}} is down'
          value: '{{{{ $value }}}}'
"#
    )
}

impl Script {
    pub fn config(&self, exporter: &Exporter, pagerduty: &StandIn, webhooks: &StandIn) -> String {
        let (target, pagerduty, webhooks) = (&exporter.address, &pagerduty.url, &webhooks.url);
        let Script { repeat_interval, receiver, more, .. } = self;
        let group_by = if self.groups { "[alertname]" } else { "[alertname, shop]" };
        format!(
            r#"
global:
  scrape_interval: 1s
  scrape_timeout: 1s
  evaluation_interval: 1s
  external_labels: {{region: west}}
scrape_configs:
  - job_name: shop
    static_configs: [{{targets: ['{target}']}}]
rule_files: [rules.yml]
route:
  receiver: team
  group_by: {group_by}
  group_wait: 0s
  group_interval: 1s
  repeat_interval: {repeat_interval}
receivers:
  - name: team
    users: [ada]
    pagerduty_configs:
      - routing_key: {ROUTING_KEY}
        url: {pagerduty}/v2/enqueue
        severity: '{{{{ .CommonLabels.severity }}}}'
    webhook_configs:
      - url: {webhooks}/hook
    inbox_configs: [{{}}]
{receiver}
{more}
"#
        )
    }
}

impl Scene {
    pub async fn start(script: Script) -> Scene {
        let mut scene = Scene::prepare(script).await;
        scene.service.launch(&[]);
        scene.service.wait_until_ready().await;
        scene
    }

    /// Sets the scene without starting the service.
    pub async fn prepare(script: Script) -> Scene {
        let (exporter, pagerduty, webhooks) = (Exporter::start().await, StandIn::pagerduty().await, StandIn::webhooks().await);
        exporter.set(r#"shop_up{shop="main"}"#, 1.0);
        let config = script.config(&exporter, &pagerduty, &webhooks);
        let service = Service::prepare(Setup::new(config).with_file("rules.yml", rules(script.hold)));
        Scene { exporter, pagerduty, webhooks, service }
    }

    /// Takes the main shop down.
    pub fn break_shop(&self) {
        self.exporter.set(r#"shop_up{shop="main"}"#, 0.0);
    }

    /// Brings the main shop back.
    pub fn mend_shop(&self) {
        self.exporter.set(r#"shop_up{shop="main"}"#, 1.0);
    }
}
