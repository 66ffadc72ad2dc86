//! What a file says of TLS: tables and files that it names must be there.

use crate::{
    cli::config_file::{faults::Found, form, section::Section},
    error::reason,
};
use std::{fs::File, io, path::Path};

/// Judges all that a file says of TLS.
pub fn judge(found: &mut Found<'_>, top: &Section<'_>) {
    let tables = top.named("tls");
    // Also where no route names it.
    tables.iter().for_each(|(name, section)| table(found, name, section));
    let names = top.names("tls");
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for (_, listener) in top.named("listener") {
        for (text, span) in listener.sections("route").iter().filter_map(|route| route.word("tls")) {
            let is_told = form::name(&text).is_err() || found.may_have_meant(&text);
            if !names.contains(&text.as_str()) && !is_told {
                let help = form::instead(&text, &names, &format!("begin it with a line [tls.{text}]"));
                found.error(span, format!("'tls' cannot be \"{text}\": there is no [tls.{text}]"), &help);
            }
        }
    }
    for (_, upstream) in top.named("upstream") {
        let Some(tls) = upstream.section("tls") else { continue };
        ["ca", "cert", "key"].iter().for_each(|key| file(found, &tls, key));
        if tls.truth("verify") == Some(false) {
            let text =
                "'verify' is false: whoever is between here and the server can read and change all bytes";
            found.warn(tls.key_span("verify"), text, "name the server's authority in 'ca'");
        }
    }
}

fn table(found: &mut Found<'_>, name: &str, section: &Section<'_>) {
    if section.has("certs") && section.has("cert") {
        let text = "'cert' does not go with 'certs': the certificates stand in one of them";
        found.error(section.key_span("cert"), text, "leave one of them out");
    }
    match section.sections("certs") {
        none if none.is_empty() && !section.has("certs") => pair(found, name, section),
        several => several.iter().for_each(|one| pair(found, name, one)),
    }
    file(found, section, "client-ca");
}

/// A certificate and its key.
fn pair(found: &mut Found<'_>, name: &str, section: &Section<'_>) {
    for key in ["cert", "key"] {
        if section.has(key) {
            file(found, section, key);
        } else {
            let help = format!("write {key} = \"/path/of/it.pem\"");
            section.missing(found, key, &format!("tls '{name}' needs a certificate and its key"), &help);
        }
    }
}

fn file(found: &mut Found<'_>, section: &Section<'_>, key: &str) {
    let Some((path, span)) = section.word(key).filter(|(path, _)| !path.is_empty()) else { return };
    if let Err(error) = readable(Path::new(&path)) {
        let text = format!("'{key}' cannot be {}: {}", found.source.shown(&span), reason(&error));
        found.error(span, text, "name a file that can be read");
    }
}

fn readable(path: &Path) -> io::Result<()> {
    match File::open(path)?.metadata()?.is_dir() {
        true => Err(io::Error::other("it is a folder")),
        false => Ok(()),
    }
}
