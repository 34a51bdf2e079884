//! Amazon SNS: one message to a topic, an endpoint or a telephone.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::aws::fault::Fault;
use crate::aws::{Identity, endpoint};

use super::super::dispatch::group::hex;
use super::super::retry::{Class, class};
use super::{Answer, Body, Piece, Posted, Request, Signing, Unit, Verdict, Words, cut, marks};

/// Source: the API reference of SNS, "Publish". Attributes count as the message does.
const MESSAGE_BYTES_MAX: usize = 256 << 10;
const SMS_CHARS_MAX: usize = 1600;
const SUBJECT_CHARS_MAX: usize = 99;
const API_VERSION: &str = "2010-03-31";
/// Topics that keep order and fold what comes twice.
const FIFO: &str = ".fifo";
/// Refusals that somebody can mend beside those of credentials.
const MENDABLE: [&str; 5] = ["AuthorizationError", "NotFound", "EndpointDisabled", "OptInRequired", "KMSAccessDenied"];

#[derive(Clone, Debug, PartialEq)]
pub struct Sns {
    /// Empty: the region's own address.
    pub url: String,
    /// Empty: the one that the place names.
    pub region: String,
    pub identity: Identity,
    pub place: Place,
    pub subject: String,
    pub message: String,
    pub attributes: BTreeMap<String, String>,
}

/// Where a message goes; a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Topic(String),
    Target(String),
    Phone(String),
}

impl Place {
    /// Returns the key of the configuration, the field of the API, and the text.
    fn parts(&self) -> (&'static str, &'static str, &str) {
        match self {
            Place::Topic(text) => ("topic_arn", "TopicArn", text),
            Place::Target(text) => ("target_arn", "TargetArn", text),
            Place::Phone(text) => ("phone_number", "PhoneNumber", text),
        }
    }

    /// Returns the text by which it is known.
    pub fn text(&self) -> &str {
        self.parts().2
    }
}

/// Returns a subject as SNS takes it: one short line of ASCII.
fn subject(text: &str) -> String {
    let line: String =
        text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).map(|c| if c.is_ascii() { c } else { '?' }).collect();
    line.chars().take(SUBJECT_CHARS_MAX).collect()
}

impl Sns {
    fn attributes(&self, words: &mut Words<'_>) -> Vec<(String, String)> {
        let mut all = Vec::new();
        for (name, text) in &self.attributes {
            let text = words.text(&format!("attributes.{name}"), text);
            let name = words.text("attributes", name);
            // SNS refuses the message for an attribute that says nothing.
            if !name.trim().is_empty() && !text.is_empty() {
                all.push((name, text));
            }
        }
        all
    }
}

impl Posted for Sns {
    fn requests(&self, words: &mut Words<'_>) -> Result<Vec<Request<'_>>, String> {
        let (key, field, text) = self.place.parts();
        let place = words.text(key, text);
        if place.trim().is_empty() {
            return Err(format!("the template of `{key}` names no place"));
        }
        let region = if self.region.is_empty() { place.split(':').nth(3).unwrap_or_default() } else { &self.region };
        if region.is_empty() {
            return Err("no region is known; write region under sigv4".to_owned());
        }
        let mut attributes = self.attributes(words);
        let message = words.text("message", &self.message);
        let message = if message.trim().is_empty() { marks::none(words.title()) } else { message };
        let (most, unit) = match self.place {
            Place::Phone(_) => (SMS_CHARS_MAX, Unit::Chars),
            Place::Topic(_) | Place::Target(_) => {
                let taken: usize = attributes.iter().map(|(name, text)| name.len() + text.len() + "String".len()).sum();
                (MESSAGE_BYTES_MAX.saturating_sub(taken + "truncatedStringtrue".len()), Unit::Bytes)
            }
        };
        let told = if unit == Unit::Bytes { words.noted(&message, most, unit, marks::none) } else { cut(&message, most, unit) };
        if unit.count(&message) > most {
            attributes.push(("truncated".to_owned(), "true".to_owned()));
        }
        let mut form = vec![
            ("Action".to_owned(), "Publish".to_owned()),
            ("Version".to_owned(), API_VERSION.to_owned()),
            (field.to_owned(), place.trim().to_owned()),
            ("Message".to_owned(), told),
        ];
        let subject = subject(&words.text("subject", &self.subject));
        if !subject.is_empty() {
            form.push(("Subject".to_owned(), subject));
        }
        for (index, (name, text)) in attributes.into_iter().enumerate() {
            let entry = format!("MessageAttributes.entry.{}", index + 1);
            form.push((format!("{entry}.Name"), name));
            form.push((format!("{entry}.Value.DataType"), "String".to_owned()));
            form.push((format!("{entry}.Value.StringValue"), text));
        }
        if place.trim().ends_with(FIFO) {
            // By the message and not by its group: the end of an alert within five minutes is no repeat of its beginning.
            form.push(("MessageDeduplicationId".to_owned(), hex(&Sha256::digest(words.message.key.as_bytes()))));
            form.push(("MessageGroupId".to_owned(), words.message.dedup_key.to_owned()));
        }
        let own = words.text("api_url", &self.url);
        let own = own.trim().trim_end_matches('/');
        let url = endpoint(Some(own).filter(|own| !own.is_empty()), "sns", region);
        let signing = Signing { service: "sns", region: region.to_owned(), identity: &self.identity };
        Ok(vec![Request {
            signing: Some(signing),
            ..Request::post(vec![Piece::Text(url)], Body::Form(form), &self.identity.client)
        }])
    }

    fn verdict(&self, answer: &Answer<'_>) -> Verdict {
        let fault = Fault::read(answer.status, answer.body.as_bytes());
        answer.as_class(match class(answer.status) {
            Class::Delivered => Class::Delivered,
            _ if fault.may_pass() => Class::Retry,
            _ if fault.is_about_credentials() || MENDABLE.contains(&fault.code.as_str()) => Class::Mendable,
            other => other,
        })
    }
}
