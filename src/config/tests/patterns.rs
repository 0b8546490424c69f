//! What is said of patterns and jq texts that are wrong.

use super::problems;

#[test]
fn patterns_are_checked_one_by_one() {
    let said = problems(
        "[[access]]\nwho = ['users:alice', 'anyone']\nrepositories = ['team/*', 'a//b', '${usr}/x']\nactions = '*'\n\
         [[access]]\nwho = 'anyone'\npaths = 'api/**'\nmethods = '*'\n",
    );
    for (message, place) in [
        ("\"users:alice\" is no entry of `who`", "5:8"),
        ("\"a//b\" is no repository pattern", "6:27"),
        ("\"${usr}/x\" is no repository pattern", "6:35"),
        ("\"api/**\" is no path pattern", "10:9"),
    ] {
        assert!(
            said.replace("\n  -->", "\n -->").contains(&format!("error: {message}\n --> gateway.toml:{place}\n")),
            "{message}\n{said}"
        );
    }
    assert_eq!(said.matches("error:").count(), 4, "{said}");
}

/// The caret stands under the word within the jq text, however the text is quoted.
#[test]
fn mistakes_within_jq_texts() {
    let said = problems(
        "[identity]\nfilter = \"{a: \\\"x\\\"} | nosuch\"\n[[access]]\nwho = 'anyone'\nrepositories = '**'\nactions = '*'\n\
         when = '''\n.anonymous\nor now > 3'''\n",
    );
    assert!(
        said.contains(
            "
5 | filter = \"{a: \\\"x\\\"} | nosuch\"
  |                        ^^^^^^
"
        ),
        "{said}"
    );
    assert!(
        said.contains(
            "
  --> gateway.toml:12:4
   |
12 | or now > 3'''
   |    ^^^
"
        ),
        "{said}"
    );
    assert_eq!(said.matches("does not compile").count(), 2, "{said}");
}
