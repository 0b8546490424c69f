//! Numbers as text: the Prometheus text format 0.0.4, or OpenMetrics 1.0 for who asks for that.
//!
//! What there is to be told is decided elsewhere; here is how it is written.

use std::fmt::Write as _;

use super::cells::{BOUNDS, Counters, Labels, Times};

/// A family with more combinations of labels than this shows only those that have occurred.
const MOST_SHOWN: usize = 64;

/// The two forms. They differ in how counters are named in `TYPE`, and in the mark at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `text/plain; version=0.0.4`.
    Plain,
    /// `application/openmetrics-text; version=1.0.0`.
    OpenMetrics,
}

impl Form {
    /// The form that a client wants that accepts this: OpenMetrics only where it says so.
    pub fn accepted(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") { Self::OpenMetrics } else { Self::Plain }
    }

    /// The `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Plain => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Further labels of a series, in front of those that its numbers have.
pub(super) type Named<'a> = &'a [(&'a str, &'a str)];

/// The text of one scrape.
pub(super) struct Text {
    out: String,
    form: Form,
}

impl Text {
    pub(super) fn new(form: Form) -> Self {
        Self { out: String::with_capacity(16 * 1024), form }
    }

    /// Begins a family of counters; `name` ends with `_total`.
    pub(super) fn counter(&mut self, name: &'static str, help: &str) -> Family<'_> {
        let of_type = match self.form {
            Form::Plain => name,
            Form::OpenMetrics => name.trim_end_matches("_total"),
        };
        self.family(name, of_type, "counter", help)
    }

    /// Begins a family of gauges.
    pub(super) fn gauge(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, name, "gauge", help)
    }

    /// Begins a family of histograms; `name` ends with `_seconds`.
    pub(super) fn histogram(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, name, "histogram", help)
    }

    pub(super) fn end(mut self) -> String {
        if self.form == Form::OpenMetrics {
            self.out.push_str("# EOF\n");
        }
        self.out
    }

    fn family(&mut self, name: &'static str, of_type: &str, kind: &str, help: &str) -> Family<'_> {
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(self.out, "# HELP {of_type} {help}\n# TYPE {of_type} {kind}");
        Family { out: &mut self.out, name }
    }
}

/// One family, whose series are written one by one.
pub(super) struct Family<'a> {
    out: &'a mut String,
    name: &'static str,
}

impl Family<'_> {
    /// One number.
    pub(super) fn value(&mut self, named: Named<'_>, value: u64) {
        self.sample("", named, value);
    }

    /// One number that need not be whole.
    pub(super) fn fraction(&mut self, named: Named<'_>, value: f64) {
        self.sample("", named, value);
    }

    /// Counters with all that labels tell apart.
    pub(super) fn counters<L: Labels>(&mut self, named: Named<'_>, counters: &Counters<L>) {
        for index in 0..L::COUNT {
            let value = counters.value(index);
            if value > 0 || L::COUNT <= MOST_SHOWN {
                self.sample("", &with(named, L::pairs(index)), value);
            }
        }
    }

    /// Histograms with all that labels tell apart.
    #[expect(clippy::cast_precision_loss, reason = "a sum of a hundred days is still exact to a microsecond")]
    pub(super) fn times<L: Labels>(&mut self, named: Named<'_>, times: &Times<L>) {
        for index in 0..L::COUNT {
            let labels = with(named, L::pairs(index));
            let mut count = 0;
            let bounds = BOUNDS.iter().map(|(bound, _)| format!("{bound:?}")).chain(["+Inf".to_owned()]);
            for (bound, in_bucket) in bounds.zip(times.buckets(index)) {
                count += in_bucket;
                self.sample("_bucket", &with(&labels, vec![("le", &bound)]), count);
            }
            self.sample("_sum", &labels, times.sum(index) as f64 / 1e9);
            self.sample("_count", &labels, count);
        }
    }

    fn sample(&mut self, suffix: &str, labels: Named<'_>, value: impl std::fmt::Display) {
        let _ = write!(self.out, "{}{suffix}", self.name);
        for (at, (name, value)) in labels.iter().enumerate() {
            let _ = write!(self.out, "{}{name}=\"", if at == 0 { '{' } else { ',' });
            for c in value.chars() {
                match c {
                    '\\' => self.out.push_str("\\\\"),
                    '"' => self.out.push_str("\\\""),
                    '\n' => self.out.push_str("\\n"),
                    c => self.out.push(c),
                }
            }
            self.out.push('"');
        }
        let _ = writeln!(self.out, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }
}

fn with<'a>(named: Named<'a>, mut pairs: Vec<(&'a str, &'a str)>) -> Vec<(&'a str, &'a str)> {
    let mut labels = named.to_vec();
    labels.append(&mut pairs);
    labels
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Form, Text};
    use crate::metrics::cells::{Counters, Times};
    use crate::metrics::labels::Protocol;

    fn written(form: Form) -> String {
        let counters = Counters::<(Protocol,)>::default();
        counters.count((Protocol::Http2,));
        let mut text = Text::new(form);
        text.counter("x_total", "Some things.").counters(&[("name", "a\"b\\c\nd")], &counters);
        text.gauge("level", "A level.").fraction(&[], 1.5);
        text.end()
    }

    #[test]
    fn both_forms_are_as_specified() {
        let samples = |of_type: &str| {
            format!(
                "# HELP {of_type} Some things.\n# TYPE {of_type} counter\n\
                 x_total{{name=\"a\\\"b\\\\c\\nd\",protocol=\"http/1.1\"}} 0\n\
                 x_total{{name=\"a\\\"b\\\\c\\nd\",protocol=\"h2\"}} 1\n\
                 # HELP level A level.\n# TYPE level gauge\nlevel 1.5\n"
            )
        };
        assert_eq!(written(Form::Plain), samples("x_total"));
        assert_eq!(written(Form::OpenMetrics), samples("x") + "# EOF\n");
    }

    #[test]
    fn buckets_add_up() {
        let times = Times::<()>::default();
        for millis in [1, 3, 3, 900_000] {
            times.took((), Duration::from_millis(millis));
        }
        let mut text = Text::new(Form::Plain);
        text.histogram("t_seconds", "Times.").times(&[], &times);
        let text = text.end();
        for line in [
            "t_seconds_bucket{le=\"0.001\"} 1",
            "t_seconds_bucket{le=\"0.0025\"} 1",
            "t_seconds_bucket{le=\"0.005\"} 3",
            "t_seconds_bucket{le=\"1.0\"} 3",
            "t_seconds_bucket{le=\"600.0\"} 3",
            "t_seconds_bucket{le=\"+Inf\"} 4",
            "t_seconds_sum 900.007",
            "t_seconds_count 4",
        ] {
            assert!(text.lines().any(|own| own == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn the_form_is_the_one_that_is_asked_for() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
        assert_eq!(Form::accepted(prometheus), Form::OpenMetrics);
        assert_eq!(["", "*/*", "text/plain"].map(Form::accepted), [Form::Plain; 3]);
    }
}
