//! `tidemill lineage`

mod answer;
mod shown;
mod stream;

use tidemill_domain::{Clock, SystemClock};
use url::form_urlencoded;

use self::answer::LineageTold;
use super::ended::{Ended, balanced};
use crate::{
    arguments::LineageArguments,
    client::{Client, LakeClient},
};

pub(crate) async fn lineage(arguments: LineageArguments) -> Ended {
    let client = LakeClient::new(arguments.target.lake_url.clone(), arguments.target.key.clone());
    let metric: String = form_urlencoded::byte_serialize(arguments.metric.as_bytes()).collect();
    let answer = client.get(&format!("/v1/lineage/{metric}?{}", parameters(&arguments))).await?;
    let mut told: serde_json::Value = serde_json::from_slice(&answer)?;
    let mut lineage: LineageTold = serde_json::from_slice(&answer)?;
    let mut is_equal = lineage.equal;
    if let Some(reporting) = arguments.reporting_url {
        let client = Client::of_reporting(reporting, arguments.target.key);
        let is_behind = lineage.is_behind();
        for (place, number) in lineage.numbers.iter_mut().enumerate() {
            let mut stream =
                stream::of_number(&client, &lineage.metric, &lineage.definition_version, &lineage.window, number)
                    .await?;
            // The stream is ahead where gold has not got as far: that is no fault of either.
            stream.compared = stream.equal || !(is_behind || number.is_filling(SystemClock.now()));
            is_equal &= stream.equal || !stream.compared;
            told["numbers"][place]["stream"] = serde_json::to_value(&stream)?;
            number.stream = Some(stream);
        }
    }
    match arguments.json {
        true => say!("{told}"),
        false => shown::show(&lineage),
    }
    Ok(balanced(is_equal))
}

fn parameters(arguments: &LineageArguments) -> String {
    let mut pairs = form_urlencoded::Serializer::new(String::new());
    pairs.append_pair("window", &arguments.window.at(SystemClock.now()).to_string());
    pairs.append_pair("limit", &arguments.limit.to_string());
    if let Some(after) = &arguments.after {
        pairs.append_pair("after", after);
    }
    for (name, value) in &arguments.dimensions {
        pairs.append_pair(&format!("dimension.{name}"), value);
    }
    pairs.finish()
}
