//! The request log: what a request line says, and the writer that request and audit lines go through.
//!
//! Request lines are dropped, and counted, when they cannot be written fast enough; audit lines never are.

use std::cell::Cell;
use std::fs::OpenOptions;
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::audit::AuditLine;
use crate::subject::Origin;
use crate::telemetry::{Facility, Format, Line, Opener, Sink, Style, SyslogAddress, syslog};

/// Texts of a request line are cut here.
const LONGEST: usize = 1024;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The rules let it through.
    Allowed,
    /// The rules did not.
    Denied,
    /// It was asked for credentials.
    Challenged,
    /// It was refused before anybody asked the rules: malformed, no route, wrong credentials, too many.
    Refused,
    /// The route asks nobody.
    Public,
    /// The gateway answered it itself: a ping, a token, a key set.
    Own,
}

impl Decision {
    /// The word that stands in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Challenged => "challenged",
            Self::Refused => "refused",
            Self::Public => "public",
            Self::Own => "own",
        }
    }
}

/// One request, after its end. Nothing in it may be a secret: no `Authorization`, no token, no query.
#[derive(Clone, Copy, Debug)]
pub struct RequestLine<'a> {
    /// When the request's head was complete.
    pub time: SystemTime,
    /// The id of the request.
    pub request_id: &'a str,
    /// Where it came from.
    pub client: Origin,
    /// The method.
    pub method: &'a str,
    /// The host as the client sent it.
    pub host: Option<&'a [u8]>,
    /// The canonical path. What follows a `?` is left out, should one be in it.
    pub path: &'a str,
    /// Who it was, as verified; `None` for anonymous.
    pub subject: Option<&'a str>,
    /// The operation's name, such as `manifest.get`; `None` for what is none.
    pub operation: Option<&'a str>,
    /// The repository.
    pub repository: Option<&'a str>,
    /// What became of it.
    pub decision: Decision,
    /// The status that the client was sent.
    pub status: u16,
    /// The upstream's name.
    pub upstream: Option<&'a str>,
    /// From the start of the upstream request to the head of its response.
    pub upstream_time: Option<Duration>,
    /// From the complete head to the end of the response.
    pub total: Duration,
    /// Bytes of request body.
    pub bytes_in: u64,
    /// Bytes of response body.
    pub bytes_out: u64,
    /// The `User-Agent` as the client sent it.
    pub user_agent: Option<&'a [u8]>,
    /// What went wrong, in words without secrets.
    pub error: Option<&'a str>,
}

impl RequestLine<'_> {
    /// Writes the line, with its newline, to the end of a buffer.
    pub fn write(&self, buf: &mut Vec<u8>, style: Style) {
        let mut line = Line::begin(buf, style, LONGEST, self.time, "request");
        line.text("request_id", self.request_id);
        line.origin("client", self.client);
        line.text("method", self.method);
        if let Some(host) = self.host {
            line.bytes("host", host);
        }
        line.text("path", self.path.split('?').next().unwrap_or_default());
        match self.subject {
            Some(subject) => line.text("subject", subject),
            None => line.none("subject"),
        }
        line.maybe("operation", self.operation);
        line.maybe("repository", self.repository);
        line.word("decision", self.decision.as_str());
        line.number("status", self.status.into());
        line.maybe("upstream", self.upstream);
        if let Some(time) = self.upstream_time {
            line.millis("upstream_ms", time);
        }
        line.millis("total_ms", self.total);
        line.number("bytes_in", self.bytes_in);
        line.number("bytes_out", self.bytes_out);
        if let Some(agent) = self.user_agent {
            line.bytes("user_agent", agent);
        }
        line.maybe("error", self.error);
        line.end();
    }
}

/// Where lines go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// Nowhere.
    Off,
    /// Standard output.
    #[default]
    Stdout,
    /// The end of a file, which is made with mode 0640 if there is none.
    File(PathBuf),
    /// A syslog daemon.
    Syslog {
        /// Where it listens.
        address: SyslogAddress,
        /// As what lines come there; none: what fits the kind of line.
        facility: Option<Facility>,
    },
}

/// What a [`LogWriter`] is told.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Where request lines go.
    pub requests: Target,
    /// Where audit lines go; lines to the same place keep their order.
    pub audit: Target,
    /// How lines look; `Auto` asks whether standard output is a terminal, and means JSON in files.
    pub format: Format,
}

/// Why the log cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A file cannot be opened.
    #[error("cannot open the log file {}: {error}", file.display())]
    Open {
        /// The file.
        file: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A syslog daemon cannot be reached.
    #[error("cannot reach the syslog daemon at {address}: {error}")]
    Syslog {
        /// Where it should be.
        address: SyslogAddress,
        /// What the system says.
        error: io::Error,
    },
    /// A thread cannot be started.
    #[error("cannot start the log's thread: {0}")]
    Thread(io::Error),
}

/// Writes lines, each kind to its place. Clones share the places; dropping the last one writes what is queued.
#[derive(Clone, Debug)]
pub struct LogWriter {
    requests: Option<Place>,
    audit: Option<Place>,
}

#[derive(Clone, Debug)]
struct Place {
    sink: Arc<Sink>,
    style: Style,
}

thread_local! {
    /// Each thread formats its lines in a buffer of its own, which keeps its room from line to line.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl LogWriter {
    /// Opens the places and starts a thread for each.
    pub fn start(settings: &Settings) -> Result<Self, LogError> {
        let requests = Place::open("request", Facility::DAEMON, &settings.requests, settings.format)?;
        // Lines that a daemon tells apart by their facility are not one stream.
        let apart = matches!(settings.audit, Target::Syslog { facility: None, .. });
        let audit = if settings.audit == settings.requests && !apart {
            requests.clone()
        } else {
            Place::open("audit", Facility::AUTHPRIV, &settings.audit, settings.format)?
        };
        Ok(Self { requests, audit })
    }

    /// Writes to wherever the caller says, such as a buffer in a test.
    pub fn to(requests: Box<dyn Write + Send>, audit: Box<dyn Write + Send>, style: Style) -> Result<Self, LogError> {
        let place = |name, out| {
            let sink = Arc::new(Sink::start(name, out).map_err(LogError::Thread)?);
            Ok(Some(Place { sink, style }))
        };
        Ok(Self { requests: place("request", requests)?, audit: place("audit", audit)? })
    }

    /// Writes nothing.
    pub fn off() -> Self {
        Self { requests: None, audit: None }
    }

    /// Queues a request line, or drops and counts it when too much is queued. Never waits.
    pub fn request(&self, line: &RequestLine<'_>) {
        if let Some(place) = &self.requests {
            formatted(|buf| line.write(buf, place.style), |bytes| place.sink.offer(bytes));
        }
    }

    /// Whether audit lines go anywhere, so that they are worth their words.
    pub fn audits(&self) -> bool {
        self.audit.is_some()
    }

    /// Queues an audit line. While too much is queued (a disk or a pipe that stands still), it waits, and with it whatever
    /// else the calling thread does: nothing is to happen unrecorded.
    pub fn audit(&self, line: &AuditLine<'_>) {
        if let Some(place) = &self.audit {
            formatted(|buf| line.write(buf, place.style), |bytes| place.sink.insist(bytes));
        }
    }

    /// Waits until every line queued so far is written, at each place for `patience` at most. Says whether they are.
    pub fn flush(&self, patience: Duration) -> bool {
        self.places().filter(|place| !place.sink.flush(patience)).count() == 0
    }

    /// Opens files, and ways to syslog daemons, anew: their names may belong to other files now. No line is lost or torn by that.
    pub fn reopen(&self) {
        for place in self.places() {
            place.sink.reopen();
        }
    }

    /// Request lines dropped so far because too much was queued.
    pub fn dropped(&self) -> u64 {
        self.requests.as_ref().map_or(0, |place| place.sink.dropped())
    }

    /// Lines of both kinds lost so far because writing failed; each such failure is in the log.
    pub fn lost(&self) -> u64 {
        self.places().map(|place| place.sink.lost()).sum()
    }

    /// The places, each once.
    fn places(&self) -> impl Iterator<Item = &Place> {
        let shared = |audit: &&Place| self.requests.as_ref().is_some_and(|place| Arc::ptr_eq(&place.sink, &audit.sink));
        self.requests.iter().chain(self.audit.as_ref().filter(|audit| !shared(audit)))
    }
}

impl Place {
    fn open(name: &'static str, usual: Facility, target: &Target, format: Format) -> Result<Option<Self>, LogError> {
        let (sink, terminal) = match target {
            Target::Off => return Ok(None),
            Target::Stdout => {
                let sink = Sink::start(name, Box::new(io::stdout())).map_err(LogError::Thread)?;
                (Arc::new(sink), io::stdout().is_terminal())
            }
            Target::File(file) => {
                let failed = |error| LogError::Open { file: file.clone(), error };
                (Arc::new(Sink::open(name, file_opener(file.clone())).map_err(failed)?), false)
            }
            Target::Syslog { address, facility } => {
                let failed = |error| LogError::Syslog { address: address.clone(), error };
                let opener = syslog(address.clone(), facility.unwrap_or(usual));
                (Arc::new(Sink::open(name, opener).map_err(failed)?), false)
            }
        };
        Ok(Some(Self { sink, style: format.style(terminal) }))
    }
}

fn file_opener(file: PathBuf) -> Opener {
    Box::new(move || {
        let out = OpenOptions::new().append(true).create(true).mode(0o640).open(&file)?;
        Ok(Box::new(out))
    })
}

fn formatted(write: impl FnOnce(&mut Vec<u8>), hand_over: impl FnOnce(&[u8])) {
    let mut buf = BUFFER.take();
    buf.clear();
    write(&mut buf);
    hand_over(&buf);
    BUFFER.set(buf);
}

#[cfg(test)]
mod tests;
