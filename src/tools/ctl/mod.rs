//! `switchboard ctl`: asks a running server over its control socket, and prints the answer.

pub mod faults;
pub mod page;
pub mod report;
pub mod settings;
pub mod tap;

use crate::{
    control::{
        client::{ControlClient, Trouble},
        protocol::{Choice, Named, PlanAnswer, ReadyAnswer, Request, ServerStats, Setting, SettingValue},
    },
    error::Error,
    runtime::clock::sleep_until,
    text::safe::SafeText,
    tools::ctl::{
        page::Line,
        report::Reader,
        settings::{Ctl, Verb},
    },
};
use serde::{
    Serialize,
    de::{DeserializeOwned, IgnoredAny},
};
use serde_json::Value;
use std::{
    io::{self, Write},
    path::PathBuf,
    time::{Duration, Instant},
};

/// Why it could not be done: one sentence for the user.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("{0}")]
    Failed(String),
    /// What is asked for cannot be, as the answers of the server show.
    #[error("{0}; try 'switchboard ctl --help'")]
    Usage(String),
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        Failure::Failed(trouble.to_string())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Failed(error.to_string())
    }
}

pub struct Streams {
    pub out: Box<dyn Write + Send>,
    /// What is to be said beside it.
    pub notes: Box<dyn Write + Send>,
    /// The columns and rows of the terminal, if a person sees the answer at once.
    pub terminal: Option<(u16, u16)>,
}

/// A reader such as `head` may have seen enough: that is no failure.
fn written(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::new("cannot write to standard output", error).into())
        }
        _ => Ok(()),
    }
}

/// Between two looks of `list --watch`.
const WATCHED_EVERY: Duration = Duration::from_secs(1);

/// Does what `config` says, and prints the answer.
pub async fn run(config: Ctl, mut streams: Streams) -> Result<(), Failure> {
    let reader = Reader::new(&config, streams.terminal.map(|(columns, _)| columns));
    if config.verb == Verb::Servers {
        let text = servers(&config, reader).await?;
        return streams.print(&text);
    }
    let mut client = ControlClient::find(&config.server).await?;
    match &config.verb {
        Verb::Tap { choice, show } => {
            tap::run(client, choice, (!config.json).then_some(*show), reader, streams).await
        }
        Verb::Watch(choice) => watch(client, choice, config.json, reader, streams).await,
        Verb::Ask(Request::Events) => events(client, config.json, reader, streams).await,
        Verb::Set { setting, value } => {
            let text = set(client, setting, *value).await?;
            if config.json { Ok(()) } else { streams.print(&text) }
        }
        Verb::UpdateFault { listener, name, words, share } => {
            let request = faults::update(&mut client, listener, name, words, *share).await?;
            let text = ask(client, &request, config.json, reader).await?;
            streams.print(&text)
        }
        Verb::Ask(request @ (Request::Reload | Request::Diff { .. } | Request::Explain { .. })) => {
            told(client, request, config.json, reader, streams).await
        }
        Verb::Ask(Request::Ready) => ready(client, config.json, streams).await,
        Verb::Ask(request) => {
            let text = ask(client, request, config.json, reader).await?;
            streams.print(&text)
        }
        Verb::Servers => Ok(()),
    }
}

/// The answer to one question.
async fn ask(
    mut client: ControlClient,
    request: &Request,
    json: bool,
    reader: Reader,
) -> Result<String, Failure> {
    if json {
        let items = client.ask::<Value>(request).await?;
        return Ok(items.iter().map(|item| format!("{item}\n")).collect());
    }
    Ok(match request {
        Request::List(_) => reader.list(&client.ask(request).await?),
        Request::Closed { session: None, .. } => reader.closed(&client.ask(request).await?),
        Request::Closed { .. } => laid_out(&client.ask(request).await?, reader, page::ended),
        Request::Show { .. } => {
            laid_out(&client.ask(request).await?, reader, |facts| page::session(facts, false))
        }
        Request::Stats { .. } => {
            let stats = client.ask::<Value>(request).await?;
            laid_out(&stats, reader, |stats| page::stats(&client.greeting, stats))
        }
        Request::Server { state: None, .. } => reader.group_servers(&client.ask(request).await?),
        Request::FaultList { .. } => reader.faults(&client.ask(request).await?),
        Request::FaultAdd { .. } => reader.shown(faults::told(&client.ask(request).await?, "added")),
        Request::FaultUpdate { .. } => reader.shown(faults::told(&client.ask(request).await?, "is now")),
        Request::FaultRemove { .. } => reader.shown(faults::told(&client.ask(request).await?, "removed")),
        Request::Get { .. } => reader.settings(&client.ask(request).await?),
        _ => {
            let items = client.ask::<Value>(request).await?;
            items.iter().map(|item| report::other_facts(item, &Value::Null, "")).collect()
        }
    })
}

/// Items laid out as pages; what only a newer server tells of them follows.
fn laid_out<T: DeserializeOwned + Serialize>(
    items: &[Value],
    reader: Reader,
    lines: impl Fn(&T) -> Vec<Line>,
) -> String {
    let page = |item: &Value| match serde_json::from_value::<T>(item.clone()) {
        Ok(known) => {
            let keys = serde_json::to_value(&known).unwrap_or_default();
            reader.page(&lines(&known)) + &report::other_facts(item, &keys, "")
        }
        Err(_) => report::other_facts(item, &Value::Null, ""),
    };
    items.iter().map(page).collect()
}

/// Prints what a plan changes, or what becomes of a question; what is wrong goes to standard error.
async fn told(
    mut client: ControlClient,
    request: &Request,
    json: bool,
    reader: Reader,
    mut streams: Streams,
) -> Result<(), Failure> {
    let answers = client.ask::<PlanAnswer>(request).await?;
    let answer = answers.into_iter().next().unwrap_or_default();
    let text: String = answer.lines.iter().map(|line| format!("{line}\n")).collect();
    if json {
        streams.print(&format!("{}\n", serde_json::json!(answer)))?;
    } else if !answer.ok {
        written(streams.notes.write_all(reader.shown(text).as_bytes()))?;
    } else if text.is_empty() {
        streams.print("nothing has changed\n")?;
    } else {
        streams.print(&reader.shown(text))?;
    }
    match (answer.ok, request) {
        (true, _) => Ok(()),
        (false, Request::Reload) => {
            Err(Failure::Failed("reload refused: everything goes on as before".into()))
        }
        (false, _) => Err(Failure::Failed("the file cannot be used".into())),
    }
}

/// Says whether the server takes connections; that it does not is a failure.
async fn ready(mut client: ControlClient, json: bool, mut streams: Streams) -> Result<(), Failure> {
    let answer = client.ask::<ReadyAnswer>(&Request::Ready).await?.into_iter().next().unwrap_or_default();
    if json {
        streams.print(&format!("{}\n", serde_json::json!(answer)))?;
    }
    match answer.ready {
        true if json => Ok(()),
        true => streams.print(&format!("{}\n", answer.state)),
        false => Err(Failure::Failed(format!("the server is not ready: it is {}", answer.state))),
    }
}

/// Changes a setting, and says what it was before.
async fn set(
    mut client: ControlClient,
    setting: &Named<Setting>,
    value: Option<u64>,
) -> Result<String, Failure> {
    // An older server does not tell.
    let get = Request::Get { setting: Some(setting.clone()) };
    let before = match client.ask::<SettingValue>(&get).await {
        Ok(values) => values.first().map(|one| one.value),
        Err(Trouble::Refused(_)) => None,
        Err(lost) => return Err(lost.into()),
    };
    client.ask::<IgnoredAny>(&Request::Set { setting: setting.clone(), value }).await?;
    Ok(report::changed(setting, before, value))
}

/// The servers of this user.
async fn servers(config: &Ctl, reader: Reader) -> Result<String, Failure> {
    let mut servers = Vec::new();
    for (path, client) in ControlClient::running().await? {
        let mut client = client.ok();
        let stats = match &mut client {
            Some(client) => client.ask::<ServerStats>(&Request::Stats { history: false }).await.ok(),
            None => None,
        };
        servers.push((path, client, stats.and_then(|mut stats| stats.pop())));
    }
    if config.json {
        let line = |(path, client, _): &(PathBuf, Option<ControlClient>, _)| {
            let greeting = client.as_ref().and_then(|client| serde_json::to_value(&client.greeting).ok());
            let mut line = greeting.unwrap_or_else(|| serde_json::json!({}));
            line["control"] = path.display().to_string().into();
            format!("{line}\n")
        };
        return Ok(servers.iter().map(line).collect());
    }
    let rows = servers.iter().map(|(path, client, stats)| (path.clone(), client.as_ref().zip(stats.clone())));
    Ok(reader.servers(&rows.collect::<Vec<_>>()))
}

/// Shows the sessions again and again: in place on a terminal, else one list after the other.
async fn watch(
    mut client: ControlClient,
    choice: &Choice,
    json: bool,
    reader: Reader,
    mut streams: Streams,
) -> Result<(), Failure> {
    let request = Request::List(choice.clone());
    let mut clear = "\x1b[H\x1b[2J";
    loop {
        let begin = Instant::now();
        let text = if json {
            client.ask::<Value>(&request).await?.iter().map(|item| format!("{item}\n")).collect()
        } else {
            let list = reader.list(&client.ask(&request).await?);
            let stats = client.ask::<ServerStats>(&Request::Stats { history: false }).await?;
            let numbers = stats.first().map(page::numbers).unwrap_or_default();
            reader.shown(numbers + "\n") + &list
        };
        let text = match streams.terminal {
            // The last line stays empty, so that nothing scrolls.
            Some((_, rows)) if !json => {
                let lines = text.lines().take(usize::from(rows).saturating_sub(1));
                lines.fold(std::mem::replace(&mut clear, "\x1b[H").to_owned(), |text, line| {
                    text + line + "\x1b[K\n"
                }) + "\x1b[J"
            }
            _ if json => text,
            _ => text + "\n",
        };
        if !streams.print_on(&text)? {
            return Ok(());
        }
        sleep_until(begin + WATCHED_EVERY).await;
    }
}

/// Prints what sessions say as they say it.
async fn events(
    mut client: ControlClient,
    json: bool,
    reader: Reader,
    mut streams: Streams,
) -> Result<(), Failure> {
    client.send(&Request::Events).await?;
    while let Some(mut item) = client.next_item::<Value>().await? {
        let line = item.as_object_mut().and_then(|item| item.remove("line"));
        let text = match (line, item["lost"].as_u64()) {
            (_, Some(lost)) if !json => format!("{lost} events were lost: they came too fast\n"),
            (Some(Value::String(line)), _) if !json => {
                reader.shown(format!("{}\n", SafeText::from(line.as_str())))
            }
            _ => format!("{item}\n"),
        };
        if !streams.print_on(&text)? {
            return Ok(());
        }
    }
    Ok(())
}

impl Streams {
    fn print(&mut self, text: &str) -> Result<(), Failure> {
        written(self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()))
    }

    /// As [`Streams::print`]; false if the reader has seen enough.
    fn print_on(&mut self, text: &str) -> Result<bool, Failure> {
        let done = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
        if matches!(&done, Err(error) if error.kind() == io::ErrorKind::BrokenPipe) {
            return Ok(false);
        }
        written(done).map(|()| true)
    }
}
