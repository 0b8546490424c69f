//! `doctor` without a running set-up.

use crate::support::Place;

const UPSTREAM: &str = "
[[upstream]]
name = 'registry'
url = 'http://127.0.0.1:9'
credentials = { basic = { username = 'gateway', password = 'not-to-be-shown' } }

[[route]]
prefix = '/v2/'
upstream = 'registry'
auth = 'registry'
";

#[test]
fn what_does_not_run_is_said() {
    let place = Place::new(UPSTREAM);
    // Nothing listens on port 9 of loopback; port 1 stands for a gateway that was not started.
    let ran = place.run(&["doctor", "--url", "http://127.0.0.1:1"]);
    let text = ran.out(1);
    for line in
        ["error   no-keys: ", "error   unreachable: 127.0.0.1:9: ", "error   gateway-unreachable: http://127.0.0.1:1: "]
    {
        assert!(text.contains(line), "{text}");
    }
    assert!(text.ends_with("3 errors, 0 warnings\n") && !text.contains("not-to-be-shown"), "{text}");
    assert!(!place.path("state").exists(), "the doctor makes no key");
}

#[test]
fn programs_are_told_the_same() {
    let ran = Place::new(UPSTREAM).run(&["doctor", "--json", "--url", "http://127.0.0.1:1"]);
    let value: serde_json::Value = serde_json::from_str(ran.out(1)).unwrap();
    assert_eq!(value["ok"], false);
    assert_eq!(value["groups"][1]["about"], "upstream registry (http://127.0.0.1:9)");
    assert_eq!(value["groups"][1]["findings"][0]["code"], "unreachable");
}

#[test]
fn wrong_arguments_and_configurations_are_another_matter() {
    let place = Place::new(UPSTREAM);
    assert!(place.run(&["doctor", "--url", "127.0.0.1:1"]).err(2).contains("write it as in"));
    assert!(place.run(&["doctor", "--timeout", "0"]).err(2).contains("longer than nothing"));
    place.configure("colour = 1\n");
    assert!(place.run(&["doctor"]).err(2).contains("unknown key"));
}
