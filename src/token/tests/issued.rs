//! What is issued, and that it comes back as it went out.

use jsonwebtoken::{DecodingKey, Validation};

use super::*;
use crate::token::{ApiScope, ApiScopes};

fn decoded(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[test]
fn each_algorithm_makes_the_round_trip() {
    for algorithm in Algorithm::ALL {
        let gateway = Gateway::new(vec![generate(algorithm)], false);
        let access = AccessSet::from_iter([
            scope("team/app", &[Action::Pull, Action::Push]),
            scope("other", &[Action::Delete]),
            catalog(),
        ]);
        let issued = gateway.issue(&alice(), &access);
        let verified = gateway.verify(issued.token.expose()).unwrap();
        assert_eq!(verified.caller, alice());
        assert_eq!(verified.access, access);
        assert_eq!(verified.kind, TokenKind::Registry);
        assert_eq!(verified.audience, SERVICE);
        assert_eq!(verified.jti, issued.jti);
        assert_eq!(verified.issued_at, NOW);
        assert_eq!(verified.exp, NOW + issued.expires_in);
    }
}

/// An independent implementation, given nothing but the JWKS.
#[test]
fn jsonwebtoken_verifies_each_algorithm_by_the_jwks() {
    for algorithm in Algorithm::ALL {
        let gateway = Gateway::new(vec![generate(algorithm)], false);
        let token = gateway.token();
        let jwks: jsonwebtoken::jwk::JwkSet = serde_json::from_value(gateway.ring.jwks()).unwrap();
        let header = jsonwebtoken::decode_header(&token).unwrap();
        let jwk = jwks.find(&header.kid.unwrap()).unwrap();
        let mut validation = Validation::new(algorithm.as_str().parse().unwrap());
        validation.set_audience(&[SERVICE]);
        validation.set_issuer(&[ISSUER]);
        validation.validate_exp = false; // it only knows the machine's clock
        let data = jsonwebtoken::decode::<Value>(&token, &DecodingKey::from_jwk(jwk).unwrap(), &validation).unwrap();
        assert_eq!(data.claims["sub"], "alice");
    }
}

#[test]
fn the_claims_are_as_registries_expect_them() {
    let gateway = es256();
    let (header, claims) = gateway.parts();
    assert_eq!(header, json!({"typ": "JWT", "alg": "ES256", "kid": gateway.ring.signing().kid()}));
    assert_eq!(
        claims,
        json!({
            "iss": ISSUER, "sub": "alice", "aud": SERVICE,
            "exp": NOW + 300, "nbf": NOW - EARLY, "iat": NOW - EARLY, "jti": claims["jti"],
            "access": [{"type": "repository", "name": "team/app", "actions": ["pull", "push"]}],
            "tidegate": {
                "kind": "registry", "groups": ["dev", "ops"], "authn": "users",
                "claims": {"ref": {"kind": "branch", "name": "main"}},
            },
        })
    );
    assert_eq!(URL_SAFE_NO_PAD.decode(claims["jti"].as_str().unwrap()).unwrap().len(), 16);
}

#[test]
fn anonymous_is_an_empty_sub_and_no_access_an_empty_list() {
    let gateway = es256();
    let issued = gateway.issue(&Caller::Anonymous, &AccessSet::default());
    let claims = decoded(issued.token.expose());
    assert_eq!(claims["sub"], "");
    assert_eq!(claims["access"], json!([]));
    let verified = gateway.verify(issued.token.expose()).unwrap();
    assert_eq!(verified.caller, Caller::Anonymous);
    assert!(verified.access.is_empty());
}

#[test]
fn the_catalog_is_the_only_star() {
    let gateway = es256();
    let all = AccessSet::from_iter([catalog(), scope("a", &Action::ALL)]);
    let claims = decoded(gateway.issue(&alice(), &all).token.expose());
    assert_eq!(
        claims["access"],
        json!([
            {"type": "registry", "name": "catalog", "actions": ["*"]},
            {"type": "repository", "name": "a", "actions": ["pull", "push", "delete"]},
        ])
    );
}

#[test]
fn the_kind_is_kept_apart() {
    let gateway = es256();
    let (caller, access) = (alice(), AccessSet::default());
    let issue = |kind| {
        let grant = Grant { caller: &caller, audience: SERVICE, kind, access: &access };
        gateway.issuer.issue(&grant).unwrap()
    };
    let scope = |issued: &Issued| decoded(issued.token.expose())["tidegate"].get("scope").cloned();
    let registry = issue(TokenKind::Registry);
    assert_eq!((scope(&registry), registry.expires_in), (None, 300));
    for (scopes, text) in [
        (ApiScopes::NONE, ""),
        (ApiScopes::ALL, "api:read api:write"),
        ([ApiScope::Read].into_iter().collect(), "api:read"),
        ([ApiScope::Write].into_iter().collect(), "api:write"),
    ] {
        let issued = issue(TokenKind::Api(scopes));
        assert_eq!(gateway.verify(issued.token.expose()).unwrap().kind, TokenKind::Api(scopes));
        assert_eq!((scope(&issued), issued.expires_in), (Some(text.into()), 120));
    }
}

#[test]
fn no_token_lives_less_than_a_minute() {
    let gateway = es256();
    let (ttl, api_ttl) = (Duration::from_secs(1), Duration::from_secs(2));
    let settings = Settings { issuer: ISSUER.into(), services: vec![SERVICE.into()], ttl, api_ttl };
    let hasty = Issuer::new(Arc::clone(&gateway.ring), settings, gateway.clock.clone()).unwrap();
    let (caller, access) = (alice(), push());
    for kind in [TokenKind::Registry, TokenKind::Api(ApiScopes::ALL)] {
        let issued = hasty.issue(&Grant { caller: &caller, audience: SERVICE, kind, access: &access }).unwrap();
        assert_eq!(issued.expires_in, 60);
        assert_eq!(decoded(issued.token.expose())["exp"], NOW + 60);
    }
}

#[test]
fn ids_differ() {
    let gateway = es256();
    assert_ne!(gateway.issue(&alice(), &push()).jti, gateway.issue(&alice(), &push()).jti);
}

#[test]
fn a_token_that_would_be_refused_for_its_length_is_not_issued() {
    let gateway = es256();
    let groups = (0..2000).map(|n| GroupName::parse(&format!("group-{n}")).unwrap()).collect();
    let caller = Caller::Known(Arc::new(Subject::new(UserName::parse("bob").unwrap(), groups, "users".into())));
    let access = push();
    let grant = Grant { caller: &caller, audience: SERVICE, kind: TokenKind::Registry, access: &access };
    assert!(matches!(gateway.issuer.issue(&grant), Err(IssueError::TooLong(_))));
}

#[test]
fn a_minted_token_tells_the_upstream_what_it_needs_and_is_no_credential_here() {
    let gateway = es256();
    let minted = gateway.issuer.mint(&alice(), SERVICE, &push()).unwrap();
    let claims = decoded(minted.expose());
    assert_eq!(claims["aud"], SERVICE);
    assert_eq!(claims["sub"], "alice");
    assert_eq!(claims["exp"], NOW + 60);
    assert_eq!(claims["access"][0]["name"], "team/app");
    assert!(claims.get("tidegate").is_none());
    assert_eq!(gateway.verify(minted.expose()), Err(TokenError::NotForUs));
}

#[test]
fn old_keys_verify_while_the_first_signs() {
    let pems: Vec<_> = Algorithm::ALL.map(|algorithm| generate(algorithm).to_pem().unwrap()).into();
    let keys = |order: &[usize]| order.iter().map(|n| SigningKey::from_pem(pems[*n].expose()).unwrap()).collect();
    let before = Gateway::new(keys(&[0]), false);
    let during = Gateway::new(keys(&[1, 0]), false);
    let after = Gateway::new(keys(&[2, 1]), false);
    assert!(during.verify(&before.token()).is_ok());
    assert!(during.verify(&during.token()).is_ok());
    assert!(after.verify(&during.token()).is_ok());
    assert_eq!(after.verify(&before.token()), Err(TokenError::UnknownKey));
}

#[test]
fn tokens_carry_the_stored_certificate_when_asked_to() {
    let pem = generate(Algorithm::Es256).to_pem().unwrap();
    let key = || SigningKey::from_pem(pem.expose()).unwrap();
    let with = Gateway::new(vec![key()], true);
    let without = Gateway::new(vec![key()], false);
    assert_eq!(with.parts().0["x5c"], with.ring.jwks()["keys"][0]["x5c"]);
    assert!(with.verify(&with.token()).is_ok());
    assert!(without.verify(&with.token()).is_ok(), "turning x5c off does not end live tokens");
    assert!(with.verify(&without.token()).is_ok());
}

#[test]
fn time_has_no_leeway() {
    let gateway = es256();
    let token = gateway.token();
    let at = |seconds| {
        gateway.clock.set(seconds);
        gateway.verify(&token).map(|_| ())
    };
    assert_eq!(at(NOW - EARLY - 1), Err(TokenError::NotYetValid { seconds: 1 }));
    assert_eq!(at(NOW - EARLY), Ok(()));
    assert_eq!(at(NOW + 299), Ok(()));
    assert_eq!(at(NOW + 300), Err(TokenError::Expired { seconds: 0 }));
    assert_eq!(at(NOW + 301), Err(TokenError::Expired { seconds: 1 }));
}

#[test]
fn a_remembered_token_is_verified_once_and_expires_on_time() {
    let gateway = es256();
    let cache = Cache::new(10);
    let token = gateway.token();
    let mut made = 0;
    for _ in 0..3 {
        let entry = gateway.verifier.verify_cached(&cache, &Latest::default(), &token, |verified| {
            made += 1;
            verified.jti.clone()
        });
        assert_eq!(entry.unwrap().state, gateway.verify(&token).unwrap().jti);
    }
    assert_eq!(made, 1);
    gateway.clock.set(NOW + 300);
    let late = gateway.verifier.verify_cached(&cache, &Latest::default(), &token, |_| String::new());
    assert_eq!(late.unwrap_err(), TokenError::Expired { seconds: 0 });
    assert!(cache.is_empty());
}

#[test]
fn a_connection_remembers_the_last_token_of_the_same_cache_as_long_as_it_is_good() {
    let gateway = es256();
    let (cache, other, latest) = (Cache::new(10), Cache::new(10), Latest::default());
    let (token, second) = (gateway.token(), gateway.token());
    let known = |cache: &Cache<()>, token: &str| gateway.verifier.recall(cache, &latest, token).is_some();
    assert!(!known(&cache, &token), "nobody has verified it yet");
    for token in [&token, &second] {
        gateway.verifier.verify_cached(&cache, &latest, token, |_| ()).unwrap();
        assert!(known(&cache, token));
    }
    cache.remove(&TokenHash::of(&token));
    cache.remove(&TokenHash::of(&second));
    assert!(known(&cache, &second), "the connection remembers it");
    assert!(!known(&cache, &token), "only the last one");
    assert!(!known(&other, &second), "after a reload it counts no more");
    gateway.clock.set(NOW + 300);
    assert!(!known(&cache, &second), "its time is over");
}

#[test]
fn the_cache_is_bounded_and_keeps_no_refused_token() {
    let gateway = es256();
    let cache = Cache::new(4);
    for _ in 0..50 {
        gateway.verifier.verify_cached(&cache, &Latest::default(), &gateway.token(), |_| ()).unwrap();
    }
    assert!((1..=4).contains(&cache.len()), "{}", cache.len());
    let none = Cache::new(0);
    assert!(gateway.verifier.verify_cached(&none, &Latest::default(), &gateway.token(), |_| ()).is_ok());
    assert!(none.is_empty());
    let cache = Cache::new(4);
    assert!(gateway.verifier.verify_cached(&cache, &Latest::default(), "a.b.c", |_| ()).is_err());
    assert!(cache.is_empty());
}

#[test]
fn inspection_says_what_verification_says() {
    let gateway = es256();
    let good = inspect(&gateway.verifier, &gateway.token());
    assert_eq!(
        good.to_string(),
        "accepted: user alice, from users, for registry.example.com:5000, repository:team/app:pull,push"
    );
    let (header, mut claims) = gateway.parts();
    claims["aud"] = json!("elsewhere");
    let bad = inspect(&gateway.verifier, &gateway.sign(&header, &claims));
    assert_eq!(bad.claims.as_ref(), Some(&claims));
    assert_eq!(bad.header.as_ref(), Some(&header));
    let text = bad.to_string();
    assert!(text.starts_with("refused: the token is for another audience\nhint: aud is \"elsewhere\""), "{text}");
    let nonsense = inspect(&gateway.verifier, "nonsense");
    assert_eq!((nonsense.header, nonsense.claims), (None, None));
    assert_eq!(nonsense.verdict, Err(TokenError::NotThreeParts));
}
