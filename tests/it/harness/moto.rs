//! Amazon's services as the moto server plays them: CloudWatch, STS, IAM and the metadata service of a machine.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::{Child, Command};

use super::{free_port, http, set_up, soon};

/// The account of keys that nobody assumed.
pub const ACCOUNT: &str = "123456789012";

pub struct Moto {
    _process: Child,
    pub url: String,
    client: reqwest::Client,
}

/// Keys to speak to moto with.
#[derive(Clone, Debug)]
pub struct Keys {
    pub access_key: String,
    pub secret_key: String,
}

impl Keys {
    /// Keys that moto takes for those of its own account, unless it checks signatures.
    pub fn any() -> Keys {
        Keys { access_key: "AKIAIOSFODNN7EXAMPLE".to_owned(), secret_key: "hunter2-hunter2".to_owned() }
    }
}

impl Moto {
    pub async fn start() -> Moto {
        Moto::start_with(None).await
    }

    /// Starts moto so that from the given number of actions on it checks who asks, signatures and all.
    pub async fn that_checks_signatures_after(actions: u32) -> Moto {
        Moto::start_with(Some(actions)).await
    }

    async fn start_with(free_actions: Option<u32>) -> Moto {
        let port = free_port().to_string();
        let mut command = Command::new(set_up(".venv/bin/python"));
        command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port]).kill_on_drop(true);
        if let Some(actions) = free_actions {
            command.env("INITIAL_NO_AUTH_ACTION_COUNT", actions.to_string());
        }
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("python starts");
        let (url, client) = (format!("http://127.0.0.1:{port}"), http());
        let ready = format!("{url}/moto-api/");
        soon("moto", async || client.get(&ready).send().await.ok().filter(|answer| answer.status().is_success())).await;
        Moto { _process: process, url, client }
    }

    /// Says whose request it is and where it goes, as moto reads it from a signature; the signature itself is none.
    fn authorization(service: &str, region: &str, access_key: &str) -> String {
        format!(
            "AWS4-HMAC-SHA256 Credential={access_key}/20261121/{region}/{service}/aws4_request, SignedHeaders=host, Signature=0"
        )
    }

    /// Puts values of one metric, each with its dimensions, at an instant in seconds.
    pub async fn put(&self, region: &str, access_key: &str, namespace: &str, name: &str, at: i64, values: &[(&str, &str, f64)]) {
        for some in values.chunks(500) {
            let data: Vec<Value> = some
                .iter()
                .map(|(dimension, value, number)| {
                    json!({ "MetricName": name, "Timestamp": at, "Value": number,
                            "Dimensions": [{ "Name": dimension, "Value": value }] })
                })
                .collect();
            let answer = self
                .client
                .post(format!("{}/", self.url))
                .header("x-amz-target", "GraniteServiceVersion20100801.PutMetricData")
                .header("content-type", "application/x-amz-json-1.0")
                .header("authorization", Moto::authorization("monitoring", region, access_key))
                .body(json!({ "Namespace": namespace, "MetricData": data }).to_string())
                .send()
                .await
                .expect("moto answers");
            assert!(answer.status().is_success(), "{}", answer.text().await.unwrap_or_default());
        }
    }

    /// Makes a call of STS or IAM; returns the XML.
    pub async fn form(&self, service: &str, form: &[(&str, &str)]) -> String {
        let request = self.client.post(format!("{}/", self.url)).form(form);
        let authorization = Moto::authorization(service, "us-east-1", "AKIAIOSFODNN7EXAMPLE");
        let answer = request.header("authorization", authorization).send().await.expect("moto answers");
        let status = answer.status();
        let text = answer.text().await.expect("a text");
        assert!(status.is_success(), "{text}");
        text
    }

    /// Makes a user who may do everything; takes three actions.
    pub async fn user(&self) -> Keys {
        let own = [("Version", "2010-05-08"), ("UserName", "reader")];
        let policy = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": "*", "Resource": "*" }] });
        let call = async |action: &str, more: &[(&str, &str)]| {
            let form: Vec<(&str, &str)> = [("Action", action)].into_iter().chain(own).chain(more.iter().copied()).collect();
            self.form("iam", &form).await
        };
        call("CreateUser", &[]).await;
        call("PutUserPolicy", &[("PolicyName", "read"), ("PolicyDocument", &policy.to_string())]).await;
        let made = call("CreateAccessKey", &[]).await;
        let part = |name: &str| tocsin_core::aws::keys::element(&made, name).expect("an access key");
        Keys { access_key: part("AccessKeyId"), secret_key: part("SecretAccessKey") }
    }
}
