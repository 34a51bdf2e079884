use serde_json::json;

use super::fault::Fault;
use super::keys::{Keys, KeysError};
use super::profile::ProfileError;
use super::*;
use crate::time::Timestamp;

#[test]
fn refusals_say_whether_another_attempt_makes_sense() {
    for (status, body, passes, credentials, shown) in [
        (
            400,
            r#"{"__type":"com.amazonaws#ThrottlingException","message":"Rate exceeded"}"#,
            true,
            false,
            "HTTP 400: ThrottlingException: Rate exceeded",
        ),
        (
            400,
            r#"{"__type":"X#ValidationError","Message":"The parameter"}"#,
            false,
            false,
            "HTTP 400: ValidationError: The parameter",
        ),
        (
            403,
            "<ErrorResponse><Error><Code>InvalidClientTokenId</Code><Message>The security token is invalid.</Message></Error></ErrorResponse>",
            false,
            true,
            "HTTP 403: InvalidClientTokenId: The security token is invalid.",
        ),
        (500, "<html>oh</html>", true, false, "HTTP 500"),
        (503, "", true, false, "HTTP 503"),
        (
            403,
            r#"{"__type":"SignatureDoesNotMatch","message":"The signature we calculated does not match. The Canonical String was x-amz-security-token:hunter2\nhunter2"}"#,
            false,
            true,
            "HTTP 403: SignatureDoesNotMatch: The signature we calculated does not match",
        ),
    ] {
        let fault = Fault::read(status, body.as_bytes());
        assert_eq!(
            (fault.may_pass(), fault.is_about_credentials(), fault.to_string().as_str()),
            (passes, credentials, shown),
            "{body}"
        );
    }
}

#[test]
fn credentials_are_read_from_the_documents_that_bring_them() {
    let answer = "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>hunter2&amp;</SecretAccessKey>\
                  <SessionToken>tok</SessionToken><Expiration>2026-11-21T08:40:52.125Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>";
    let keys = keys::assumed(answer).unwrap();
    assert_eq!((keys.secret_key.as_str(), keys.expires_at), ("hunter2&", Timestamp::parse_rfc3339("2026-11-21T08:40:52.125Z")));
    assert_eq!(format!("{keys:?}"), "<keys ASIA>", "no secret is printed");
    assert_eq!(keys::assumed("<html>"), Err(KeysError::Missing { whom: "STS", what: "Expiration" }));
    let broken = answer.replace("2026-11-21T08", "soon");
    assert_eq!(keys::assumed(&broken), Err(KeysError::Malformed { whom: "STS", what: "Expiration" }));
    assert_eq!(keys::account("<Account>111122223333</Account>").as_deref(), Ok("111122223333"));
    assert!(keys::account("<Account>me</Account>").is_err() && keys::account("").is_err());
    let machine = json!({ "Code": "Success", "AccessKeyId": "A", "SecretAccessKey": "S", "Token": "T", "Expiration": "2026-11-21T08:40:52Z" });
    assert_eq!(keys::of_machine(machine.to_string().as_bytes()).unwrap().access_key, "A");
    assert_eq!(
        keys::of_machine(br#"{"Code":"AssumeRoleUnauthorizedAccess"}"#),
        Err(KeysError::Machine("AssumeRoleUnauthorizedAccess".to_owned()))
    );
    assert!(keys::of_machine(b"<html>").is_err());
}

#[test]
fn keys_are_renewed_before_they_expire() {
    let (got, minute) = (Timestamp(0), 60_000);
    let keys = |minutes: Option<i64>| Keys {
        access_key: "A".to_owned(),
        secret_key: "S".to_owned(),
        session_token: None,
        expires_at: minutes.map(|minutes| Timestamp(minutes * minute)),
    };
    for (life, age, due, valid) in [
        (Some(60), 54, false, true),
        (Some(60), 55, true, true),
        (Some(60), 60, true, false),
        (Some(4), 2, false, true),
        (Some(4), 3, true, true),
        (None, 4, false, true),
        (None, 5, true, true),
    ] {
        let (keys, now) = (keys(life), Timestamp(age * minute));
        assert_eq!((keys.are_due(got, now), keys.are_valid(now)), (due, valid), "{life:?} {age}");
    }
}

#[test]
fn profiles_are_read_as_the_tools_write_them() {
    let text = "# mine\n[default]\naws_access_key_id = A1\naws_secret_access_key=S1 ; old\n\n[profile west]\nAWS_ACCESS_KEY_ID=A2\n\
                aws_secret_access_key = S=2\naws_session_token = T2\nregion = x\n[role]\nrole_arn = arn:x\nsource_profile = default\n[empty]\n";
    let shown = |name: &str| profile::keys(text, name).map(|keys| (keys.access_key, keys.secret_key, keys.session_token));
    assert_eq!(shown("default"), Ok(("A1".to_owned(), "S1".to_owned(), None)));
    assert_eq!(shown("west"), Ok(("A2".to_owned(), "S=2".to_owned(), Some("T2".to_owned()))));
    assert_eq!(shown("east"), Err(ProfileError::Unknown("east".to_owned())));
    assert!(matches!(shown("empty"), Err(ProfileError::Missing { key: "aws_access_key_id", hint: "", .. })));
    assert!(shown("role").unwrap_err().to_string().contains("write role_arn in our configuration"));
}

#[test]
fn a_role_names_its_account() {
    assert_eq!(account_of("arn:aws:iam::111122223333:role/x"), Some("111122223333"));
    for other in ["", "arn:aws:iam::1111:role/x", "arn:aws:iam::11112222333x:role/x"] {
        assert_eq!(account_of(other), None);
    }
}

#[test]
fn regions_have_their_own_addresses() {
    assert_eq!(endpoint(None, "monitoring", "eu-west-1"), "https://monitoring.eu-west-1.amazonaws.com/");
    assert_eq!(endpoint(None, "sts", "cn-north-1"), "https://sts.cn-north-1.amazonaws.com.cn/");
    assert_eq!(endpoint(Some("http://127.0.0.1:1"), "sts", "eu-west-1"), "http://127.0.0.1:1/");
}
