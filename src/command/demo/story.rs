//! The story: two devices save one document, once straight and once through Staleguard.
//!
//! Both acts are the same code. What differs is what the devices are answered, and what is stored in the end.

use std::net::SocketAddr;

use http::header::HeaderValue;
use serde_json::{Map, Value};

use super::Trouble;
use super::device::{Device, Saved, TARGET, VERSION};
use super::screen::{Screen, Style};

/// Ada's answers in their order, each with its question.
const ANSWERS: [(&str, &str); 3] = [("q1", "a"), ("q2", "b"), ("q3", "c")];

/// How an act ended.
#[derive(Debug)]
pub(super) struct Ending {
    /// The document that is stored.
    stored: Map<String, Value>,
    /// Its ETag, if the server gave one.
    current: Option<HeaderValue>,
    /// The ETag that was refused, if one was.
    stale: Option<HeaderValue>,
}

impl Ending {
    /// The answers that a device has saved, as it was told, and that are not stored.
    fn lost(&self) -> String {
        let stored = self.stored.get("answers");
        let is_lost = |(question, choice): &(&str, &str)| {
            stored.and_then(|stored| stored.get(*question)).is_none_or(|stored| stored != choice)
        };
        let lost: Vec<_> = ANSWERS.into_iter().filter(is_lost).map(|(question, _)| question).collect();
        lost.join(", ")
    }
}

/// Tells both acts and gives the second one's ending; one that does not end as it should is an error.
pub(super) async fn tell(
    straight: SocketAddr,
    through: SocketAddr,
    screen: &mut Screen<'_>,
) -> Result<Ending, Trouble> {
    screen.heading("1. Straight to the legacy server")?;
    let ending = act(straight, screen).await?;
    let lost = ending.lost();
    if lost.is_empty() {
        return Err(Trouble::Told(
            "the story is wrong: straight to the legacy server, the update was not lost".into(),
        ));
    }
    let told = match ending.stale {
        Some(_) => "although a save was refused",
        None => "every save was answered as a success, and nobody was told",
    };
    screen.verdict(Style::Bad, "LOST", &format!("{lost} is gone; {told}."))?;

    screen.heading("2. Through Staleguard")?;
    let ending = act(through, screen).await?;
    let lost = ending.lost();
    if !lost.is_empty() {
        return Err(Trouble::Told(format!("the story is wrong: through Staleguard, {lost} was lost")));
    }
    let how = match ending.stale {
        Some(_) => "nothing is lost; the laptop was told in time, read again and merged.",
        None => "nothing is lost.",
    };
    screen.verdict(Style::Good, "SAVED", how)?;
    Ok(ending)
}

/// Both devices read; the phone saves an answer; the laptop saves another one over what it had read.
async fn act(server: SocketAddr, screen: &mut Screen<'_>) -> Result<Ending, Trouble> {
    let [first, second, third] = ANSWERS;
    let (mut phone, mut laptop) = (Device::new("phone", server), Device::new("laptop", server));

    screen.text("The phone has saved page 3 and the first answer. Both devices read them.")?;
    phone.note(first);
    save(&mut phone, screen).await?;
    phone.read(screen).await?;
    laptop.read(screen).await?;
    screen.gap()?;

    screen.text("On the phone, Ada answers q2.")?;
    phone.note(second);
    save(&mut phone, screen).await?;
    let before = Value::Object(phone.copy().clone());
    screen.gap()?;

    screen.text("On the laptop, which still shows what it had read, she answers q3.")?;
    laptop.note(third);
    let stale = save_or_merge(&mut laptop, third, screen).await?;
    screen.gap()?;

    screen.text("What is stored now?")?;
    phone.read(screen).await?;
    let after = Value::Object(phone.copy().clone());
    let ending = Ending { stored: phone.copy().clone(), current: phone.tag().cloned(), stale };
    screen.gap()?;
    screen.verbatim(&format!("before the laptop: {before}"))?;
    screen.verbatim(&format!("after the laptop:  {after}"))?;
    screen.gap()?;
    Ok(ending)
}

/// Saves the laptop's answer; over what somebody else has saved, it is merged. Gives the ETag that was refused.
async fn save_or_merge(
    laptop: &mut Device,
    answer: (&str, &str),
    screen: &mut Screen<'_>,
) -> Result<Option<HeaderValue>, Trouble> {
    if laptop.save(screen).await? == Saved::Yes {
        return Ok(None);
    }
    let stale = laptop.tag().cloned();
    screen.gap()?;
    screen.text("The laptop reads again, adds its answer to what is there, and saves that.")?;
    laptop.read(screen).await?;
    laptop.note(answer);
    save(laptop, screen).await?;
    Ok(stale)
}

/// Saves when nobody can have come in between.
async fn save(device: &mut Device, screen: &mut Screen<'_>) -> Result<(), Trouble> {
    match device.save(screen).await? {
        Saved::Yes => Ok(()),
        Saved::Stale => Err(Trouble::Told(
            "the story is wrong: a save over what had just been read was refused with 412".into(),
        )),
    }
}

/// Prints three commands that go on where the story ended.
pub(super) fn offer(through: SocketAddr, ending: &Ending, screen: &mut Screen<'_>) -> Result<(), Trouble> {
    let tag = |tag: &Option<HeaderValue>| {
        let text = tag.as_ref().and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        text.ok_or_else(|| Trouble::Told("the story is wrong: it ended without ETags".into()))
    };
    let (stale, current) = (tag(&ending.stale)?, tag(&ending.current)?);
    let mut next = ending.stored.clone();
    next.insert("page".to_owned(), Value::from(4));
    let next = Value::Object(next);

    screen.text("Read the document: 200, and its ETag.")?;
    screen.gap()?;
    command(through, "", &[], screen)?;
    screen.text("Save with the ETag that the laptop had: 412, and nothing is written.")?;
    screen.gap()?;
    command(through, "-X PUT ", &writing(&stale, &next), screen)?;
    screen.text("Save with the current ETag: 204, with the next ETag. Once more: 412.")?;
    screen.gap()?;
    command(through, "-X PUT ", &writing(&current, &next), screen)
}

/// The arguments of a command that saves a document over the one with this ETag.
fn writing(tag: &str, document: &Value) -> [String; 3] {
    [
        "-H 'Content-Type: application/json'".to_owned(),
        format!("-H 'If-Match: {tag}'"),
        format!("-d '{document}'"),
    ]
}

/// A command for any shell: nothing in single quotes is expanded, and a comment could be read as an argument.
fn command(
    through: SocketAddr,
    method: &str,
    arguments: &[String],
    screen: &mut Screen<'_>,
) -> Result<(), Trouble> {
    let mut lines = vec![
        format!("curl -i {method}'http://{through}{TARGET}'"),
        format!("-H 'X-Experience-API-Version: {VERSION}'"),
    ];
    lines.extend_from_slice(arguments);
    screen.verbatim(&lines.join(" \\\n    "))?;
    screen.gap()
}
