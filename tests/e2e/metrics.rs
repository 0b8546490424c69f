//! What Prometheus' own tool thinks of the metrics and of the alert rules.

use std::path::Path;

use crate::site::Site;
use crate::support::http::get;
use crate::support::process::{Finished, command, program, run};

fn promtool(home: &Path, args: &[&str], input: &str) -> Finished {
    let mut command = command(&program("promtool", "prometheus"), home);
    run(command.args(args), input)
}

#[test]
fn promtool_accepts_the_metrics_and_the_rules() {
    let site = Site::start();
    let home = site.dir("promtool");
    get(site.gateway.port, "/v2/", None).expect(401);
    let metrics = get(site.gateway.admin, "/metrics", None).expect(200).text();
    assert!(metrics.contains("tidegate_requests_total"), "{metrics}");
    let checked = promtool(&home, &["check", "metrics"], &metrics).ok();
    // It fails for what is no metric, and only says what it does not like.
    assert_eq!((checked.stdout.as_str(), checked.stderr.as_str()), ("", ""));
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus/alerts.yml");
    let checked = promtool(&home, &["check", "rules", rules.to_str().unwrap()], "").ok();
    assert!(checked.stdout.contains("SUCCESS"), "{checked}");
}
