//! `dump-log`: prints the files of a log in the format of Kafka's `DumpLogSegments`.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::refuse;
use crate::io::real::RealFile;
use crate::log::dump::{Decoder, Dump, DumpError, DumpOptions, MAX_MESSAGE_SIZE, Plain};

/// The arguments of `dump-log`, those of Kafka's `DumpLogSegments`.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  \
    brokerquake dump-log --deep-iteration --files /tmp/bq/orders-0/00000000000000000000.log\n  \
    brokerquake dump-log --cluster-metadata-decoder \
    --files /tmp/bq/__cluster_metadata-0/00000000000000000000.log\n\n\
    Shows .log, .index, .timeindex, .txnindex, .snapshot and .checkpoint files as Kafka's tool \
    does,\nand the -checkpoint files besides. What does not fit together goes to standard error.\n\
    Exit codes: 0 all was shown, 1 a file can't be read to its end, 2 usage.")]
pub struct DumpLogArgs {
    /// Files, separated by commas
    #[arg(long, value_name = "FILE,…", value_delimiter = ',', required = true)]
    files: Vec<PathBuf>,
    /// Print each record, not only each batch
    #[arg(long)]
    deep_iteration: bool,
    /// Print keys and values of records; implied by any decoder
    #[arg(long)]
    print_data_log: bool,
    /// Compare indexes with their log, without printing them
    #[arg(long)]
    verify_index_only: bool,
    /// Check indexes as a starting broker does, without printing them
    #[arg(long)]
    index_sanity_check: bool,
    /// Size in bytes of the largest batch that an index points at
    #[arg(long, value_name = "BYTES", default_value_t = MAX_MESSAGE_SIZE)]
    max_message_size: u64,
    /// Print at most this many bytes of each log file
    #[arg(long, value_name = "BYTES")]
    max_bytes: Option<u64>,
    /// Print keys and values only
    #[arg(long)]
    skip_record_metadata: bool,
    /// Records are those of __consumer_offsets
    #[arg(long)]
    offsets_decoder: bool,
    /// Records are those of __transaction_state
    #[arg(long)]
    transaction_log_decoder: bool,
    /// Records are those of __cluster_metadata
    #[arg(long)]
    cluster_metadata_decoder: bool,
    /// Records are those of __share_group_state
    #[arg(long)]
    share_group_state_decoder: bool,
    /// Records are those of __remote_log_metadata (not supported: no tiered storage)
    #[arg(long)]
    remote_log_metadata_decoder: bool,
    /// Decoder of keys: StringDecoder, IntegerDecoder or LongDecoder
    #[arg(long, value_name = "CLASS", num_args = 0..=1, default_missing_value = "StringDecoder")]
    key_decoder_class: Option<String>,
    /// Decoder of values: StringDecoder, IntegerDecoder or LongDecoder
    #[arg(long, value_name = "CLASS", num_args = 0..=1, default_missing_value = "StringDecoder")]
    value_decoder_class: Option<String>,
}

/// Prints the files.
pub fn run(args: &DumpLogArgs) -> ExitCode {
    let options = match args.options() {
        Ok(options) => options,
        Err(problem) => return refuse("dump-log", problem),
    };
    if let Some(dir) = args.files.iter().find(|path| path.is_dir()) {
        let problem = format!(
            "{} is a directory; name the files in it, as {}",
            dir.display(),
            dir.join("00000000000000000000.log").display()
        );
        return refuse("dump-log", problem);
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let mut dump = Dump::new(RealFile::open_to_read, &options, &mut out);
    let shown = args.files.iter().try_for_each(|path| dump.file(path));
    let problems = dump.problems().to_string();
    let shown = shown.and_then(|()| out.flush().map_err(DumpError::Write));
    eprint!("{problems}");
    match shown {
        Ok(()) => ExitCode::SUCCESS,
        // A closed pipe (`| head`) is not a failure.
        Err(DumpError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("brokerquake dump-log: {error}");
            ExitCode::FAILURE
        }
    }
}

impl DumpLogArgs {
    fn options(&self) -> Result<DumpOptions, String> {
        if self.remote_log_metadata_decoder {
            return Err("--remote-log-metadata-decoder is not supported: there is no tiered \
                        storage here; Kafka's own tool reads such a log"
                .to_owned());
        }
        let plain = |class: &Option<String>| match class {
            None => Ok(Plain::default()),
            Some(name) => Plain::of_class(name).ok_or_else(|| {
                format!(
                    "no decoder `{name}`: classes of Java can't be loaded; there are \
                     StringDecoder, IntegerDecoder and LongDecoder"
                )
            }),
        };
        let (key, value) = (plain(&self.key_decoder_class)?, plain(&self.value_decoder_class)?);
        let decoders = [
            (self.offsets_decoder, Decoder::Offsets),
            (self.transaction_log_decoder, Decoder::TransactionLog),
            (self.cluster_metadata_decoder, Decoder::ClusterMetadata),
            (self.share_group_state_decoder, Decoder::ShareGroupState),
        ];
        // The first wins, in Kafka's order.
        let decoder = decoders.into_iter().find_map(|(asked, decoder)| asked.then_some(decoder));
        let contents = self.print_data_log
            || decoder.is_some()
            || self.key_decoder_class.is_some()
            || self.value_decoder_class.is_some();
        Ok(DumpOptions {
            deep: self.deep_iteration || contents,
            contents,
            decoder: decoder.unwrap_or(Decoder::Plain { key, value }),
            skip_record_metadata: self.skip_record_metadata,
            max_bytes: self.max_bytes,
            verify_index_only: self.verify_index_only,
            index_sanity_check: self.index_sanity_check,
            max_message_size: self.max_message_size,
        })
    }
}
