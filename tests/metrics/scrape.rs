//! `/metrics` of a running gateway, parsed.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::gateway::Gateway;
use crate::support::http::get;

/// One scrape.
#[derive(Debug, Default)]
pub(crate) struct Scrape {
    /// Family to type.
    pub(crate) families: BTreeMap<String, String>,
    /// Series, as they are written, to value.
    pub(crate) series: BTreeMap<String, f64>,
}

impl Scrape {
    pub(crate) fn of(gateway: &Gateway) -> Self {
        Self::parse(&get(gateway.admin, "/metrics", None).expect(200).text())
    }

    fn parse(text: &str) -> Self {
        let mut scrape = Self::default();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                scrape.families.insert(name.to_owned(), kind.to_owned());
            } else if !line.starts_with('#') {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let earlier = scrape.series.insert(series.to_owned(), value.parse().unwrap());
                assert_eq!(earlier, None, "{series} twice");
            }
        }
        scrape
    }

    /// The value of a series; 0 for one that is not shown.
    pub(crate) fn value(&self, series: &str) -> f64 {
        self.series.get(series).copied().unwrap_or_default()
    }

    /// The family that a name in a query belongs to.
    pub(crate) fn family_of<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        if self.families.contains_key(name) {
            return Some(name);
        }
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix))?;
        (self.families.get(family)? == "histogram").then_some(family)
    }

    /// The labels of a family's series, each with the values that are shown.
    pub(crate) fn labels(&self, family: &str) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut labels: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for series in self.series.keys() {
            let (name, rest) = series.split_once('{').unwrap_or((series, ""));
            if self.family_of(name) != Some(family) {
                continue;
            }
            // No value of a test holds a comma or a quote.
            for pair in rest.trim_end_matches('}').split(',').filter(|pair| !pair.is_empty()) {
                let (label, value) = pair.split_once('=').unwrap();
                labels.entry(label).or_default().insert(value.trim_matches('"'));
            }
        }
        labels.remove("le");
        labels
    }
}
