//! As whom programs run.

use std::fs;

/// Returns user and group by number; none: we are not root, and programs run as we do.
///
/// Errors: there is no such user, or it is root.
pub fn of(name: Option<&str>) -> Result<Option<(u32, u32)>, String> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let accounts = fs::read_to_string("/etc/passwd").map_err(|error| format!("cannot read the list of users: {error}"))?;
    find(&accounts, name.unwrap_or("nobody")).map(Some)
}

fn find(accounts: &str, name: &str) -> Result<(u32, u32), String> {
    let line = accounts.lines().find(|line| line.split(':').next() == Some(name));
    let mut numbers = line.into_iter().flat_map(|line| line.split(':').skip(2)).map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(0)), _) => Err("programs do not run as root; name another user".to_owned()),
        (Some(Ok(user)), Some(Ok(group))) => Ok((user, group)),
        _ => Err(format!("this machine has no user {name:?} to run programs as")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_name_and_is_never_root() {
        let accounts = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65533::/:/bin/false\nodd\n";
        assert_eq!(find(accounts, "nobody"), Ok((65534, 65533)));
        assert!(find(accounts, "root").unwrap_err().contains("root"));
        assert!(find(accounts, "odd").is_err() && find(accounts, "none").is_err());
    }
}
