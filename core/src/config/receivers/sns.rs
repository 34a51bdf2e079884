//! `sns_configs`.

use crate::client::Auth;
use crate::route::message::sns::Place;
use crate::route::receiver::{Channel, Sns};
use crate::yaml::Table;

use super::super::place::Folder;
use super::super::{client, sigv4};
use super::{Defaults, template};

pub(super) fn read(table: &mut Table<'_, '_>, defaults: &Defaults, folder: &Folder) -> Option<Channel> {
    let place = place(table);
    let mut http = super::http_config(table, defaults, folder);
    if http.auth != Auth::None {
        table.value_here().warning("requests to SNS are signed; the authorization of http_config is ignored");
        http.auth = Auth::None;
    }
    let sigv4 = sigv4::read(table).unwrap_or_default();
    if !sigv4.service.is_empty() {
        table.value_here().warning("requests are signed for sns; service_name is ignored");
    }
    let region = sigv4.region.clone();
    if matches!(place, Place::Phone(_)) && region.is_empty() {
        table.error("no region is known; write region under sigv4");
    }
    table.ignored(&["use_aws_http_client"], "of no use here");
    Some(Channel::Sns(Sns {
        url: super::url(table, "api_url").unwrap_or_default(),
        region,
        identity: sigv4.identity("sns", http),
        place,
        subject: template(table, "subject", "sns.default.subject"),
        message: template(table, "message", "sns.default.message"),
        attributes: table.text_map("attributes"),
    }))
}

fn place(table: &mut Table<'_, '_>) -> Place {
    let (target, topic, phone) = (
        client::some_text(table, "target_arn").map(Place::Target),
        client::some_text(table, "topic_arn").map(Place::Topic),
        client::some_text(table, "phone_number").map(Place::Phone),
    );
    let mut all = [target, topic, phone].into_iter().flatten();
    match (all.next(), all.count()) {
        (Some(place), 0) => place,
        (first, _) => {
            table.error("must provide either a Target ARN, Topic ARN, or Phone Number for SNS config; write exactly one of target_arn, topic_arn and phone_number");
            first.unwrap_or(Place::Topic(String::new()))
        }
    }
}
