//! What filters may call: a list of definitions and natives. What is not here does not exist for a filter.

use jaq_core::data::JustLut;
use jaq_core::load::{Arena, File, Loader};
use jaq_core::native::Fun;
use jaq_json::Val;

use super::CompileError;

/// A linked program.
pub(super) type Program = jaq_core::Filter<JustLut<Val>>;

/// Functions of filters, written in jq over [`NATIVES`]. `reduce` is for these definitions alone.
const DEFINITIONS: &str = r#"
def true: 0 == 0;
def false: 0 != 0;
def null: [][0];
def empty: {}[] as $x | .;
def error: error_empty as $x | .;
def error(message): (message | error_empty) as $x | .;
def not: if . then false else true end;
def select(f): if f then . else empty end;
def values: select(. != null);
def tostring: "\(.)";
def map(f): [.[] | f];
def isempty(g): first((g | false), true);
def any(g; f): isempty(g | f or empty) | not;
def all(g; f): isempty(g | f and empty);
def any(f): any(.[]; f);
def all(f): all(.[]; f);
def any: any(.[]; .);
def all: all(.[]; .);
def IN(g): . as $x | any(g; . == $x);
def IN(g; h): any(g == h; .);
def first: .[0];
def last: .[-1];
def keys: keys_unsorted | sort;
def inside(xs): . as $x | xs | contains($x);
def split($by): . / $by;
def join($by): reduce .[] as $x (null; (if . == null then "" else . + $by end) + ($x | if . == null then "" else tostring end)) // "";
def add: reduce .[] as $x (null; . + $x);
def type:
    if . == null then "null"
  elif . == true or . == false then "boolean"
  elif . < "" then "number"
  elif . < [] then "string"
  elif . < {} then "array"
  else "object" end;
def to_entries: [key_values[] as [$key, $value] | {$key, $value}];
def from_entries: reduce (.[] | {(.key): .value}) as $x ({}; . + $x);
def with_entries(f): to_entries | map(f) | from_entries;
def unique: [group_by(.)[] | .[0]];
def @text: "\(.)";
def @json: tojson;
def @uri: tostring | encode_uri;
def @base64: tostring | encode_base64;
"#;

/// Functions that jaq brings; `_empty` and the like are steps of definitions and not in [`ALLOWED`].
const NATIVES: [&str; 24] = [
    "ascii_downcase",
    "ascii_upcase",
    "contains",
    "encode_base64",
    "encode_uri",
    "endswith",
    "error_empty",
    "first",
    "group_by",
    "has",
    "key_values",
    "keys_unsorted",
    "last",
    "length",
    "ltrim",
    "ltrimstr",
    "reverse",
    "rtrim",
    "rtrimstr",
    "sort",
    "startswith",
    "tojson",
    "trim",
    "utf8bytelength",
];

/// Names and numbers of arguments that a filter may write.
const ALLOWED: [(&str, &[usize]); 48] = [
    ("IN", &[1, 2]),
    ("add", &[0]),
    ("all", &[0, 1, 2]),
    ("any", &[0, 1, 2]),
    ("ascii_downcase", &[0]),
    ("ascii_upcase", &[0]),
    ("contains", &[1]),
    ("empty", &[0]),
    ("endswith", &[1]),
    ("error", &[0, 1]),
    ("false", &[0]),
    ("first", &[0, 1]),
    ("from_entries", &[0]),
    ("has", &[1]),
    ("inside", &[1]),
    ("isempty", &[1]),
    ("join", &[1]),
    ("keys", &[0]),
    ("last", &[0, 1]),
    ("length", &[0]),
    ("ltrim", &[0]),
    ("ltrimstr", &[1]),
    ("map", &[1]),
    ("not", &[0]),
    ("null", &[0]),
    ("reverse", &[0]),
    ("rtrim", &[0]),
    ("rtrimstr", &[1]),
    ("select", &[1]),
    ("sort", &[0]),
    ("split", &[1]),
    ("startswith", &[1]),
    ("to_entries", &[0]),
    ("tojson", &[0]),
    ("tostring", &[0]),
    ("trim", &[0]),
    ("true", &[0]),
    ("type", &[0]),
    ("unique", &[0]),
    ("utf8bytelength", &[0]),
    ("values", &[0]),
    ("with_entries", &[1]),
    ("@base64", &[0]),
    ("@json", &[0]),
    ("@text", &[0]),
    ("@uri", &[0]),
    ("keys_unsorted", &[0]),
    ("group_by", &[1]),
];

/// Why a call is refused; `None` when it is allowed.
pub(super) fn refusal(name: &str, arguments: usize) -> Option<String> {
    if let Some((_, counts)) = ALLOWED.iter().find(|(allowed, _)| *allowed == name) {
        if counts.contains(&arguments) {
            return None;
        }
        let counts: Vec<_> = counts.iter().map(usize::to_string).collect();
        return Some(format!("`{name}` takes {} arguments here, not {arguments}", counts.join(" or ")));
    }
    let why = match name {
        "test" | "match" | "capture" | "scan" | "sub" | "gsub" | "splits" => {
            "regular expressions are not available to filters; use startswith, endswith, contains, split or IN"
        }
        "env" | "input" | "inputs" | "debug" | "stderr" | "halt" | "halt_error" | "input_filename" => {
            "filters see the document alone, and cannot touch the process"
        }
        "now" | "mktime" | "gmtime" | "localtime" | "strftime" | "strflocaltime" | "strptime" | "todate"
        | "fromdate" | "todateiso8601" | "fromdateiso8601" | "dateadd" | "date" => {
            "the answer must not depend on the clock; `exp` of the token bounds it already"
        }
        "range" | "repeat" | "recurse" | "while" | "until" | "limit" | "skip" | "combinations" | "walk" | "nth"
        | "flatten" | "paths" | "getpath" | "setpath" | "path" => {
            "filters must not repeat or recurse without a bound; use map, any, all, first or select"
        }
        "fromjson" | "tonumber" | "toboolean" => "the document's values have their types already; compare them as text",
        _ if name.starts_with('@') => "of the formats, @base64, @json, @text and @uri are available",
        _ => "it is not among the functions that filters may use",
    };
    Some(format!("`{name}` is refused: {why}"))
}

/// Links a text that was parsed and checked already with the definitions above.
pub(super) fn link(text: &str) -> Result<Program, CompileError> {
    let broken = || CompileError::at(text, text, "the filter could not be compiled");
    let definitions = jaq_core::load::parse(DEFINITIONS, |parser| parser.defs()).ok_or_else(broken)?;
    let natives = jaq_core::funs::<JustLut<Val>>().chain(jaq_std::funs()).chain(jaq_json::funs());
    let natives = natives.filter(|(name, ..): &Fun<JustLut<Val>>| NATIVES.contains(name));
    let arena = Arena::default();
    let modules = Loader::new(definitions).load(&arena, File { code: text, path: () }).map_err(|_| broken())?;
    jaq_core::Compiler::default().with_funs(natives).compile(modules).map_err(|errors| {
        let undefined = errors.into_iter().flat_map(|(_, undefined)| undefined).next();
        undefined.map_or_else(broken, |(name, kind)| {
            CompileError::at(text, name, format!("there is no {} `{name}`", kind.as_str()))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::{ALLOWED, link};

    #[test]
    fn all_that_is_allowed_is_defined() {
        for (name, counts) in ALLOWED {
            for count in counts {
                let arguments = vec!["."; *count].join(";");
                let call = if *count == 0 { name.to_owned() } else { format!("{name}({arguments})") };
                assert!(link(&call).is_ok(), "{call}");
            }
        }
    }

    #[test]
    fn the_guide_lists_what_is_allowed() {
        let guide = include_str!("../../docs/rules.md");
        let (_, list) = guide.split_once("and these functions:\n\n`").unwrap();
        let (list, _) = list.split_once('`').unwrap();
        let mut listed: Vec<_> = list.split_whitespace().collect();
        let mut allowed: Vec<_> = ALLOWED.iter().map(|(name, _)| *name).collect();
        listed.sort_unstable();
        allowed.sort_unstable();
        assert_eq!(listed, allowed);
    }
}
