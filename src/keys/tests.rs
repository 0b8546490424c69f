//! The fixtures were written by openssl and protect nothing.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

const EC_SEC1: &str = include_str!("fixtures/ec-sec1.pem");
const EC_PKCS8: &str = include_str!("fixtures/ec-pkcs8.pem");
const EC_CERTIFICATE: &str = include_str!("fixtures/ec-certificate.pem");
const EC_P384: &str = include_str!("fixtures/ec-p384-sec1.pem");
const EC_ENCRYPTED: &str = include_str!("fixtures/ec-encrypted.pem");
const ED25519: &str = include_str!("fixtures/ed25519-pkcs8.pem");
const RSA_PKCS1: &str = include_str!("fixtures/rsa-pkcs1.pem");
const RSA_PKCS8: &str = include_str!("fixtures/rsa-pkcs8.pem");
const RSA_1024: &str = include_str!("fixtures/rsa-1024-pkcs1.pem");

fn key(pem: &str) -> SigningKey {
    SigningKey::from_pem(pem).unwrap()
}

fn thumbprint(key: &SigningKey) -> String {
    key.kid(KeyIdFormat::Rfc7638)
}

#[test]
fn each_pem_form_gives_its_algorithm() {
    for (pem, algorithm) in [
        (EC_SEC1, Algorithm::Es256),
        (EC_PKCS8, Algorithm::Es256),
        (ED25519, Algorithm::EdDsa),
        (RSA_PKCS1, Algorithm::Rs256),
        (RSA_PKCS8, Algorithm::Rs256),
    ] {
        assert_eq!(key(pem).algorithm(), algorithm);
    }
    assert_eq!(thumbprint(&key(EC_SEC1)), thumbprint(&key(EC_PKCS8)));
    assert_eq!(thumbprint(&key(RSA_PKCS1)), thumbprint(&key(RSA_PKCS8)));
}

#[test]
fn unfit_files_are_refused_with_the_reason() {
    let refusal = |pem: &str| SigningKey::from_pem(pem).unwrap_err();
    assert!(matches!(refusal(RSA_1024), KeyError::Rsa(_)));
    assert!(matches!(refusal(EC_P384), KeyError::Ec(_)));
    assert_eq!(refusal(EC_ENCRYPTED), KeyError::Encrypted);
    assert_eq!(refusal(""), KeyError::NoKey);
    assert_eq!(refusal(EC_CERTIFICATE), KeyError::NoKey);
    assert_eq!(refusal(&format!("{EC_SEC1}{ED25519}")), KeyError::SeveralKeys);
    assert_eq!(refusal("-----BEGIN PRIVATE KEY-----\n*\n-----END PRIVATE KEY-----\n"), KeyError::Pem);
    assert_eq!(refusal("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), KeyError::UnknownType);
}

#[test]
fn a_certificate_must_belong_to_the_key() {
    assert_eq!(key(&format!("{EC_SEC1}{EC_CERTIFICATE}")).certificates().len(), 1);
    assert_eq!(key(&format!("{EC_CERTIFICATE}{EC_PKCS8}")).certificates().len(), 1);
    let foreign = SigningKey::from_pem(&format!("{ED25519}{EC_CERTIFICATE}")).unwrap_err();
    assert_eq!(foreign, KeyError::CertificateOfAnotherKey);
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(SigningKey::from_pem(&format!("{ED25519}{broken}")), Err(KeyError::Certificate(_))));
}

#[test]
fn a_key_survives_its_own_pem() {
    for algorithm in Algorithm::ALL {
        let made = SigningKey::generate(algorithm).unwrap();
        let read = key(made.to_pem().unwrap().expose());
        assert_eq!(read.algorithm(), algorithm);
        assert_eq!(thumbprint(&read), thumbprint(&made));
        assert_eq!(read.certificates(), made.certificates());
        let signature = read.sign(b"message").unwrap();
        assert!(made.public().verifies(b"message", &signature));
        assert!(!made.public().verifies(b"massage", &signature));
    }
}

#[test]
fn a_key_without_certificate_gets_one_of_its_own() {
    for pem in [EC_SEC1, ED25519, RSA_PKCS1] {
        let bare = key(pem);
        assert!(bare.certificates().is_empty());
        let with = key(&format!("{pem}{}", bare.certificate_pem().unwrap()));
        assert_eq!(with.certificate_der().unwrap(), with.certificates()[0]);
    }
}

#[test]
fn debug_shows_nothing_private() {
    let shown = format!("{:?}", key(EC_PKCS8));
    assert!(shown.contains("Es256"), "{shown}");
    let private = EC_PKCS8.lines().nth(1).unwrap();
    assert!(!shown.contains(&private[..20]), "{shown}");
}

#[test]
fn the_jwks_holds_public_members_only() {
    let keys = vec![key(EC_SEC1), key(ED25519), key(RSA_PKCS1)];
    let ring = KeyRing::new(keys, KeyIdFormat::Rfc7638, false).unwrap();
    let jwks = ring.jwks();
    let public = HashSet::from(["kty", "crv", "x", "y", "n", "e", "kid", "alg", "use"]);
    for (jwk, algorithm) in jwks["keys"].as_array().unwrap().iter().zip(Algorithm::ALL) {
        let jwk = jwk.as_object().unwrap();
        assert!(jwk.keys().all(|name| public.contains(name.as_str())), "{jwk:?}");
        assert_eq!(jwk["alg"], algorithm.as_str());
        assert_eq!(jwk["use"], "sig");
        assert_eq!(ring.by_kid(jwk["kid"].as_str().unwrap()).unwrap().key().algorithm(), algorithm);
    }
}

#[test]
fn ids_follow_the_format() {
    let ring = KeyRing::new(vec![key(EC_SEC1)], KeyIdFormat::Libtrust, false).unwrap();
    let kid = ring.signing().kid();
    assert_eq!(kid.split(':').map(str::len).collect::<Vec<_>>(), [4; 12]);
    assert!(ring.by_kid(&thumbprint(&key(EC_SEC1))).is_none());
}

#[test]
fn a_ring_verifies_what_its_keys_have_signed_and_nothing_else() {
    let ring = KeyRing::new(vec![key(EC_SEC1), key(ED25519)], KeyIdFormat::Rfc7638, false).unwrap();
    let [first, second] = ring.iter().collect::<Vec<_>>()[..] else { panic!("there are two") };
    let (here, elsewhere) = (ring.sign(b"m").unwrap(), first.key().sign(b"m").unwrap());
    assert!(ring.verifies(first, b"m", &here) && ring.verifies(first, b"m", &elsewhere));
    assert!(!ring.verifies(second, b"m", &here), "that key has not signed it");
    assert!(!ring.verifies(first, b"n", &here) && !ring.verifies(first, b"n", &elsewhere));
    let of_second = second.key().sign(b"m").unwrap();
    assert!(ring.verifies(second, b"m", &of_second) && !ring.verifies(first, b"m", &of_second));
}

#[test]
fn a_ring_needs_distinct_keys_and_for_x5c_a_stored_certificate() {
    let ring = |keys, x5c| KeyRing::new(keys, KeyIdFormat::Rfc7638, x5c);
    assert_eq!(ring(vec![], false).unwrap_err(), RingError::Empty);
    assert!(matches!(ring(vec![key(EC_SEC1), key(EC_PKCS8)], false), Err(RingError::Twice { .. })));
    let refusal = ring(vec![key(EC_SEC1)], true).unwrap_err();
    assert!(refusal.to_string().contains("bundle"), "{refusal}");
    let ring = ring(vec![key(&format!("{EC_SEC1}{EC_CERTIFICATE}")), key(ED25519)], true).unwrap();
    let body: String = EC_CERTIFICATE.lines().filter(|line| !line.starts_with('-')).collect();
    assert_eq!(ring.jwks()["keys"][0]["x5c"], serde_json::json!([body]));
    assert!(ring.jwks()["keys"][1].get("x5c").is_none());
}

#[test]
fn the_generated_key_is_private_and_stays() {
    let parent = tempfile::tempdir().unwrap();
    let state = parent.path().join("state");
    let first = load_or_generate(&state).unwrap();
    assert!(first.generated);
    assert_eq!(first.exposed, None);
    assert_eq!(fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(&first.path).unwrap().permissions().mode() & 0o777, 0o600);
    let second = load_or_generate(&state).unwrap();
    assert!(!second.generated);
    assert_eq!(thumbprint(&first.key), thumbprint(&second.key));
    assert_eq!(first.key.certificates(), second.key.certificates());
}

#[test]
fn starters_at_once_agree_on_one_key() {
    let parent = tempfile::tempdir().unwrap();
    let state = parent.path().join("state");
    let keys: Vec<_> = std::thread::scope(|scope| {
        let starters: Vec<_> = (0..8).map(|_| scope.spawn(|| load_or_generate(&state).unwrap())).collect();
        starters.into_iter().map(|starter| starter.join().unwrap()).collect()
    });
    assert_eq!(keys.iter().filter(|loaded| loaded.generated).count(), 1);
    assert_eq!(keys.iter().map(|loaded| thumbprint(&loaded.key)).collect::<HashSet<_>>().len(), 1);
    assert!(!state.join("signing-key.new").exists());
}

#[test]
fn a_half_written_leftover_is_in_nobodys_way() {
    let state = tempfile::tempdir().unwrap();
    fs::write(state.path().join("signing-key.new"), "-----BEGIN PRI").unwrap();
    assert!(load_or_generate(state.path()).unwrap().generated);
}

#[test]
fn a_broken_key_file_is_an_error_and_is_never_replaced() {
    let state = tempfile::tempdir().unwrap();
    let path = state.path().join(SIGNING_KEY_FILE);
    fs::write(&path, "nothing").unwrap();
    assert!(matches!(load_or_generate(state.path()), Err(KeyFileError::Key { source: KeyError::NoKey, .. })));
    assert_eq!(fs::read_to_string(&path).unwrap(), "nothing");
}

#[test]
fn a_key_that_others_can_read_is_reported() {
    let state = tempfile::tempdir().unwrap();
    let path = load_or_generate(state.path()).unwrap().path;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(load_file(&path).unwrap().exposed, Some(0o640));
}

#[test]
fn an_existing_file_is_not_overwritten() {
    let state = tempfile::tempdir().unwrap();
    let path = state.path().join("key.pem");
    write_new(&path, &key(ED25519)).unwrap();
    assert!(write_new(&path, &key(EC_SEC1)).is_err());
    assert_eq!(load_file(&path).unwrap().key.algorithm(), Algorithm::EdDsa);
}

#[test]
fn a_derived_secret_follows_from_the_private_half_alone() {
    let tag = |pem: &str, purpose: &[u8]| {
        aws_lc_rs::hmac::sign(&key(pem).derive(purpose).unwrap(), b"message").as_ref().to_vec()
    };
    // However the file holds it, and with whatever certificates.
    assert_eq!(tag(EC_SEC1, b"a"), tag(EC_PKCS8, b"a"));
    assert_eq!(tag(RSA_PKCS1, b"a"), tag(RSA_PKCS8, b"a"));
    let tags: HashSet<_> =
        [EC_SEC1, ED25519, RSA_PKCS8].iter().flat_map(|pem| [tag(pem, b"a"), tag(pem, b"b"), tag(pem, b"")]).collect();
    assert_eq!(tags.len(), 9, "each key and purpose has a secret of its own");
}
