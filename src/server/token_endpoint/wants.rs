//! What a token request asks for: access to repositories, or scopes of the API; never both in one token.

use super::form::single;
use crate::registry::query::Query;
use crate::registry::{AccessSet, scope};
use crate::server::failure::TokenRequestError;
use crate::token::{ApiScope, ApiScopes};

const MIXED: TokenRequestError =
    TokenRequestError::InvalidScope("scopes of the API and of the registry do not go into one token");
const NONE_LEFT: TokenRequestError =
    TokenRequestError::InvalidScope("no known scope of the API is asked for; there are api:read and api:write");

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wants {
    /// A token for registry routes; what is asked for may be nothing.
    Registry(AccessSet),
    /// A token for API routes; never for nothing.
    Api(ApiScopes),
}

impl Wants {
    /// What a user asks for: scopes of the registry, unless some are of the API. What is neither is left out.
    pub(super) fn of_user(query: &Query, max: usize) -> Result<Self, TokenRequestError> {
        let requested = scope::parse_requested(query.get_all("scope"), max).access;
        let api = known(words(query, "scope", &[' ']), max);
        match (api.is_empty(), requested.is_empty()) {
            (true, _) => Ok(Self::Registry(requested)),
            (false, true) => Ok(Self::Api(api)),
            (false, false) => Err(MIXED),
        }
    }

    /// What an OAuth2 client asks for: scopes of the API, all of them where it names none. pulp-cli sends `scopes` instead of
    /// `scope`, and in it whatever the OpenAPI document lists, so what is unknown is left out.
    pub(super) fn of_client(query: &Query, max: usize) -> Result<Self, TokenRequestError> {
        single(query, "scope")?;
        single(query, "scopes")?;
        let asked = || words(query, "scope", &[' ']).chain(words(query, "scopes", &[' ', '+']));
        if asked().next().is_none() {
            return Ok(Self::Api(ApiScopes::ALL));
        }
        let api = known(asked(), max);
        match (api.is_empty(), scope::parse_requested(asked(), max).access.is_empty()) {
            (true, _) => Err(NONE_LEFT),
            (false, false) => Err(MIXED),
            (false, true) => Ok(Self::Api(api)),
        }
    }
}

fn words<'a>(
    query: &'a Query,
    name: &'a str,
    separators: &'static [char],
) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
    let values: Vec<&str> = query.get_all(name).collect();
    values.into_iter().flat_map(move |value| value.split(separators)).filter(|word| !word.is_empty())
}

fn known<'a>(words: impl Iterator<Item = &'a str>, max: usize) -> ApiScopes {
    words.take(max).filter_map(|word| word.parse::<ApiScope>().ok()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{MIXED, NONE_LEFT, Wants};
    use crate::registry::query::Query;
    use crate::server::failure::TokenRequestError;

    fn said(wants: Result<Wants, TokenRequestError>) -> String {
        match wants {
            Ok(Wants::Api(scopes)) => scopes.to_string(),
            Ok(Wants::Registry(access)) => access.iter().map(|scope| scope.to_string()).collect(),
            Err(error) if error == MIXED => "mixed".to_owned(),
            Err(error) if error == NONE_LEFT => "none".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    fn client(form: &str) -> String {
        said(Wants::of_client(&Query::parse_form(form).unwrap(), 10))
    }

    fn user(form: &str) -> String {
        said(Wants::of_user(&Query::parse_form(form).unwrap(), 10))
    }

    #[test]
    fn a_client_asks_for_scopes_of_the_api() {
        for form in ["", "scope=", "scopes=", "scope=+", "scope=api:write+api:read", "scopes=api:read+api:write"] {
            assert_eq!(client(form), "api:read api:write", "{form}");
        }
        for form in ["scope=api:read", "scopes=api%3Aread", "scopes=api:read%2Bpulp:all", "scope=read+api:read"] {
            assert_eq!(client(form), "api:read", "{form}");
        }
        assert_eq!(client("scope=api:read&scopes=api:write%2Bx"), "api:read api:write");
        // In `scope` a plus that is escaped is a part of the name.
        assert_eq!(client("scope=api:read%2Bapi:write"), "none");
        for form in ["scope=admin", "scopes=a+b", "scope=repository:x:pull", "scope=API:READ"] {
            assert_eq!(client(form), "none", "{form}");
        }
        assert_eq!(client("scope=api:read+repository:x:pull"), "mixed");
        assert_eq!(client("scope=api:read+registry:catalog:*"), "mixed");
        assert!(client("scope=api:read&scope=api:write").contains("repeated"));
    }

    #[test]
    fn a_user_asks_for_either_kind() {
        assert_eq!(user("scope=api:read&scope=api:write"), "api:read api:write");
        assert_eq!(user("scope=api:write+unknown"), "api:write");
        assert_eq!(user("scopes=api:write"), "");
        assert_eq!(user("scope=repository:x:pull"), "repository:x:pull");
        assert_eq!(user("scope=repository:x:pull&scope=api:read"), "mixed");
        // What grants nothing is no reason to refuse.
        assert_eq!(user("scope=api:fly+repository:X:pull"), "");
        assert_eq!(user("scope=repository:X:pull+api:read"), "api:read");
    }

    #[test]
    fn the_number_of_scopes_is_bounded() {
        assert_eq!(client(&format!("scope={}api:read", "x+".repeat(9))), "api:read");
        assert_eq!(client(&format!("scope={}api:read", "x+".repeat(10))), "none");
    }

    proptest! {
        #[test]
        fn the_order_of_scopes_means_nothing(words in prop::collection::vec("api:read|api:write|x|repository:a:pull", 0..5)) {
            let turned: Vec<_> = words.iter().rev().cloned().collect();
            for read in [client, user] {
                prop_assert_eq!(read(&format!("scope={}", words.join("+"))), read(&format!("scope={}", turned.join("+"))));
            }
        }
    }
}
