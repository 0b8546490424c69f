//! `tidegate hash-password`: a password in, a hash for `[users]` or an htpasswd file out.

use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::process::ExitCode;

use zeroize::Zeroizing;

use crate::authn::PasswordHash;
use crate::secret::Secret;
use crate::subject::UserName;

/// The longest password that is read, in bytes.
const LONGEST: u64 = 4096;

/// Hash a password for `[users]` or an htpasswd file
///
/// On a terminal the password is asked for twice and not shown. Otherwise one line is read from standard input. The hash
/// is the only thing on standard output: an argon2id PHC string (19 MiB, 2 passes, about 25 ms for each log-in) for
/// `password_hash = "…"`.
///
/// Exit codes: 0 done; 1 there is no usable password; 2 wrong arguments.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct HashPassword {
    /// Make a bcrypt hash, as other readers of htpasswd files need it (passwords of at most 71 bytes)
    #[arg(long)]
    bcrypt: bool,

    /// Print a whole htpasswd line for this user
    #[arg(long, value_name = "NAME", value_parser = user)]
    user: Option<UserName>,
}

/// A name that can stand in an htpasswd file.
fn user(text: &str) -> Result<UserName, String> {
    let name = UserName::parse(text).map_err(|error| error.to_string())?;
    if text.contains(':') || text.starts_with('#') {
        return Err("in an htpasswd file a name must not hold a colon or begin with `#`".to_owned());
    }
    Ok(name)
}

/// Runs the command over the process's own input and output.
pub fn run(args: &HashPassword) -> ExitCode {
    let password = if io::stdin().is_terminal() { prompted() } else { first_line(&mut io::stdin().lock()) };
    let result = password.and_then(|password| hashed(args, &password));
    match result.and_then(|line| writeln!(io::stdout(), "{line}").map_err(|error| format!("cannot print: {error}"))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With standard error gone as well there is nobody left to tell.
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn hashed(args: &HashPassword, password: &Secret) -> Result<String, String> {
    if password.is_empty() {
        return Err("the password is empty".to_owned());
    }
    if password.expose().chars().any(char::is_control) {
        // RFC 7617 forbids them, so nobody could log in with such a password.
        return Err("the password holds control characters, which clients cannot send".to_owned());
    }
    let hash = if args.bcrypt { PasswordHash::new_bcrypt(password) } else { PasswordHash::new_argon2id(password) }
        .map_err(|error| error.to_string())?;
    Ok(match &args.user {
        Some(user) => format!("{user}:{hash}"),
        None => hash,
    })
}

fn prompted() -> Result<Secret, String> {
    let ask = |prompt: &str| match rpassword::prompt_password(prompt) {
        Ok(text) => Ok(Secret::new(text)),
        Err(error) => Err(format!("cannot read the password: {error}")),
    };
    let password = ask("Password: ")?;
    let again = ask("Again: ")?;
    if password.expose() == again.expose() { Ok(password) } else { Err("the two passwords differ".to_owned()) }
}

fn first_line(input: &mut impl BufRead) -> Result<Secret, String> {
    let mut line = Zeroizing::new(String::new());
    input
        .take(LONGEST + 3)
        .read_line(&mut line)
        .map_err(|error| format!("cannot read the password from standard input: {error}"))?;
    let text = line.strip_suffix('\n').map_or(&**line, |text| text.strip_suffix('\r').unwrap_or(text));
    if text.len() as u64 > LONGEST {
        return Err(format!("the password is longer than {LONGEST} bytes"));
    }
    Ok(Secret::new(text))
}

#[cfg(test)]
mod tests {
    use clap::{Args, FromArgMatches};

    use super::{HashPassword, first_line, hashed};
    use crate::authn::PasswordHash;
    use crate::secret::Secret;

    fn parsed(args: &[&str]) -> Result<HashPassword, String> {
        let command = HashPassword::augment_args(clap::Command::new("hash-password"));
        let matches = command.try_get_matches_from([&["hash-password"], args].concat());
        matches.and_then(|matches| HashPassword::from_arg_matches(&matches)).map_err(|error| error.to_string())
    }

    fn read(input: &[u8]) -> Result<String, String> {
        first_line(&mut &*input).map(|password| password.expose().to_owned())
    }

    #[test]
    fn one_line_is_read_without_its_end() {
        for input in ["secret", "secret\n", "secret\r\n", "secret\nmore\n"] {
            assert_eq!(read(input.as_bytes()).unwrap(), "secret");
        }
        assert_eq!(read(b" spaces stay \n").unwrap(), " spaces stay ");
        assert_eq!(read("x".repeat(4096).as_bytes()).unwrap().len(), 4096);
        assert!(read("x".repeat(5000).as_bytes()).unwrap_err().contains("longer"));
        assert!(read(b"\xff\n").is_err());
    }

    #[test]
    fn the_hash_is_one_that_the_configuration_accepts() {
        let password = Secret::new("hunter2 £");
        let hash = hashed(&parsed(&[]).unwrap(), &password).unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(PasswordHash::parse(&hash).unwrap().verify(&password));

        let line = hashed(&parsed(&["--bcrypt", "--user", "alice"]).unwrap(), &password).unwrap();
        let hash = line.strip_prefix("alice:").unwrap();
        assert!(hash.starts_with("$2y$12$"), "{hash}");
        assert!(PasswordHash::parse(hash).unwrap().verify(&password));
    }

    #[test]
    fn unusable_passwords_and_names_are_refused_without_showing_them() {
        let refused = |args: &[&str], text: &str| hashed(&parsed(args).unwrap(), &Secret::new(text)).unwrap_err();
        assert!(refused(&[], "").contains("empty"));
        assert!(refused(&[], "hun\tter2").contains("control"));
        let long = "hunter2".repeat(11);
        let error = refused(&["--bcrypt"], &long);
        assert!(error.contains("71 bytes") && !error.contains("hunter2"), "{error}");
        for name in ["a:b", "#a", "", " a"] {
            assert!(parsed(&["--user", name]).is_err(), "{name}");
        }
    }
}
