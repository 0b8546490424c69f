//! What went wrong elsewhere, and what an attacker would try: each refused for its own reason.

use aws_lc_rs::hmac;
use proptest::prelude::*;

use super::*;

/// A good token but for one header member.
fn with_header(gateway: &Gateway, name: &str, value: Value) -> Result<Verified, TokenError> {
    let (mut header, claims) = gateway.parts();
    header[name] = value;
    gateway.verify(&gateway.sign(&header, &claims))
}

/// A good token but for one claim.
fn with_claim(gateway: &Gateway, name: &str, value: Value) -> Result<Verified, TokenError> {
    let (header, mut claims) = gateway.parts();
    claims[name] = value;
    gateway.verify(&gateway.sign(&header, &claims))
}

fn without_claim(gateway: &Gateway, name: &str) -> Result<Verified, TokenError> {
    let (header, mut claims) = gateway.parts();
    claims.as_object_mut().unwrap().remove(name);
    gateway.verify(&gateway.sign(&header, &claims))
}

#[test]
fn the_forging_helper_makes_good_tokens_when_nothing_is_spoilt() {
    let gateway = es256();
    let (header, claims) = gateway.parts();
    assert!(gateway.verify(&gateway.sign(&header, &claims)).is_ok());
}

/// distribution CVE-2025-24976.
#[test]
fn keys_that_a_token_carries_refuse_it() {
    let gateway = es256();
    let foreign = generate(Algorithm::Es256);
    let chain = json!([base64::engine::general_purpose::STANDARD.encode(foreign.certificate_der().unwrap())]);
    for (name, value) in
        [("jwk", foreign.jwk()), ("jku", json!("https://example.com/jwks")), ("x5u", json!("https://example.com"))]
    {
        assert_eq!(with_header(&gateway, name, value), Err(TokenError::ForbiddenHeader(name)), "{name}");
    }
    for value in [chain.clone(), json!([]), json!(null), json!("x"), json!([1])] {
        assert_eq!(with_header(&gateway, "x5c", value), Err(TokenError::ForbiddenHeader("x5c")));
    }
    // Signed by the key that is carried, beside a kid of ours: the attack itself.
    let (mut header, claims) = gateway.parts();
    for (name, value) in [("jwk", foreign.jwk()), ("x5c", chain)] {
        header[name] = value;
        let message = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let token = format!("{message}.{}", encode(foreign.sign(message.as_bytes()).unwrap()));
        assert!(matches!(gateway.verify(&token), Err(TokenError::ForbiddenHeader(_))));
    }
    // Our own jwk is no better than a foreign one.
    assert!(with_header(&gateway, "jwk", gateway.ring.signing().key().jwk()).is_err());
    // A chain that merely begins with our certificate is not ours.
    let ours = &gateway.ring.signing().certificates()[0];
    assert!(with_header(&gateway, "x5c", json!([ours])).is_ok());
    assert_eq!(with_header(&gateway, "x5c", json!([ours, ours])), Err(TokenError::ForbiddenHeader("x5c")));
}

#[test]
fn critical_extensions_are_refused() {
    let gateway = es256();
    for value in [json!(["exp"]), json!(["unknown"]), json!([]), json!(null)] {
        assert_eq!(with_header(&gateway, "crit", value), Err(TokenError::ForbiddenHeader("crit")));
    }
    assert_eq!(with_header(&gateway, "b64", json!(false)), Err(TokenError::ForbiddenHeader("b64")));
}

#[test]
fn no_algorithm_but_the_keys_own() {
    let gateway = es256();
    let wrong = Err(TokenError::WrongAlgorithm(Algorithm::Es256));
    for alg in ["none", "None", "NONE", "HS256", "RS256", "EdDSA", "ES384", "es256", "ES256 ", ""] {
        assert_eq!(with_header(&gateway, "alg", json!(alg)), wrong, "{alg}");
        let (mut header, claims) = gateway.parts();
        header["alg"] = json!(alg);
        let unsigned = format!("{}.{}.", encode(header.to_string()), encode(claims.to_string()));
        assert_eq!(gateway.verify(&unsigned), wrong, "{alg}");
    }
    for alg in [json!(null), json!(["ES256"]), json!(1)] {
        assert_eq!(with_header(&gateway, "alg", alg), Err(TokenError::Header("alg")));
    }
}

#[test]
fn the_public_key_is_no_hmac_secret() {
    for algorithm in Algorithm::ALL {
        let gateway = Gateway::new(vec![generate(algorithm)], false);
        let public = gateway.ring.signing().key().public().clone();
        let secrets = [public.pem().into_bytes(), public.spki().to_vec(), public.jwk().to_string().into_bytes()];
        for (secret, alg) in secrets.iter().flat_map(|secret| [(secret, "HS256"), (secret, algorithm.as_str())]) {
            let (mut header, claims) = gateway.parts();
            header["alg"] = json!(alg);
            let message = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
            let expected =
                if alg == "HS256" { TokenError::WrongAlgorithm(algorithm) } else { TokenError::BadSignature };
            assert_eq!(gateway.verify(&format!("{message}.{}", encode(tag))), Err(expected));
        }
    }
}

#[test]
fn keys_of_one_ring_do_not_stand_in_for_each_other() {
    let gateway = Gateway::new(Algorithm::ALL.map(generate).into(), false);
    let (header, claims) = gateway.parts();
    for signer in gateway.ring.iter() {
        for named in gateway.ring.iter() {
            for alg in Algorithm::ALL {
                let mut header = header.clone();
                header["kid"] = json!(named.kid());
                header["alg"] = json!(alg.as_str());
                let message = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
                let token = format!("{message}.{}", encode(signer.key().sign(message.as_bytes()).unwrap()));
                let right = signer.kid() == named.kid() && alg == named.key().algorithm();
                assert_eq!(gateway.verify(&token).is_ok(), right);
            }
        }
    }
}

#[test]
fn the_key_must_be_named_and_known() {
    let gateway = es256();
    for kid in [json!("unknown"), json!(""), json!("../../dev/null")] {
        assert_eq!(with_header(&gateway, "kid", kid), Err(TokenError::UnknownKey));
    }
    for kid in [json!(null), json!(1), json!([gateway.ring.signing().kid()])] {
        assert_eq!(with_header(&gateway, "kid", kid), Err(TokenError::Header("kid")));
    }
    let (mut header, claims) = gateway.parts();
    header.as_object_mut().unwrap().remove("kid");
    assert_eq!(gateway.verify(&gateway.sign(&header, &claims)), Err(TokenError::Header("kid")));
    // Another gateway with another key of the same kind.
    assert_eq!(gateway.verify(&es256().token()), Err(TokenError::UnknownKey));
}

#[test]
fn the_type_is_jwt_or_not_said() {
    let gateway = es256();
    for typ in [json!("at+jwt"), json!("JWE"), json!(null), json!(["JWT"])] {
        assert_eq!(with_header(&gateway, "typ", typ), Err(TokenError::WrongType));
    }
    let (mut header, claims) = gateway.parts();
    header.as_object_mut().unwrap().remove("typ");
    assert!(gateway.verify(&gateway.sign(&header, &claims)).is_ok());
}

/// jsonwebtoken CVE-2026-25537.
#[test]
fn times_are_plain_integers() {
    let gateway = es256();
    for name in ["exp", "nbf", "iat"] {
        for value in
            [json!("1700000100"), json!(1_699_999_990.5), json!(null), json!(true), json!([NOW]), json!(-1), json!({})]
        {
            assert_eq!(with_claim(&gateway, name, value.clone()), Err(TokenError::BadClaim(name)), "{name} {value}");
        }
        assert_eq!(without_claim(&gateway, name), Err(TokenError::MissingClaim(name)));
    }
    assert_eq!(with_claim(&gateway, "exp", json!(NOW)), Err(TokenError::Expired { seconds: 0 }));
    assert_eq!(with_claim(&gateway, "exp", json!(0)), Err(TokenError::Expired { seconds: NOW }));
    assert_eq!(with_claim(&gateway, "nbf", json!(NOW + 1)), Err(TokenError::NotYetValid { seconds: 1 }));
    assert_eq!(with_claim(&gateway, "iat", json!(NOW + 1)), Err(TokenError::NotYetValid { seconds: 1 }));
    let distant = with_claim(&gateway, "nbf", json!(u64::MAX));
    assert_eq!(distant, Err(TokenError::NotYetValid { seconds: u64::MAX - NOW }));
}

#[test]
fn the_audience_is_one_string_and_exactly_ours() {
    let gateway = es256();
    for value in [json!([SERVICE]), json!([SERVICE, "x"]), json!([]), json!(null), json!({SERVICE: 1})] {
        assert_eq!(with_claim(&gateway, "aud", value), Err(TokenError::BadClaim("aud")));
    }
    for value in ["", "elsewhere", "registry.example.com", "REGISTRY.example.com:5000", "registry.example.com:5000/"] {
        assert_eq!(with_claim(&gateway, "aud", json!(value)), Err(TokenError::WrongAudience), "{value}");
    }
    assert_eq!(without_claim(&gateway, "aud"), Err(TokenError::MissingClaim("aud")));
    assert!(with_claim(&gateway, "aud", json!("other.example.com")).is_ok());
}

#[test]
fn the_issuer_is_exactly_ours() {
    let gateway = es256();
    for value in ["", "https://registry.example.com:5000/token/", "http://registry.example.com:5000/token"] {
        assert_eq!(with_claim(&gateway, "iss", json!(value)), Err(TokenError::WrongIssuer), "{value}");
    }
    assert_eq!(with_claim(&gateway, "iss", json!([ISSUER])), Err(TokenError::BadClaim("iss")));
    assert_eq!(without_claim(&gateway, "iss"), Err(TokenError::MissingClaim("iss")));
}

#[test]
fn the_caller_is_whole_or_refused() {
    let gateway = es256();
    assert_eq!(without_claim(&gateway, "tidegate"), Err(TokenError::NotForUs));
    for private in [
        json!(null),
        json!({}),
        json!({"kind": "registry", "groups": []}),
        json!({"kind": "admin", "groups": [], "authn": "users"}),
        json!({"kind": "api", "groups": [], "authn": "users"}),
        json!({"kind": "api", "scope": "api:read api:admin", "groups": [], "authn": "users"}),
        json!({"kind": "api", "scope": ["api:read"], "groups": [], "authn": "users"}),
        json!({"kind": "registry", "scope": "api:read", "groups": [], "authn": "users"}),
        json!({"kind": "registry", "groups": ["a\u{0}b"], "authn": "users"}),
        json!({"kind": "registry", "groups": null, "authn": "users"}),
        json!({"kind": "registry", "groups": [], "authn": "users", "only": "team/app"}),
    ] {
        assert_eq!(
            with_claim(&gateway, "tidegate", private.clone()),
            Err(TokenError::BadClaim("tidegate")),
            "{private}"
        );
    }
    for sub in [json!(""), json!("alice "), json!("a".repeat(256))] {
        assert_eq!(with_claim(&gateway, "sub", sub), Err(TokenError::BadClaim("sub")));
    }
    assert_eq!(with_claim(&gateway, "sub", json!(null)), Err(TokenError::BadClaim("sub")));
    assert_eq!(without_claim(&gateway, "sub"), Err(TokenError::MissingClaim("sub")));
    assert_eq!(without_claim(&gateway, "jti"), Err(TokenError::MissingClaim("jti")));
    // Nobody, in groups.
    let (header, mut claims) = gateway.parts();
    claims["sub"] = json!("");
    claims["tidegate"] = json!({"kind": "registry", "groups": ["ops"], "authn": null});
    assert_eq!(gateway.verify(&gateway.sign(&header, &claims)), Err(TokenError::BadClaim("tidegate")));
}

#[test]
fn access_is_merged_and_holds_only_what_we_issue() {
    let gateway = es256();
    let entry = |actions: Value| json!({"type": "repository", "name": "team/app", "actions": actions});
    let merged = with_claim(&gateway, "access", json!([entry(json!(["pull"])), entry(json!(["push", "pull"]))]));
    assert_eq!(merged.unwrap().access, push());
    for access in [
        json!(null),
        json!({}),
        json!([entry(json!(["*"]))]),
        json!([entry(json!("pull"))]),
        json!([{"type": "repository", "name": "../x", "actions": ["pull"]}]),
        json!([{"type": "repository(plugin)", "name": "x", "actions": ["pull"]}]),
        json!([{"type": "registry", "name": "catalog", "actions": ["pull"]}]),
        json!([{"type": "registry", "name": "other", "actions": ["*"]}]),
        json!([{"type": "repository", "name": "x"}]),
    ] {
        assert_eq!(with_claim(&gateway, "access", access.clone()), Err(TokenError::BadClaim("access")), "{access}");
    }
    assert_eq!(without_claim(&gateway, "access"), Err(TokenError::MissingClaim("access")));
}

#[test]
fn names_that_stand_twice_are_refused() {
    let gateway = es256();
    let (header, claims) = gateway.parts();
    let doubled = |value: &Value, member: &str| {
        let text = value.to_string();
        format!("{},{member}}}", text.strip_suffix('}').unwrap())
    };
    for member in [r#""alg":"ES256""#, r#""kid":"x""#, r#""typ":"JWT""#, r#""x":1,"x":1"#] {
        let token = gateway.sign(&doubled(&header, member), &claims);
        assert_eq!(gateway.verify(&token), Err(TokenError::Duplicate(Part::Header)), "{member}");
    }
    for member in [r#""sub":"admin""#, r#""exp":9999999999"#, r#""\u0061ud":"x""#, r#""x":{"y":1,"y":2}"#] {
        let token = gateway.sign(&header, &doubled(&claims, member));
        assert_eq!(gateway.verify(&token), Err(TokenError::Duplicate(Part::Payload)), "{member}");
    }
}

#[test]
fn parts_cannot_be_cut_swapped_or_left_out() {
    let gateway = es256();
    let token = gateway.token();
    let [header, payload, signature]: [&str; 3] = token.split('.').collect::<Vec<_>>().try_into().unwrap();
    let other = gateway.issue(&Caller::Anonymous, &AccessSet::default());
    let other_payload = other.token.expose().split('.').nth(1).unwrap();
    let bad = Err(TokenError::BadSignature);
    assert_eq!(gateway.verify(&format!("{header}.{other_payload}.{signature}")), bad);
    assert_eq!(gateway.verify(&format!("{header}.{payload}.")), bad);
    assert_eq!(gateway.verify(&format!("{header}.{payload}.{}", &signature[..signature.len() - 2])), bad);
    assert_eq!(gateway.verify(&format!("{header}.{payload}.{}", encode([0; 64]))), bad);
    assert_eq!(gateway.verify(&format!("{header}..{signature}")), bad);
    assert_eq!(gateway.verify(&format!("{header}.{payload}.{signature}AAAA")), bad);
    for text in ["", ".", "a", &format!("{header}.{payload}"), &format!("{token}."), &format!("{token}.x.y")] {
        assert_eq!(gateway.verify(text), Err(TokenError::NotThreeParts), "{text}");
    }
    assert_eq!(gateway.verify(&format!(".{payload}.{signature}")), Err(TokenError::Json(Part::Header)));
    assert_eq!(gateway.verify(&gateway.sign(&json!(null), &json!({}))), Err(TokenError::Json(Part::Header)));
}

#[test]
fn a_token_has_one_spelling() {
    let gateway = es256();
    let token = gateway.token();
    let [header, payload, signature]: [&str; 3] = token.split('.').collect::<Vec<_>>().try_into().unwrap();
    let refused = |text: &str, part| assert_eq!(gateway.verify(text), Err(TokenError::Encoding(part)), "{text}");
    refused(&format!(" {token}"), Part::Header);
    refused(&format!("{token}\n"), Part::Signature);
    refused(&format!("{token}=="), Part::Signature);
    refused(&format!("{header}=.{payload}.{signature}"), Part::Header);
    refused(&format!("{header}.{payload}.{} {}", &signature[..9], &signature[9..]), Part::Signature);
    refused(&format!("{header}.{payload}.{}", signature.replace(&signature[..1], "+")), Part::Signature);
    // 64 bytes leave four bits of the last letter unused; they must be zero.
    let (rest, last) = signature.split_at(signature.len() - 1);
    let twin = char::from(last.as_bytes()[0] + 1);
    refused(&format!("{header}.{payload}.{rest}{twin}"), Part::Signature);
}

#[test]
fn long_tokens_are_not_looked_at() {
    let gateway = es256();
    let (header, mut claims) = gateway.parts();
    claims["padding"] = json!("x".repeat(MAX_TOKEN));
    assert_eq!(gateway.verify(&gateway.sign(&header, &claims)), Err(TokenError::TooLong));
    assert_eq!(gateway.verify(&".".repeat(MAX_TOKEN + 1)), Err(TokenError::TooLong));
    let cache = Cache::new(1);
    let cached = gateway.verifier.verify_cached(&cache, &Latest::default(), &"x".repeat(MAX_TOKEN + 1), |_| ());
    assert_eq!(cached.unwrap_err(), TokenError::TooLong);
}

#[test]
fn reasons_fit_into_a_challenge() {
    for error in [
        TokenError::NotThreeParts,
        TokenError::Encoding(Part::Header),
        TokenError::Duplicate(Part::Payload),
        TokenError::ForbiddenHeader("x5c"),
        TokenError::WrongAlgorithm(Algorithm::EdDsa),
        TokenError::BadClaim("aud"),
        TokenError::Expired { seconds: 5 },
        TokenError::NotForUs,
    ] {
        let text = error.to_string();
        assert!(text.bytes().all(|b| matches!(b, 0x20..=0x7e) && b != b'"' && b != b'\\'), "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// No letter of a token can be changed.
    #[test]
    fn any_changed_byte_is_refused(position in any::<prop::sample::Index>(), replacement in "[ -~]") {
        let gateway = es256();
        let token = gateway.token();
        let at = position.index(token.len());
        prop_assume!(token[at..=at] != replacement);
        let changed = format!("{}{replacement}{}", &token[..at], &token[at + 1..]);
        prop_assert!(gateway.verify(&changed).is_err());
    }

    #[test]
    fn nonsense_is_refused_without_a_panic(text in ".{0,200}|[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}") {
        let gateway = es256();
        prop_assert!(gateway.verify(&text).is_err());
        prop_assert!(inspect(&gateway.verifier, &text).verdict.is_err());
    }
}
