//! Proves on a real Kubernetes that the chart's suite loses and doubles nothing
//! while it is scaled, upgraded, drained and cut off.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line talks to people")]

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use tidemill_tests::cluster::{self, Bucket, Options, Selection, Stage};

/// Install the chart on the cluster that KUBECONFIG names; scale, upgrade,
/// drain and cut it off while a shop trades; and compare every number with the
/// truth.
#[derive(Debug, Parser)]
#[command(
    name = "tidemill-cluster-test",
    version,
    after_help = "The last line on standard output is one JSON object; what was skipped is null in it. The exit code is\n\
        0 only if nothing is lost, nothing is twice, the books balance and every part did what it must.\n\n\
        It needs kubectl and helm on PATH, the images (`make images`), docker to give them to the cluster,\n\
        three nodes with room for 8 GiB, a default storage class and metrics-server; KEDA if that is to be\n\
        seen, and `nats` (the command line) if a backup is to be restored. It works in namespaces of its own and removes them, also on Ctrl-C.\n\n\
        Commands are split at blanks, and run without a shell:\n  \
        CLUSTER_LOAD        gives an image to the cluster; its name is appended\n  \
        CLUSTER_KILL_NODE   cuts a node's power; the node's name is appended\n  \
        CLUSTER_START_NODE  restores it; the node's name is appended\n\n\
        Profiles with a lake need a bucket that pods reach: CLUSTER_LAKE_URL, and where it is not Amazon's\n\
        CLUSTER_LAKE_ENDPOINT. AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION are given to the lake.\n\n\
        Examples:\n  \
        tidemill-cluster-test                                on kind, all but the loss of a node\n  \
        CLUSTER_KILL_NODE='docker kill' CLUSTER_START_NODE='docker start' tidemill-cluster-test\n  \
        CLUSTER_LOAD='minikube image load' tidemill-cluster-test\n  \
        CLUSTER_LOAD='' tidemill-cluster-test --image-prefix registry.example.com/tidemill --tag 1.2.3 --next-tag 1.2.4\n  \
        tidemill-cluster-test --only install,policies        no load at all\n  \
        CLUSTER_LAKE_URL=s3://tests tidemill-cluster-test --only profiles\n  \
        tidemill-cluster-test --only drain,kill-node --rate 500 --keep"
)]
struct Arguments {
    /// Parts that are done [default: all]
    #[arg(long, value_name = "STAGE", value_delimiter = ',')]
    only: Vec<Stage>,
    /// Parts that are left out
    #[arg(long, value_name = "STAGE", value_delimiter = ',')]
    skip: Vec<Stage>,
    /// The chart's folder
    #[arg(long, value_name = "FOLDER", default_value = "helm/tidemill")]
    chart: PathBuf,
    /// What the images' names begin with
    #[arg(long, value_name = "PREFIX", default_value = "tidemill")]
    image_prefix: String,
    /// The images' tag [default: the chart's appVersion]
    #[arg(long)]
    tag: Option<String>,
    /// The tag of the upgrade, which the same images are given with `docker tag`
    #[arg(long, default_value = "next")]
    next_tag: String,
    /// The command that gives an image to the cluster; empty where they are there
    #[arg(long, value_name = "COMMAND", env = "CLUSTER_LOAD", default_value = "kind load docker-image")]
    load: String,
    /// The command that cuts a node's power
    #[arg(long, value_name = "COMMAND", env = "CLUSTER_KILL_NODE")]
    kill_node: Option<String>,
    /// The command that restores it
    #[arg(long, value_name = "COMMAND", env = "CLUSTER_START_NODE")]
    start_node: Option<String>,
    /// Events a second
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=5_000))]
    rate: u32,
    /// The most invoice lines that are sent: the first ones of the data set [default: all of them]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    lines: Option<u32>,
    /// Seed of repetitions and made lines
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Online Retail: CSV, or CSV compressed with zstd [default: the one
    /// beside the checkout, else lines are made]
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// A bucket for the lake, as `s3://BUCKET/PREFIX`; without it the profiles with a lake are left out
    #[arg(long, value_name = "URL", env = "CLUSTER_LAKE_URL")]
    lake_url: Option<String>,
    /// The bucket's address, where it is not Amazon's
    #[arg(long, value_name = "URL", env = "CLUSTER_LAKE_ENDPOINT", default_value = "")]
    lake_endpoint: String,
    /// Leave the namespaces as they are at the end
    #[arg(long)]
    keep: bool,
}

impl Arguments {
    fn options(self) -> Result<Options, String> {
        let words = |command: &str| command.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let some = |command: Option<String>| command.map(|text| words(&text)).filter(|words| !words.is_empty());
        if !self.chart.join("Chart.yaml").is_file() {
            return Err(format!("{} holds no chart", self.chart.display()));
        }
        Ok(Options {
            chart: self.chart,
            image_prefix: self.image_prefix,
            tag: self.tag,
            next_tag: self.next_tag,
            load_image: words(&self.load),
            kill_node: some(self.kill_node),
            start_node: some(self.start_node),
            stages: Selection { only: self.only, skip: self.skip },
            rate: self.rate,
            lines: self.lines.map(usize::try_from).transpose().map_err(|e| e.to_string())?,
            seed: self.seed,
            data: self.data.or_else(cluster::shared_data_set),
            bucket: self.lake_url.filter(|url| !url.is_empty()).map(|url| bucket(url, self.lake_endpoint)),
            keep: self.keep,
        })
    }
}

/// With the key of the environment, which other programs for buckets take as well.
fn bucket(url: String, endpoint: String) -> Bucket {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let key = variable("AWS_ACCESS_KEY_ID").zip(variable("AWS_SECRET_ACCESS_KEY"));
    let region = variable("AWS_REGION").unwrap_or_default();
    Bucket { url, endpoint, region, key: key.map(|(id, secret)| [id, secret]) }
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = match Arguments::parse().options() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("tidemill-cluster-test: {error}");
            return ExitCode::from(2);
        }
    };
    let verdict = match cluster::run(&options).await {
        Ok(verdict) => verdict,
        Err(error) => {
            eprintln!("tidemill-cluster-test: {error}");
            return ExitCode::FAILURE;
        }
    };
    match serde_json::to_string(&verdict) {
        Ok(line) => println!("{line}"),
        Err(error) => {
            eprintln!("tidemill-cluster-test: {error}");
            return ExitCode::FAILURE;
        }
    }
    if verdict.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
