//! `serve`: runs a real broker on this machine.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use indicatif::MultiProgress;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::recovering::{Above, Recovering};
use crate::base::config::{NodeConfig, Purpose, ServerProperties};
use crate::base::{Address, Listener};
use crate::broker::{Node, NodeOptions};
use crate::io::real::RealWorld;

/// The arguments of `serve`.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  brokerquake serve --data /tmp/bq --listen 127.0.0.1:9092\n  \
    kcat -b 127.0.0.1:9092 -L")]
pub struct ServeArgs {
    /// A `server.properties` file, as for Kafka
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data directory; overrides `log.dirs`
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Listener address; overrides `listeners`
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<Address>,
    /// Use an empty log directory in the place of one that is missing, and give up what was in that
    #[arg(long)]
    format: bool,
}

/// Runs until SIGTERM or a fatal error.
pub fn run(args: &ServeArgs) -> ExitCode {
    let config = match settings(args) {
        Ok(settings) => settings,
        Err(problem) => {
            eprintln!("brokerquake serve: {problem}");
            return ExitCode::from(2);
        }
    };
    let screen = MultiProgress::new();
    log_to_stderr(screen.clone());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("brokerquake serve: can't start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(serve(config, args.format, Recovering::new(screen))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("brokerquake serve: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Sends the node's log to standard error, above any progress bars; `RUST_LOG` sets its level.
fn log_to_stderr(screen: MultiProgress) {
    let filter =
        EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
    let above = move || Above(screen.clone());
    // Fails only if a subscriber is already set, which then receives the log.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(above).try_init();
}

async fn serve(
    config: NodeConfig,
    format: bool,
    recovering: Recovering,
) -> Result<(), crate::broker::NodeError> {
    let id = config.node.node_id;
    let data = config.node.log_dirs.join(",");
    let world = RealWorld::new();
    if let Err(error) = world.listen_for_signals() {
        tracing::warn!(%error, "signals will end this process at once");
    }
    let options = NodeOptions { observer: Arc::new(recovering), format, ..NodeOptions::default() };
    let node = Node::start_with(world, config, options).await?;
    let addresses: Vec<String> = node.addresses().iter().map(ToString::to_string).collect();
    println!("brokerquake node {id} ready on {} (data in {data})", addresses.join(", "));
    node.run().await
}

/// Reads the file and applies the flags. A default that needs several nodes (three replicas of a
/// topic) becomes what a single node can have.
fn settings(args: &ServeArgs) -> Result<NodeConfig, String> {
    let mut config = match &args.config {
        None => NodeConfig::default(),
        Some(path) => {
            let file =
                std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
            let read = ServerProperties::read(&file, Purpose::Serve)
                .map_err(|error| format!("{}: {error}", path.display()))?;
            for key in &read.passed_over {
                eprintln!("brokerquake serve: {}: `{key}` has no effect here", path.display());
            }
            read.config
        }
    };
    if let Some(data) = &args.data {
        config.node.log_dirs = vec![data.display().to_string()];
    }
    if let Some(listen) = &args.listen {
        let listener = Listener::new("PLAINTEXT", listen.clone());
        config.node.listeners.retain(|other| other.name != listener.name);
        config.node.listeners.insert(0, listener);
    }
    let alone = config.quorum.controller_quorum_voters.is_empty();
    let names = config.quorum.controller_listener_names.clone();
    let has_controller_listener =
        config.node.listeners.iter().any(|listener| names.contains(&listener.name));
    if alone && config.node.is_controller() && !has_controller_listener {
        // No other node connects to it: any free loopback port will do.
        let name = names.first().ok_or("`controller.listener.names` is empty")?;
        config.node.listeners.push(Listener::new(name, Address::new("127.0.0.1", 0)));
    }
    if alone {
        for key in ["offsets.topic.replication.factor", "transaction.state.log.replication.factor"]
        {
            config.set(key, "1").map_err(|error| error.to_string())?;
        }
        config.set("transaction.state.log.min.isr", "1").map_err(|error| error.to_string())?;
    }
    Ok(config)
}
