//! A trajectory as bytes: what the store keeps as the payload of the episode's own document.
//!
//! Little-endian, every text behind its length, one version byte in front. `docs/memory.md` has
//! the table. Reading checks every length against the bytes left.

use crate::{
    bytes::{Origin, Reader, put_bytes, put_text},
    error::{Error, Result},
};

use super::trajectory::{Outcome, Step, Trajectory};

/// Version of the record; a reader refuses others.
const VERSION: u8 = 1;

pub(super) fn encode(trajectory: &Trajectory) -> Vec<u8> {
    let mut out = vec![VERSION];
    put_text(&mut out, &trajectory.id);
    put_text(&mut out, &trajectory.task);
    for part in [
        &trajectory.environment,
        &trajectory.opening,
        &trajectory.agent,
        &trajectory.provenance,
    ] {
        put_optional(&mut out, part.as_deref());
    }
    out.push(outcome_code(trajectory.outcome));
    put_number(&mut out, trajectory.score.map(f64::to_le_bytes));
    put_number(&mut out, trajectory.time.map(i64::to_le_bytes));
    put_texts(&mut out, &trajectory.tags);
    put_texts(&mut out, &trajectory.when_to_use);
    put_bytes(&mut out, &trajectory.payload);
    put_extra(&mut out, &trajectory.extra);
    put_count(&mut out, trajectory.steps.len());
    for step in &trajectory.steps {
        put_optional(&mut out, step.thought.as_deref());
        put_text(&mut out, &step.action);
        put_text(&mut out, &step.observation);
        put_extra(&mut out, &step.extra);
    }
    out
}

pub(super) fn decode(bytes: &[u8]) -> Result<Trajectory> {
    let origin = Origin {
        file: "stored episode",
        section: "record",
        start: 0,
    };
    let mut reader = Reader::new(bytes, origin);
    let version = reader.u8("version")?;
    if version != VERSION {
        return Err(Error::version("stored episode", version.to_string(), "1"));
    }
    let id = reader.text("id")?.to_owned();
    let task = reader.text("task")?.to_owned();
    let environment = optional(&mut reader, "environment")?;
    let opening = optional(&mut reader, "opening")?;
    let agent = optional(&mut reader, "agent")?;
    let provenance = optional(&mut reader, "provenance")?;
    let outcome = outcome_of(reader.u8("outcome")?, &reader)?;
    let score = number(&mut reader, "score")?.map(f64::from_le_bytes);
    let time = number(&mut reader, "time")?.map(i64::from_le_bytes);
    let tags = texts(&mut reader, "tag")?;
    let when_to_use = texts(&mut reader, "when-to-use text")?;
    let payload_len = reader.count(1, "payload length")?;
    let payload = reader.bytes(payload_len, "payload")?.to_owned();
    let extra = extra(&mut reader)?;
    // The shortest step: no thought (1 byte), two empty texts (8), no extra fields (4).
    let step_count = reader.count(13, "step count")?;
    let mut steps = Vec::with_capacity(step_count);
    for _ in 0..step_count {
        steps.push(Step {
            thought: optional(&mut reader, "thought")?,
            action: reader.text("action")?.to_owned(),
            observation: reader.text("observation")?.to_owned(),
            extra: self::extra(&mut reader)?,
        });
    }
    reader.finish()?;
    Ok(Trajectory {
        id,
        task,
        environment,
        opening,
        steps,
        outcome,
        score,
        time,
        tags,
        agent,
        provenance,
        when_to_use,
        payload,
        extra,
    })
}

fn put_optional(out: &mut Vec<u8>, text: Option<&str>) {
    out.push(u8::from(text.is_some()));
    if let Some(text) = text {
        put_text(out, text);
    }
}

fn optional(reader: &mut Reader<'_>, field: &'static str) -> Result<Option<String>> {
    Ok(match flag(reader, field)? {
        true => Some(reader.text(field)?.to_owned()),
        false => None,
    })
}

fn put_number(out: &mut Vec<u8>, number: Option<[u8; 8]>) {
    out.push(u8::from(number.is_some()));
    if let Some(bytes) = number {
        out.extend_from_slice(&bytes);
    }
}

fn number(reader: &mut Reader<'_>, field: &'static str) -> Result<Option<[u8; 8]>> {
    Ok(match flag(reader, field)? {
        true => Some(*reader.array(field)?),
        false => None,
    })
}

fn flag(reader: &mut Reader<'_>, field: &'static str) -> Result<bool> {
    match reader.u8(field)? {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(reader.corrupt("0 or 1", other)),
    }
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    out.extend_from_slice(&count.to_le_bytes());
}

fn put_texts(out: &mut Vec<u8>, texts: &[String]) {
    put_count(out, texts.len());
    for text in texts {
        put_text(out, text);
    }
}

fn texts(reader: &mut Reader<'_>, field: &'static str) -> Result<Vec<String>> {
    let count = reader.count(4, field)?;
    (0..count)
        .map(|_| reader.text(field).map(str::to_owned))
        .collect()
}

fn put_extra(out: &mut Vec<u8>, extra: &[(String, String)]) {
    put_count(out, extra.len());
    for (name, json) in extra {
        put_text(out, name);
        put_text(out, json);
    }
}

fn extra(reader: &mut Reader<'_>) -> Result<Vec<(String, String)>> {
    let count = reader.count(8, "extra field count")?;
    (0..count)
        .map(|_| {
            let name = reader.text("name of an extra field")?.to_owned();
            Ok((name, reader.text("extra field")?.to_owned()))
        })
        .collect()
}

fn outcome_code(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Success => 0,
        Outcome::Failure => 1,
        Outcome::Partial => 2,
        Outcome::Unknown => 3,
    }
}

fn outcome_of(code: u8, reader: &Reader<'_>) -> Result<Outcome> {
    Outcome::ALL
        .into_iter()
        .find(|&outcome| outcome_code(outcome) == code)
        .ok_or_else(|| reader.corrupt("an outcome, 0 to 3", code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Trajectory {
        let mut trajectory = Trajectory::new("id", "task")
            .with_environment("env")
            .with_opening("o1")
            .with_agent("agent")
            .with_provenance("from")
            .with_outcome(Outcome::Partial)
            .with_time(-5)
            .with_tag("a")
            .with_tag("b")
            .with_when_to_use("when")
            .with_payload([0, 255])
            .with_step(Step::new("do", "see").with_thought("think"))
            .with_step(Step::new("", ""))
            .with_score(0.25)
            .unwrap();
        trajectory.extra.push(("x".into(), "[1, 2.50]".into()));
        trajectory.steps[0]
            .extra
            .push(("score".into(), "1e400".into()));
        trajectory
    }

    #[test]
    fn every_field_comes_back() {
        for trajectory in [full(), Trajectory::new("", "")] {
            assert_eq!(decode(&encode(&trajectory)).unwrap(), trajectory);
        }
    }

    #[test]
    fn a_cut_or_lengthened_record_is_refused() {
        let bytes = encode(&full());
        for len in 0..bytes.len() {
            assert!(decode(&bytes[..len]).is_err(), "{len} bytes");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(decode(&longer).is_err());
        let mut newer = bytes;
        newer[0] = 2;
        assert_eq!(
            decode(&newer).unwrap_err().kind(),
            crate::ErrorKind::Version
        );
    }
}
