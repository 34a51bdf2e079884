//! Twilio: one SMS a message.

use crate::client::HttpClient;

use super::super::retry::{Class, class};
use super::{Answer, Body, Piece, Posted, Request, Unit, Verdict, Words, cut, marks};

/// Source: Twilio's Messages resource: a longer text is refused.
const BODY_UNITS_MAX: usize = 1600;

/// Errors after which another try may fare better, and those that somebody can mend, by Twilio's numbers: too many requests and a full
/// queue; wrong credentials, a sender that is not ours, a country that is not allowed, an account that is suspended or on trial.
const PASSING: [u64; 3] = [14_107, 20_429, 30_001];
const MENDABLE: [u64; 10] = [20_003, 20_008, 21_212, 21_408, 21_603, 21_606, 21_608, 21_659, 21_701, 30_002];

#[derive(Clone, Debug, PartialEq)]
pub struct Twilio {
    /// The address before `2010-04-01`, without a slash at its end.
    pub url: String,
    pub account: String,
    /// Its authorisation is the account and its token.
    pub client: HttpClient,
    pub sender: Sender,
    /// One number in the form E.164; a template.
    pub to: String,
    pub body: String,
}

/// Who sends.
#[derive(Clone, Debug, PartialEq)]
pub enum Sender {
    Number(String),
    MessagingService(String),
}

impl Posted for Twilio {
    fn requests(&self, words: &mut Words<'_>) -> Result<Vec<Request<'_>>, String> {
        let to = words.text("to", &self.to);
        if to.trim().is_empty() {
            return Err("the template of `to` names no number".to_owned());
        }
        let (key, sender) = match &self.sender {
            Sender::Number(number) => ("From", number),
            Sender::MessagingService(id) => ("MessagingServiceSid", id),
        };
        let body = words.or_title("body", &self.body, marks::none);
        let form = vec![
            ("To".to_owned(), to.trim().to_owned()),
            (key.to_owned(), sender.clone()),
            ("Body".to_owned(), cut(body.trim(), BODY_UNITS_MAX, Unit::Utf16)),
        ];
        let url = format!("{}/2010-04-01/Accounts/{}/Messages.json", self.url, self.account);
        Ok(vec![Request::post(vec![Piece::Text(url)], Body::Form(form), &self.client)])
    }

    fn verdict(&self, answer: &Answer<'_>) -> Verdict {
        let code = answer.json()["code"].as_u64().filter(|_| answer.status >= 400);
        answer.as_class(match code {
            Some(code) if PASSING.contains(&code) => Class::Retry,
            Some(code) if MENDABLE.contains(&code) => Class::Mendable,
            _ => class(answer.status),
        })
    }
}
