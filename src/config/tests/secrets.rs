//! No message about a configuration shows a secret of it.

use proptest::prelude::*;

use super::{SERVER, problems, whole_file_problems};

const UPSTREAM: &str = "[[upstream]]\nname = 'a'\nurl = 'http://127.0.0.1:1'\n";

#[test]
fn the_line_is_shown_and_the_value_is_not() {
    let said = problems("[users.alice]\npassword_hash = { value = 'hunter2' }\n");
    assert_eq!(
        said,
        "\
error: `password_hash` needs either `env` or `file`
 --> gateway.toml:5:17
  |
5 | password_hash = { value = **** }
  |                 ^^^^^^^^^^^^^^^^
  = hint: write { env = \"NAME\" } or { file = \"path\" }

error: unknown key `value` in `password_hash`
 --> gateway.toml:5:19
  |
5 | password_hash = { value = **** }
  |                   ^^^^^
  = hint: known here: env, file
"
    );
}

#[test]
fn wherever_a_secret_stands_it_is_not_shown() {
    let wrong = [
        // Wrong keys and wrong types.
        "[users.alice]\npassword = 'hunter2'\n".to_owned(),
        "[users.alice]\npasswort_hush = 'hunter2'\n".to_owned(),
        "[users.alice]\nx = 'hunter2'\n".to_owned(),
        "[users.alice]\npassword_hash = ['hunter2']\n".to_owned(),
        "[users]\nalice = 'hunter2'\n".to_owned(),
        "[users]\nalice = { password_hash = 'hunter2', colour = 1, x = 'hunter2' }\n".to_owned(),
        "[users.admin]\npassword_hash = 'hunter2'\n".to_owned(),
        "users = 'hunter2'\n".to_owned(),
        format!("{UPSTREAM}credentials = {{ basic = 'user:hunter2' }}\n"),
        format!("{UPSTREAM}credentials = {{ basic = {{ username = 'a:', password = 'hunter2' }} }}\n"),
        format!("{UPSTREAM}credentials = {{ basic = {{ username = 'a', pass = 'hunter2' }} }}\n"),
        format!("{UPSTREAM}credentials = {{ basic = {{ username = 'a', secret = {{ text = 'hunter2' }} }} }}\n"),
        format!("{UPSTREAM}credentials = {{ basik = {{ username = 'a', password = 'hunter2' }} }}\n"),
        "[[upstream]]\nname = 'a'\nurl = 'http://gateway:hunter2@127.0.0.1:1'\n".to_owned(),
        "[[upstream]]\nname = 'a'\nurl = 'ftp://gateway:hunter2@127.0.0.1:1'\n".to_owned(),
        "[[upstream]]\nname = 'a'\nurl = 'gateway:hunter2@127.0.0.1:1'\n".to_owned(),
        format!("{UPSTREAM}content_origins = ['http://x', 'http://x/?gateway:hunter2@y']\n"),
        format!("{UPSTREAM}credentials = 'gateway:hunter2'\n"),
        "[token]\nsecret = 'hunter2'\n".to_owned(),
        // No TOML at all.
        "[users.alice]\npassword_hash = 'hunter2\n".to_owned(),
        "[users.alice]\npassword_hash =\n['hunter2'\n".to_owned(),
        "[users.alice]\npassword_hash = hunter2\n".to_owned(),
        "[users.alice]\npassword_hash = '''a\nhunter2\n".to_owned(),
        "[users.alice]\npassword_hash = 'x'\n  hunter2\n".to_owned(),
        format!("{UPSTREAM}credentials = {{ basic = {{ username = 'a', password: 'hunter2' }} }}\n"),
    ];
    for rest in wrong {
        // A key of the top level has to stand before the first section.
        let said =
            if rest.starts_with("users =") { whole_file_problems(&format!("{rest}{SERVER}")) } else { problems(&rest) };
        assert!(!said.contains("hunter2"), "{rest}\n{said}");
    }
}

proptest! {
    /// Whatever breaks a line that holds a secret, the secret stays out of what is said.
    #[test]
    fn a_broken_line_keeps_its_secret(cut in 0usize..120, with in "[ -~\\n]{0,3}") {
        let good = format!("{SERVER}[users.alice]\npassword_hash = \"hunter2\"\ngroups = [\"dev\"]\n");
        let cut = cut % good.len();
        let inside = good.find("hunter2").unwrap();
        prop_assume!(!(inside..inside + 7).contains(&cut));
        let text = format!("{}{with}{}", &good[..cut], &good[cut..]);
        // Only where the secret still stands under a name that says so.
        prop_assume!(text.contains("password_hash"));
        if let Err(report) = super::super::Config::parse(&text, "f", std::path::Path::new(""), &|_| None) {
            prop_assert!(!report.to_string().contains("hunter2"), "{text}\n{report}");
        }
    }
}
