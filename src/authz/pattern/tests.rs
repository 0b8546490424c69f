use std::time::Instant;

use proptest::prelude::*;

use super::{PathPattern, RepositoryPattern, Split, Variables, Who};
use crate::subject::{Caller, GroupName, Subject, UserName};

fn caller(name: &str, groups: &[&str]) -> Caller {
    let groups = groups.iter().map(|group| GroupName::parse(group).unwrap()).collect();
    Caller::Known(Subject::new(UserName::parse(name).unwrap(), groups, "users".into()).into())
}

fn matches(pattern: &str, name: &str) -> bool {
    matches_for(pattern, name, &Caller::Anonymous)
}

fn matches_for(pattern: &str, name: &str, caller: &Caller) -> bool {
    let pattern: RepositoryPattern = pattern.parse().unwrap();
    pattern.matches(&Split::repository(name), &Variables::of(caller))
}

fn path_matches(pattern: &str, path: &str) -> bool {
    let pattern: PathPattern = pattern.parse().unwrap();
    pattern.matches(&Split::path(path), &Variables::default())
}

#[test]
fn globs_over_repository_names() {
    for (pattern, yes, no) in [
        ("a/b", &["a/b"][..], &["a", "a/b/c", "a/bc", "xa/b"][..]),
        ("*", &["a", "a.b-c"], &["a/b"]),
        ("**", &["a", "a/b", "a/b/c/d"], &[]),
        ("x/**", &["x/a", "x/a/b"], &["x", "xy/a", "y/x/a"]),
        ("x/*", &["x/a"], &["x", "x/a/b"]),
        ("**/x", &["a/x", "a/b/x", "x/x"], &["x", "a/x/b"]),
        ("a/**/b", &["a/x/b", "a/x/y/b", "a/b/b"], &["a/b", "a/x/c"]),
        ("test-*", &["test-1", "test-a.b", "test--x"], &["test", "atest-1", "test-1/x"]),
        ("*-cache", &["go-cache", "a-b-cache"], &["cache", "go-cache/x", "go-cachex"]),
        ("a*b*c", &["abc", "a1b2c", "abbcc", "abcbc"], &["ac", "acb", "ab1"]),
        ("**/a/**", &["x/a/y", "x/a/a/y", "a/a/a"], &["a", "x/a", "a/x", "a/a"]),
        ("**/**", &["a/b", "a/b/c"], &["a"]),
    ] {
        for name in yes {
            assert!(matches(pattern, name), "{pattern} should match {name}");
        }
        for name in no {
            assert!(!matches(pattern, name), "{pattern} should not match {name}");
        }
    }
}

#[test]
fn variables_are_data() {
    let alice = caller("alice", &["dev", "ops"]);
    assert!(matches_for("${user}/**", "alice/app", &alice));
    assert!(!matches_for("${user}/**", "alice", &alice));
    assert!(!matches_for("${user}/**", "bob/app", &alice));
    assert!(matches_for("${group}-shared/*", "ops-shared/x", &alice));
    assert!(!matches_for("${group}-shared/*", "qa-shared/x", &alice));
    assert!(matches_for("${group}/${group}", "dev/dev", &alice));
    assert!(!matches_for("${group}/${group}", "dev/ops", &alice), "one group for the whole pattern");
    assert!(matches_for("x-${user}-*/y", "x-alice-1/y", &alice));
    assert!(matches_for("*${user}", "xalice", &alice));
    for name in ["*", "**", "a/b", "a@b.com", "..", "ALICE", "${user}", "a b", "-", "ä"] {
        let caller = caller(name, &[name]);
        for target in ["alice/app", "a/b", "a/b/app", "x/app", "app/app"] {
            assert!(!matches_for("${user}/**", target, &caller), "{name} {target}");
            assert!(!matches_for("${group}/**", target, &caller), "{name} {target}");
        }
        assert_eq!(Variables::of(&caller).unfit(), [name, name]);
    }
    assert!(!matches_for("${user}/**", "alice/app", &Caller::Anonymous));
    assert!(!matches_for("${group}/**", "dev/app", &Caller::Anonymous));
}

#[test]
fn paths_keep_their_last_slash() {
    for (pattern, yes, no) in [
        ("/**", &["/", "/a", "/a/b/"][..], &[][..]),
        (
            "/pulp/api/v3/**",
            &["/pulp/api/v3/", "/pulp/api/v3/x", "/pulp/api/v3/x/y/"],
            &["/pulp/api/v3", "/pulp/api/v33/x"],
        ),
        ("/a/*", &["/a/b"], &["/a/", "/a", "/a/b/", "/a/b/c"]),
        ("/a/*/", &["/a/b/"], &["/a/b", "/a//"]),
        ("/a", &["/a"], &["/a/", "/A"]),
        ("/", &["/"], &["/a"]),
        ("/Über/x y", &["/Über/x y"], &["/x"]),
    ] {
        for path in yes {
            assert!(path_matches(pattern, path), "{pattern} should match {path}");
        }
        for path in no {
            assert!(!path_matches(pattern, path), "{pattern} should not match {path}");
        }
    }
    assert!(!path_matches("/**", "no-slash"));
}

#[test]
fn bad_patterns_say_what_would_be_right() {
    for (pattern, mend) in [
        ("", "`**`"),
        ("/a", "write `a`"),
        ("a/", "write `a`"),
        ("a//b", "one `/`"),
        ("Team/**", "lower case"),
        ("a?", "no wildcard"),
        ("[ab]", "no wildcard"),
        ("{a,b}", "no wildcard"),
        ("team-**", "whole segment"),
        ("${account}/*", "${user}"),
        ("${labels:group}-shared/*", "${group}"),
        ("${user/x", "must be closed"),
        ("${other}", "${user}"),
        ("$user", "`$`"),
        ("app:v1", "`when`"),
        ("-a", "never match"),
        ("_*", "never match"),
        ("a..b", "never match"),
        ("*.", "never match"),
        ("a b", "never stands"),
    ] {
        let error = pattern.parse::<RepositoryPattern>().expect_err(pattern);
        assert!(error.0.contains(mend), "{pattern}: {error}");
    }
    for pattern in ["a*-b", "a-*", "*_*", "a_*_b", "a-*-b", "*--*", "${user}-x", "${user}.${group}", "a_*", "*__b"] {
        assert!(pattern.parse::<RepositoryPattern>().is_ok(), "{pattern}");
    }
    for (pattern, mend) in
        [("a", "write `/a`"), ("/a//b", "one `/`"), ("/a%2fb", "decoded"), ("/a?b", "no wildcard"), ("/../a", "never")]
    {
        let error = pattern.parse::<PathPattern>().expect_err(pattern);
        assert!(error.0.contains(mend), "{pattern}: {error}");
    }
    for (who, mend) in [
        ("alice", "user:alice"),
        ("*", "anyone"),
        ("users:alice", "`user:NAME`"),
        ("user:", "empty"),
        ("user:**", "`*`"),
        ("group:${user}", "variables"),
    ] {
        let error = who.parse::<Who>().expect_err(who);
        assert!(error.0.contains(mend), "{who}: {error}");
    }
}

#[test]
fn who_is_meant() {
    let alice = caller("alice", &["dev"]);
    let bot = caller("repo:org/app:dependabot[bot]", &[]);
    let is = |who: &str, caller: &Caller| who.parse::<Who>().unwrap().matches(caller);
    for who in [
        "anyone",
        "authenticated",
        "user:alice",
        "user:a*",
        "user:*",
        "user:*l*c*",
        "group:dev",
        "group:*",
        "group:d*v",
    ] {
        assert!(is(who, &alice), "{who}");
    }
    for who in ["anonymous", "user:alic", "user:lice", "user:Alice", "group:de", "group:alice", "user:dev", "user:a*b"]
    {
        assert!(!is(who, &alice), "{who}");
    }
    assert!(is("user:repo:org/*", &bot) && is("user:*[bot]", &bot) && is("user:repo:org/app:dependabot[bot]", &bot));
    assert!(!is("group:*", &bot));
    assert!(is("anonymous", &Caller::Anonymous) && is("anyone", &Caller::Anonymous));
    for who in ["authenticated", "user:*", "group:*"] {
        assert!(!is(who, &Caller::Anonymous), "{who}");
    }
    assert!(!is("user:aa*aa", &caller("aaa", &[])));
}

#[test]
fn no_pattern_takes_exponential_time() {
    let begin = Instant::now();
    let name = vec!["a"; 127].join("/");
    assert!(!matches(&format!("{}b", "**/a/".repeat(60)), &name));
    assert!(!matches(&format!("{}b", "*a".repeat(120)), &"a".repeat(255)));
    assert!(!"user:".to_owned().add_stars().parse::<Who>().unwrap().matches(&caller(&"a".repeat(255), &[])));
    // Each of the three takes well under a millisecond; exponential time would not end at all.
    assert!(begin.elapsed().as_secs() < 60);
}

trait AddStars {
    fn add_stars(self) -> String;
}

impl AddStars for String {
    fn add_stars(self) -> String {
        format!("{self}{}b", "*a".repeat(100))
    }
}

/// The definition of a segment glob, by trying everything.
fn slow(pattern: &[u8], text: &[u8]) -> bool {
    match pattern {
        [] => text.is_empty(),
        [b'*', rest @ ..] => (0..=text.len()).any(|n| slow(rest, &text[n..])),
        [first, rest @ ..] => text.first() == Some(first) && slow(rest, &text[1..]),
    }
}

/// The definition of a pattern over segments, by trying everything.
fn slow_segments(pattern: &[&str], name: &[&str]) -> bool {
    match pattern {
        [] => name.is_empty(),
        ["**", rest @ ..] => (1..=name.len()).any(|n| slow_segments(rest, &name[n..])),
        [first, rest @ ..] => {
            name.first().is_some_and(|segment| slow(first.as_bytes(), segment.as_bytes()))
                && slow_segments(rest, &name[1..])
        }
    }
}

proptest! {
    #[test]
    fn matching_agrees_with_the_definition(
        pattern in prop::collection::vec(prop_oneof![Just("**".to_owned()), "[ab*]{1,4}"], 1..5),
        name in prop::collection::vec("[ab]{1,4}", 1..6),
    ) {
        let pattern: Vec<_> = pattern.iter().map(String::as_str).collect();
        let name: Vec<_> = name.iter().map(String::as_str).collect();
        let Ok(parsed) = pattern.join("/").parse::<RepositoryPattern>() else {
            prop_assert!(pattern.iter().any(|segment| segment.contains("**") && *segment != "**"));
            return Ok(());
        };
        let joined = name.join("/");
        prop_assert_eq!(parsed.matches(&Split::repository(&joined), &Variables::default()), slow_segments(&pattern, &name));
    }

    #[test]
    fn a_literal_prefix_is_a_prefix_of_all_that_match(
        pattern in "[ab*]{1,3}(/[ab*]{1,3}){0,2}",
        name in "[ab]{1,3}(/[ab]{1,3}){0,2}",
    ) {
        if let Ok(parsed) = pattern.parse::<RepositoryPattern>()
            && parsed.matches(&Split::repository(&name), &Variables::default())
        {
            prop_assert!(name.starts_with(parsed.literal_prefix()));
        }
    }
}
