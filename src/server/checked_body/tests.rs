use std::collections::VecDeque;

use http::HeaderMap;
use proptest::prelude::*;

use super::*;
use crate::registry::Digest;

/// A body as a peer sends it: pieces, pauses, trailers, and how it ends.
#[derive(Clone, Debug)]
struct Script {
    steps: VecDeque<Step>,
    /// What its length is said to be.
    length: Option<u64>,
}

#[derive(Clone, Debug)]
enum Step {
    Data(Vec<u8>),
    Trailers,
    Pause,
    Break,
}

impl Script {
    fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self { steps: steps.into_iter().collect(), length: None }
    }
}

impl Body for Script {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.steps.pop_front() {
            None => Poll::Ready(None),
            Some(Step::Data(data)) => Poll::Ready(Some(Ok(Frame::data(data.into())))),
            Some(Step::Trailers) => Poll::Ready(Some(Ok(Frame::trailers(HeaderMap::new())))),
            Some(Step::Break) => Poll::Ready(Some(Err(BodyError::Idle))),
            Some(Step::Pause) => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        // As hyper's: true from the last piece on.
        self.steps.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// How a body went, as whoever is to send it on sees it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    /// What was there before the end was known to be near.
    pieces: Vec<Vec<u8>>,
    /// It ended as whole bodies do.
    whole: bool,
}

impl Seen {
    fn bytes(&self) -> Vec<u8> {
        self.pieces.concat()
    }
}

fn see(script: Script, requirement: Requirement) -> (Seen, Option<Result<(), Unfit>>) {
    let (mut body, mut verdict) = CheckedBody::new(script, requirement);
    let mut seen = Seen::default();
    let mut context = Context::from_waker(std::task::Waker::noop());
    loop {
        if body.is_end_stream() {
            seen.whole = true;
            break;
        }
        match Pin::new(&mut body).poll_frame(&mut context) {
            Poll::Pending => {}
            Poll::Ready(Some(Ok(frame))) => seen.pieces.push(frame.into_data().unwrap().to_vec()),
            Poll::Ready(Some(Err(_))) => {
                // An error stays one, however often it is asked for.
                assert!(matches!(Pin::new(&mut body).poll_frame(&mut context), Poll::Ready(Some(Err(_)))));
                assert!(!body.is_end_stream());
                break;
            }
            Poll::Ready(None) => {
                seen.whole = true;
                break;
            }
        }
    }
    drop(body);
    let Poll::Ready(decided) = std::pin::pin!(verdict.decided()).poll(&mut context) else {
        panic!("the body is gone");
    };
    assert_eq!(verdict.unfit(), decided.clone().and_then(Result::err));
    (seen, decided)
}

fn digest(content: &[u8]) -> Requirement {
    let nothing = Digest::parse(&format!("sha256:{}", "0".repeat(64))).unwrap();
    let mut check = DigestCheck::new(&nothing).unwrap();
    check.update(content);
    Requirement::Digest(DigestCheck::new(&check.finish().unwrap_err().computed).unwrap())
}

fn data(text: &str) -> Step {
    Step::Data(text.as_bytes().to_vec())
}

#[test]
fn an_empty_last_piece_withholds_nothing_and_is_not_taken_for_one() {
    let (seen, _) = see(Script::new([data("abc"), data("")]), digest(b"abd"));
    assert_eq!(seen, Seen::default(), "nothing is handed over");
    let (seen, decided) = see(Script::new([data(""), data("abc"), data(""), Step::Trailers]), digest(b"abc"));
    assert_eq!((seen.bytes(), seen.whole, decided), (b"abc".to_vec(), true, Some(Ok(()))));
}

#[test]
fn nothing_fits_the_digest_of_nothing_only() {
    let nothing = Script::new([Step::Pause]);
    assert_eq!(see(nothing.clone(), digest(b"")), (Seen { pieces: vec![], whole: true }, Some(Ok(()))));
    let (seen, decided) = see(nothing.clone(), digest(b"x"));
    assert!(!seen.whole && matches!(decided, Some(Err(Unfit::Digest(_)))));
    let (seen, decided) = see(nothing, Requirement::NotEmpty);
    assert_eq!((seen.whole, decided), (false, Some(Err(Unfit::Empty))));
    assert_eq!(see(Script::new([data("x")]), Requirement::NotEmpty).1, Some(Ok(())));
    assert_eq!(Requirement::NotEmpty.judge_empty(), Err(Unfit::Empty));
    assert!(digest(b"").judge_empty().is_ok() && digest(b"x").judge_empty().is_err());
}

#[test]
fn a_body_that_is_given_up_has_no_verdict() {
    let (body, mut verdict) = CheckedBody::new(Script::new([data("abc")]), digest(b"abc"));
    let mut context = Context::from_waker(std::task::Waker::noop());
    assert!(std::pin::pin!(verdict.decided()).poll(&mut context).is_pending());
    assert_eq!(verdict.unfit(), None);
    drop(body);
    assert_eq!(std::pin::pin!(verdict.decided()).poll(&mut context), Poll::Ready(None));
}

#[test]
fn the_length_counts_what_is_held() {
    let script = Script { length: Some(4), ..Script::new([data("ab"), Step::Pause, data("cd")]) };
    let (mut body, _verdict) = CheckedBody::new(script, digest(b"abcd"));
    assert_eq!(body.size_hint().exact(), Some(4));
    let mut context = Context::from_waker(std::task::Waker::noop());
    assert!(Pin::new(&mut body).poll_frame(&mut context).is_pending());
    body.inner.length = Some(2);
    assert_eq!(body.size_hint().exact(), Some(4));
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..5).prop_map(Step::Data),
        1 => Just(Step::Trailers),
        2 => Just(Step::Pause),
    ];
    prop::collection::vec(step, 0..8)
}

fn content(steps: &[Step]) -> Vec<u8> {
    let data = steps.iter().filter_map(|step| if let Step::Data(data) = step { Some(data.as_slice()) } else { None });
    data.collect::<Vec<_>>().concat()
}

proptest! {
    #[test]
    fn what_fits_passes_unchanged_however_it_is_cut(steps in steps()) {
        let content = content(&steps);
        let (seen, decided) = see(Script::new(steps), digest(&content));
        prop_assert_eq!((seen.bytes(), seen.whole, decided), (content, true, Some(Ok(()))));
    }

    #[test]
    fn what_does_not_fit_is_never_seen_whole(steps in steps(), other in prop::collection::vec(any::<u8>(), 0..5)) {
        let content = content(&steps);
        prop_assume!(content != other);
        let (seen, decided) = see(Script::new(steps), digest(&other));
        prop_assert!(!seen.whole && matches!(decided, Some(Err(Unfit::Digest(_)))));
        prop_assert!(content.starts_with(&seen.bytes()));
        prop_assert!(seen.bytes().len() < content.len() || content.is_empty(), "the last piece is withheld");
    }

    #[test]
    fn what_breaks_off_is_never_seen_whole(steps in steps(), at in any::<prop::sample::Index>()) {
        let content = content(&steps);
        let mut steps = steps;
        steps.insert(at.index(steps.len() + 1), Step::Break);
        let (seen, decided) = see(Script::new(steps), digest(&content));
        prop_assert!(!seen.whole && seen.bytes().len() <= content.len() && decided.is_none());
    }
}
