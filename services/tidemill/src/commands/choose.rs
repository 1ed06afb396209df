//! `tidemill choose`: which architecture fits.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    process::ExitCode,
    str::FromStr,
};

use clap::ValueEnum;

use super::ended::Ended;
use crate::{
    arguments::ChooseArguments,
    choose::{Changes, Choice, EventsPerDay, Latency, LookBack, Reaction, SuiteNeeds, Tables, choose as decide},
};

/// That of clap, too.
const WRONG_ARGUMENTS: u8 = 2;

pub(crate) fn choose(arguments: &ChooseArguments) -> Ended {
    let asks = !arguments.json && io::stdin().is_terminal() && io::stderr().is_terminal();
    let answers = match asks {
        true => asked(arguments, &mut io::stdin().lock(), &mut io::stderr())?,
        false => match given(arguments) {
            Ok(answers) => answers,
            Err(missing) => {
                tell!("tidemill: {missing}");
                return Ok(ExitCode::from(WRONG_ARGUMENTS));
            }
        },
    };
    let choice = decide(answers);
    if arguments.json {
        say!("{}", serde_json::to_string(&choice)?);
    } else {
        print(&choice);
    }
    Ok(ExitCode::SUCCESS)
}

/// What is missing where nobody can be asked.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum MissingAnswer {
    #[error("how soon is a number needed? --latency {}", choices::<Latency>())]
    Latency,
    #[error("how many people look after it? --team PEOPLE")]
    Team,
}

fn given(arguments: &ChooseArguments) -> Result<SuiteNeeds, MissingAnswer> {
    let ChooseArguments { latency, team, history, changes, tables, act, events, json: _ } = arguments;
    Ok(SuiteNeeds {
        latency: latency.ok_or(MissingAnswer::Latency)?,
        team: team.ok_or(MissingAnswer::Team)?,
        history: history.unwrap_or(LookBack::Week),
        changes: changes.unwrap_or(Changes::Rarely),
        tables: tables.unwrap_or(Tables::No),
        act: act.unwrap_or(Reaction::No),
        events: events.unwrap_or_default(),
    })
}

/// Asks for what is not given.
fn asked(arguments: &ChooseArguments, input: &mut impl BufRead, output: &mut impl Write) -> io::Result<SuiteNeeds> {
    let ChooseArguments { latency, team, history, changes, tables, act, events, json: _ } = arguments;
    let mut dialogue = Dialogue { input, output };
    Ok(SuiteNeeds {
        latency: dialogue.pick("How soon is a number needed?", *latency, None)?,
        team: dialogue.ask("How many people look after the suite?", *team, None, |text| match text.parse() {
            Ok(people) if people > 0 => Ok(people),
            _ => Err("a number of people, for instance 8".into()),
        })?,
        history: dialogue.pick("How far back must numbers be made again?", *history, Some(LookBack::Week))?,
        changes: dialogue.pick("How often do definitions change?", *changes, Some(Changes::Rarely))?,
        tables: dialogue.pick("Does anybody ask the events themselves?", *tables, Some(Tables::No))?,
        act: dialogue.pick("What is the suite to do by itself?", *act, Some(Reaction::No))?,
        events: dialogue.ask("How many events come on a day?", *events, Some("1M"), |text| {
            EventsPerDay::from_str(text).map_err(|error| error.to_string())
        })?,
    })
}

/// Questions on a terminal.
struct Dialogue<'d, I, O> {
    input: &'d mut I,
    output: &'d mut O,
}

impl<I: BufRead, O: Write> Dialogue<'_, I, O> {
    /// One of some values, which are shown with what they mean.
    fn pick<T: ValueEnum + Copy>(&mut self, question: &str, given: Option<T>, default: Option<T>) -> io::Result<T> {
        if let Some(given) = given {
            return Ok(given);
        }
        writeln!(self.output, "\n{question}")?;
        for value in T::value_variants().iter().filter_map(ValueEnum::to_possible_value) {
            let help = value.get_help().map(ToString::to_string).unwrap_or_default();
            writeln!(self.output, "  {:12} {help}", value.get_name())?;
        }
        let default = default.and_then(|value| value.to_possible_value());
        let default = default.as_ref().map(|value| value.get_name());
        self.answer(default, |text| T::from_str(text, false).map_err(|_| format!("one of {}", choices::<T>())))
    }

    fn ask<T>(
        &mut self,
        question: &str,
        given: Option<T>,
        default: Option<&str>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> io::Result<T> {
        if let Some(given) = given {
            return Ok(given);
        }
        writeln!(self.output, "\n{question}")?;
        self.answer(default, read)
    }

    /// Reads lines until one is an answer.
    fn answer<T>(&mut self, default: Option<&str>, read: impl Fn(&str) -> Result<T, String>) -> io::Result<T> {
        loop {
            match default {
                Some(default) => write!(self.output, "[{default}] > ")?,
                None => write!(self.output, "> ")?,
            }
            self.output.flush()?;
            let mut line = String::new();
            if self.input.read_line(&mut line)? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the answers ended"));
            }
            let text = match line.trim() {
                "" => default.unwrap_or_default(),
                text => text,
            };
            match read(text) {
                Ok(answer) => return Ok(answer),
                Err(wanted) => writeln!(self.output, "That is not an answer: {wanted}.")?,
            }
        }
    }
}

/// The values of a question, for people.
fn choices<T: ValueEnum>() -> String {
    let values = T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    values.map(|value| value.get_name().to_owned()).collect::<Vec<_>>().join("|")
}

fn print(choice: &Choice) {
    let about = choice.pattern.to_possible_value();
    let about = about.as_ref().and_then(|value| value.get_help()).map(ToString::to_string).unwrap_or_default();
    say!("Pattern   {}: {}", choice.pattern.name(), about.to_lowercase());
    say!("Services  {}", choice.services.iter().map(|part| part.name()).collect::<Vec<_>>().join(", "));
    say!("\nWhy");
    choice.reasons.iter().for_each(|reason| say!("- {reason}"));
    if !choice.anti_patterns.is_empty() {
        say!("\nWhat goes wrong in such places");
        for one in &choice.anti_patterns {
            say!("- {}: {} {}", one.name, one.what, one.instead);
        }
    }
    say!("\nOn this machine\n  {}", choice.laptop);
    say!("On Kubernetes\n  {}", choice.helm);
    if let Some(next) = &choice.next {
        say!("Next\n  {}, once {}", next.pattern.name(), next.when);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: ChooseArguments = ChooseArguments {
        latency: None,
        team: None,
        history: None,
        changes: None,
        tables: None,
        act: None,
        events: None,
        json: false,
    };

    #[test]
    fn what_is_not_given_is_asked_until_there_is_an_answer() {
        let mut shown = Vec::new();
        let typed = "soon\n\nseconds\n0\n8\nyears\n\nyes\n\nlots\n20M\n";
        let answers = asked(&NOTHING, &mut typed.as_bytes(), &mut shown).expect("answers");
        let wanted = SuiteNeeds {
            latency: Latency::Seconds,
            team: 8,
            history: LookBack::Years,
            changes: Changes::Rarely,
            tables: Tables::Yes,
            act: Reaction::No,
            events: "20M".parse().expect("a number"),
        };
        assert_eq!(answers, wanted);
        let shown = String::from_utf8(shown).expect("text");
        assert!(shown.contains("one of sub-second|seconds|minutes|hours"), "{shown}");
        assert!(shown.contains("Somebody watches it move") && shown.contains("[1M] > "), "{shown}");
        assert_eq!(shown.matches("That is not an answer").count(), 4, "{shown}");
    }

    #[test]
    fn what_is_given_is_not_asked_and_an_end_is_no_answer() {
        let some = ChooseArguments { latency: Some(Latency::Hours), team: Some(2), ..NOTHING };
        let mut shown = Vec::new();
        let answers = asked(&some, &mut "\n\n\n\n\n".as_bytes(), &mut shown).expect("answers");
        assert_eq!(answers, given(&some).expect("all that is needed"));
        assert!(!String::from_utf8_lossy(&shown).contains("people"));
        assert!(asked(&NOTHING, &mut "seconds\n".as_bytes(), &mut Vec::new()).is_err());
    }

    #[test]
    fn where_nobody_can_be_asked_two_are_needed() {
        assert_eq!(given(&NOTHING), Err(MissingAnswer::Latency));
        assert_eq!(given(&ChooseArguments { latency: Some(Latency::Hours), ..NOTHING }), Err(MissingAnswer::Team));
        assert!(MissingAnswer::Latency.to_string().ends_with("--latency sub-second|seconds|minutes|hours"));
    }
}
