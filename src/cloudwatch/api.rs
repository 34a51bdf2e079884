//! Requests to CloudWatch.

use std::sync::Arc;

use serde_json::Value;
use tocsin_core::aws::{account_of, endpoint};
use tocsin_core::cloudwatch::Source;
use tocsin_core::cloudwatch::answer::AnswerError;

use crate::aws::{AwsError, Speaker, Unsigned};

#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error(transparent)]
    Aws(#[from] AwsError),
    #[error("the answer to {action} has more than {most} pages")]
    Pages { action: &'static str, most: usize },
    #[error(transparent)]
    Answer(#[from] AnswerError),
}

impl ApiError {
    pub fn is_about_credentials(&self) -> bool {
        matches!(self, ApiError::Aws(error) if error.is_about_credentials())
    }

    /// Returns whether other requests may fare better.
    pub fn is_about_this_request(&self) -> bool {
        matches!(self, ApiError::Aws(error) if error.is_about_this_request())
    }
}

/// Speaks to CloudWatch in one region.
pub struct Api {
    source: Arc<Source>,
    region: String,
    pub speaker: Speaker,
    account: Option<String>,
}

impl Api {
    pub fn new(source: Arc<Source>, region: &str) -> Api {
        let speaker = Speaker::new(source.identity.clone(), region);
        Api { source, region: region.to_owned(), speaker, account: None }
    }

    /// Returns the account whose metrics are read; STS is asked once where the configuration does not tell.
    pub async fn account(&mut self) -> Result<String, ApiError> {
        let role = self.source.identity.role.as_ref();
        if let Some(account) = self.source.account_id.as_deref().or_else(|| account_of(&role?.arn)) {
            return Ok(account.to_owned());
        }
        if self.account.is_none() {
            self.account = Some(self.speaker.account().await?);
        }
        Ok(self.account.clone().unwrap_or_default())
    }

    /// Makes one call of CloudWatch; returns the body of the answer.
    pub async fn call(&mut self, action: &'static str, request: &Value) -> Result<Vec<u8>, ApiError> {
        let request = Unsigned {
            action,
            service: "monitoring",
            url: endpoint(self.source.endpoint.as_deref(), "monitoring", &self.region),
            headers: vec![
                ("content-type", "application/x-amz-json-1.0".to_owned()),
                ("x-amz-target", format!("GraniteServiceVersion20100801.{action}")),
            ],
            body: request.to_string().into_bytes(),
        };
        Ok(self.speaker.call(&request).await?)
    }
}
