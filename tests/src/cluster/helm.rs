//! The chart, as `helm` installs, upgrades, tests and uninstalls it.

use std::{path::PathBuf, time::Duration};

use serde_json::Value;

use super::command::Call;
use crate::error::Error;

/// `helm` waits for what it deletes, and for the test's pod.
const DEADLINE: Duration = Duration::from_secs(360);

/// What the chart's images begin with, unless it is told otherwise.
pub(super) const DEFAULT_PREFIX: &str = "tidemill";

/// The chart, and where its images are.
#[derive(Debug, Clone)]
pub(super) struct Chart {
    /// Its folder.
    pub(super) folder: PathBuf,
    /// What its images' names begin with.
    pub(super) image_prefix: String,
}

/// A release of the chart in a namespace.
#[derive(Debug, Clone)]
pub(super) struct Helm {
    chart: Chart,
    release: String,
    namespace: String,
}

impl Chart {
    /// The version of the suite that it installs where no tag is given.
    pub(super) async fn app_version(&self) -> Result<String, Error> {
        let call = Call::new("helm").args(["show", "chart"]).args([self.folder.display().to_string()]);
        let line = call.line();
        let told = call.output().await?;
        let version = told.lines().find_map(|line| line.strip_prefix("appVersion:"));
        let version = version.map(|text| text.trim().trim_matches(['"', '\'']).to_owned());
        version.ok_or_else(|| Error::program(line)("no appVersion"))
    }
}

impl Helm {
    /// Of a release that is, or is to be.
    pub(super) fn of(chart: &Chart, release: &str, namespace: &str) -> Self {
        Self { chart: chart.clone(), release: release.into(), namespace: namespace.into() }
    }

    /// Installs with values of a file beside the chart's own, if one is named,
    /// and with more values; waits for nothing.
    pub(super) async fn install(&self, file: Option<&str>, values: Value) -> Result<(), Error> {
        self.change("install", file.map(|name| self.values_file(name)), values).await
    }

    /// Upgrades with the values that it has, and with new ones; waits for
    /// nothing.
    pub(super) async fn upgrade(&self, values: Value) -> Result<(), Error> {
        self.change("upgrade", Some("--reuse-values".into()), values).await
    }

    /// Upgrades with these values and no others; waits for nothing.
    pub(super) async fn replace_values(&self, values: Value) -> Result<(), Error> {
        self.change("upgrade", Some("--reset-values".into()), values).await
    }

    /// The values that the release was given.
    pub(super) async fn values(&self) -> Result<Value, Error> {
        let call = self.call(["get", "values", &self.release, "--output=json"]);
        let line = call.line();
        serde_json::from_str(&call.output().await?).map_err(Error::program(line))
    }

    /// Goes to a profile as docs/patterns.md tells it, or to what `file` leaves as it is; installs where nothing is
    /// yet, and waits for nothing.
    pub(super) async fn profile(&self, file: Option<&str>, values: Value) -> Result<(), Error> {
        let how = ["--install", "--reset-then-reuse-values"].map(str::to_owned);
        let file = file.map(|name| self.values_file(&format!("profiles/{name}.yaml")));
        self.change("upgrade", how.into_iter().chain(file), values).await
    }

    /// The option that takes a file beside the chart's own values.
    fn values_file(&self, name: &str) -> String {
        format!("--values={}", self.chart.folder.join(name).display())
    }

    async fn change(&self, verb: &str, how: impl IntoIterator<Item = String>, mut values: Value) -> Result<(), Error> {
        // The chart's own default needs no saying.
        if self.chart.image_prefix != DEFAULT_PREFIX {
            values["image"]["repository"] = self.chart.image_prefix.clone().into();
        }
        let mut call = self.call([verb, &self.release, &self.chart.folder.display().to_string()]).args(how);
        if values.as_object().is_some_and(|values| !values.is_empty()) {
            // JSON is YAML.
            call = call.args(["--values=-"]).input(values.to_string());
        }
        call.output().await.map(drop)
    }

    /// Runs the release's tests. (With `--logs` helm would look for a pod that
    /// it has removed, since the test succeeded.)
    pub(super) async fn test(&self) -> Result<(), Error> {
        self.call(["test", &self.release]).output().await.map(drop)
    }

    /// Uninstalls, and waits until what it removes is gone.
    pub(super) async fn uninstall(&self) -> Result<(), Error> {
        self.call(["uninstall", &self.release, "--wait", "--timeout=5m"]).output().await?;
        Ok(())
    }

    fn call<A: Into<String>>(&self, arguments: impl IntoIterator<Item = A>) -> Call {
        Call::new("helm").args(["--namespace", &self.namespace]).args(arguments).within(DEADLINE)
    }
}
