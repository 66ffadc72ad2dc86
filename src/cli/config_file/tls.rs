//! What a file says of TLS: its tables, what upstreams speak, and the files that both name.

use crate::{
    cli::{
        config_file::{
            form::{self, Value},
            mistakes::Found,
            section::Section,
        },
        one_line, values,
    },
    error::reason,
    net::tls::{
        client::{ClientTls, ClientTlsFiles},
        files::{CertificatePair, TlsFault, TlsKey},
        server::{ClientCertificates, ServerTls, ServerTlsFiles},
    },
    server::plan::PlannedTls,
    text::units::counted,
};
use jiff::{Timestamp, tz::TimeZone};
use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    ops::Range,
    path::{Path, PathBuf},
    slice,
    time::Duration,
};

/// Certificates live for 90 days or less, and are mostly renewed a third of that before their end: what has two weeks left
/// was forgotten.
const WARNED_BEFORE_END: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// The tables that can be used, in the order of the file; `used` are the names of those that a route has.
pub fn tables(found: &mut Found<'_>, top: &Section<'_>, used: &BTreeSet<String>) -> Vec<PlannedTls> {
    let mut planned = Vec::new();
    // Also where no route names it.
    for (name, section) in &top.named("tls") {
        planned.extend(table(found, name, section));
        if !used.contains(name) && !found.may_have_meant(name) {
            let text = format!("tls '{name}' is not used: no route names it");
            found.warn(section.span.clone(), text, "name it in a route, or leave it out");
        }
    }
    planned
}

/// The table that a route names; if there is none, that has been told.
pub fn named(found: &mut Found<'_>, names: &BTreeSet<String>, route: &Section<'_>) -> Option<String> {
    let (text, span) = route.word("tls").filter(|(text, _)| form::name(text).is_ok())?;
    if !names.contains(&text) && !found.may_have_meant(&text) {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let help = form::instead(&text, &names, &format!("begin it with a line [tls.{text}]"));
        found.error(span, format!("'tls' cannot be \"{text}\": there is no [tls.{text}]"), &help);
    }
    Some(text)
}

fn table(found: &mut Found<'_>, name: &str, section: &Section<'_>) -> Option<PlannedTls> {
    for key in ["cert", "key"].into_iter().filter(|key| section.has("certs") && section.has(key)) {
        let text = format!("'{key}' does not go with 'certs': the certificates stand in one of them");
        found.error(section.key_span(key), text, "leave one of them out");
    }
    if section.has("client-cert") && !section.has("client-ca") {
        let text = format!("'client-cert' goes with 'client-ca', which tls '{name}' does not have");
        found.error(
            section.key_span("client-cert"),
            text,
            "write client-ca = \"/path/of/it.pem\", or leave it out",
        );
    }
    let of_pairs = match section.sections("certs") {
        none if none.is_empty() && !section.has("certs") => vec![section.clone()],
        several => several,
    };
    if of_pairs.is_empty() {
        let text = format!("'certs' cannot be []: tls '{name}' needs a certificate");
        found.error(section.key_span("certs"), text, "write certs = [{ cert = \"a.pem\", key = \"a.key\" }]");
    }
    let why = format!("tls '{name}' needs a certificate and its key");
    let pairs: Vec<_> = of_pairs.iter().map(|one| pair(found, one, &why)).collect();
    if pairs.iter().any(Option::is_none) {
        // What is there without the rest is looked at by itself.
        for (one, _) in of_pairs.iter().zip(&pairs).filter(|(_, pair)| pair.is_some()) {
            ["cert", "key"].iter().for_each(|key| readable(found, one, key));
        }
        readable(found, section, "client-ca");
    }
    let client_ca = section.word("client-ca").map(|(path, _)| path.into());
    let optional = section.word("client-cert").is_some_and(|(text, _)| text == "optional");
    let files = ServerTlsFiles {
        pairs: pairs.into_iter().collect::<Option<Vec<_>>>().filter(|pairs| !pairs.is_empty())?,
        client_ca,
        client_cert: if optional { ClientCertificates::Optional } else { ClientCertificates::Required },
        alpn: protocols(section),
    };
    match ServerTls::load(files.clone()) {
        Ok(tls) => {
            ends(found, &of_pairs, "cert", &tls);
            Some(PlannedTls { name: name.to_owned(), files: Some(files), tls })
        }
        Err(mistakes) => {
            mistakes.iter().for_each(|mistake| tell(found, section, &of_pairs, mistake));
            None
        }
    }
}

/// What a place of the file says that is no table of TLS: a certificate, its key, and the authorities of clients.
pub fn of_place(found: &mut Found<'_>, name: &str, section: &Section<'_>) -> Option<PlannedTls> {
    for key in ["tls-cert", "tls-key"].into_iter().filter(|key| !section.has(key)) {
        let help = format!("write {key} = \"/path/of/it.pem\"");
        section.missing(found, key, "TLS ends with a certificate and its key", &help);
    }
    let path = |key| section.word(key).map(|(path, _)| PathBuf::from(path));
    let (Some(cert), Some(key)) = (path("tls-cert"), path("tls-key")) else {
        ["tls-cert", "tls-key", "client-ca"].iter().for_each(|key| readable(found, section, key));
        return None;
    };
    let files = ServerTlsFiles {
        pairs: vec![CertificatePair { cert, key }],
        client_ca: path("client-ca"),
        client_cert: ClientCertificates::Required,
        alpn: Vec::new(),
    };
    match ServerTls::load(files.clone()) {
        Ok(tls) => {
            ends(found, slice::from_ref(section), "tls-cert", &tls);
            Some(PlannedTls { name: name.to_owned(), files: Some(files), tls })
        }
        Err(mistakes) => {
            for mistake in &mistakes {
                let key = match mistake.what {
                    TlsKey::ClientCa => "client-ca",
                    TlsKey::Key(_) => "tls-key",
                    _ => "tls-cert",
                };
                tell_at(found, section, key, mistake);
            }
            None
        }
    }
}

/// Protocols that have the form of one.
fn protocols(section: &Section<'_>) -> Vec<String> {
    section.read_all("alpn", |text| Value::Protocol.check(text).map(|()| text.to_owned()))
}

/// A certificate and its key, of which none may be missing. What is there without the other is looked at by itself.
fn pair(found: &mut Found<'_>, section: &Section<'_>, why: &str) -> Option<CertificatePair> {
    let path = |key| section.word(key).map(|(path, _)| path).filter(|path| !path.is_empty());
    let (cert, key) = (path("cert"), path("key"));
    for key in ["cert", "key"].into_iter().filter(|key| !section.has(key)) {
        section.missing(found, key, why, &format!("write {key} = \"/path/of/it.pem\""));
    }
    match (cert, key) {
        (Some(cert), Some(key)) => Some(CertificatePair { cert: cert.into(), key: key.into() }),
        _ => {
            ["cert", "key"].iter().for_each(|key| readable(found, section, key));
            None
        }
    }
}

/// What TLS is spoken with to the servers of an upstream; `name` is what their certificates must have if its table does not
/// say it, and none if that is the name of each server.
pub fn client(found: &mut Found<'_>, section: &Section<'_>, name: Option<String>) -> Option<ClientTls> {
    if section.truth("verify") == Some(false) {
        let text = "'verify' is false: a program between here and the server can read and change all bytes";
        found.warn(section.key_span("verify"), text, "name the server's authority in 'ca'");
    }
    let has_pair = section.has("cert") || section.has("key");
    let pair = match has_pair {
        true => match pair(found, section, "a certificate is shown with its key") {
            None => {
                readable(found, section, "ca");
                return None;
            }
            pair => pair,
        },
        false => None,
    };
    let files = ClientTlsFiles {
        ca: section.word("ca").map(|(path, _)| path.into()),
        name: section.read("name", values::host_name).or(name),
        pair,
        verify: section.truth("verify").unwrap_or(true),
        ..ClientTlsFiles::default()
    };
    let loaded = ClientTls::load(files);
    let tell = |mistake: &TlsFault| tell(found, section, slice::from_ref(section), mistake);
    loaded.map_err(|mistakes| mistakes.iter().for_each(tell)).ok()
}

/// The same without a table: it is all as it is by default.
pub fn plain_client(found: &mut Found<'_>, span: &Range<usize>, name: Option<String>) -> Option<ClientTls> {
    let files = ClientTlsFiles { name, ..ClientTlsFiles::default() };
    let tell = |mistake: TlsFault| {
        let text = format!("TLS cannot be spoken: {}", one_line(&mistake.text));
        found.error(span.clone(), text, "write tls = { ca = \"/path/of/it.pem\" }");
    };
    ClientTls::load(files).map_err(|mistakes| mistakes.into_iter().for_each(tell)).ok()
}

/// Tells that TLS is spoken to a server without a name that a certificate could have.
pub fn nameless(found: &mut Found<'_>, span: Range<usize>, help: &str) {
    let text =
        format!("TLS cannot be spoken to {}: its certificate must have a name", found.source.shown(&span));
    found.error(span, text, help);
}

/// Tells a mistake of files where their key stands; `pairs` are the tables of certificates.
fn tell(found: &mut Found<'_>, section: &Section<'_>, pairs: &[Section<'_>], mistake: &TlsFault) {
    let of_pair = |at: usize| pairs.get(at).unwrap_or(section);
    let (section, key) = match mistake.what {
        TlsKey::Cert(at) => (of_pair(at), "cert"),
        TlsKey::Key(at) => (of_pair(at), "key"),
        TlsKey::ClientCa => (section, "client-ca"),
        TlsKey::Ca => (section, "ca"),
        TlsKey::Name => (section, "name"),
        TlsKey::Alpn => (section, "alpn"),
    };
    tell_at(found, section, key, mistake);
}

/// Tells a mistake of files at a key.
pub fn tell_at(found: &mut Found<'_>, section: &Section<'_>, key: &str, mistake: &TlsFault) {
    let Some((value, span)) = section.word(key) else {
        return found.error(section.key_span(key), one_line(&mistake.text), "");
    };
    let unreadable = mistake.text.strip_prefix(&format!("cannot read {value}: "));
    let help = if unreadable.is_some() { "name a file that can be read" } else { "" };
    let reason = one_line(unreadable.unwrap_or(&mistake.text));
    found.error(span.clone(), format!("'{key}' cannot be {}: {reason}", found.source.shown(&span)), help);
}

/// Warns of certificates that have ended, or end soon.
fn ends(found: &mut Found<'_>, pairs: &[Section<'_>], key: &str, tls: &ServerTls) {
    let now = Timestamp::now();
    for (path, end) in tls.ends_soon(WARNED_BEFORE_END) {
        let is_its = |(text, _): &(String, Range<usize>)| Path::new(text) == path;
        let words = pairs.iter().filter_map(|pair| pair.word(key).filter(is_its));
        let day = end.to_zoned(TimeZone::UTC).date();
        let days = usize::try_from(end.duration_since(now).as_hours() / 24).unwrap_or(0);
        let when = match end {
            end if end < now => format!("ended on {day}"),
            _ => format!("ends on {day}, in {}", counted(days, "day")),
        };
        for (_, span) in words {
            let text = format!("'{key}' is {}: a certificate of it {when}", found.source.shown(&span));
            found.warn(span, text, "renew it");
        }
    }
}

/// A file that is not read, because something beside it is missing.
fn readable(found: &mut Found<'_>, section: &Section<'_>, key: &str) {
    let Some((path, span)) = section.word(key).filter(|(path, _)| !path.is_empty()) else { return };
    // Opening a pipe would wait for its writer.
    let opened = fs::metadata(&path).and_then(|metadata| match metadata.is_file() {
        true => File::open(&path).map(drop),
        false => Err(io::Error::other("it is no file")),
    });
    if let Err(error) = opened {
        let text = format!("'{key}' cannot be {}: {}", found.source.shown(&span), reason(&error));
        found.error(span, text, "name a file that can be read");
    }
}
