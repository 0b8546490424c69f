//! What is read of a Pulp beyond its defaults.

use super::{SERVER, parse, problems, warnings};
use crate::config::UserAccount;

fn pulp(more: &str) -> String {
    format!("[[upstream]]\nname = 'pulp'\nurl = 'http://127.0.0.1:1'\nkind = 'pulp'\n{more}")
}

#[test]
fn users_are_created_with_the_header_or_an_account() {
    let created = |more: &str| {
        let config = parse(&format!("{SERVER}{}", pulp(more)));
        let create = config.upstreams.into_iter().next().unwrap().create_users;
        create.map(|create| (create.path.to_string(), matches!(create.account, UserAccount::Basic { .. })))
    };
    assert_eq!(created(""), None);
    assert_eq!(created("create_users = { credentials = 'identity' }"), Some(("/pulp/api/v3/users/".into(), false)));
    let moved = "api_root = '/p/'\ndomains = true\ncreate_users = { credentials = { basic = { username = 'g', password = 'x' } } }";
    assert_eq!(created(moved), Some(("/p/default/api/v3/users/".into(), true)));
    assert_eq!(created("create_users = { path = '/u/', credentials = 'identity' }"), Some(("/u/".into(), false)));

    let said = |value: &str| problems(&pulp(&format!("create_users = {value}\n")));
    assert!(said("{}").contains("`create_users` needs the key `credentials`"));
    assert!(said("{ credentials = 'none' }").contains("users are not created with these credentials"));
    assert!(said("{ credentials = 'identity', path = 'users' }").contains("\"users\" is no path"));
    assert!(said("{ credentials = 'identity', paths = '/' }").contains("did you mean `path`?"));
    let secret = said("{ credentials = { basic = { username = 'g', password = 's3cret', more = 1 } } }");
    assert!(secret.contains("unknown key") && !secret.contains("s3cret"), "{secret}");
}

#[test]
fn users_are_created_in_a_pulp_alone() {
    let registry =
        "[[upstream]]\nname = 'r'\nurl = 'http://127.0.0.1:1'\ncreate_users = { credentials = 'identity' }\n";
    let said = warnings(registry);
    assert!(said.contains("`create_users` says how a Pulp is set up, and this upstream is none"), "{said}");
}
