//! What is measured of the library: the functions that a request meets, each with what it needs set up beforehand.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method};
use tidegate::authz::{self, Effect, Rule, Rules, Source, Target};
use tidegate::clock::Clock;
use tidegate::document::{Document, Kind, RequestAction, RequestFacts};
use tidegate::identity::IdentityHeader;
use tidegate::jq::Filter;
use tidegate::keys::{Algorithm, KeyIdFormat, KeyRing, SigningKey};
use tidegate::registry::{AccessSet, Action, Actions, Operation, RepositoryName, Resource};
use tidegate::subject::{Caller, GroupName, Subject, UserName};
use tidegate::token::{Cache, Grant, Issuer, Latest, MIN_TTL, Settings, TokenKind, Verifier};

/// Their names. The order is that of a request's way.
pub(crate) const NAMES: [&str; 8] = [
    "operation",
    "token_cached",
    "token_verified",
    "authorized_by_10_rules",
    "authorized_by_1000_rules",
    "authorized_by_100000_rules",
    "identity_header",
    "token_issued",
];

const PATH: &str = "/v2/team/app/manifests/latest";
const SERVICE: &str = "registry.example";

/// Sets up what the function of this name needs, and gives one call of it. `None`: there is none of this name.
pub(crate) fn function(name: &str) -> Option<Box<dyn FnMut()>> {
    Some(match name {
        "operation" => Box::new(|| drop(black_box(operation()))),
        "token_cached" => {
            let Tokens { verifier, token, .. } = Tokens::new();
            let cache: Cache<()> = Cache::new(10_000);
            Box::new(move || {
                drop(black_box(verifier.verify_cached(&cache, &Latest::default(), black_box(&token), |_| ())));
            })
        }
        "token_verified" => {
            let Tokens { verifier, token, .. } = Tokens::new();
            Box::new(move || drop(black_box(verifier.verify(black_box(&token)))))
        }
        "authorized_by_10_rules" => authorized(10),
        "authorized_by_1000_rules" => authorized(1_000),
        "authorized_by_100000_rules" => authorized(100_000),
        "identity_header" => identity_header(),
        "token_issued" => {
            let Tokens { issuer, .. } = Tokens::new();
            let (caller, access) = (caller(), access());
            Box::new(move || drop(black_box(issuer.issue(&grant(&caller, &access)))))
        }
        _ => return None,
    })
}

fn operation() -> Operation {
    Operation::parse(&Method::GET, black_box(PATH), None).expect("an operation of the registry's")
}

fn caller() -> Caller {
    let groups = vec![GroupName::parse("dev").expect("a name")];
    Caller::Known(Subject::new(UserName::parse("user-5").expect("a name"), groups, "users".into()).into())
}

fn access() -> AccessSet {
    let mut access = AccessSet::default();
    let name = RepositoryName::parse("team/app").expect("a name");
    access.insert(Resource::Repository(name), [Action::Pull, Action::Push].into_iter().collect::<Actions>());
    access
}

fn grant<'a>(caller: &'a Caller, access: &'a AccessSet) -> Grant<'a> {
    Grant { caller, audience: SERVICE, kind: TokenKind::Registry, access }
}

/// A signer, a verifier, and a token of the one that is good for the other.
struct Tokens {
    issuer: Issuer,
    verifier: Verifier,
    token: String,
}

impl Tokens {
    fn new() -> Self {
        let pem = SigningKey::generate(Algorithm::Es256).and_then(|key| key.to_pem()).expect("a key");
        // Each has a ring of its own, of the same key: one that has signed a token itself has less to do.
        let ring = || {
            let key = SigningKey::from_pem(pem.expose()).expect("the same key");
            Arc::new(KeyRing::new(vec![key], KeyIdFormat::Rfc7638, false).expect("a ring"))
        };
        let settings = Settings {
            issuer: "https://registry.example/token".to_owned(),
            services: vec![SERVICE.to_owned()],
            ttl: Duration::from_secs(MIN_TTL),
            api_ttl: Duration::from_secs(MIN_TTL),
        };
        let issuer = Issuer::new(ring(), settings.clone(), Clock::System).expect("an issuer");
        let token = issuer.issue(&grant(&caller(), &access())).expect("a token").token.expose().to_owned();
        // Its time does not run out while it is measured.
        Self { issuer, verifier: Verifier::new(ring(), settings, Clock::manual(now())), token }
    }
}

fn now() -> u64 {
    Clock::System.now()
}

/// Everybody has a rule of their own, and one that all share.
fn rules(count: usize) -> Rules {
    let rule = |line: usize, who: &str, repositories: &str| Rule {
        source: Source { file: "gateway.toml".into(), line },
        effect: Effect::Allow,
        who: vec![who.parse().expect("somebody")],
        except_who: Vec::new(),
        target: Target::Repositories {
            patterns: vec![repositories.parse().expect("a pattern")],
            except: Vec::new(),
            actions: [Action::Pull, Action::Push].into_iter().collect(),
        },
        from: Vec::new(),
        when: None,
    };
    let own = (1..count).map(|n| rule(n, &format!("user:user-{n}"), &format!("space-{n}/**")));
    Rules::new(own.chain([rule(count, "group:dev", "team/**")]).collect())
}

fn authorized(count: usize) -> Box<dyn FnMut()> {
    let (rules, caller, access) = (rules(count), caller(), access());
    Box::new(move || {
        let request = authz::Request {
            operation: operation(),
            caller: &caller,
            granted: Some(&access),
            service: SERVICE,
            client: None,
            mounts_allowed: true,
        };
        drop(black_box(authz::authorize(&rules, request)));
    })
}

fn identity_header() -> Box<dyn FnMut()> {
    let filter = Filter::compile("{identity: {user: {username: .subject}}}").expect("a filter");
    let name = HeaderName::from_static("x-authentication-service");
    let header = IdentityHeader::new(name, Arc::new(filter), ".identity.user.username", false, 8160).expect("a header");
    let caller = caller();
    Box::new(move || {
        let facts = RequestFacts {
            kind: Kind::Repository,
            repository: Some("team/app"),
            reference: Some("latest"),
            path: None,
            action: RequestAction::Pull,
            method: Some(&Method::GET),
        };
        drop(black_box(header.value(&Document::new(&caller, SERVICE, &facts))));
    })
}
